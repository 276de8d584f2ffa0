# SPDX-License-Identifier: Apache-2.0
"""What calls the agent at every boot: a unit of systemd, or a program that the init of another host runs.

It is there while a run is open or a boot plan is kept, and no longer. The unit asks for network.target by itself: on a
host without a manager of networks nothing else does, and sshd and the engine would not wait for it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tether_hw.agent import command, durable, service
from tether_hw.agent.host import own_bundle
from tether_hw.plan.paths import BOOT_UNIT_NAME

if TYPE_CHECKING:
    from tether_hw.agent.host import Host

_SYSTEMCTL_S = 45.0
UNIT = """\
# Written by tether; it goes when nothing of tether's is open or kept on this host.
[Unit]
Description=Tether boot check and boot plan
DefaultDependencies=no
RequiresMountsFor=/opt/tether /var/lib/tether /etc/tether
After=local-fs.target systemd-modules-load.service systemd-udev-trigger.service systemd-sysctl.service
Wants=network-pre.target network.target
Before=network-pre.target network.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} boot /
TimeoutStartSec=600

[Install]
WantedBy=multi-user.target
"""
SCRIPT = """\
#!/bin/sh
# Written by tether; it goes when nothing of tether's is open or kept on this host.
exec {program} boot {root}
"""


def ensure(host: Host) -> bool:
    """Put the hook there, with this agent's bundle. False where nothing would call it or there is no bundle."""
    if own_bundle() is None:
        return False
    program = host.program("tether-agent")
    if service.manager(host.paths) != service.SYSTEMD:
        text = SCRIPT.format(program=shlex.quote(program), root=shlex.quote(host.paths.root))
        _put(Path(host.paths.boot_script), text, 0o755)
        return True
    unit = Path(host.paths.boot_unit)
    if _put(unit, UNIT.format(program=program), 0o644) or not _is_enabled():
        command.run(["systemctl", "daemon-reload"], _SYSTEMCTL_S)
        command.run(["systemctl", "enable", "--quiet", BOOT_UNIT_NAME], _SYSTEMCTL_S)
    return True


def drop(host: Host) -> None:
    """Take the hook away."""
    durable.remove(Path(host.paths.boot_script))
    unit = Path(host.paths.boot_unit)
    if service.manager(host.paths) == service.SYSTEMD and unit.exists():
        command.run(["systemctl", "disable", "--quiet", BOOT_UNIT_NAME], _SYSTEMCTL_S)
        durable.remove(unit)
        command.run(["systemctl", "daemon-reload"], _SYSTEMCTL_S)


def settle(host: Host) -> None:
    """The hook as it must be now: nothing is left of it on a host that has nothing open and nothing kept."""
    if host.lock.holder() is not None or Path(host.paths.boot_plan).exists():
        ensure(host)
    else:
        drop(host)


def there(host: Host) -> bool:
    """Whether this host would look after its runs at a boot."""
    if service.manager(host.paths) == service.SYSTEMD:
        return Path(host.paths.boot_unit).exists()
    return Path(host.paths.boot_script).exists()


def _is_enabled() -> bool:
    wants = Path("/etc/systemd/system/multi-user.target.wants")
    return (wants / BOOT_UNIT_NAME).is_symlink()


def _put(path: Path, text: str, mode: int) -> bool:
    """Write the file unless it is so already; whether it was written."""
    try:
        if path.read_text(encoding="ascii") == text:
            return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    durable.write(path, text.encode("ascii"), mode)
    return True
