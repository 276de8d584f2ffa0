# SPDX-License-Identifier: Apache-2.0
"""What of a scenario does not go together: names, times and sizes, each with the path of the field that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tether_hw.sim.model import LEAST_WINDOW, MOST_WINDOW, Event, Flow, Node, Scenario, Turn, Window

ENDPOINTS = ("endpoint", "python")
MOST_VERTICES = 1024
MOST_FLOWS = 65_536
BLOCK = 64
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """What is wrong at a path, and what to do."""

    path: Path
    message: str
    hint: str


class Check:
    """Looks at one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.nodes: dict[str, Node] = {}  # of every name that a file may use
        self.copies: dict[str, list[str]] = {}
        for name, node in scenario.nodes.items():
            each = [name] if node.count == 1 else [f"{name}{index}" for index in range(node.count)]
            self.copies[name] = each
            self.copies.update({copy: [copy] for copy in each if copy != name})
            self.nodes.update(dict.fromkeys([name, *each], node))
        self.pairs: set[tuple[str, str]] = set()  # with a channel
        self.linked: set[tuple[str, str]] = set()
        self.channels = self.flows = 0  # as many as events can name

    def mistakes(self) -> Iterator[Mistake]:
        """All of them."""
        yield from self.all_nodes()
        yield from self.links()
        yield from self.all_channels()
        for index, flow in enumerate(self.scenario.flows):
            yield from self.flow(("flows", index), flow)
        yield from in_order("contacts", self.scenario.contacts)
        yield from in_order("table", self.scenario.table)
        for index, outage in enumerate(self.scenario.outages):
            yield from self.between(("outages", index), outage.from_, outage.to, ("from", "to"))
        for index, event in enumerate(self.scenario.events):
            yield from self.event(("events", index), event)

    def known(self, path: Path, *names: str) -> Iterator[Mistake]:
        """The names that are no nodes."""
        for name in names:
            if name not in self.nodes:
                yield Mistake(path, f"there is no node {name!r}", f"nodes here: {', '.join(self.scenario.nodes)}")

    def all_nodes(self) -> Iterator[Mistake]:
        vertices = 0
        for name, node in self.scenario.nodes.items():
            at: Path = ("nodes", name)
            vertices += node.count * (node.lanes if node.kind in ENDPOINTS else 1)
            if node.kind == "attacker":
                if node.victim is None or not node.does:
                    yield Mistake(at, "an attacker needs a victim and something to do", "victim: NODE, does: [replay]")
                else:
                    yield from self.known((*at, "victim"), node.victim)
            if node.replay_window:
                power = node.replay_window & (node.replay_window - 1) == 0
                if not power or not LEAST_WINDOW <= node.replay_window <= MOST_WINDOW:
                    hint = f"a power of two from {LEAST_WINDOW} to {MOST_WINDOW}, or 0 for the core's own"
                    yield Mistake((*at, "replay_window"), "no size of a replay window", hint)
            if node.max_channels * node.max_flows > MOST_FLOWS:
                hint = "make max_channels or max_flows smaller"
                yield Mistake((*at, "max_flows"), f"more than {MOST_FLOWS} flows of one node", hint)
        if vertices > MOST_VERTICES:
            hint = "make count or lanes smaller"
            yield Mistake(("nodes",), f"{vertices} lanes of nodes, and at most {MOST_VERTICES} are simulated", hint)

    def links(self) -> Iterator[Mistake]:
        for index, link in enumerate(self.scenario.links):
            at: Path = ("links", index, "between")
            wrong = [mistake for end in (0, 1) for mistake in self.known((*at, end), link.between[end])]
            yield from wrong
            if not wrong:
                one, other = (self.copies[name] for name in link.between)
                self.linked |= {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}

    def all_channels(self) -> Iterator[Mistake]:
        for index, channel in enumerate(self.scenario.channels):
            at: Path = ("channels", index)
            wrong = [*self.known((*at, "from"), channel.from_), *self.known((*at, "to"), channel.to)]
            for field, name in (("from", channel.from_), ("to", channel.to)):
                if name in self.nodes and self.nodes[name].kind not in ENDPOINTS:
                    hint = "channels are between nodes of kind endpoint or python"
                    wrong.append(Mistake((*at, field), f"{name} is no endpoint", hint))
            yield from wrong
            if wrong:
                continue
            lanes = min(self.nodes[channel.from_].lanes, self.nodes[channel.to].lanes)
            both = {(a, b) for a in self.copies[channel.from_] for b in self.copies[channel.to]}
            self.channels += lanes * len(both)
            self.pairs |= both | {(b, a) for a, b in both}

    def flow(self, at: Path, flow: Flow) -> Iterator[Mistake]:
        wrong = [*self.known((*at, "from"), flow.from_), *self.known((*at, "to"), flow.to)]
        if not wrong:
            both = [(a, b) for a in self.copies[flow.from_] for b in self.copies[flow.to]]
            self.flows += flow.count * len(both)
            lost = [pair for pair in both if pair not in self.pairs]
            if lost:
                a, b = lost[0]
                hint = f"add to channels: {{from: {flow.from_}, to: {flow.to}}}"
                wrong.append(Mistake((*at, "to"), f"there is no channel between {a} and {b}", hint))
            elif flow.lane >= min(self.nodes[flow.from_].lanes, self.nodes[flow.to].lanes):
                hint = "lanes count from 0; a node has one where it does not say `lanes`"
                wrong.append(Mistake((*at, "lane"), f"there is no lane {flow.lane} at both ends", hint))
        yield from wrong
        if flow.kind == "messages":
            yield from self.messages(at, flow)

    def messages(self, at: Path, flow: Flow) -> Iterator[Mistake]:
        if flow.size.low < 1:
            yield Mistake((*at, "size"), "a message has at least one byte", "size: 16B..4KiB")
        if flow.bound is not None and flow.bound.high < flow.size.high:
            yield Mistake((*at, "bound"), "smaller than the flow's largest message", "leave it out: `size` says it")
        field = "size" if flow.bound is None else "bound"
        bound = flow.size.high if flow.bound is None else flow.bound.high
        ends = {name: self.nodes[name] for name in (flow.from_, flow.to) if name in self.nodes}
        blocks = min((node.frame_blocks.low for node in ends.values()), default=1)
        for name, node in ends.items():  # a flow has both directions, so both must have room (T-MSG-7)
            written = next(each for each in self.scenario.nodes if name in (each, *self.copies[each]))
            if bound > node.max_message.low:
                hint = f"set nodes.{written}.max_message to {bound}B or more"
                yield Mistake((*at, field), f"larger than the largest message that {name} is told to allow", hint)
            if bound > node.rx_cells.low * blocks * BLOCK:
                hint = f"set nodes.{written}.rx_cells to {-(-bound // (blocks * BLOCK))} or more"
                yield Mistake((*at, field), f"larger than the receive buffer of {name}", hint)

    def between(self, at: Path, one: str, other: str, fields: tuple[str | int, str | int]) -> Iterator[Mistake]:
        """Two nodes that need a link of their own."""
        wrong = [*self.known((*at, fields[0]), one), *self.known((*at, fields[1]), other)]
        if not wrong and not any((a, b) in self.linked for a in self.copies[one] for b in self.copies[other]):
            hint = f"add to links: {{between: [{one}, {other}]}}"
            wrong.append(Mistake((*at, fields[1]), f"there is no link between {one} and {other}", hint))
        yield from wrong

    def event(self, at: Path, event: Event) -> Iterator[Mistake]:
        happens = 0
        for field in ("crash", "step"):
            name = getattr(event, field)
            if name is not None:
                happens += 1
                yield from self.known((*at, field), name)
        for field, what, count in (
            ("cancel", "flow", self.flows), ("close_flow", "flow", self.flows),
            ("close_channel", "channel", self.channels), ("hail", "channel", self.channels),
        ):  # fmt: skip
            number = getattr(event, field)
            if number is not None:
                happens += 1
                if number >= count:
                    hint = f"numbers count from 0 through all {what}s, one for each pair of nodes; here are {count}"
                    yield Mistake((*at, field), f"there is no {what} {number}", hint)
        for field in ("delay", "rate"):
            ends = getattr(event, field)
            if ends is not None:
                happens += 1
                if len(ends) != 2 or event.to is None:
                    yield Mistake((*at, field), "expected two nodes and `to`", f"{field}: [a, b], to: VALUE")
                else:
                    yield from self.between((*at, field), ends[0], ends[1], (0, 1))
        if happens != 1:
            hint = "say one of crash, step, cancel, close_flow, close_channel, hail, delay, rate"
            yield Mistake(at, "nothing happens" if not happens else "more than one thing happens", hint)


def in_order(what: str, entries: Sequence[Window | Turn]) -> Iterator[Mistake]:
    """Contacts and round trips follow each other, whatever a seed picks out of their ranges."""
    end = 0
    for index, entry in enumerate(entries):
        path: Path = (what, index, "at")
        if entry.at.low < end and isinstance(entry, Window):
            before = entries[index - 1].at
            if entry.at.low < before.low:
                yield Mistake(path, "earlier than the window before it", "write windows in the order of their times")
            else:
                hint = f"begin at {end}ns or later, or write both as one window; a range may be as late as its end"
                yield Mistake(path, "begins before the window before it has ended", hint)
        elif entry.at.low < end:
            yield Mistake(path, "not after the round trip before it", "write them in the order of their times")
        end = entry.at.high + (entry.for_.high if isinstance(entry, Window) else 0)


def check(scenario: Scenario) -> list[Mistake]:
    """Everything that does not go together."""
    return list(Check(scenario).mistakes())
