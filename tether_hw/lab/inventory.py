# SPDX-License-Identifier: Apache-2.0
"""The inventory of a lab, as text and as what the switch needs of it."""

from __future__ import annotations

from pathlib import Path

from tether_hw.lab.names import BASTION, LINK, NIC, Slice
from tether_hw.lab.state import LabState
from tether_hw.plan.lane import lane_mac


def lanes_of(host: str, queues: int) -> list[tuple[str, int]]:
    """Address and queue of each lane of a host, by the suite's one documented function."""
    return [(lane_mac(host, NIC, lane), lane) for lane in range(queues)]


def shown(path: Path) -> str:
    """A path as the inventory spells it: below the home folder with a tilde."""
    home = Path.home().resolve()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def inventory_text(state_folder: Path, state: LabState) -> str:
    folder = shown(state_folder)
    place = Slice(state.place)
    queues = ", ".join(str(queue) for queue in range(state.queues))
    lines = [
        "# Hosts made by `tether lab up`: printed by `tether lab inventory`.",
        "tether: 1",
        f"keys_file: {folder}/lab.keys.yaml",
        f"known_hosts: {folder}/known_hosts",
        "",
        "jumps:",
        f"  {BASTION}: {{address: {place.bastion_outer}, identity_file: {folder}/id_ed25519}}",
        "",
        "defaults:",
        "  user: root",
        f"  identity_file: {folder}/id_ed25519",
        "  nics:",
        f"    {NIC}:",
        "      family: generic",
        f"      device: {{name: {NIC}}}",
        "      mtu: 1500",
        f"      queues: {state.queues}",
        f"      lanes: {{on: pf, queues: [{queues}], by: mac}}",
        "",
        "hosts:",
    ]
    for index, name in enumerate(state.hosts):
        jump = f", jump: {BASTION}" if place.is_inner(index) else ""
        lines.append(f"  {name}: {{address: {place.host(index)}{jump}}}")
    members = ", ".join(f"{name}.{NIC}" for name in state.hosts)
    lines += [
        "",
        "links:",
        f"  {LINK}:",
        f"    members: [{members}]",
        "    mtu: 1500",
        "    delivers: by-lane",
    ]
    return "\n".join(lines) + "\n"
