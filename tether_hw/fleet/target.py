# SPDX-License-Identifier: Apache-2.0
"""From the inventory's words about access to the targets of sessions."""

from __future__ import annotations

import getpass
from dataclasses import replace
from typing import TYPE_CHECKING

from tether_hw.errors import HostRefused
from tether_hw.fleet.connect import Target

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.models import Access

_MOST_JUMPS = 8


def target(inventory: Inventory, name: str) -> Target:
    """How to reach a host of the inventory, through its jump machines."""
    return _target(inventory, name, inventory.hosts[name], 0)


def root_target(inventory: Inventory, name: str) -> Target:
    """The same as root, by login or by sudo, also where everything else goes by the helper."""
    host = inventory.hosts[name]
    return replace(target(inventory, name), helper=False, sudo=host.sudo, sudo_password=host.sudo_password)


def _target(inventory: Inventory, name: str, access: Access, depth: int) -> Target:
    from tether_hw.fleet.models import Host

    if depth > _MOST_JUMPS:
        raise HostRefused(name, "its jump machines lead in a circle", hint="check `jump` in the inventory")
    jump = None
    if access.jump is not None:
        via = inventory.jumps.get(access.jump) or inventory.hosts[access.jump]
        jump = _target(inventory, access.jump, via, depth + 1)
    identity = access.identity_file
    if identity is not None and not identity.startswith(("/", "~")):
        identity = str(inventory.path.parent / identity)
    is_host = isinstance(access, Host)
    return Target(
        name=name,
        address=access.address,
        port=access.port,
        user=access.user or getpass.getuser(),
        identity_file=identity,
        passphrase=access.passphrase,
        sudo=isinstance(access, Host) and access.sudo and not access.helper,
        helper=isinstance(access, Host) and access.helper,
        sudo_password=access.sudo_password if isinstance(access, Host) and is_host else None,
        jump=jump,
        known_hosts=inventory.known_hosts,
    )
