# SPDX-License-Identifier: Apache-2.0
"""The lab of virtual machines: hosts with a kernel and systemd of their own, behind the switch of the other labs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError
from tether_hw.lab.faults import CUT_LINK, CUT_SSH, POWER_CUT, SSH_SILENT, WRONG_QUEUE
from tether_hw.lab.inventory import inventory_text, lanes_of
from tether_hw.lab.keys import known_hosts_line, make_key, public_key
from tether_hw.lab.names import LabNames, Slice, cache_folder
from tether_hw.lab.netlab import NetLab
from tether_hw.lab.state import UP, LabState, StateFolder
from tether_hw.lab.tools import need_tools
from tether_hw.lab.vm import tap
from tether_hw.lab.vm.build import ensure, image_of
from tether_hw.lab.vm.guest import Cards, Guest, answers
from tether_hw.lab.vm.recipe import series
from tether_hw.lab.wiring import FIRST_PORT_INDEX, PORT_MTU, Switch, ip_batch

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ssh-keygen": "openssh-client",
    "ssh": "openssh-client",
}
TUN = Path("/dev/net/tun")
PREFIX = 24
SSH_PORT = 22


@dataclass(frozen=True)
class VmLab:
    """One lab in one state folder; every method may be called from another process than the one that made it."""

    folder: StateFolder

    @property
    def names(self) -> LabNames:
        return LabNames(self.folder.path)

    @property
    def net(self) -> NetLab:
        """The lab's namespace, marks and addresses are those of the lab of namespaces."""
        return NetLab(self.folder)

    def guest(self, state: LabState, name: str) -> Guest:
        image = image_of(cache_folder(), series(state.kernel))
        return Guest(name, self.folder.host(name), image, self.net.environment)

    def up(self, state: LabState, say: Callable[[str], None]) -> None:
        """Makes everything. The state folder is locked and holds no lab; a failure takes back what was made."""
        need_tools(TOOLS)
        if not TUN.exists():
            raise LabError(f"no {TUN}: this machine's kernel has no taps")
        ensure(cache_folder(), series(state.kernel), say)
        try:
            switch = self.net.start_switch(state, say)
            self._keys(state)
            hosts = "127.0.0.1 localhost\n"
            hosts += "".join(f"{address} {name}\n" for name, address in self.addresses(state).items())
            for name in state.hosts:
                self._plug(state, switch, name)
                self.guest(state, name).make(self.cards(state, name), hosts, public_key(self.folder.client_key))
                self._power_on(state, switch, name)
            for name in state.hosts:
                self.guest(state, name).wait(self.addresses(state)[name])
            self.net.steer(state, switch)
            self.folder.replace(self.folder.inventory, inventory_text(self.folder.path, state))
            state.phase = UP
            self.folder.write(state)
        except BaseException:
            self.clear()
            raise

    def clear(self) -> int:
        return self.net.clear()

    def leftovers(self) -> list[str]:
        return self.net.leftovers()

    def complete(self, state: LabState) -> bool:
        """True when every machine that should run does."""
        off = [name for name in state.hosts if not state.is_off(name) and self.guest(state, name).pid() is None]
        return state.phase == UP and not off and self.net.has_switch()

    def reboot(self, state: LabState, name: str) -> None:
        """Pulls the plug and powers on again with the same disk; the host's faults are healed by it."""
        self._start_again(state, name, snapshot=False)

    def restore(self, state: LabState, name: str) -> None:
        """Back to the snapshot: disk, memory and processes; the clock is put right."""
        if name not in state.snapshots:
            raise LabError(f"host {name} has no snapshot", hint=f"tether lab snapshot {name}")
        self._start_again(state, name, snapshot=True)
        self._set_clock(state, name)

    def snapshot(self, state: LabState, name: str) -> None:
        guest = self.guest(state, name)
        if guest.pid() is None:
            raise LabError(f"host {name} is off", hint=f"tether lab reboot {name}")
        guest.save()
        state.snapshots = sorted({*state.snapshots, name})
        self.folder.write(state)

    def _start_again(self, state: LabState, name: str, snapshot: bool) -> None:
        switch = self.net.switch()
        self.guest(state, name).power_off()
        faults = state.faults.pop(name, [])
        if f"{CUT_SSH}={SSH_SILENT}" in faults:
            switch.set_port(f"{name}-mgmt0", up=True)
        self._power_on(state, switch, name, snapshot)
        self.guest(state, name).wait(self.addresses(state)[name])
        self.folder.write(state)

    def _set_clock(self, state: LabState, name: str) -> None:
        address = self.addresses(state)[name]
        command = f"date -u -s @{time.time():.3f}"
        self.guest(state, name).ssh(address, self.folder.client_key, self.folder.known_hosts, command)

    def fault(self, state: LabState, name: str, fault: str, cut: str) -> None:
        """Breaks something of a host; it stays so until `heal` or `reboot`."""
        known = set(state.faults.get(name, []))
        guest = self.guest(state, name)
        if POWER_CUT in known:
            raise LabError(f"host {name} is off", hint=f"tether lab reboot {name}")
        if fault == POWER_CUT:
            guest.power_off()
            known = {POWER_CUT}
        elif fault == CUT_SSH:
            if cut != SSH_SILENT:
                raise LabError(f"fault cut-ssh --how {cut} is for hosts of the other labs", hint=f"--how {SSH_SILENT}")
            self.net.switch().set_port(f"{name}-mgmt0", up=False)
            known.add(f"{CUT_SSH}={cut}")
        elif fault == CUT_LINK:
            guest.set_carrier(on=False)
            known.add(CUT_LINK)
        else:
            if state.queues < 2:
                raise LabError(f"host {name} has one queue: no other could be the wrong one", hint="lab up --queues 2")
            known.add(WRONG_QUEUE)
        state.faults[name] = sorted(known)
        if fault == WRONG_QUEUE:
            self._steer_tap(state, name)
        self.folder.write(state)

    def heal(self, state: LabState, name: str) -> list[str]:
        """Takes all faults of a host back; returns their names."""
        if state.is_off(name):
            self.reboot(state, name)
            return [POWER_CUT]
        healed = state.faults.pop(name, [])
        self.net.switch().set_port(f"{name}-mgmt0", up=True)
        self.guest(state, name).set_carrier(on=True)
        self._steer_tap(state, name)
        self.folder.write(state)
        return healed

    def describe(self, state: LabState) -> list[dict[str, Any]]:
        """One object per host for `lab status`."""
        found: list[dict[str, Any]] = []
        for name, address in self.addresses(state).items():
            pid = self.guest(state, name).pid()
            faults = state.faults.get(name, [])
            found.append(
                {
                    "name": name,
                    "role": "host",
                    "address": address,
                    "port": SSH_PORT,
                    "jump": None,
                    "running": pid is not None,
                    "pid": pid,
                    "boots": state.boots.get(name, 0),
                    "ssh": pid is not None and f"{CUT_SSH}={SSH_SILENT}" not in faults and answers(address),
                    "data_link": pid is not None and CUT_LINK not in faults,
                    "faults": faults,
                }
            )
        return found

    def addresses(self, state: LabState) -> dict[str, str]:
        return {name: Slice(state.place).host(index) for index, name in enumerate(state.hosts)}

    def cards(self, state: LabState, name: str) -> Cards:
        mac = self.names.mac
        return Cards(
            mac(name, "mgmt0"),
            f"{self.addresses(state)[name]}/{PREFIX}",
            mac(name, "data0"),
            mac(name, "sim0"),
            state.queues,
            state.netdevsim,
        )

    def _keys(self, state: LabState) -> None:
        make_key(self.folder.client_key, "tether-lab")
        lines = []
        for name, address in self.addresses(state).items():
            guest = self.guest(state, name)
            make_key(guest.host_key, name)
            lines.append(known_hosts_line(address, SSH_PORT, public_key(guest.host_key)))
        self.folder.replace(self.folder.known_hosts, "".join(lines))

    def _plug(self, state: LabState, switch: Switch, name: str) -> None:
        """The taps of a host: they stay when it is off."""
        index = FIRST_PORT_INDEX + state.hosts.index(name)
        for descriptor in (
            *tap.open_queues(switch.pid, f"{name}-mgmt0", 1, offloads=True),
            *tap.open_queues(switch.pid, name, state.queues, offloads=False, index=index),
        ):
            os.close(descriptor)
        lines = []
        for port, bridge, mtu in ((f"{name}-mgmt0", "outer", 1500), (name, "data", PORT_MTU)):
            lines.append(f"link set dev {port} addrgenmode none mtu {mtu} master {bridge}")
            lines.append(f"link set dev {port} up")
        ip_batch(switch.pid, lines)

    def _power_on(self, state: LabState, switch: Switch, name: str, snapshot: bool = False) -> None:
        state.boots[name] = state.boots.get(name, 0) + 1
        management = tap.open_queues(switch.pid, f"{name}-mgmt0", 1, offloads=True)
        data = tap.open_queues(switch.pid, name, state.queues, offloads=False)
        try:
            tap.steer(data[0], self._queues(state, name))
            guest = self.guest(state, name)
            guest.power_on(self.cards(state, name), state.processors, (management, data), snapshot)
        finally:
            for descriptor in (*management, *data):
                os.close(descriptor)

    def _queues(self, state: LabState, name: str) -> dict[str, int]:
        """The queue of each lane address of a host, from the inventory's lanes and the faults of the moment."""
        queue_of = dict(lanes_of(name, state.queues))
        if WRONG_QUEUE in state.faults.get(name, []):
            queue_of = {mac: (queue + 1) % state.queues for mac, queue in queue_of.items()}
        return queue_of

    def _steer_tap(self, state: LabState, name: str) -> None:
        pid = self.guest(state, name).pid()
        if pid is not None:
            with tap.queue_of_process(pid, name) as descriptor:
                tap.steer(descriptor, self._queues(state, name))
