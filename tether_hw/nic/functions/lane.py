# SPDX-License-Identifier: Apache-2.0
"""A lane as the NIC's rules see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LaneAt:
    """A lane with an address of its own on raw Ethernet. delivered: its link's fabric picks the queue.

    on: the VF or SF that it has to itself (vf0); None: a queue of the NIC's own.
    """

    lane: int
    mac: str
    vlan: int | None
    queue: int
    delivered: bool = False
    on: str | None = None
