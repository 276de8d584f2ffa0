# SPDX-License-Identifier: Apache-2.0
"""From a scenario and a seed to the description that the simulator runs: names become numbers, spans values."""

from __future__ import annotations

import ctypes
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tether_hw.errors import TetherError
from tether_hw.sim import native
from tether_hw.sim.model import Direction, Event, Node, Scenario
from tether_hw.sim.units import Span

KINDS = {"endpoint": 0, "python": 1, "switch": 2, "attacker": 3, "blind": 4}
CIPHERS = {"any": 0, "chacha20": 1, "aes256": 2}
ATTACKS = {"replay": 1, "mutate": 2, "truncate": 4, "forge": 8, "lamps": 16}
MATCHES = ("all", "header-only", "data", "blocked", "grant", "nack", "lamp", "end", "control", "receipt")
CRASH, STEP, CANCEL, CLOSE_FLOW, CLOSE_CHANNEL, DELAY, RATE, HAIL = range(1, 9)
POLICIES = ("fair", "srpt", "reserved")
BLIND_TIMEOUT_NS = 1_000_000


@dataclass
class Built:
    """The simulator's description, and what its numbers are called."""

    scenario: Scenario
    seed: int
    vertices: list[native.Vertex] = field(default_factory=list)
    vertex_names: list[str] = field(default_factory=list)
    pipes: list[native.Pipe] = field(default_factory=list)
    channels: list[native.Channel] = field(default_factory=list)
    flows: list[native.Flow] = field(default_factory=list)
    flow_names: list[str] = field(default_factory=list)
    outages: list[native.Outage] = field(default_factory=list)
    events: list[native.Event] = field(default_factory=list)
    rtt_ns: int = 0
    rate_bps: int = 0
    routes: list[int] = field(default_factory=list)

    def config(self, only: list[tuple[int, int, int]] | None) -> native.Config:
        """The struct that tether_sim_new takes; `only` these faults happen, None: all."""

        def array(kind: Any, items: list[Any]) -> Any:
            return (kind * max(1, len(items)))(*items)

        faults = [native.Fault(*fault) for fault in only or []]
        return native.Config(
            abi=native.ABI,
            seed=self.seed,
            limit_ns=self.scenario.limit.high,
            frame_limit=self.scenario.frames,
            quiet_ns=self.scenario.quiet.high,
            rtt_ns=self.rtt_ns,
            vertices=array(native.Vertex, self.vertices),
            pipes=array(native.Pipe, self.pipes),
            routes=array(ctypes.c_uint32, self.routes),
            channels=array(native.Channel, self.channels),
            flows=array(native.Flow, self.flows),
            events=array(native.Event, self.events),
            outages=array(native.Outage, self.outages),
            only=array(native.Fault, faults),
            vertex_count=len(self.vertices),
            pipe_count=len(self.pipes),
            channel_count=len(self.channels),
            flow_count=len(self.flows),
            event_count=len(self.events),
            outage_count=len(self.outages),
            only_count=len(faults),
            only_set=only is not None,
        )


