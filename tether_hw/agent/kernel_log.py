# SPDX-License-Identifier: Apache-2.0
"""What the kernel's log and devlink say of one device, so that a refusal comes with the driver's own reason."""

from __future__ import annotations

import re

from tether_hw.agent import cards
from tether_hw.nic.functions import devlink
from tether_hw.plan.function_name import devlink_handle

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
    """The newest lines and what is wrong with the device, to stand at the end of an error."""
    words = [line.partition("%s: " % pci)[2] or line for line in since(pci, before)]
    log = "; the kernel's log: %s" % " / ".join(words[-_MOST:]) if words else ""
    return log + "".join("; " + trouble for trouble in troubles(pci))


def troubles(function: str) -> list[str]:
    """What devlink knows to be wrong: a reload that failed leaves a device without ports, and in legacy."""
    handle = devlink_handle(function)
    found = []
    if devlink.reload_failed(cards.ask(["devlink", "-j", "dev", "show", handle]), handle):
        found.append("the last reload of %s failed: devlink dev reload %s" % (function, handle))
    # Health is shown of all devices: of one alone devlink wants a reporter's name.
    states = devlink.health(cards.ask(["devlink", "-j", "health", "show"]), handle)
    found += ["%s says %s" % (name, state) for name, state in sorted(states.items()) if state != "healthy"]
    return found
