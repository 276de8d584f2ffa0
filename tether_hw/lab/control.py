# SPDX-License-Identifier: Apache-2.0
"""What the verbs of `tether lab` do: each finds the lab by its state folder, alone with it while it changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tether_hw.lab.errors import LabError
from tether_hw.lab.faults import CUT_SSH, CUTS, FAULTS
from tether_hw.lab.inventory import inventory_text
from tether_hw.lab.names import BASTION, DEFAULT_PORT, DEFAULT_SLICE, MAX_QUEUES, LabNames, default_state, host_names
from tether_hw.lab.netlab import NetLab
from tether_hw.lab.state import NETNS, UP, USER, VM, LabState, StateFolder
from tether_hw.lab.userlab import UserLab
from tether_hw.lab.vm.recipe import DEFAULT_KERNEL, STOCK, series
from tether_hw.lab.vmlab import VmLab

STATUS_SCHEMA = "tether.lab.status/1"
Say = Callable[[str], None]


class Backend(Protocol):
    """A kind of lab."""

    def up(self, state: LabState, say: Say) -> None: ...
    def clear(self) -> int: ...
    def leftovers(self) -> list[str]: ...
    def complete(self, state: LabState) -> bool: ...
    def reboot(self, state: LabState, name: str) -> None: ...
    def fault(self, state: LabState, name: str, fault: str, cut: str) -> None: ...
    def heal(self, state: LabState, name: str) -> list[str]: ...
    def describe(self, state: LabState) -> list[dict[str, Any]]: ...


def state_folder(given: Path | None) -> StateFolder:
    return StateFolder((given if given is not None else default_state()).absolute().resolve())


def may_make_namespaces() -> bool:
    return os.geteuid() == 0


@dataclass(frozen=True)
class Virtual:
    """What a lab of virtual hosts is asked for besides; processors 0: as many as there are, up to 2."""

    kernel: str = DEFAULT_KERNEL
    netdevsim: str = STOCK
    processors: int = 0


def backend(folder: StateFolder, kind: str) -> Backend:
    if kind == VM:
        return VmLab(folder)
    return UserLab(folder) if kind == USER else NetLab(folder)


def wanted(folder: StateFolder, hosts: int, queues: int, user: bool, virtual: Virtual | None = None) -> LabState:
    """The record of a lab that is to be made. Raises LabError for counts that no lab can have."""
    if not 1 <= queues <= MAX_QUEUES:
        raise LabError(f"a NIC of the lab has 1 to {MAX_QUEUES} queues, not {queues}")
    names = LabNames(folder.path)
    kind = USER if user or not may_make_namespaces() else NETNS
    default = DEFAULT_PORT if kind == USER else DEFAULT_SLICE
    first = names.first_port if kind == USER else names.first_slice
    state = LabState(names.lab_id, kind, host_names(hosts), queues, default if names.is_default else first)
    if virtual is not None:
        if kind == USER:
            raise LabError("virtual hosts need root: their links are taps in a namespace of the lab")
        state.kind, state.kernel = VM, series(virtual.kernel).name
        state.netdevsim, state.processors = virtual.netdevsim, virtual.processors or min(2, os.cpu_count() or 1)
    return state


def up(folder: StateFolder, hosts: int, queues: int, user: bool, say: Say, virtual: Virtual | None = None) -> LabState:
    """Makes the lab, or finds it made; what a broken `up` left is taken away first."""
    state = wanted(folder, hosts, queues, user, virtual)
    if state.kind == USER and may_make_namespaces():
        raise LabError("the lab without root is for an ordinary user: root's sshd would not be one", hint="su USER")
    with folder.locked(create=True):
        folder.check_ours()
        there = readable(folder)
        if there is not None and backend(folder, there.kind).complete(there):
            return _already(there, state, say)
        if folder.record.exists():
            say("an earlier lab is incomplete: taking it away first")
            backend(folder, there.kind if there is not None else state.kind).clear()
            folder.remove_contents()
        folder.write(state)
        try:
            backend(folder, state.kind).up(state, say)
        except BaseException:
            folder.remove()
            raise
    return state


def readable(folder: StateFolder) -> LabState | None:
    """The record as far as it can be read: what a spoilt one stands for can still be taken away by its marks."""
    try:
        return folder.read()
    except LabError:
        return None


def _already(there: LabState, asked: LabState, say: Say) -> LabState:
    if any(getattr(there, name) != getattr(asked, name) for name in ("kind", "hosts", "queues", "kernel", "netdevsim")):
        raise LabError(
            f"a lab is up already, with {len(there.hosts)} hosts of {there.queues} queues ({there.kind})",
            hint="tether lab down",
        )
    say("the lab is up already")
    return there


def down(folder: StateFolder, say: Say) -> None:
    """Takes away everything that carries the lab's mark, also what a killed `up` left, and the state folder."""
    with folder.locked(create=False) as there:
        if there:
            folder.check_ours()
        state = readable(folder) if there else None
        kind = state.kind if state is not None else NETNS if may_make_namespaces() else USER
        lab = backend(folder, kind)
        if not folder.record.exists() and not lab.leftovers():
            say("no lab is up")
        else:
            lab.clear()
        if there:
            folder.remove()


