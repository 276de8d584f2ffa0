# SPDX-License-Identifier: Apache-2.0
"""Virtual functions and the mode of the switch inside a NIC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tether_hw.agent import cards, command, kernel_log, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.plan.kinds.nic_vfs import NicVfs

if TYPE_CHECKING:
    from tether_hw.plan.kinds.nic_eswitch import NicEswitch
    from tether_hw.plan.paths import HostPaths

PCI = "bus/pci/devices"


def carry_out(data: NicVfs | NicEswitch, paths: HostPaths, timeout_s: float) -> None:
    """Make it what the step says, and wait until it shows. Raises AgentError with the driver's reason."""
    before = len(kernel_log.lines(data.function))
    try:
        if isinstance(data, NicVfs):
            _vfs(data, paths, timeout_s)
        else:
            _mode(data, paths, timeout_s)
    except AgentError as error:
        raise AgentError(error.message + kernel_log.told(data.function, before)) from None


def _vfs(data: NicVfs, paths: HostPaths, timeout_s: float) -> None:
    cards.standing(data.function, paths)  # no function of anybody else's
    place = "%s/%s/sriov_numvfs" % (PCI, data.function)
    now = sysfs.SYSFS.read(place)
    if now is None:
        raise AgentError("%s has no virtual functions" % data.function)
    if now != str(data.count):
        if now != "0" and data.count:
            sysfs.SYSFS.write(place, "0")  # the kernel changes no number to another one
        sysfs.SYSFS.write(place, str(data.count))
    waiting.until(lambda: _vfs_missing(data, paths), timeout_s)


def _vfs_missing(data: NicVfs, paths: HostPaths) -> Optional[str]:
    names = [name for name in sysfs.SYSFS.entries("%s/%s" % (PCI, data.function)) if re.match(r"virtfn\d+\Z", name)]
    if len(names) != data.count:
        return "%s shows %d of %d virtual functions" % (data.function, len(names), data.count)
    now = cards.standing(data.function, paths)
    if now.config["eswitch"] == "switchdev" and len(now.status["representors"]) != data.count:
        return "%s shows %d of %d representors" % (data.function, len(now.status["representors"]), data.count)
    return None


def _mode(data: NicEswitch, paths: HostPaths, timeout_s: float) -> None:
    if cards.standing(data.function, paths).config["eswitch"] != data.mode:
        command.checked(data.argv(paths)[0], timeout_s)

    def missing() -> Optional[str]:
        now = cards.standing(data.function, paths).config["eswitch"]
        return None if now == data.mode else "%s shows mode %s" % (data.function, now)

    waiting.until(missing, timeout_s)
