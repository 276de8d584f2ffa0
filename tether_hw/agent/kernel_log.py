# SPDX-License-Identifier: Apache-2.0
"""What the kernel's log says of one device, so that a refusal comes with the driver's own reason."""

from __future__ import annotations

import re

from tether_hw.agent import cards

_STAMP = re.compile(r"\[\s*\d+\.\d+\] ")
_MOST = 4


def lines(pci: str) -> list[str]:
    """The lines that name a PCI device, oldest first, without their time; none where the log may not be read."""
    text = cards.ask(["dmesg"]) or ""
    return [_STAMP.sub("", line).strip() for line in text.splitlines() if pci in line]


def since(pci: str, before: int) -> list[str]:
    """The lines of a device after the first `before`; all that are left where the log was cut meanwhile."""
    now = lines(pci)
    return now[before:] if len(now) >= before else now


def told(pci: str, before: int) -> str:
    """The newest lines, to stand at the end of an error."""
    words = [line.partition("%s: " % pci)[2] or line for line in since(pci, before)]
    return "; the kernel's log: %s" % " / ".join(words[-_MOST:]) if words else ""