class Builder:
    """Makes a Built of a scenario. `blind`: the flows' senders become senders without credit."""

    def __init__(self, scenario: Scenario, seed: int, *, blind: bool = False) -> None:
        self.scenario = scenario
        self.blind = blind
        self.built = Built(scenario, seed)
        self.node_vertices: dict[str, list[int]] = {}  # name -> its lanes' vertices
        self.expanded: dict[str, list[str]] = {}  # name in the file -> names of its copies
        self.pipe_of: dict[tuple[int, int], int] = {}

    def pick(self, span: Span, what: str) -> int:
        """A value of a span, by the seed and by what it is for."""
        if span.low == span.high:
            return span.low
        # Not for secrets: the same seed must give the same scenario.
        return random.Random(f"{self.built.seed}/{what}").randint(span.low, span.high)  # noqa: S311

    def build(self) -> Built:
        built = self.built
        built.rtt_ns = self.pick(self.scenario.rtt, "rtt")
        built.rate_bps = self.pick(self.scenario.rate, "rate")
        number = 0
        for name, node in self.scenario.nodes.items():
            copies = [name] if node.count == 1 else [f"{name}{index}" for index in range(node.count)]
            self.expanded[name] = copies
            for copy in copies:
                self.expanded.setdefault(copy, [copy])
                lanes = node.lanes if node.kind in ("endpoint", "python") else 1
                self.node_vertices[copy] = list(range(len(built.vertices), len(built.vertices) + lanes))
                for lane in range(lanes):
                    built.vertex_names.append(copy if lanes == 1 else f"{copy}/{lane}")
                    built.vertices.append(self.vertex(copy, node, number, lane))
                number += 1
        for name, node in self.scenario.nodes.items():
            if node.kind == "attacker":
                if node.victim is None or not node.does:
                    raise TetherError(f"nodes.{name}: an attacker needs a victim and something to do")
                for copy in self.expanded[name]:
                    built.vertices[self.node_vertices[copy][0]].node = self.vertex_of(node.victim)
        self.links()
        self.route()
        self.traffic()
        self.contacts()
        self.table()
        for index, outage in enumerate(self.scenario.outages):
            where = f"outages.{index}"
            pairs = [(outage.from_, outage.to)] + ([(outage.to, outage.from_)] if outage.both else [])
            begin = self.pick(outage.at, f"{where}.at")
            until = native.FOREVER if outage.for_ is None else begin + self.pick(outage.for_, f"{where}.for")
            for source, target in pairs:
                for pipe in self.pipes_between(source, target):
                    match = MATCHES.index(outage.what)
                    built.outages.append(
                        native.Outage(pipe=pipe, match=match, count=outage.count, from_ns=begin, until_ns=until)
                    )
        for index, event in enumerate(self.scenario.events):
            self.event(event, f"events.{index}")
        return built

    def names_of(self, name: str) -> list[str]:
        if name not in self.expanded:
            raise TetherError(f"no node {name!r}", hint=f"there are {', '.join(self.scenario.nodes)}")
        return self.expanded[name]

    def vertex_of(self, name: str, lane: int = 0) -> int:
        lanes = self.node_vertices[self.names_of(name)[0]]
        if lane >= len(lanes):
            raise TetherError(f"{name} has no lane {lane}")
        return lanes[lane]

    def vertex(self, name: str, node: Node, number: int, lane: int) -> native.Vertex:
        def value(field_name: str) -> int:
            return self.pick(getattr(node, field_name), f"nodes.{name}.{field_name}")

        rx_cells = value("rx_cells")
        rtt = self.built.rtt_ns if node.rtt is None else value("rtt")
        rate = self.built.rate_bps if node.rate is None else value("rate")
        begins = value("begins")
        return native.Vertex(
            kind=KINDS[node.kind],
            node=number,
            lane=lane,
            lanes=node.lanes,
            max_channels=node.max_channels,
            max_flows=node.max_flows,
            rx_cells=rx_cells,
            tx_cells=value("tx_cells"),
            ring_frames=-(-rx_cells * 4 // 3) if node.ring_frames is None else value("ring_frames"),
            frame_blocks=value("frame_blocks"),
            ciphers=CIPHERS[node.cipher],
            replay_window=node.replay_window,
            purse_frames=node.purse_frames,
            purse_per_s=node.purse_per_s,
            max_message=value("max_message"),
            rtt_ns=rtt,
            rate_bps=rate,
            silence_ns=value("silence"),
            clock_ns=value("clock"),
            drift_ppb=(value("drift") - value("slow")) * 1000,
            attack=sum(ATTACKS[kind] for kind in node.does),
            attack_per_s=value("per_s"),
            attack_from_ns=begins,
            attack_until_ns=value("ends"),
            rekey_s=value("rekey_s"),
            grant_policy=POLICIES.index(node.policy),
        )

    def links(self) -> None:
        for index, link in enumerate(self.scenario.links):
            one, other = link.between
            settings = {name: getattr(link, name) for name in Direction.model_fields}
            back = Direction.model_validate({**settings, **link.back})
            for a in self.names_of(one):
                for b in self.names_of(other):
                    for v in self.node_vertices[a]:
                        for w in self.node_vertices[b]:
                            lanes = (self.built.vertices[v].lane, self.built.vertices[w].lane)
                            kinds = (self.built.vertices[v].kind, self.built.vertices[w].kind)
                            if KINDS["switch"] not in kinds and KINDS["attacker"] not in kinds and lanes[0] != lanes[1]:
                                continue
                            self.pipe(v, w, link, f"links.{index}.{a}-{b}.{lanes[0]}")
                            self.pipe(w, v, back, f"links.{index}.{b}-{a}.{lanes[0]}")

    def pipe(self, source: int, target: int, d: Direction, where: str) -> None:
        def value(field_name: str) -> int:
            return self.pick(getattr(d, field_name), f"{where}.{field_name}")

        self.pipe_of[source, target] = len(self.built.pipes)
        burst = d.burst
        self.built.pipes.append(
            native.Pipe(
                from_=source,
                to=target,
                overhead=d.overhead,
                delay_ns=value("delay"),
                rate_bps=value("rate"),
                queue_bytes=value("queue"),
                loss_ppm=value("loss"),
                burst_enter_ppm=self.pick(burst.begins, f"{where}.burst.begins") if burst else 0,
                burst_leave_ppm=self.pick(burst.ends, f"{where}.burst.ends") if burst else 0,
                burst_loss_ppm=self.pick(burst.loss, f"{where}.burst.loss") if burst else 0,
                duplicate_ppm=value("duplicate"),
                reorder_ppm=value("reorder"),
                reorder_ns=value("later"),
                corrupt_ppm=value("corrupt"),
                truncate_ppm=value("truncate"),
                faults_until_ns=native.FOREVER if d.faults_until is None else value("faults_until"),
            )
        )

    def route(self) -> None:
        """Shortest ways over switches; an endpoint forwards nothing."""
        count = len(self.built.vertices)
        neighbours: dict[int, list[int]] = {}
        for source, target in self.pipe_of:
            neighbours.setdefault(source, []).append(target)
        routes = [native.NONE] * (count * count)
        for start in range(count):
            first: dict[int, int] = {}
            waiting = deque((near, self.pipe_of[start, near]) for near in neighbours.get(start, ()))
            while waiting:
                at, pipe = waiting.popleft()
                if at == start or at in first:
                    continue
                first[at] = pipe
                if self.built.vertices[at].kind == KINDS["switch"]:
                    waiting.extend((near, pipe) for near in neighbours.get(at, ()))
            for target, pipe in first.items():
                routes[start * count + target] = pipe
        self.built.routes = routes

    def traffic(self) -> None:
        built = self.built
        numbers: dict[tuple[int, int], int] = {}
        for index, channel in enumerate(self.scenario.channels):
            for a in self.names_of(channel.from_):
                for b in self.names_of(channel.to):
                    for v, w in zip(self.node_vertices[a], self.node_vertices[b], strict=False):
                        start = self.pick(channel.start, f"channels.{index}.{a}-{b}.start")
                        numbers[v, w] = len(built.channels)
                        built.channels.append(native.Channel(from_=v, to=w, reopen=int(channel.reopen), start_ns=start))
        for index, flow in enumerate(self.scenario.flows):
            for a in self.names_of(flow.from_):
                for b in self.names_of(flow.to):
                    pair = (self.vertex_of(a, flow.lane), self.vertex_of(b, flow.lane))
                    reverse = flow.reverse
                    if pair not in numbers and pair[::-1] in numbers:
                        pair, reverse = pair[::-1], not reverse
                    if pair not in numbers:
                        raise TetherError(f"flows.{index}: there is no channel between {a} and {b}")
                    for copy in range(flow.count):
                        self.flow(index, a, b, copy, numbers[pair], reverse)
        if self.blind:
            self.turn_blind()

    def flow(self, index: int, a: str, b: str, copy: int, channel: int, reverse: bool) -> None:
        flow = self.scenario.flows[index]
        where = f"flows.{index}.{a}-{b}.{copy}"
        messages = flow.kind == "messages"
        bound = flow.size.high if flow.bound is None else flow.bound.high
        self.built.flow_names.append(f"{a}->{b}" + (f"#{copy}" if flow.count > 1 else ""))
        self.built.flows.append(
            native.Flow(
                channel=channel,
                kind=int(messages),
                duplex=int(flow.duplex),
                order=int(flow.order == "unordered"),
                reliability=int(flow.deadline.high > 0),
                scale=flow.scale,
                deadline_ns=self.pick(flow.deadline, f"{where}.deadline"),
                latency_ns=self.pick(flow.latency, f"{where}.latency"),
                budget=self.pick(flow.budget, f"{where}.budget"),
                close=int(flow.close),
                reverse=int(reverse),
                bytes=0 if messages else self.pick(flow.size, f"{where}.size"),
                messages=self.pick(flow.messages, f"{where}.messages") if messages else 0,
                message_min=flow.size.low if messages else 0,
                message_max=flow.size.high if messages else 0,
                bound=bound if messages else 0,
                start_ns=self.pick(flow.start, f"{where}.start"),
                write_bps=self.pick(flow.write_rate, f"{where}.write_rate"),
                read_bps=self.pick(flow.read_rate, f"{where}.read_rate"),
                read_from_ns=self.pick(flow.read_from, f"{where}.read_from"),
            )
        )

    def turn_blind(self) -> None:
        """Every flow's sender sends the same bytes without credit; channels and flows are gone."""
        built = self.built
        for flow in built.flows:
            channel = built.channels[flow.channel]
            sender, receiver = (channel.to, channel.from_) if flow.reverse else (channel.from_, channel.to)
            for index, target in ((sender, receiver), (receiver, receiver)):
                vertex = built.vertices[index]
                vertex.kind = KINDS["blind"]
                vertex.node = target
                vertex.max_message = flow.bytes or flow.messages * flow.message_max
                vertex.attack_from_ns = flow.start_ns
                vertex.silence_ns = BLIND_TIMEOUT_NS
        built.channels.clear()
        built.flows.clear()

    def contacts(self) -> None:
        """Contact windows: every endpoint declares them, and outside of them the links lose everything."""
        built = self.built
        times = []
        for index, window in enumerate(self.scenario.contacts):
            begin = self.pick(window.at, f"contacts.{index}.at")
            times.append((begin, begin + self.pick(window.for_, f"contacts.{index}.for")))
        if not times:
            return
        array = (native.Window * len(times))(*[native.Window(begin, end - begin) for begin, end in times])
        for vertex in built.vertices:
            if vertex.kind in (KINDS["endpoint"], KINDS["python"]):
                vertex.windows, vertex.window_count = array, len(times)
        gaps = zip([0, *(end for _, end in times)], [*(begin for begin, _ in times), native.FOREVER], strict=True)
        for begin, end in gaps:
            for pipe in range(len(built.pipes) if end > begin else 0):
                built.outages.append(native.Outage(pipe=pipe, match=0, count=0, from_ns=begin, until_ns=end))

    def table(self) -> None:
        """Round trips by the clock: each pipe has half of it, and the endpoints declare it."""
        entries = []
        for index, turn in enumerate(self.scenario.table):
            where = f"table.{index}"
            at, rtt = self.pick(turn.at, f"{where}.at"), self.pick(turn.rtt, f"{where}.rtt")
            entries.append(native.Window(at, rtt))
            for pipe in range(len(self.built.pipes)):
                self.built.events.append(native.Event(kind=DELAY, a=pipe, at_ns=at, value=rtt // 2))
        if entries and self.scenario.told:
            array = (native.Window * len(entries))(*entries)
            for vertex in self.built.vertices:
                if vertex.kind == KINDS["endpoint"]:
                    vertex.table, vertex.table_count = array, len(entries)

    def pipes_between(self, source: str, target: str) -> list[int]:
        found = [
            self.pipe_of[v, w]
            for a in self.names_of(source)
            for b in self.names_of(target)
            for v in self.node_vertices[a]
            for w in self.node_vertices[b]
            if (v, w) in self.pipe_of
        ]
        if not found:
            raise TetherError(f"no link from {source} to {target}")
        return found

    def event(self, event: Event, where: str) -> None:
        at = self.pick(event.at, f"{where}.at")

        def add(kind: int, a: int, value: int = 0) -> None:
            self.built.events.append(native.Event(kind=kind, a=a, at_ns=at, value=value))

        if event.crash is not None:
            node = self.built.vertices[self.vertex_of(event.crash)].node
            add(CRASH, node, self.pick(event.for_, f"{where}.for"))
        elif event.step is not None:
            add(STEP, self.built.vertices[self.vertex_of(event.step)].node, self.pick(event.by, f"{where}.by"))
        elif event.cancel is not None:
            add(CANCEL, event.cancel)
        elif event.close_flow is not None:
            add(CLOSE_FLOW, event.close_flow)
        elif event.close_channel is not None:
            add(CLOSE_CHANNEL, event.close_channel)
        elif event.hail is not None:
            add(HAIL, event.hail)
        elif event.delay is not None or event.rate is not None:
            ends = event.delay or event.rate or []
            if len(ends) != 2 or event.to is None:
                raise TetherError(f"{where}: expected two nodes and `to`")
            for pipe in self.pipes_between(*ends):
                add(DELAY if event.delay else RATE, pipe, self.pick(event.to, f"{where}.to"))
        else:
            raise TetherError(f"{where}: nothing happens")


def build(scenario: Scenario, seed: int, *, blind: bool = False) -> Built:
    """The description of a scenario for one seed."""
    return Builder(scenario, seed, blind=blind).build()
