# SPDX-License-Identifier: Apache-2.0
"""Vital product data of a PCI device, as sysfs has it: what its maker wrote into it."""

from __future__ import annotations

import re
from typing import Optional

_READ_ONLY, _END = 0x90, 0x78
_SERIAL = re.compile(r"[0-9A-Za-z]{4,32}\Z")


def serial(data: bytes) -> Optional[str]:
    """The serial number of the board; None where there is none that could name it."""
    at = 0
    while at + 3 <= len(data) and data[at] != _END and data[at] & 0x80:
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        if data[at] == _READ_ONLY:
            found = _keyword(data[at + 3 : at + 3 + size], b"SN")
            text = (found or b"").decode("ascii", errors="replace").strip(" \0")
            return text if _SERIAL.match(text) else None
        at += 3 + size
    return None


def _keyword(data: bytes, name: bytes) -> Optional[bytes]:
    at = 0
    while at + 3 <= len(data):
        size = data[at + 2]
        if data[at : at + 2] == name:
            return data[at + 3 : at + 3 + size]
        at += 3 + size
    return None
