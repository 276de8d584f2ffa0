# SPDX-License-Identifier: Apache-2.0
"""The inventory of a lab, as text and as what the switch needs of it."""

from __future__ import annotations

from pathlib import Path

from tether_hw.lab.names import BASTION, LINK, NIC, Ports, Slice
from tether_hw.lab.state import USER, VM, LabState
from tether_hw.plan.lane import lane_mac

GUEST = "02:00:5e:00:53:03"  # of a virtual function that no frame leaves: the same on every host
NETNS_HEAD = """\
# The lab of `tether lab up`: two hosts on this machine, each with its own root, sshd and network, and one data link.
# `tether lab inventory --hosts N` prints the same for N hosts. Every second host is reached through the bastion.
"""
VM_HEAD = """\
# The lab of `tether lab up --tier vm`: two virtual machines with Debian's kernel and systemd, each with a NIC on
# one data link and a simulated card with a switch, which takes no rules into hardware and drops every frame.
# `tether lab inventory --tier vm --hosts N` prints the same for N hosts. Emulation is slow: all waits are longer.
"""
USER_HEAD = """\
# The lab without root: two hosts as processes of the user who runs `tether lab up`, each with its own sshd and folder.
# The engine speaks UDP on loopback. What needs root (queues, rings, MTU) is not asked for here.
"""


def lanes_of(host: str, queues: int) -> list[tuple[str, int]]:
    """Address and queue of each lane of a host, by the suite's one documented function."""
    return [(lane_mac(host, NIC, lane), lane) for lane in range(queues)]


def shown(path: Path) -> str:
    """A path as the inventory spells it: below the home folder with a tilde."""
    home = Path.home().resolve()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def inventory_text(state_folder: Path, state: LabState) -> str:
    """The inventory as YAML; for two hosts in the usual place it is the one that the project carries as a file."""
    folder = shown(state_folder)
    if state.kind == VM:
        return vm_text(folder, state)
    return user_text(folder, state) if state.kind == USER else netns_text(folder, state)


def common_head(folder: str) -> str:
    return f"tether: 1\nkeys_file: {folder}/lab.keys.yaml\nknown_hosts: {folder}/known_hosts\n\n"


def numbers(count: int) -> str:
    return ", ".join(str(number) for number in range(count))


def link_text(state: LabState, mtu: int) -> str:
    members = ", ".join(f"{name}.{NIC}" for name in state.hosts)
    text = f"\nlinks:\n  {LINK}:\n    members: [{members}]\n    mtu: {mtu}\n    rate: 10Gbit\n    latency: 20us\n"
    return text if state.kind == USER else text + "    delivers: by-lane\n"


def netns_text(folder: str, state: LabState) -> str:
    place = Slice(state.place)
    key = f"identity_file: {folder}/id_ed25519"
    text = NETNS_HEAD + common_head(folder)
    text += f"jumps:\n  {BASTION}: {{address: {place.bastion_outer}, user: root, {key}}}\n\n"
    text += f"""\
defaults:
  user: root
  {key}
  nics:
    {NIC}:
      family: generic
      device: {{name: {NIC}}}
      queues: {state.queues}
      carrier: af_xdp
      lanes: {{on: pf, queues: [{numbers(state.queues)}], by: mac}}
  engine:
    metrics: {{listen: "127.0.0.1:9464"}}
    cpus: by-lane

hosts:
"""
    for index, name in enumerate(state.hosts):
        jump = f", jump: {BASTION}" if place.is_inner(index) else ""
        text += f"  {name}: {{address: {place.host(index)}{jump}}}\n"
    return text + link_text(state, 3000)


def vm_text(folder: str, state: LabState) -> str:
    place = Slice(state.place)
    text = VM_HEAD + common_head(folder)
    text += f"""\
defaults:
  user: root
  identity_file: {folder}/id_ed25519
  nics:
    {NIC}:
      family: generic
      device: {{name: {NIC}}}
      queues: {state.queues}
      carrier: af_xdp
      lanes: {{on: pf, queues: [{numbers(state.queues)}], by: mac}}
    sim0:
      family: cx7
      device: {{devlink: netdevsim/netdevsim1}}
      eswitch: switchdev
      vfs: [{{}}, {{}}, {{address: "{GUEST}"}}, {{}}]
      steering:
        offload: preferred
        rules:
          - name: guest
            match: {{destination: "{GUEST}"}}
            action: {{redirect: {{vf: 2}}, mirror: [{{vf: 3}}]}}
          - name: unknown
            match: {{destination: "02:00:5e:00:54:00/ff:ff:ff:ff:ff:00"}}
            action: drop
  engine:
    metrics: {{listen: "127.0.0.1:9464"}}

apply:
  time_scale: 8
  max_unavailable: {len(state.hosts)}

hosts:
"""
    text += "".join(f"  {name}: {{address: {place.host(index)}}}\n" for index, name in enumerate(state.hosts))
    return text + link_text(state, 3000)


def user_text(folder: str, state: LabState) -> str:
    ports = Ports(state.place)
    text = USER_HEAD + common_head(folder)
    text += f"defaults:\n  address: 127.0.0.1\n  identity_file: {folder}/id_ed25519\n\nhosts:\n"
    for index, name in enumerate(state.hosts):
        text += f"""\
  {name}:
    port: {ports.ssh(index)}
    root: {folder}/hosts/{name}
    nics:
      {NIC}:
        device: {{name: lo}}
        carrier: udp
        lanes: {{queues: [{numbers(state.queues)}], by: udp-port}}
        udp: {{address: 127.0.0.1, port: {ports.udp(index)}}}
    engine:
      metrics: {{listen: "127.0.0.1:{ports.metrics(index)}"}}
"""
    return text + link_text(state, 1500)
