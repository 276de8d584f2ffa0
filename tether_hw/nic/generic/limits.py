# SPDX-License-Identifier: Apache-2.0
"""Limits that follow from the frame and from XDP, whatever the driver."""

from __future__ import annotations

from tether_hw.plan.lane import BLOCK_BYTES, HAIL_BLOCKS, UDP_OVERHEAD_BYTES

#: One page holds the headroom of XDP (256), the frame with its Ethernet header (14) and the skb_shared_info (320):
#: 4096 - 256 - 14 - 320. veth and virtio_net refuse to attach above it, and a frame of ours is one buffer.
XDP_MTU_MAX = 3506


def smallest_mtu(carrier: str) -> int:
    """The smallest MTU in bytes that carries a Hail, the largest frame that every node must be able to send."""
    overhead = UDP_OVERHEAD_BYTES[6] if carrier == "udp" else 0
    return HAIL_BLOCKS * BLOCK_BYTES + overhead