def status(folder: StateFolder) -> dict[str, Any]:
    """The document of `lab status --json`."""
    state = folder.read()
    names = LabNames(folder.path)
    document: dict[str, Any] = {
        "schema": STATUS_SCHEMA,
        "id": names.lab_id,
        "state": "down",
        "kind": None,
        "folder": str(folder.path),
        "inventory": None,
        "queues": None,
        "hosts": [],
        "leftovers": [],
    }
    if state is None:
        kind = NETNS if may_make_namespaces() else USER
        document["leftovers"] = backend(folder, kind).leftovers()
        document["state"] = "broken" if document["leftovers"] else "down"
        return document
    lab = backend(folder, state.kind)
    complete = lab.complete(state)
    document.update(state="up" if complete else "broken", kind=state.kind, queues=state.queues)
    if state.phase == UP:
        document["inventory"] = str(folder.inventory)
        document["hosts"] = lab.describe(state)
    if not complete:
        document["leftovers"] = lab.leftovers()
    return document


def inventory(
    folder: StateFolder, hosts: int | None, queues: int | None, user: bool, virtual: Virtual | None = None
) -> str:
    """The inventory of the lab that is up, or of one that would be made with these counts."""
    there = folder.read()
    if there is not None and there.phase == UP and hosts is None and queues is None:
        return folder.inventory.read_text(encoding="utf-8")
    return inventory_text(folder.path, wanted(folder, hosts or 2, queues or 2, user, virtual))


def fault(folder: StateFolder, name: str, what: str, cut: str) -> None:
    assert what in FAULTS and cut in CUTS
    with _running(folder, name, bastion=what == CUT_SSH) as (lab, state):
        lab.fault(state, name, what, cut)


def heal(folder: StateFolder, name: str) -> list[str]:
    with _running(folder, name, bastion=True) as (lab, state):
        return lab.heal(state, name)


def reboot(folder: StateFolder, name: str) -> None:
    with _running(folder, name, bastion=True) as (lab, state):
        lab.reboot(state, name)


def snapshot(folder: StateFolder, name: str) -> None:
    with _running(folder, name, bastion=False) as (lab, state):
        _virtual(lab).snapshot(state, name)


def restore(folder: StateFolder, name: str) -> None:
    with _running(folder, name, bastion=False) as (lab, state):
        _virtual(lab).restore(state, name)


def _virtual(lab: Backend) -> VmLab:
    if not isinstance(lab, VmLab):
        raise LabError("only virtual hosts have snapshots", hint="tether lab up --tier vm")
    return lab


def power_on_again(folder: StateFolder, name: str) -> None:
    """After the end of a host: on again if it asked for that, and nobody has done it since."""
    with _running(folder, name, bastion=True) as (lab, state):
        if isinstance(lab, NetLab) and lab.asks_for_reboot(name):
            lab.reboot(state, name)


class _running:  # noqa: N801 - reads as a verb where it is used
    """The lab with its lock held. Raises LabError when it is not up or has no such host."""

    def __init__(self, folder: StateFolder, name: str, bastion: bool) -> None:
        self._folder, self._name, self._bastion = folder, name, bastion
        self._lock = folder.locked(create=False)

    def __enter__(self) -> tuple[Backend, LabState]:
        there = self._lock.__enter__()
        try:
            state = self._folder.read() if there else None
            if state is None or state.phase != UP:
                raise LabError("no lab is up", hint="tether lab up --hosts 2")
            known = [*state.hosts, *([BASTION] if self._bastion and state.kind == NETNS else [])]
            if self._name not in known:
                raise LabError(f"the lab has no host {self._name}", hint=f"its hosts: {', '.join(known)}")
            return backend(self._folder, state.kind), state
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def __exit__(self, *reason: object) -> None:
        self._lock.__exit__(None, None, None)
