# SPDX-License-Identifier: Apache-2.0
"""A trace as a picture: slots of each direction over time, as both ends saw them. The same trace, the same bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tether_hw.errors import TetherError
from tether_hw.trace.flows import Direction, directions
from tether_hw.trace.panel import HEIGHT, LEGEND, STYLE, WIDTH, Frame, marks_of, panel
from tether_hw.trace.svg import number, plain, text, time_unit

if TYPE_CHECKING:
    from tether_hw.trace.events import Trace

PANELS_MOST = 12
HEAD = 92
_LEGEND_ROW = 20


@dataclass(frozen=True)
class Choice:
    """What of a trace is drawn. Times are ns from its first event; None = all."""

    flow: int | None = None
    node: str | None = None
    control: bool = False
    begin_ns: int | None = None
    end_ns: int | None = None


def draw(trace: Trace, title: str, choice: Choice | None = None) -> str:
    """The picture as SVG. TetherError when nothing of the trace can be drawn."""
    choice = choice or Choice()
    if not trace.events:
        raise TetherError("the trace has no events", hint="was there traffic while it was written?")
    zero = trace.events[0].at_ns
    wanted = [one for one in directions(trace) if _chosen(one, choice)]
    shown = wanted[:PANELS_MOST]
    if not shown:
        raise TetherError(
            "no flow of this trace fits the choice", hint="flows: " + (", ".join(_flows(trace)) or "none had data")
        )
    begin, end = _span(trace, shown, zero, choice)
    unit = time_unit(end - begin)
    notes = _notes(trace, len(wanted) - len(shown))
    legend, legend_height = _legend(shown)
    top = HEAD + legend_height + 16 * len(notes)
    height = top + len(shown) * HEIGHT + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {number(height)}" width="{WIDTH}" '
        f"height=\"{number(height)}\" font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">",
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{number(height)}" class="paper"/>',
        text(24, 36, title, "title"),
        text(24, 58, _summary(trace, shown, begin, end, unit), "sub"),
        legend,
        *(text(24, HEAD + legend_height + 16 * row, note, "note") for row, note in enumerate(notes)),
    ]
    for row, direction in enumerate(shown):
        frame = Frame(top=top + row * HEIGHT, zero=zero, begin=begin, end=end, unit=unit)
        parts.extend(panel(direction, frame, complete=not trace.dropped and not trace.cut))
    parts.append("</svg>")
    return "\n".join(part for part in parts if part) + "\n"


def page(trace: Trace, title: str, choice: Choice | None = None) -> str:
    """The picture in an HTML page, with the events counted in a table."""
    nodes = trace.nodes()
    counts = Counter((event.kind, event.node) for event in trace.events)
    rows = [
        f"<tr><th>{escape(kind)}</th>{''.join(f'<td>{plain(counts[kind, node])}</td>' for node in nodes)}</tr>"
        for kind in sorted({kind for kind, _ in counts})
    ]
    head = "".join(f"<th>{escape(node)}</th>" for node in nodes)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>'
        "body{margin:0;background:#fff;color:#1c2430;font:14px system-ui,'DejaVu Sans',sans-serif}"
        "svg{max-width:100%;height:auto}table{margin:0 24px 24px;border-collapse:collapse}"
        "td,th{padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid #e3e7ec}th{text-align:left}"
        f"</style></head><body>\n{draw(trace, title, choice)}<table><tr><th>events</th>{head}</tr>\n"
        + "\n".join(rows)
        + "\n</table></body></html>\n"
    )


def _chosen(direction: Direction, choice: Choice) -> bool:
    if choice.flow is not None:
        fits = direction.flow == choice.flow
    else:
        fits = direction.flow != 0 or choice.control
    ends = [end[0] for end in (direction.sender, direction.receiver) if end]
    return fits and (choice.node is None or choice.node in ends)


def _flows(trace: Trace) -> list[str]:
    return sorted({f"{one.flow}" for one in directions(trace)}, key=int)


def _span(trace: Trace, shown: list[Direction], zero: int, choice: Choice) -> tuple[int, int]:
    """First and last moment of the picture."""
    times = [event.at_ns for one in shown for event in (*one.at_sender, *one.at_receiver)]
    begin = zero + choice.begin_ns if choice.begin_ns is not None else min(times)
    end = zero + choice.end_ns if choice.end_ns is not None else max(times)
    if begin >= end and choice.end_ns is None:
        end = begin + 1
    if begin >= end or begin > trace.events[-1].at_ns:
        raise TetherError("the times chosen hold nothing of the trace")
    return begin, end


def _summary(trace: Trace, shown: list[Direction], begin: int, end: int, unit: tuple[int, str]) -> str:
    frames = sum(one.data_frames for one in shown)
    repairs = sum(event.kind == "repair" for one in shown for event in one.at_sender)
    span = f"{(end - begin) / unit[0]:.4g} {unit[1]}"
    many = "direction" if len(shown) == 1 else "directions"
    return (
        f"{', '.join(trace.nodes())} · {len(shown)} {many} · {plain(frames)} data frames, {plain(repairs)} repairs"
        f" · {span} from {(begin - trace.events[0].at_ns) / unit[0]:.4g} {unit[1]} on"
    )


def _notes(trace: Trace, left_out: int) -> list[str]:
    notes = [
        f"{node}: {plain(count)} events were dropped before they were written; what is missing here may have happened"
        for node, count in sorted(trace.dropped.items())
    ]
    notes += [f"{node}: the trace reached its largest size and stopped" for node in sorted(trace.cut)]
    if left_out:
        notes.append(f"{left_out} more directions are not drawn; choose with --flow or --node")
    return notes


def _legend(shown: list[Direction]) -> tuple[str, float]:
    """The marks that stand in the picture, and what they mean."""
    marks = {marks_of(event) for one in shown for event in (*one.at_sender, *one.at_receiver)}
    marks |= {"lost"} if any(one.lost() for one in shown) else set()
    parts, x, row = [], 24.0, 0
    for entry in LEGEND:
        if not entry.shown(marks):
            continue
        width = 34 + 6.4 * len(entry.words)
        if x + width > WIDTH - 24:
            x, row = 24.0, row + 1
        y = HEAD - 14 + row * _LEGEND_ROW
        parts.append(entry.sample(x, y - 4))
        parts.append(text(x + 24, y, entry.words, "key"))
        x += width
    return "\n".join(parts), (row + 1) * _LEGEND_ROW
