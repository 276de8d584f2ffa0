# SPDX-License-Identifier: Apache-2.0
"""Who is granted what (RFC 0001 sections 6.3 to 6.7): cells first, then slots, in turn over all flows of a lane."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from tether_hw.transport.protocol.channel import BYE_HOARD, Channel, State
from tether_hw.transport.protocol.config import MESSAGES, NEVER, RESERVED, SRPT
from tether_hw.transport.protocol.flow import Flow
from tether_hw.transport.protocol.flow_receive import FlowReceiver
from tether_hw.transport.protocol.node import Node
from tether_hw.transport.protocol.sending import hoards_since_ns
from tether_hw.transport.protocol.shares import Shares

SPARE_PART = 32  # of window and cells: what is left for who comes next (T-SCH-3)
UNREAD_PART = 4  # of the cells: what who does not read leaves to the others (T-SCH-7)
OLDEST_EVERY = 8  # rounds of `srpt`, one of which begins with who waits longest (T-SCH-5)
TRICKLE = 2  # cells of a byte flow while a message gathers (T-MSG-4)


@dataclass
class Asking:
    """A flow that has something outstanding, or waits for more."""

    channel: Channel
    flow: Flow
    waits: bool

    @property
    def peer(self) -> int:
        """Whose it is."""
        return self.channel.peer.id


def _waits_over_ember(flow: Flow) -> bool:
    """An ember has arrived in it, and its grant has still to rise over that."""
    receiver = flow.receiver
    return flow.number != 0 and receiver.ember_end > receiver.granted and receiver.unmet and not receiver.discards


class Granter:
    """The grants of one endpoint. run() is called after anything that may have changed demand or freed a cell."""

    def __init__(self, node: Node, shares: Shares) -> None:
        self.node = node
        self.shares = shares
        self.window = node.config.ring_frames * 3 // 4  # cells (T-GRT-8)
        self.starved: set[int] = set()  # peers with a flow that got less than it asks for
        self._gathers: Flow | None = None  # the one message flow that may hold less than it needs (T-MSG-10)
        self._round = 0

    def run(self, channels: list[Channel], now_ns: int) -> None:
        """Raise every grant that can rise."""
        self._round += 1
        asking = list(self._asking(channels))
        waiting = [each for each in asking if each.waits]
        if not any(each.flow is self._gathers for each in waiting):
            self._gathers = None
        for each in self._ordered(waiting):
            receiver, before = each.flow.receiver, each.flow.receiver.granted
            # The next ember's cell comes with the grant over the last one (T-STA-5), and not for who has to wait.
            lent = receiver.ember_end > before and not each.channel.ember_held
            if lent:
                each.channel.ember_held = self.node.cells.reserve()
                if not each.channel.ember_held:
                    continue
            room = self._room(each, asking)
            if each.flow.kind == MESSAGES:
                self._message(each, asking, room, now_ns)
            else:
                self._bytes(each, asking, room, now_ns)
            if receiver.granted > before:
                self.shares.changed()
                receiver.waits_since = self._round  # behind those who got nothing
            elif lent:
                each.channel.ember_held = False
                self.node.cells.release()
        self.starved = {each.peer for each in asking if each.flow.receiver.unmet and not each.flow.receiver.discards}

    def _asking(self, channels: list[Channel]) -> Iterable[Asking]:
        for channel in channels:
            if channel.state is not State.UP:
                continue
            if not channel.ember_held and not any(map(_waits_over_ember, channel.flows.values())):
                channel.ember_held = self.node.cells.reserve()
            for flow in channel.flows.values():
                receiver = flow.receiver
                unmet = flow.number != 0 and receiver.unmet and not receiver.discards
                if flow.number and (unmet or receiver.outstanding):
                    yield Asking(channel, flow, unmet)

    def _ordered(self, waiting: list[Asking]) -> list[Asking]:
        """Who waits longest first; `srpt` and `reserved` have an order of their own (T-SCH-5, T-SCH-6)."""
        waiting.sort(key=lambda each: each.flow.receiver.waits_since)
        policy = self.node.config.grant_policy
        if policy == SRPT:
            oldest = 1 if self._round % OLDEST_EVERY == 0 else 0
            rest = sorted(waiting[oldest:], key=lambda each: each.flow.receiver.demand - each.flow.receiver.arrived)
            return waiting[:oldest] + rest
        if policy == RESERVED:
            waiting.sort(key=lambda each: (not each.flow.options.budget, each.flow.options.latency_ns or 1 << 64))
        return waiting

    def end_hoarders(self, channels: list[Channel], now_ns: int) -> None:
        """Credit that is not used, while another peer goes short of it, comes back with its channel (T-SCH-4)."""
        for channel in channels:
            if self.starved - {channel.peer.id} and hoards_since_ns(channel) <= now_ns:
                channel.bye(BYE_HOARD, -errno.EPROTO)

    def deadline_ns(self, channels: list[Channel]) -> int:
        """When end_hoarders() may have something to do."""
        due = [hoards_since_ns(channel) for channel in channels if self.starved - {channel.peer.id}]
        return min(due, default=NEVER)

    # what each may have

    def _room(self, each: Asking, asking: list[Asking]) -> int:
        """Frames that may be granted to this flow now, as far as the window goes (T-SCH-2, T-SCH-3, T-LAT-7)."""
        outstanding = sum(other.flow.receiver.outstanding for other in asking)
        of_peer = sum(other.flow.receiver.outstanding for other in asking if other.peer == each.peer)
        peers = len({other.peer for other in asking})
        alone = len(asking) == 1
        if alone or self.node.config.grant_policy == SRPT or self.shares.budget_bps(each.flow):
            most = self.window - max(1, self.window // SPARE_PART)
        else:
            most = max(1, self.window // (len(asking) + 1))
        most = max(1, min(most, self.shares.reach(each.channel, each.flow)))
        left = self.window - outstanding
        for_peer = (self.window if peers == 1 else max(1, self.window // peers)) - of_peer
        return min(most - each.flow.receiver.outstanding, for_peer, left if alone else (left + 1) // 2)

    def _free(self, each: Asking, asking: list[Asking]) -> int:
        """Free cells that this flow may take: who does not read leaves the last quarter to others (T-SCH-7)."""
        quarter = self.node.cells.total // UNREAD_PART
        if each.flow.receiver.delivery.unread_cells < max(1, quarter // len(asking)):
            return self.node.cells.free
        return max(0, self.node.cells.free - quarter)

    def _may_reserve(self, each: Asking, asking: list[Asking], cells: int) -> bool:
        """The messages of a peer have its part of the cells, or are its only one (T-SCH-2)."""
        peers = {other.peer for other in asking}
        mine = each.flow.receiver.held + each.flow.receiver.reserved
        of_peer = sum(
            flow.receiver.held + flow.receiver.reserved
            for channel in self.shares.channels()
            if channel.peer.id == each.peer
            for flow in channel.flows.values()
        )
        return len(peers) == 1 or of_peer == mine or of_peer + cells <= self.node.cells.total // len(peers)

    # granting

    def _message(self, each: Asking, asking: list[Asking], room: int, now_ns: int) -> None:
        """Whole messages: cells for all that is declared before any of it is granted (T-MSG-2).

        What has its cells is granted, also while what was declared since then waits for its own.
        """
        receiver = each.flow.receiver
        target = min(max(receiver.reserve_end, receiver.demand), receiver.granted + receiver.span, receiver.grant_most)
        if target > receiver.reserved_to:
            self._reserve(each, asking, target)
        self._raise(receiver, min(receiver.demand, receiver.reserved_to), room, now_ns)

    def _reserve(self, each: Asking, asking: list[Asking], target: int) -> None:
        """Cells up to `target`, or the flow waits, and perhaps gathers them (T-MSG-10)."""
        receiver, cells = each.flow.receiver, self.node.cells
        lacking = receiver.cells_for(target) - receiver.reserved
        if not self._may_reserve(each, asking, max(0, lacking)):
            if self._gathers is each.flow:
                receiver.settle()  # what it has gathered goes back: another peer's turn (T-SCH-3)
                self._gathers = None
            return
        if self._gathers is not None and self._gathers is not each.flow:
            return
        free = self._free(each, asking)
        if lacking > free:
            self._gathers = each.flow
            gathered = max(0, free - cells.total // SPARE_PART)
            cells.reserve(gathered)
            receiver.reserved += gathered
            return
        cells.reserve(max(0, lacking))
        receiver.reserved += max(0, lacking)
        receiver.reserved_to = target
        self._gathers = None

    def _bytes(self, each: Asking, asking: list[Asking], room: int, now_ns: int) -> None:
        """Bytes: what is free, up to a fair part; only a trickle while a message gathers cells (T-MSG-4)."""
        receiver, cells = each.flow.receiver, self.node.cells
        if len(asking) == 1:
            fair = cells.total - max(1, cells.total // SPARE_PART)
        else:
            fair = max(1, (cells.total - cells.total // 4) // len(asking))
        if self._gathers is not None:
            fair = min(fair, TRICKLE)
        room = min(room, fair - receiver.held - receiver.reserved, self._free(each, asking))
        before = receiver.granted
        self._raise(receiver, min(receiver.demand, receiver.grant_most), room, now_ns)
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
