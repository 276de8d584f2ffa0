# SPDX-License-Identifier: Apache-2.0
"""Frames for the E810 parser by seed: every protocol of the tree's profile, 0 to 3 VLAN tags, cut and random ones."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from tether_hw.nic.e810.ddp.parser.machine import Result

UDP_PORT = 47001
TAG_TYPES = (0x8100, 0x8100, 0x88A8, 0x9100, 0x9200)
ETHER_TYPES = (0x88B5, 0x88B5, 0x88B6, 0x0806, 0x88CC, 0x88F7, 0x8847)
IP_PROTOCOLS = (6, 17, 17, 132, 1, 58, 44, 2)
FRAGMENTS = (0, 0, 0, 0x4000, 0x2000, 0x2001, 1, 0x1FFF, 0x0020, 0x0100)
LENGTHS = (0, 1, 5, 12, 13, 14, 15, 17, 18, 22, 60, 200, 503, 504, 505, 1500, 9000)


def frame(source: random.Random) -> bytes:
    """One frame, 0 to 9022 bytes."""
    if source.random() < 0.1:
        return source.randbytes(source.choice(LENGTHS))
    tags = b"".join(
        struct.pack(">HH", source.choice(TAG_TYPES), source.getrandbits(16))
        for _ in range(source.choice((0, 0, 1, 1, 2, 2, 3)))
    )
    if source.random() < 0.55:
        kind, payload = _ip(source)
    else:
        kind = source.choice((*ETHER_TYPES, source.getrandbits(16)))
        payload = source.randbytes(source.choice((0, 1, 46, 64, 1400)))
    whole = source.randbytes(12) + tags + struct.pack(">H", kind) + payload
    return whole[: source.randrange(len(whole) + 1)] if source.random() < 0.1 else whole


def _ip(source: random.Random) -> tuple[int, bytes]:
    protocol = source.choice((*IP_PROTOCOLS, source.getrandbits(8)))
    inner = source.randbytes(source.choice((0, 4, 8, 20, 64, 300, 700)))
    if protocol == 17 and source.random() < 0.5:
        inner = struct.pack(">HHHH", source.getrandbits(16), UDP_PORT, 0, 0) + source.randbytes(80)
    if source.random() < 0.5:
        words = source.choice((5, 5, 5, 6, 15, 0, 4))
        head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 20 + len(inner), 1, source.choice(FRAGMENTS), 64, protocol, 0)
        return 0x0800, head + source.randbytes(8 + max(0, 4 * words - 20)) + inner
    head = struct.pack(">IHBB", 0x6000_0000, len(inner), protocol, 64)
    return 0x86DD, head + source.randbytes(32) + inner


def frames(seed: int, count: int) -> Iterator[bytes]:
    """`count` frames, the same for the same seed."""
    source = random.Random(seed)
    for _ in range(count):
        yield frame(source)


def line(result: Result) -> str:
    """A result as the judge prints it: "status ptype flags protocol:offset,..."."""
    protocols = ",".join(f"{name}:{offset}" for name, offset in result.protocols)
    return f"{int(result.stopped == 'no-match')} {result.ptype} {result.flags:x} {protocols}"
