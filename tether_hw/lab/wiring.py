# SPDX-License-Identifier: Apache-2.0
"""Cables of the lab: the switch namespace with its bridges, and the links between it, the machine and the hosts.

In the switch namespace: ``data`` joins the data ports, ``outer`` the machine, the bastion and every host that is
reached directly, ``inner`` the bastion and the hosts behind it. Ports are named after their host.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tether_hw.lab.bpf import load_classifier
from tether_hw.lab.errors import LabError
from tether_hw.lab.names import BASTION, NIC, LabNames, Slice
from tether_hw.lab.netlink import Netlink, network_of
from tether_hw.lab.process import namespace
from tether_hw.lab.steering import Entry, program

FIRST_PORT_INDEX = 1000
PORT_MTU = 3506  # the largest at which the kernel lets a veth peer run an XDP program
HOST_MTU = 1500
FIRST_QUEUES = 1  # what a host's NIC has in use after power on; it has as many as the lab was asked for
PREFIX = 25
MACHINE_PREFIX = 24  # so that an inner address is asked for on this link and nowhere else
GONE_S = 10.0
OFFLOADS_OFF = ("txvlan", "rxvlan", "tso", "gso", "gro")


def run(command: list[str], given: str = "") -> str:
    """Runs a program to its end. Raises LabError with its words."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not on this machine") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"{' '.join(command)}: ended with {done.returncode}: {'; '.join(words[-3:])}")
    return done.stdout


def inside(pid: int, command: list[str], given: str = "") -> str:
    """Runs a program of this machine in the network namespace of a process."""
    return run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], given)


def ip_batch(pid: int, lines: list[str]) -> None:
    inside(pid, ["ip", "-batch", "-"], "\n".join(lines) + "\n")


def machine_link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def addresses_in_use() -> set[str]:
    return {
        entry["local"]
        for link in json.loads(run(["ip", "-json", "-4", "address", "show"]))
        for entry in link.get("addr_info", [])
    }


@dataclass(frozen=True)
class Switch:
    """The namespace that a process of ours holds; ``pid`` is that process."""

    pid: int
    names: LabNames

    @classmethod
    def start(cls, names: LabNames, environment: dict[str, str]) -> Switch:
        """Starts the process that keeps the namespace, and waits until it is in it."""
        holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            env={**os.environ, **environment},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        own = namespace(os.getpid(), "net")
        deadline = time.monotonic() + GONE_S
        while holder.poll() is None and time.monotonic() < deadline:
            if namespace(holder.pid, "net") != own:
                holder.returncode = 0  # it stays: Popen must not warn that nobody waited for it
                return cls(holder.pid, names)
            time.sleep(0.002)
        holder.kill()
        holder.wait()
        raise LabError("the switch namespace was not made: unshare --net failed")

    def wire(self, place: Slice) -> None:
        """The bridges and the link to the machine."""
        lines = ["link set lo up"]
        for bridge in ("data", "outer", "inner"):
            lines.append(f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            lines.append(f"link set dev {bridge} addrgenmode none")
            lines.append(f"link set dev {bridge} up")
        ip_batch(self.pid, lines)
        uplink = self.names.uplink
        run(["ip", "link", "add", uplink, "type", "veth", "peer", "name", "machine", "netns", str(self.pid)])
        ip_batch(
            self.pid,
            ["link set dev machine addrgenmode none", "link set dev machine master outer", "link set dev machine up"],
        )
        run(
            ["ip", "-batch", "-"],
            f"address add {place.machine}/{MACHINE_PREFIX} dev {uplink}\nlink set dev {uplink} up\n",
        )

    def plug_bastion(self, pid: int, place: Slice) -> None:
        links = (("mgmt0", "outer", place.bastion_outer), ("mgmt1", "inner", place.bastion_inner))
        for device, bridge, address in links:
            self._plug_management(pid, BASTION, device, bridge, address)

    def plug_host(self, pid: int, name: str, index: int, queues: int, place: Slice) -> None:
        """Management and data link of one host; the data link is as after power on."""
        bridge = "inner" if place.is_inner(index) else "outer"
        self._plug_management(pid, name, "mgmt0", bridge, place.host(index))
        count = f"numtxqueues {queues} numrxqueues {queues}"
        mac = self.names.mac(name, NIC)
        ip_batch(
            self.pid,
            [
                f"link add name {name} index {FIRST_PORT_INDEX + index} mtu {PORT_MTU} {count} type veth"
                f" peer name {NIC} netns {pid} address {mac} mtu {HOST_MTU} {count}",
                f"link set dev {name} addrgenmode none",
                f"link set dev {name} master data",
                f"link set dev {name} up",
            ],
        )
        offloads = [word for feature in OFFLOADS_OFF for word in (feature, "off")]
        inside(self.pid, ["ethtool", "-K", name, *offloads])
        if queues > FIRST_QUEUES:
            inside(pid, ["ethtool", "-L", NIC, "rx", str(FIRST_QUEUES), "tx", str(FIRST_QUEUES)])
        ip_batch(pid, [f"link set dev {NIC} up"])

    def _plug_management(self, pid: int, host: str, device: str, bridge: str, address: str) -> None:
        port = f"{host}-{device}"
        ip_batch(
            self.pid,
            [
                f"link add name {port} type veth peer name {device} netns {pid} address {self.names.mac(host, device)}",
                f"link set dev {port} addrgenmode none",
                f"link set dev {port} master {bridge}",
                f"link set dev {port} up",
            ],
        )
        ip_batch(pid, [f"address add {address}/{PREFIX} dev {device}", f"link set dev {device} up"])

    def unplug(self, name: str) -> None:
        """Takes a host's cables away, both ends of each; the kernel may be doing so already for a host that is off."""
        deadline = time.monotonic() + GONE_S
        while left := [port for port in self.ports() if port == name or port.startswith(f"{name}-")]:
            for port in left:
                try:
                    inside(self.pid, ["ip", "link", "delete", "dev", port])
                except LabError:
                    if time.monotonic() > deadline:
                        raise

    def ports(self) -> list[str]:
        return [
            link["ifname"] for link in json.loads(inside(self.pid, ["ip", "-json", "link", "show", "type", "veth"]))
        ]

    def ports_up(self) -> set[str]:
        links = json.loads(inside(self.pid, ["ip", "-json", "link", "show", "type", "veth"]))
        return {link["ifname"] for link in links if "UP" in link["flags"]}

    def set_port(self, port: str, up: bool) -> None:
        ip_batch(self.pid, [f"link set dev {port} {'up' if up else 'down'}"])

    def steer(self, table: list[Entry], ports: dict[str, int]) -> None:
        """Puts the table into force on these data ports (name to interface index)."""
        loaded = load_classifier(program(table), "lanes")
        try:
            with network_of(self.pid):
                route = Netlink()
            try:
                for index in ports.values():
                    route.add_clsact(index)
                    route.set_ingress_program(index, loaded, "lanes")
            finally:
                route.close()
        finally:
            os.close(loaded)


def delete_machine_link(name: str) -> None:
    """Takes the lab's link out of the machine's namespace, and waits until the kernel has let go of it."""
    deadline = time.monotonic() + GONE_S
    while machine_link_exists(name):
        done = subprocess.run(["ip", "link", "delete", "dev", name], capture_output=True, text=True, check=False)
        if done.returncode != 0 and time.monotonic() > deadline:
            raise LabError(f"link {name} does not go: {done.stderr.strip()}")
        time.sleep(0.01)
