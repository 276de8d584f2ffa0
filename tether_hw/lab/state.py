# SPDX-License-Identifier: Apache-2.0
"""The state folder of a lab: what was asked for, how far it came, and the lock under which it changes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError
from tether_hw.lab.faults import POWER_CUT

SCHEMA = "tether.lab/1"
RECORD = "lab.json"
STARTING, UP = "starting", "up"
NETNS, USER, VM = "netns", "user", "vm"
OWN_ENTRIES = (
    "hosts",
    "sshd",
    "inventory.yaml",
    "lab.keys.yaml",
    "known_hosts",
    "id_ed25519",
    "id_ed25519.pub",
    "facts",
)
LOCK_S = 120.0


@dataclass
class LabState:
    """The record. ``place`` is the slice of management addresses, or the first port of a lab without root.

    From ``kernel`` on: of virtual hosts alone.
    """

    lab_id: str
    kind: str
    hosts: list[str]
    queues: int
    place: int
    phase: str = STARTING
    faults: dict[str, list[str]] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    kernel: str = ""
    netdevsim: str = ""
    processors: int = 0
    snapshots: list[str] = field(default_factory=list)

    def is_off(self, host: str) -> bool:
        """True for a host whose power was cut and not given back."""
        return POWER_CUT in self.faults.get(host, [])

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> LabState:
        fields = dict(value)
        if fields.pop("schema", None) != SCHEMA:
            raise LabError(f"{RECORD} is not of schema {SCHEMA}")
        try:
            return cls(**fields)
        except TypeError as error:
            raise LabError(f"{RECORD}: {error}") from error


@dataclass(frozen=True)
class StateFolder:
    """Paths below the state folder, and what is written there."""

    path: Path

    def host(self, name: str) -> Path:
        return self.path / "hosts" / name

    @property
    def record(self) -> Path:
        return self.path / RECORD

    @property
    def inventory(self) -> Path:
        return self.path / "inventory.yaml"

    @property
    def client_key(self) -> Path:
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.path / "known_hosts"

    def read(self) -> LabState | None:
        """The record, or None where no lab is; a torn one (it is renamed into place) is an error."""
        try:
            text = self.record.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            value = json.loads(text)
        except ValueError as error:
            raise LabError(f"{self.record}: {error}") from error
        if not isinstance(value, dict):
            raise LabError(f"{self.record}: not an object")
        return LabState.from_dict(value)

    def write(self, state: LabState) -> None:
        self.replace(self.record, json.dumps(state.to_dict(), indent=1) + "\n", 0o600)

    def replace(self, file: Path, text: str, mode: int = 0o644) -> None:
        """Whole or not at all."""
        partial = file.with_name(file.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.chmod(mode)
        partial.rename(file)

    def check_ours(self) -> None:
        """Raises LabError for a folder with somebody else's files: `down` removes what it finds by name."""
        foreign = sorted({entry.name for entry in self.path.iterdir()} - self.own_names())
        if foreign and not self.record.exists():
            raise LabError(f"{self.path} is not empty and no lab's state: it holds {', '.join(foreign[:5])}")

    @staticmethod
    def own_names() -> set[str]:
        names = {RECORD, *OWN_ENTRIES}
        return names | {name + ".partial" for name in names}

    def remove_contents(self) -> None:
        """Everything the lab and its suite put there but the record."""
        for name in sorted(self.own_names() - {RECORD}):
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def remove(self) -> None:
        """Everything, the record last, and the folder itself if that leaves it empty."""
        self.remove_contents()
        self.record.unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError:  # somebody else's files stay, and so does their folder
            pass

    @contextmanager
    def locked(self, create: bool) -> Iterator[bool]:
        """Alone with the folder; yields False (without a lock) when it does not exist and is not to be made."""
        deadline = time.monotonic() + LOCK_S
        while True:
            if create:
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                yield False
                return
            except NotADirectoryError:
                raise LabError(f"{self.path} is not a folder") from None
            try:
                if self._lock(descriptor, deadline):
                    yield True
                    return
            finally:
                os.close(descriptor)

    def _lock(self, descriptor: int, deadline: float) -> bool:
        """False when the folder was removed while we waited for it."""
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(f"another process works on the lab in {self.path}") from None
                time.sleep(0.05)
        try:
            return os.fstat(descriptor).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False
