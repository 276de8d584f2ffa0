# SPDX-License-Identifier: Apache-2.0
"""The lab of namespaces: up, down, faults and reboots. Needs root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError
from tether_hw.lab.faults import CUT_LINK, CUT_SSH, POWER_CUT, SSH_ALL, SSH_SILENT, WRONG_QUEUE
from tether_hw.lab.host import SSH_PORT, Host, PoweringOn
from tether_hw.lab.image import cache_lock, ensure_image, image_path
from tether_hw.lab.inventory import inventory_text, lanes_of
from tether_hw.lab.keys import known_hosts_line, make_key, public_key
from tether_hw.lab.names import BASTION, MARK, SLICES, LabNames, Slice, cache_folder
from tether_hw.lab.process import alive, kill_marked, marked
from tether_hw.lab.state import UP, LabState, StateFolder
from tether_hw.lab.steering import Entry, rotated
from tether_hw.lab.tools import need_tools
from tether_hw.lab.wiring import (
    FIRST_PORT_INDEX,
    Switch,
    addresses_in_use,
    delete_machine_link,
    machine_link_exists,
)

TOOLS = {
    "ip": "iproute2",
    "ethtool": "ethtool",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True)
class NetLab:
    """One lab in one state folder; every method may be called from another process than the one that made it."""

    folder: StateFolder

    @property
    def names(self) -> LabNames:
        return LabNames(self.folder.path)

    @property
    def environment(self) -> dict[str, str]:
        return {MARK: self.names.lab_id}

    def host(self, name: str) -> Host:
        return Host(name, self.folder.host(name), image_path(cache_folder()), self.environment)

    def up(self, state: LabState, say: Callable[[str], None]) -> None:
        """Makes everything. The state folder is locked and holds no lab; a failure takes back what was made."""
        need_tools(TOOLS)
        ensure_image(cache_folder(), say)
        try:
            switch = self.start_switch(state, say)
            self._keys(state)
            begun = [self._power_on(state, switch, name) for name in [BASTION, *state.hosts]]
            for host in begun:
                host.wait()
                host.host.watch(self.folder.path)
            self.steer(state, switch)
            self.folder.replace(self.folder.inventory, inventory_text(self.folder.path, state))
            state.phase = UP
            self.folder.write(state)
        except BaseException:
            self.clear()
            raise

    def start_switch(self, state: LabState, say: Callable[[str], None]) -> Switch:
        """Chooses the lab's addresses and makes the namespace with its bridges."""
        with cache_lock(cache_folder(), say):  # two labs must not choose the same slice
            state.place = self._free_slice()
            self.folder.write(state)
            switch = Switch.start(self.names, self.environment)
            self._write_switch(switch)
            switch.wire(Slice(state.place))
        return switch

    def clear(self) -> int:
        """Takes everything away that carries the mark or the name of this lab; returns how many processes ended."""
        ended = kill_marked(self.names.lab_id)
        delete_machine_link(self.names.uplink)
        return ended

    def leftovers(self) -> list[str]:
        """What of this lab is on the machine, whatever the record says."""
        found = [f"process {pid}" for pid in marked(self.names.lab_id)]
        return found + ([f"link {self.names.uplink}"] if machine_link_exists(self.names.uplink) else [])

    def complete(self, state: LabState) -> bool:
        """True when every part that should be there is."""
        hosts = [self.host(name).pid() for name in [BASTION, *state.hosts] if not state.is_off(name)]
        return state.phase == UP and None not in hosts and self.has_switch()

    def reboot(self, state: LabState, name: str) -> None:
        """Ends all processes of a host and powers it on again with the same disk; its faults are healed by it."""
        switch = self.switch()
        self._pull_plug(switch, name)
        state.faults.pop(name, None)
        begun = self._power_on(state, switch, name)
        begun.wait()
        begun.host.watch(self.folder.path)
        self.steer(state, switch)
        self.folder.write(state)

    def asks_for_reboot(self, name: str) -> bool:
        """Whether the host ended because it wants to boot again."""
        host = self.host(name)
        return host.pid() is None and host.reboot_asked.exists()

    def fault(self, state: LabState, name: str, fault: str, cut: str) -> None:
        """Breaks something of a host; it stays so until `heal` or `reboot`."""
        known = set(state.faults.get(name, []))
        if POWER_CUT in known:
            raise LabError(f"host {name} is off", hint=f"tether lab reboot {name}")
        if fault == POWER_CUT:
            self._pull_plug(self.switch(), name)
            known = {POWER_CUT}
        elif fault == CUT_SSH:
            self._cut_ssh(name, cut)
            known.add(f"{CUT_SSH}={cut}")
        elif fault == CUT_LINK:
            self.switch().set_port(name, up=False)
            known.add(CUT_LINK)
        else:
            if state.queues < 2:
                raise LabError(f"host {name} has one queue: no other could be the wrong one", hint="lab up --queues 2")
            known.add(WRONG_QUEUE)
        state.faults[name] = sorted(known)
        if fault == WRONG_QUEUE:
            self.steer(state, self.switch())
        self.folder.write(state)

    def _pull_plug(self, switch: Switch, name: str) -> None:
        self.host(name).power_off()
        switch.unplug(name)

    def _cut_ssh(self, name: str, cut: str) -> None:
        if cut == SSH_SILENT:
            self.switch().set_port(f"{name}-mgmt0", up=False)
        else:
            self.host(name).stop_ssh(sessions=cut == SSH_ALL)

    def heal(self, state: LabState, name: str) -> list[str]:
        """Takes all faults of a host back; returns their names."""
        if state.is_off(name):
            self.reboot(state, name)
            return [POWER_CUT]
        healed = state.faults.pop(name, [])
        switch = self.switch()
        if name != BASTION:
            switch.set_port(name, up=True)
            self.steer(state, switch)
        switch.set_port(f"{name}-mgmt0", up=True)
        host = self.host(name)
        if not host.ssh_listens():
            host.start_ssh()
        self.folder.write(state)
        return healed

    def has_switch(self) -> bool:
        return self._switch_pid() is not None

    def switch(self) -> Switch:
        pid = self._switch_pid()
        if pid is None:
            raise LabError("the lab's switch is gone", hint="tether lab down, then tether lab up")
        return Switch(pid, self.names)

    def table(self, state: LabState) -> list[Entry]:
        """Lane address to port and queue, from the inventory's lanes and the faults of the moment."""
        table = []
        for index, name in enumerate(state.hosts):
            for mac, queue in lanes_of(name, state.queues):
                table.append(Entry(mac, name, FIRST_PORT_INDEX + index, queue))
        for name, faults in state.faults.items():
            if WRONG_QUEUE in faults:
                table = rotated(table, name)
        return table

    def steer(self, state: LabState, switch: Switch) -> None:
        """Puts the table of the moment into force on the data ports of all hosts that are on."""
        ports = {name: FIRST_PORT_INDEX + i for i, name in enumerate(state.hosts) if not state.is_off(name)}
        switch.steer(self.table(state), ports)

    def _free_slice(self) -> int:
        used = addresses_in_use()
        first = self.names.first_slice
        for step in range(SLICES - 1):
            number = first if self.names.is_default else 1 + (first - 1 + step) % (SLICES - 1)
            if Slice(number).machine not in used:
                return number
            if self.names.is_default:
                raise LabError(f"{Slice(first).machine} is in use on this machine", hint="another lab? use --state DIR")
        raise LabError("no free slice of 198.18.0.0/16 for this lab")

    def describe(self, state: LabState) -> list[dict[str, Any]]:
        """One object per host for `lab status`."""
        place = Slice(state.place)
        switch = self._switch_pid()
        carriers = Switch(switch, self.names).ports_up() if switch is not None else set()
        found: list[dict[str, Any]] = []
        for name, address in self.addresses(state).items():
            host = self.host(name)
            pid = host.pid()
            inner = name != BASTION and place.is_inner(state.hosts.index(name))
            found.append(
                {
                    "name": name,
                    "role": "bastion" if name == BASTION else "host",
                    "address": address,
                    "port": SSH_PORT,
                    "jump": BASTION if inner else None,
                    "running": pid is not None,
                    "pid": pid,
                    "boots": state.boots.get(name, 0),
                    "ssh": host.ssh_listens() and f"{name}-mgmt0" in carriers,
                    "data_link": None if name == BASTION else name in carriers,
                    "faults": state.faults.get(name, []),
                }
            )
        return found

    def addresses(self, state: LabState) -> dict[str, str]:
        place = Slice(state.place)
        return {BASTION: place.bastion_outer} | {name: place.host(i) for i, name in enumerate(state.hosts)}

    def _keys(self, state: LabState) -> None:
        make_key(self.folder.client_key, "tether-lab")
        lines = []
        for name, address in self.addresses(state).items():
            host = self.host(name)
            make_key(host.host_key, name)
            lines.append(known_hosts_line(address, SSH_PORT, public_key(host.host_key)))
        self.folder.replace(self.folder.known_hosts, "".join(lines))

    def _power_on(self, state: LabState, switch: Switch, name: str) -> PoweringOn:
        place = Slice(state.place)

        def plug(pid: int) -> None:
            if name == BASTION:
                switch.plug_bastion(pid, place)
            else:
                switch.plug_host(pid, name, state.hosts.index(name), state.queues, place)

        host = self.host(name)
        state.boots[name] = state.boots.get(name, 0) + 1
        return host.power_on(host.files(self.addresses(state), public_key(self.folder.client_key)), plug)

    def _write_switch(self, switch: Switch) -> None:
        self.folder.host("").mkdir(parents=True, exist_ok=True)
        self._switch_file().write_text(f"{switch.pid}\n", encoding="ascii")

    def _switch_file(self) -> Path:
        return self.folder.host("switch.pid")

    def _switch_pid(self) -> int | None:
        try:
            pid = int(self._switch_file().read_text(encoding="ascii"))
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"{MARK}={self.names.lab_id}".encode() in environment.split(b"\0") and alive(pid) else None
