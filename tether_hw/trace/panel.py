# SPDX-License-Identifier: Apache-2.0
"""One direction of one flow, drawn: slots over time, and under it what each end said without data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tether_hw.trace.svg import Marks, Scale, number, path, plain, size_of, steps, text

if TYPE_CHECKING:
    from tether_hw.trace.events import Event
    from tether_hw.trace.flows import Direction

BLOCK = 64
WIDTH = 1280
HEIGHT = 424
LEFT, RIGHT = 86, 1196
PLOT_TOP, PLOT_BOTTOM = 40, 318
STRIPS = (("sender", 344), ("receiver", 368))
FLIGHTS_MOST = 240  # lines from sending to arrival: with more of them nothing else could be seen

STYLE = """
.paper{fill:#fff}.title{font-size:20px;font-weight:600;fill:#141a22}.sub{font-size:12.5px;fill:#57606c}
.note{font-size:12.5px;fill:#a3410b}.key{font-size:12px;fill:#333b46}.name{font-size:13.5px;font-weight:600;fill:#141a22}
.tick{font-size:11px;fill:#57606c}.axis{font-size:11.5px;fill:#57606c}.grid{stroke:#e8ebef;stroke-width:1;fill:none}
.box{stroke:#b9c0ca;stroke-width:1;fill:none}.strip{fill:#f5f7f9}
.credit{fill:#c9ecd2;stroke:none}.grantline{fill:none;stroke:#2b9348;stroke-width:1.6}
.told{fill:none;stroke:#2b9348;stroke-width:1;stroke-dasharray:3 3}
.sent{stroke:#1f5fbf;stroke-width:1.6;fill:none}.arrived{stroke:#6aaeea;stroke-width:1.6;fill:none}
.flight{stroke:#9fbfe6;stroke-width:.6;fill:none;opacity:.75}.ember{stroke:#00a3a3;stroke-width:3;fill:none}
.repair{stroke:#f08700;stroke-width:2;fill:none}.again{stroke:#f6c177;stroke-width:2;fill:none}
.lost{stroke:#c9184a;stroke-width:1.4;fill:none}.nack{stroke:#d00000;stroke-width:1.6;fill:none}
.known{fill:none;stroke:#5c677d;stroke-width:1.2}
.delivered{fill:none;stroke:#141a22;stroke-width:1.2;stroke-dasharray:1 2}
.blocked{fill:#7b2cbf;stroke:#fff;stroke-width:.7}.refresh{fill:#e0479e;stroke:#fff;stroke-width:.7}
.receipt{stroke:#5c677d;stroke-width:1;fill:none}.void{stroke:#adb5bd;stroke-width:3;fill:none}
.grantmark{stroke:#2b9348;stroke-width:1.2;fill:none}.pace{stroke:#8d6e00;stroke-width:1.4;fill:none}
"""


@dataclass(frozen=True)
class Frame:
    """Where a panel stands and which time it shows; `unit` is (ns, name) of the axis."""

    top: float
    zero: int
    begin: int
    end: int
    unit: tuple[int, str]


@dataclass(frozen=True)
class Key:
    """One entry of the legend: which events it stands for, in words, and how it is drawn."""

    words: str
    stands_for: str
    kind: str
    data: Callable[[float, float], str] = field(repr=False)

    def shown(self, marks: set[str]) -> bool:
        """Whether the picture has it."""
        return self.stands_for in marks

    def sample(self, x: float, y: float) -> str:
        """Its mark."""
        return path(self.kind, self.data(x, y))


def _bar(x: float, y: float) -> str:
    return f"M{number(x + 9)} {number(y - 6)}v12"


def _line(x: float, y: float) -> str:
    return f"M{number(x)} {number(y + 3)}h7v-6h11"


def _cross(x: float, y: float) -> str:
    return f"M{number(x + 5)} {number(y - 4)}l8 8m0 -8l-8 8"


def _diamond(x: float, y: float) -> str:
    return f"M{number(x + 9)} {number(y - 5)}l5 5l-5 5l-5 -5z"


def _area(x: float, y: float) -> str:
    return f"M{number(x)} {number(y - 6)}h18v12h-18z"


def marks_of(event: Event) -> str:
    """What an event is drawn as, in the words of the legend below."""
    if event.heard:
        return f"{event.kind} heard"
    if event.ember and event.kind == "sent":
        return "ember"
    if event.kind == "received":
        return "again" if event.duplicate else "received" if event.count else ""
    return event.kind


LEGEND = (
    Key("granted, as the sender knows", "granted heard", "grantline", _line),
    Key("granted, as the receiver said", "granted", "told", _line),
    Key("credit not used yet", "granted heard", "credit", _area),
    Key("sent", "sent", "sent", _bar),
    Key("sent beyond the grant (ember)", "ember", "ember", _bar),
    Key("arrived", "received", "arrived", _bar),
    Key("lost on the way", "lost", "lost", _cross),
    Key("asked for again (NACK)", "nack", "nack", _bar),
    Key("repair", "repair", "repair", _bar),
    Key("arrived a second time", "again", "again", _bar),
    Key("known to have arrived", "receipt heard", "known", _line),
    Key("given to the application", "delivered", "delivered", _line),
    Key("skipped (void)", "void", "void", _bar),
    Key("receipt", "receipt", "receipt", _bar),
    Key("BLOCKED: sender's clock", "blocked", "blocked", _diamond),
    Key("grant and NACK: receiver's clock", "refresh", "refresh", _diamond),
    Key("pace", "pace", "pace", _bar),
)


def slot_bytes(direction: Direction) -> int:
    """What a slot of this flow has room for: 64 bytes, or as much more as its frames show that it is scaled."""
    size = BLOCK
    for event in (*direction.at_sender, *direction.at_receiver):
        if event.kind in ("sent", "repair", "received"):
            while event.count and event.bytes > event.count * size:
                size *= 2
    return size


class _Plot:
    """The marks of one panel while they are collected."""

    def __init__(self, direction: Direction, frame: Frame) -> None:
        self.direction, self.frame = direction, frame
        self.sending = [event for event in direction.at_sender if frame.begin <= event.at_ns <= frame.end]
        self.receiving = [event for event in direction.at_receiver if frame.begin <= event.at_ns <= frame.end]
        self.x = Scale(frame.begin, frame.end, LEFT, RIGHT)
        self.slot_bytes = slot_bytes(direction)
        low, high = self._slots()
        self.y = Scale(low, high, frame.top + PLOT_BOTTOM, frame.top + PLOT_TOP)

    def _slots(self) -> tuple[float, float]:
        data = [
            event
            for event in (*self.sending, *self.receiving)
            if event.count and event.kind in ("sent", "repair", "received", "nack", "void")
        ]
        tops = [event.slot + event.count for event in data]
        tops += [event.slot for event in (*self.sending, *self.receiving) if event.kind == "granted"]
        lows = [event.slot for event in data] or [0]
        high = max(tops, default=1)
        low = min(lows) if min(lows) > high / 8 else 0
        return low, max(high + (high - low) * 0.04, low + 1)

    def bars(self, kind: str, events: list[Event], least: float = 2) -> str:
        marks = Marks()
        for event in events:
            marks.bar(self.x(event.at_ns), self.y(event.slot + event.count), self.y(event.slot), least)
        return path(kind, marks.bars())

    def line(self, events: list[Event]) -> list[tuple[float, float]]:
        """A number that never falls, from before the picture on."""
        points: list[tuple[float, float]] = []
        highest = -1
        for event in events:
            if event.at_ns > self.frame.end or event.slot <= highest:
                continue
            highest = event.slot
            x = max(self.x(event.at_ns), LEFT)
            if points and points[-1][0] == x:
                points.pop()
            points.append((x, min(max(self.y(event.slot), self.y.end), self.y.start)))
        return points

    def step(self, kind: str, events: list[Event]) -> str:
        return path(kind, steps(self.line(events), RIGHT))


def panel(direction: Direction, frame: Frame, *, complete: bool) -> list[str]:
    """The parts of one panel. `complete`: no event is missing, so a frame that did not arrive was lost."""
    plot = _Plot(direction, frame)
    top = frame.top
    parts = [f'<g class="panel" data-flow="{direction.flow}">', text(LEFT, top + 28, _name(direction), "name")]
    parts += _axes(plot)
    clip = f"c{round(top)}"
    parts.append(
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{number(top + PLOT_TOP - 1)}" width="{RIGHT - LEFT}" '
        f'height="{PLOT_BOTTOM - PLOT_TOP + 2}"/></clipPath><g clip-path="url(#{clip})">'
    )
    parts += _data(plot, complete=complete)
    parts.append("</g>")
    parts += _strips(plot)
    parts.append("</g>")
    return [part for part in parts if part]


def _name(direction: Direction) -> str:
    sender = direction.sender[0] if direction.sender else "peer (not traced)"
    receiver = direction.receiver[0] if direction.receiver else "peer (not traced)"
    what = "control" if direction.flow == 0 else f"flow {direction.flow}"
    index = direction.sender or direction.receiver
    channel = f", channel {index[1]:#010x} of {index[0]}" if index else ""
    return f"{sender} → {receiver}, {what}{channel}"


def _data(plot: _Plot, *, complete: bool) -> list[str]:
    sending, receiving, direction = plot.sending, plot.receiving, plot.direction
    sent = [event for event in sending if event.kind == "sent"]
    arrived = [event for event in receiving if event.kind == "received" and event.count]
    limit = [event for event in direction.at_sender if event.kind == "granted" and event.heard]
    told = [event for event in direction.at_receiver if event.kind == "granted" and not event.heard]
    lost = Marks()
    for event in direction.lost() if complete else []:
        if plot.frame.begin <= event.at_ns <= plot.frame.end:
            lost.bar(plot.x(event.at_ns), plot.y(event.slot + event.count), plot.y(event.slot))
    return [
        path("credit", _credit(plot, limit)),
        _flights(plot, [event for event in sending if event.kind in ("sent", "repair")], arrived),
        plot.step("told", told),
        plot.step("grantline", limit),
        plot.step("known", [event for event in direction.at_sender if event.kind == "receipt" and event.heard]),
        plot.step("delivered", [event for event in direction.at_receiver if event.kind == "delivered"]),
        plot.bars("void", [event for event in receiving if event.kind == "void"]),
        plot.bars("arrived", [event for event in arrived if not event.duplicate]),
        plot.bars("again", [event for event in arrived if event.duplicate]),
        plot.bars("sent", [event for event in sent if not event.ember]),
        plot.bars("ember", [event for event in sent if event.ember], 5),
        plot.bars("nack", [event for event in receiving if event.kind == "nack" and not event.heard], 5),
        plot.bars("repair", [event for event in sending if event.kind == "repair"], 5),
        path("lost", lost.crosses(3.2)),
    ]


def _credit(plot: _Plot, limit: list[Event]) -> str:
    """What was granted and not used yet: from the sender's next slot up to its limit."""
    upper, data = 0, []
    lower = plot.y.start
    x = 0.0
    steps_of = [(event, "limit") for event in limit]
    steps_of += [(event, "next") for event in plot.direction.at_sender if event.kind == "sent"]
    for event, what in sorted(steps_of, key=lambda step: step[0].at_ns):
        if event.at_ns > plot.frame.end:
            break
        here = max(plot.x(event.at_ns), LEFT)
        if upper and here - x >= 0.5 and lower - plot.y(upper) >= 0.5:
            data.append(f"M{number(x)} {number(plot.y(upper))}H{number(here)}V{number(lower)}H{number(x)}z")
        if here - x >= 0.5:
            x = here
        if what == "limit":
            upper = max(upper, event.slot)
        else:
            lower = min(lower, plot.y(event.slot + event.count))
    if upper and lower - plot.y(upper) >= 0.5:
        data.append(f"M{number(x)} {number(plot.y(upper))}H{RIGHT}V{number(lower)}H{number(x)}z")
    return "".join(data)


def _flights(plot: _Plot, sent: list[Event], arrived: list[Event]) -> str:
    """A thin line from each sending to its arrival, while they are few."""
    if plot.direction.sender is None or plot.direction.receiver is None or len(sent) > FLIGHTS_MOST:
        return ""
    landed = {event.frame: event for event in arrived}
    data = []
    for event in sent:
        end = landed.get(event.frame)
        if end is None or not event.sequence:
            continue
        y = number(plot.y(event.slot + event.count / 2))
        data.append(f"M{number(plot.x(event.at_ns))} {y}L{number(plot.x(end.at_ns))} {y}")
    return path("flight", "".join(data))


def _strips(plot: _Plot) -> list[str]:
    """What each end said without data."""
    parts = []
    both = {"sender": plot.sending, "receiver": plot.receiving}
    for end, offset in STRIPS:
        y = plot.frame.top + offset
        parts.append(
            f'<rect class="strip" x="{LEFT}" y="{number(y - 9)}" width="{RIGHT - LEFT}" height="18"/>'
            + text(LEFT - 8, y + 4, end, "tick", "end")
        )
        for kind, name, draw in (
            ("grantmark", "granted", "bars"),
            ("receipt", "receipt", "bars"),
            ("nack", "nack", "bars"),
            ("pace", "pace", "bars"),
            ("blocked", "blocked", "diamonds"),
            ("refresh", "refresh", "diamonds"),
        ):
            marks = Marks()
            for event in both[end]:
                if event.kind == name and not event.heard:
                    tall = 3 if name in ("granted", "receipt") else 7
                    marks.bar(plot.x(event.at_ns), y - tall, y + tall)
            parts.append(path(kind, marks.bars() if draw == "bars" else marks.diamonds(5.5)))
    return parts


def _axes(plot: _Plot) -> list[str]:
    frame, y = plot.frame, plot.y
    top, bottom = y.end, y.start
    size, unit = frame.unit
    since = Scale((frame.begin - frame.zero) / size, (frame.end - frame.zero) / size, LEFT, RIGHT)
    grid, labels = [], []
    for tick in since.ticks(10):
        grid.append(f"M{number(since(tick))} {number(top)}V{number(bottom)}")
        labels.append(text(since(tick), frame.top + 392, plain(tick), "tick", "middle"))
    for tick in y.ticks(6):
        grid.append(f"M{LEFT} {number(y(tick))}H{RIGHT}")
        labels.append(text(LEFT - 8, y(tick) + 4, plain(tick), "tick", "end"))
        labels.append(text(RIGHT + 8, y(tick) + 4, size_of(tick * plot.slot_bytes), "tick"))
    middle = (top + bottom) / 2
    turn = f' transform="rotate(-90 22 {number(middle)})"'
    labels.append(text(22, middle, "slots", "axis", "middle", turn))
    words = f"time since the first event of the trace ({unit})"
    labels.append(text((LEFT + RIGHT) / 2, frame.top + 410, words, "axis", "middle"))
    box = f"M{LEFT} {number(top)}H{RIGHT}V{number(bottom)}H{LEFT}z"
    return [path("grid", "".join(grid)), path("box", box), *labels]
