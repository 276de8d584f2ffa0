# SPDX-License-Identifier: Apache-2.0
"""What an endpoint is told before it starts, and what it tells: addresses, peers, limits, events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305
from tether_hw.transport.protocol.tags import LaneAddress

MS = 1_000_000  # ns
SECOND = 1_000_000_000  # ns
NEVER = (1 << 64) - 1  # a time that does not come
POOL_FRAMES = 8  # of Flow 0, per channel (T-STA-1)

BYTES, MESSAGES = 0, 1  # kinds of flow
RELIABLE, EXPIRING = 0, 1
ORDERED, UNORDERED = 0, 1
FAIR, SRPT, RESERVED = 0, 1, 2  # policies of granting (section 6.7)


@dataclass(frozen=True)
class Address:
    """Where a frame came from or goes to: kind and bytes as in section 12.3."""

    kind: int
    data: bytes


@dataclass(frozen=True)
class Peer:
    """One entry of the roster: who it is, and where its first Hail goes."""

    id: int
    keys: tuple[bytes, ...]  # one static public key, two while one is being replaced
    hail: Address
    rtt_ns: int = 0  # declared for the link to this peer; 0 = the endpoint's
    rate_bps: int = 0
    name: str = ""


@dataclass(frozen=True)
class Config:
    """One endpoint: the protocol machine of one lane. Times in ns, sizes in what their names say."""

    static_secret: bytes
    entropy: Callable[[int], bytes]  # n -> n random bytes
    lane: int = 0
    lane_addresses: tuple[LaneAddress, ...] = ()  # of all lanes of the node, for the Manifest
    frame_blocks: int = 22
    floor: int = 0  # 0 = frame_blocks
    ring_frames: int = 1024
    rx_cells: int = 2048
    tx_bytes: int = 16 << 20  # queued and not yet receipted, all flows
    max_channels: int = 64
    max_flows: int = 64  # of one channel
    max_message: int = 1 << 20
    rtt_ns: int = 40_000
    rate_bps: int = 0
    silence_ns: int = MS
    purse_frames: int = 256
    purse_per_s: int = 1000
    ciphers: int = CHACHA20_POLY1305 | AES_256_GCM
    prefer_cipher: int = CHACHA20_POLY1305
    replay_window: int = 8192
    lamp_per_s: int = 10_000  # Lamps with a good mac1 that are looked at
    lamp_source_per_s: int = 100  # of one source
    agreement_per_s: int = 500  # key agreements for Hails, and as many for replies
    grant_policy: int = FAIR  # whom the receive buffer is granted to first
    early_bytes: int = 0  # of a message of early data, sent or taken; 0 = none is
    rekey_s: int = 120  # age at which a channel gets new keys (or 10 RTT, if longer); 0 = never

    @property
    def floor_slots(self) -> int:
        """What the Manifest declares as floor."""
        return self.floor or self.frame_blocks


class Happened(Enum):
    """What an event says."""

    CHANNEL_UP = "channel up"  # value 1: the peer hailed
    CHANNEL_DOWN = "channel down"  # status says why
    FLOW_OPENED = "flow opened"  # by the peer; status = kind, value = bound
    FLOW_READABLE = "flow readable"
    FLOW_HOLE = "flow hole"  # the peer skipped slots; value = all of them so far
    FLOW_DRAINED = "flow drained"  # everything written has a receipt
    FLOW_CLOSED = "flow closed"  # by the peer (value = reason), or with its channel (status < 0)
    PEER_LANES = "peer lanes"  # value = how many the peer's Manifest has named so far
    NEED_COUNTER = "need counter"  # value = the last one that a peer has seen, or 0
    MESSAGE_UNKNOWN = "message unknown"  # [value, value + status) have no receipt; the `extra` after them never left
    EARLY = "early"  # early data of a peer waits; value = its bytes
    EARLY_DONE = "early done"  # ours: status 0 taken, -ECONNREFUSED not taken, -ETIMEDOUT not known


@dataclass(frozen=True)
class Event:
    """One thing that the application may want to know."""

    kind: Happened
    channel: int = 0
    flow: int = 0
    status: int = 0
    value: int = 0
    peer: int = 0
    extra: int = 0


@dataclass(frozen=True)
class FlowOptions:
    """What DEFINE says of a flow; it holds in both directions."""

    kind: int = BYTES
    bound: int = 0  # message flows: bytes of the largest message, 0 = the most that both ends allow
    reliability: int = RELIABLE
    order: int = ORDERED
    scale: int = 0  # a slot is 64 << scale bytes
    latency_ns: int = 0
    budget: int = 0  # bytes per second
    deadline_ns: int = 0  # expiring flows: the age at which data is skipped

    @property
    def expires(self) -> bool:
        """Its sender may skip what it has sent."""
        return self.reliability == EXPIRING

    @property
    def positioned(self) -> bool:
        """A byte flow whose frames are all of one size, so that a slot says an offset (T-FLW-20)."""
        return self.kind == BYTES and (self.expires or self.order == UNORDERED)

    @property
    def whole_frames(self) -> bool:
        """Only frames with END may be shorter than the others."""
        return self.positioned or self.order == UNORDERED


@dataclass(frozen=True)
class Piece:
    """What read_at() gives: data and where it belongs, or a hole of so many bytes (message flows: slots)."""

    offset: int  # of the first byte; in a message flow the slot at which the message began
    data: bytes = b""
    hole: int = 0


@dataclass
class Stats:
    """Counters; they only rise."""

    frames_sent: int = 0
    frames_received: int = 0  # accepted
    data_frames_sent: int = 0
    data_frames_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0  # of flows other than 0, repairs not counted
    bytes_received: int = 0
    repairs_sent: int = 0
    duplicates_received: int = 0
    nacks_sent: int = 0
    nacks_received: int = 0
    receipts_earned: int = 0
    receipts_spent: int = 0
    lamps_sent: int = 0
    lamps_received: int = 0
    blocked_sent: int = 0  # the sender's clock
    rekeys: int = 0  # channels that went over to new keys
    cookies_sent: int = 0
    refresh_sent: int = 0  # the receiver's clock
    embers_sent: int = 0
    skips_sent: int = 0
    skips_received: int = 0
    invariant_violations: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
