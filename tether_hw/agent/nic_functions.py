# SPDX-License-Identifier: Apache-2.0
"""Virtual functions, the modes of the switch inside a NIC, and the parameters of its driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional, Union

from tether_hw.agent import cards, command, kernel_log, nic_keeps, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.plan.effects import look_up
from tether_hw.plan.function_name import is_simulated, sysfs_folder
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_vfs import NicVfs

if TYPE_CHECKING:
    from pathlib import Path

    from tether_hw.plan.paths import HostPaths

_VF_PORT = re.compile(r"@(?:c[0-9]+)?pf[0-9]+vf[0-9]+\.rep\Z")
_VIRTFN = re.compile(r"virtfn[0-9]+\Z")


def carry_out(
    data: Union[NicVfs, NicHostVfs, NicEswitch, NicParam], paths: HostPaths, snapshot: Path, timeout_s: float
) -> None:
    """Make it what the step says, and wait until it shows. Raises AgentError with the driver's reason."""
    before = len(kernel_log.lines(data.function))
    try:
        if isinstance(data, NicVfs):
            _vfs(data, paths, snapshot, timeout_s)
        elif isinstance(data, NicHostVfs):
            _host_vfs(data, paths, timeout_s)
        elif isinstance(data, NicEswitch):
            _mode(data, paths, snapshot, timeout_s)
        else:
            _param(data, paths, snapshot, timeout_s)
    except AgentError as error:
        raise AgentError(error.message + kernel_log.told(data.function, before)) from None


def _vfs(data: NicVfs, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    cards.standing(data.function, paths)  # no function of anybody else's
    place = "%s/sriov_numvfs" % sysfs_folder(data.function)
    now = sysfs.SYSFS.read(place)
    if now is None:
        raise AgentError("%s has no virtual functions" % data.function)
    with nic_keeps.autoprobe(data.function, data.probe, snapshot):
        if now != str(data.count):
            if now != "0" and data.count:
                sysfs.SYSFS.write(place, "0")  # the kernel changes no number to another one
            sysfs.SYSFS.write(place, str(data.count))
        waiting.until(lambda: _vfs_missing(data, paths), timeout_s)


def _host_vfs(data: NicHostVfs, paths: HostPaths, timeout_s: float) -> None:
    def missing() -> Optional[str]:
        now = cards.standing(data.function, paths)
        count = now.config["vfs"]
        if count != data.count:
            return "%s shows %d of %d virtual functions of the host" % (data.function, count, data.count)
        return _representors_missing(now, data.function, data.count)

    waiting.until(missing, timeout_s)


def _vfs_missing(data: NicVfs, paths: HostPaths) -> Optional[str]:
    names = [name for name in sysfs.SYSFS.entries(sysfs_folder(data.function)) if _VIRTFN.match(name)]
    if len(names) != data.count and not is_simulated(data.function):
        return "%s shows %d of %d virtual functions" % (data.function, len(names), data.count)
    now = cards.standing(data.function, paths)
    words = _representors_missing(now, data.function, data.count)
    if words is not None or not data.probe:
        return words
    idle = [name for name in names if sysfs.SYSFS.target("%s/%s/driver" % (sysfs_folder(data.function), name)) is None]
    return "no driver took %s of %s" % (", ".join(idle), data.function) if idle else None


def _representors_missing(now: cards.Standing, function: str, count: int) -> Optional[str]:
    found = [name for name in now.status["representors"] if _VF_PORT.match(name)]
    if now.config["eswitch"] == "switchdev" and len(found) != count:
        return "%s shows %d of %d representors" % (function, len(found), count)
    return None


def _mode(data: NicEswitch, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    device = nic_keeps.note(data.function, snapshot, paths)
    wanted = _unlike(data, paths)
    if wanted:
        # The three are set one after the other, and what was set stays when the next is refused.
        command.checked(data.setting({name: data.values[name] for name in wanted}), timeout_s)

    def missing() -> Optional[str]:
        left = _unlike(data, paths)
        if left:
            return "%s shows %s" % (data.function, ", ".join("%s %s" % pair for pair in left.items()))
        now = cards.standing(data.function, paths)
        return _representors_missing(now, data.function, now.config["vfs"])

    waiting.until(missing, timeout_s)
    nic_keeps.restore(data.function, device, snapshot, paths, timeout_s)


def _unlike(data: NicEswitch, paths: HostPaths) -> dict[str, Any]:
    """What is not as the step says, and how it is instead."""
    config = cards.standing(data.function, paths).config
    now = {**(config["mlx5"] or {}), "eswitch": config["eswitch"]}
    return {name: now.get(name) for name, value in data.values.items() if now.get(name) != value}


def _param(data: NicParam, paths: HostPaths, snapshot: Path, timeout_s: float) -> None:
    device = nic_keeps.note(data.function, snapshot, paths)

    def shown() -> Any:
        return look_up({"functions": {data.function: cards.standing(data.function, paths).config}}, data.path)

    if shown() != data.value:
        command.checked(data.argv(paths)[0], timeout_s)

    def missing() -> Optional[str]:
        now = shown()
        return None if now == data.value else "%s shows %s %s" % (data.function, data.name, now)

    waiting.until(missing, timeout_s)
    nic_keeps.restore(data.function, device, snapshot, paths, timeout_s)
