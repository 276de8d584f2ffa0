# SPDX-License-Identifier: Apache-2.0
"""How fast each flow of the peers may come (RFC 0001 section 15): shares of the link, what is stated, the brake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.clocks import LINK_OVERHEAD, Link
from tether_hw.transport.protocol.config import RESERVED, SECOND
from tether_hw.transport.protocol.header import HEADER_SIZE, Header

if TYPE_CHECKING:
    from tether_hw.transport.protocol.channel import Channel
    from tether_hw.transport.protocol.flow import Flow

OVERHEAD = HEADER_SIZE + LINK_OVERHEAD  # bytes of a frame beside its payload
LEAST_PART = 64  # of the link: what a flow that comes begins with, and what the brake leaves
WHOLE = 1024  # the brake counts in these
ENDLESS = 1 << 62


class Brake:
    """Round trips above the constant are queue, and lower all paces of their channel (T-LAT-8). Loss never does."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.part = WHOLE
        self._round_ns: int | None = None
        self._samples: list[int] = []
        self._passed_over = 0  # rounds that do not know of the last change yet, or of a rest after vain ones
        self._vain = 0
        self._excess_ns = 0  # what the last change was made for

    def sample(self, sample_ns: int, now_ns: int) -> None:
        """One round trip; a round is at least four of them, and one of its length."""
        self._samples.append(sample_ns)
        if self._round_ns is None:
            self._round_ns = now_ns
        if len(self._samples) < 4 or now_ns - self._round_ns < self.link.rtt_ns:
            return
        least_ns, self._samples, self._round_ns = min(self._samples), [], now_ns
        base_ns = max(self.link.declared_ns, self.link.least_ns or 0)
        most_ns = base_ns + max(base_ns // 8, self.link.silence_least_ns, 4 * self.link.frame_time_ns)
        if self._passed_over:
            self._passed_over -= 1
        elif least_ns <= most_ns:
            self._vain, self._excess_ns = 0, 0
            self.part = min(WHOLE, self.part + max(1, self.part // 16))
        elif self._in_vain(least_ns - base_ns):
            self.part, self._passed_over = WHOLE, 64
        else:
            before = self.part
            self.part = max(before * most_ns // least_ns, before // 2, WHOLE // LEAST_PART)
            self._passed_over = 1
            if self.part > before * 3 // 4:
                self._excess_ns = 0  # too small a change to show

    def _in_vain(self, excess_ns: int) -> bool:
        """Three changes in a row have not made the excess a quarter shorter: it is no queue of these flows."""
        stays = self._excess_ns and excess_ns > self._excess_ns * 3 // 4
        self._vain = self._vain + 1 if stays else 0
        self._excess_ns = excess_ns
        if self._vain < 3:
            return False
        self._vain, self._excess_ns = 0, 0
        return True


class Shares:
    """The link of one endpoint, divided among the flows that have something outstanding."""

    def __init__(self, rate_bps: int, policy: int, channels: Callable[[], list[Channel]]) -> None:
        self.rate_bps = rate_bps
        self.policy = policy
        self.channels = channels
        self._active: list[tuple[Channel, Flow]] | None = None

    def changed(self) -> None:
        """A frame came, or a grant was raised: others may have something outstanding now."""
        self._active = None

    def active(self) -> list[tuple[Channel, Flow]]:
        """The flows that have something outstanding."""
        if self._active is None:
            self._active = [
                (channel, flow)
                for channel in self.channels()
                for flow in channel.flows.values()
                if flow.number and flow.receiver.outstanding
            ]
        return self._active

    def of(self, channel: Channel, flow: Flow) -> int:
        """The share of a flow in bit/s, as if it had something outstanding; 0 when no rate is known (T-LAT-6)."""
        if not self.rate_bps:
            return 0
        active = [each for each in self.active() if each[1] is not flow] + [(channel, flow)]
        links = {each.peer.id: self._rate(each) for each, _ in active}
        kept = sum(self.budget_bps(each) for _, each in active)
        link = self.rate_bps - min(kept, self.rate_bps * 3 // 4)
        own, everybody = self._rate(channel), sum(links.values())
        share = own if everybody <= link else link * own // everybody
        share //= sum(each.peer.id == channel.peer.id for each, _ in active)
        share = max(share, self.budget_bps(flow))
        least = min(share, self.rate_bps // LEAST_PART)
        return max(least, share * channel.brake.part // WHOLE)  # T-LAT-9

    def _rate(self, channel: Channel) -> int:
        return min(self.rate_bps, channel.link.rate_bps or self.rate_bps)

    def budget_bps(self, flow: Flow) -> int:
        """What is kept for the flow (T-SCH-6)."""
        return 8 * flow.options.budget if self.policy == RESERVED else 0

    def state(self, header: Header, channel: Channel, flow: Flow) -> None:
        """Write `pace`: the share, as far as the others have ceded it already (T-LAT-5)."""
        receiver = flow.receiver
        if flow.number == 0 or not self.rate_bps:
            return
        if not receiver.outstanding:
            receiver.stated_bps = receiver.stated_slots = 0
            return
        others = sum(each.receiver.stated_bps for _, each in self.active() if each is not flow)
        ceded = max(self.rate_bps - others, self.rate_bps // LEAST_PART)
        receiver.stated_bps = min(ceded, self.of(channel, flow))
        header.pace = float16.encode(self._slots(flow, receiver.stated_bps))
        receiver.stated_slots = float16.decode(header.pace)

    @staticmethod
    def _slots(flow: Flow, bps: int) -> int:
        shape = flow.receiver.shape
        return max(1, bps * shape.full_slots // (8 * (shape.full + OVERHEAD)))

    def reach(self, channel: Channel, flow: Flow) -> int:
        """Frames that it is worth to have outstanding (T-LAT-7). On a link with windows as many as there are cells."""
        share = self.of(channel, flow)
        if not share or channel.contact.own.windows or channel.contact.theirs.windows:
            return ENDLESS
        link = channel.link
        time_ns = max(link.declared_ns, link.least_ns or 0) * 3 // 2 + 4 * link.silence_least_ns
        return self._slots(flow, share) * time_ns // SECOND // flow.receiver.floor + 2
