# SPDX-License-Identifier: Apache-2.0
"""What a driver sets anew when its function changes, and has to be afterwards what it was before the run.

The run's snapshot says what that was, so that a change that was cut off can still be ended.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Optional

from tether_hw.agent import cards, command, nic_links, snapshot, sysfs, waiting
from tether_hw.plan.function_name import sysfs_folder
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_queues import NicQueues
from tether_hw.plan.kinds.nic_ring import NicRing

if TYPE_CHECKING:
    from pathlib import Path

    from tether_hw.plan.kinds.base import StepData
    from tether_hw.plan.paths import HostPaths


def note(function: str, place: Path, paths: HostPaths) -> Optional[str]:
    """The device of a function, with what stands on it noted in the run's snapshot; None where nothing is kept."""
    found = cards.standing(function, paths).config
    if found["mlx5"] is None or found["device"] is None:
        return None
    nic_links.keep([found["device"]], place)
    return str(found["device"])


def restore(function: str, device: Optional[str], place: Path, paths: HostPaths, timeout_s: float) -> None:
    """Make a device what the snapshot says. Raises AgentError with what cannot be put back."""
    if device is None:
        return

    def missing() -> Optional[str]:
        now = cards.standing(function, paths).config["device"]
        return None if now == device else "the device of %s is %s, it was %s" % (function, now, device)

    waiting.until(missing, timeout_s)
    before: dict[str, Any] = snapshot.config(place).get("nics", {}).get(device, {})
    now = cards.nic(device)
    for name in ("queues", "ring", "mtu"):
        if before.get(name) is not None and now.get(name) != before[name]:
            for argv in _step(device, name, before[name]).argv(paths):
                command.checked(argv, timeout_s)
    nic_links.restore([device], place, timeout_s)


def _step(device: str, name: str, value: Any) -> StepData:
    if name == "queues":
        return NicQueues(device, value)
    return NicRing(device, value) if name == "ring" else NicMtu(device, value)


@contextmanager
def autoprobe(function: str, wanted: Optional[bool], place: Path) -> Iterator[None]:
    """Let drivers take VFs as soon as they are there, or not, for a while; None leaves it to the host.

    Afterwards it is what it was before the run, whatever a run that was cut off left. While this is off no driver takes
    a VF, not even one that is told to.
    """
    path = "%s/sriov_drivers_autoprobe" % sysfs_folder(function)
    config = snapshot.config(place).get("functions", {}).get(function, {})
    before: Optional[bool] = (config.get("mlx5") or {}).get("autoprobe")
    _set(path, wanted)
    try:
        yield
    finally:
        _set(path, before)


def _set(path: str, value: Optional[bool]) -> None:
    if value is not None and sysfs.SYSFS.read(path) not in (None, str(int(value))):
        sysfs.SYSFS.write(path, str(int(value)))
