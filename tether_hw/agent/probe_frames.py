# SPDX-License-Identifier: Apache-2.0
"""Sending a few frames that fit a peer's rules, so that the peer can see its counters move. They carry nothing."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Optional

from tether_hw.agent.errors import AgentError, Refused
from tether_hw.nic.generic import read as links
from tether_hw.plan.rule import OF_THE_HOST, TAGS
from tether_hw.plan.shape import MAC, Fields

MOST_FRAMES, MOST_TIMES = 512, 64
_LEAST = 60  # bytes of a frame of Ethernet, without its check sequence
_BETWEEN_S = 0.0002


@dataclass(frozen=True)
class ProbeFrame:
    """source: the device's own address where it is None."""

    destination: str
    source: Optional[str]
    vlan: Optional[int]
    ethertype: int

    @classmethod
    def parse(cls, value: Any, where: str) -> ProbeFrame:
        fields = Fields(value, where)
        frame = cls(
            fields.text("destination", MAC),
            fields.optional_text("source", MAC),
            fields.optional_integer("vlan", 0, 4095),
            fields.integer("ethertype", 0x0600, 0xFFFF),
        )
        fields.done()
        if frame.ethertype in OF_THE_HOST or frame.ethertype in TAGS:
            raise fields.fail("ethertype", "is what hosts live on")
        return frame

    def content(self, own: str) -> bytes:
        """The frame: nothing but zeros behind its type."""
        head = bytes.fromhex((self.destination + (self.source or own)).replace(":", ""))
        tag = b"" if self.vlan is None else b"\x81\x00" + self.vlan.to_bytes(2, "big")
        return (head + tag + self.ethertype.to_bytes(2, "big")).ljust(_LEAST + len(tag), b"\0")


def send(selector: dict[str, Any], frames: list[ProbeFrame], times: int) -> dict[str, Any]:
    """Send each frame so many times from the device that the selector means: {"device", "sent"}."""
    if os.geteuid() != 0:
        raise Refused("sending frames needs root")
    nics, _, _, resolved = links.read([selector], [], [])
    device = resolved[0]["device"]
    if device is None or device not in nics:
        raise AgentError("there is no such device")
    own = nics[device]["mac"] or "00:00:00:00:00:00"
    sent = 0
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((device, 0))
            raw.settimeout(5.0)
            for _ in range(times):
                for frame in frames:
                    sent += raw.send(frame.content(own)) > 0
                    time.sleep(_BETWEEN_S)
    except OSError as error:
        raise AgentError("%s: %s" % (device, error.strerror or error)) from None
    return {"device": device, "sent": sent}
