# SPDX-License-Identifier: Apache-2.0
"""What the groups of cases share."""

from __future__ import annotations

import hashlib
from typing import Any

from tether_hw.transport.protocol import keys, tags

Case = dict[str, Any]
CIPHERS = (keys.CHACHA20_POLY1305, keys.AES_256_GCM)

MANIFEST = tags.Manifest(
    floor=22, frame_blocks=22, pool_slots=176, ring_frames=2048, ember_frames=1, max_message=64 << 20,
    rtt_ns=40_000, rate_bps=10_000_000_000, silence_ns=1_000_000,
)  # fmt: skip
MAC = tags.LaneAddress(0, 1, bytes.fromhex("02aabbccddee") + b"\xff\xff")
MAC_VLAN = tags.LaneAddress(1, 1, bytes.fromhex("02aabbccddef") + (100).to_bytes(2, "little"))
UDP4 = tags.LaneAddress(2, 2, bytes([192, 0, 2, 1]) + (47001).to_bytes(2, "big"))
UDP6 = tags.LaneAddress(255, 3, bytes.fromhex("20010db8" + "0" * 23 + "1") + (47001).to_bytes(2, "big"))


def material(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are always the same."""
    out = b""
    while len(out) < size:
        out += hashlib.blake2s(f"tether vectors {label} {len(out)}".encode()).digest()
    return out[:size]
