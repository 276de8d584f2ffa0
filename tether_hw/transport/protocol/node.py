# SPDX-License-Identifier: Apache-2.0
"""What the channels of one endpoint share: limits, cells, purse, events, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tether_hw.transport.protocol.cells import Cells
from tether_hw.transport.protocol.config import POOL_FRAMES, RESERVED, Config, Event, Happened, Peer, Stats
from tether_hw.transport.protocol.contact import Declared
from tether_hw.transport.protocol.flood import Guard
from tether_hw.transport.protocol.flow import Flow
from tether_hw.transport.protocol.greetings import Greetings
from tether_hw.transport.protocol.header import BLOCK_SIZE
from tether_hw.transport.protocol.noise import public_key
from tether_hw.transport.protocol.purse import Bucket
from tether_hw.transport.protocol.shares import Shares
from tether_hw.transport.protocol.tags import LaneAddress, Manifest

if TYPE_CHECKING:
    from tether_hw.transport.protocol.channel import Channel


class Node:
    """One endpoint's own things. Nothing in here is shared with another endpoint."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.public = public_key(config.static_secret)
        self.cells = Cells(config.rx_cells, config.max_channels)
        self.purse = Bucket(config.purse_frames, config.purse_per_s)
        self.guard = Guard(config.lamp_per_s, config.lamp_source_per_s, config.agreement_per_s, config.entropy)
        self.replies = Bucket(config.agreement_per_s // 2 + 16, config.agreement_per_s)  # T-LMP-9
        self.declared = Declared()  # our contact windows and our table of round trips
        self.channels: Callable[[], list[Channel]] = list  # all that have keys
        self.shares = Shares(config.rate_bps, config.grant_policy, lambda: self.channels())
        self.greetings = Greetings(self)
        self.stats = Stats()
        self.events: list[Event] = []
        self.unread: dict[tuple[int, int], list[Flow]] = {}  # flows that are gone, with what was not read yet

    def tell(self, kind: Happened, channel: int, flow: int = 0, status: int = 0, value: int = 0, peer: int = 0,
        extra: int = 0,
    ) -> None:  # fmt: skip
        """One more event for the application."""
        self.events.append(Event(kind, channel, flow, status, value, peer, extra))

    def admits(self, budget: int) -> bool:
        """A budget fits into three quarters of the link with those that flows have (T-SCH-6)."""
        if self.config.grant_policy != RESERVED or not budget:
            return True
        kept = [flow.options.budget for channel in self.channels() for flow in channel.flows.values()]
        return 8 * (sum(kept) + budget) <= self.config.rate_bps * 3 // 4

    @property
    def pool_slots(self) -> int:
        """The standing grant of Flow 0."""
        return POOL_FRAMES * self.config.floor_slots

    @property
    def max_message(self) -> int:
        """What the handshake's Manifest declares (T-MSG-8)."""
        return self.largest_message(self.config.frame_blocks)

    def largest_message(self, blocks: int) -> int:
        """The largest message in frames of `blocks` that our cells could hold, and slots that do not alias."""
        slots = max(self.config.floor_slots, blocks)  # that one of them may take
        frames = min(self.cells.total * self.config.floor_slots // slots, (1 << 31) // slots - 1)
        return max(BLOCK_SIZE, min(self.config.max_message, frames * BLOCK_SIZE * blocks))

    def manifest(self, peer: Peer, lanes: list[LaneAddress] | None = None, blocks: int = 0) -> Manifest:
        """What this endpoint says of itself to one peer; without lanes in a handshake (T-MAN-2).

        `blocks`: N of the channel, once there is one (T-MSG-8).
        """
        config = self.config
        largest = self.largest_message(blocks or config.frame_blocks)
        return Manifest(
            floor=config.floor_slots, frame_blocks=config.frame_blocks, pool_slots=self.pool_slots,
            ring_frames=config.ring_frames, ember_frames=1, max_message=largest,
            rtt_ns=peer.rtt_ns or config.rtt_ns, rate_bps=peer.rate_bps or config.rate_bps,
            silence_ns=config.silence_ns, lanes=lanes or [],
        )  # fmt: skip
