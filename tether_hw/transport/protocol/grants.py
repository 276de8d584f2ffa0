# SPDX-License-Identifier: Apache-2.0
"""Who is granted what (RFC 0001 sections 6.3 to 6.5): cells first, then slots, in turn over all flows of a lane."""

from __future__ import annotations

from collections import deque

from tether_hw.transport.protocol.channel import Channel, State
from tether_hw.transport.protocol.config import MESSAGES
from tether_hw.transport.protocol.flow import Flow
from tether_hw.transport.protocol.flow_receive import FlowReceiver
from tether_hw.transport.protocol.node import Node


class Granter:
    """The grants of one endpoint. run() is called after anything that may have changed demand or freed a cell."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.window = node.config.ring_frames * 3 // 4  # cells (T-GRT-8)
        self._waiting: deque[Flow] = deque()  # message flows without all their cells, first come first (T-MSG-4)
        self._turn = 0

    def run(self, channels: list[Channel], now_ns: int) -> None:
        """Raise every grant that can rise."""
        wanting: list[Flow] = []
        busy, outstanding = 0, 0
        for channel in channels:
            if channel.state is not State.UP:
                continue
            if not channel.ember_held:  # the next ember's cell comes before the grant over the last one (T-STA-5)
                channel.ember_held = self.node.cells.reserve()
            for flow in channel.flows.values():
                if flow.number == 0:
                    continue
                cells = flow.receiver.outstanding
                outstanding += cells
                wants = flow.receiver.unmet and not flow.receiver.discards
                busy += bool(cells or wants)
                if wants and (channel.ember_held or flow.receiver.ember_end <= flow.receiver.granted):
                    wanting.append(flow)
        self._waiting = deque(flow for flow in self._waiting if any(flow is other for other in wanting))
        share = max(1, min(self.window * 3 // 4, self.window // max(1, busy)))  # T-GRT-15
        self._turn += 1
        for i in range(len(wanting)):
            flow = wanting[(i + self._turn) % len(wanting)]
            room = min(share - flow.receiver.outstanding, self.window - outstanding)
            before = flow.receiver.outstanding
            if flow.kind == MESSAGES:
                self._message(flow, room, now_ns)
            else:
                self._bytes(flow, room, busy, now_ns)
            outstanding += flow.receiver.outstanding - before

    def _message(self, flow: Flow, room: int, now_ns: int) -> None:
        """Whole messages: cells for all that is declared before any of it is granted (T-MSG-2)."""
        receiver = flow.receiver
        target = min(max(receiver.reserve_end, receiver.demand), receiver.granted + receiver.span, receiver.grant_most)
        if target > receiver.reserved_to:
            if flow not in self._waiting:
                self._waiting.append(flow)
            if flow is not self._waiting[0]:
                return
            lacking = receiver.cells_for(target) - receiver.reserved
            got = max(0, min(lacking, self.node.cells.free))  # one flow at a time may gather (T-MSG-10)
            self.node.cells.reserve(got)
            receiver.reserved += got
            if got < lacking:
                return
            receiver.reserved_to = target
            self._waiting.popleft()
        self._raise(receiver, min(receiver.demand, receiver.reserved_to), room, now_ns)

    def _bytes(self, flow: Flow, room: int, busy: int, now_ns: int) -> None:
        """Bytes: what is free, up to a fair part; only a trickle while a message gathers cells (T-MSG-4)."""
        receiver, cells = flow.receiver, self.node.cells
        fair = max(2, cells.total // (busy + 1)) - receiver.held - receiver.reserved
        if self._waiting:
            fair = 0 if receiver.held or receiver.reserved else -(-receiver.shape.full_slots // receiver.floor)
        room = min(room, fair, cells.free)
        target = min(receiver.demand, receiver.grant_most)
        before = receiver.granted
        self._raise(receiver, target, room, now_ns)
        if receiver.granted > before:
            lacking = receiver.cells_for(receiver.granted) - receiver.reserved
            taken = cells.reserve(max(0, lacking))
            assert taken
            receiver.reserved += max(0, lacking)

    def _raise(self, receiver: FlowReceiver, target: int, room: int, now_ns: int) -> None:
        """Grant up to `target`, in pieces worth a frame that fit `room` cells (T-MSG-5, T-GRT-10)."""
        if room <= 0:  # an ember stays uncovered too, else a flow that nobody reads takes cell after cell by embers
            return
        start = max(receiver.granted, min(receiver.ember_end, target))  # an ember that has arrived needs no cell
        reachable = min(target, start + room * receiver.floor)
        gain = reachable - receiver.granted
        worth = max(receiver.shape.full_slots, self.window // 64 * receiver.floor)
        idle = not receiver.outstanding and gain >= receiver.shape.full_slots
        if gain > 0 and (reachable == target or gain >= worth or idle or start > receiver.granted):
            receiver.raise_grant(reachable, now_ns)
