# SPDX-License-Identifier: Apache-2.0
"""The names and addresses of one lab: all follow from the path of its state folder, so that any process finds them."""

from __future__ import annotations

import hashlib
import os
import string
from dataclasses import dataclass
from pathlib import Path

from tether_hw.lab.errors import LabError

MARK = "TETHER_LAB"  # environment variable of every process that a lab keeps running
BASTION = "jump"
NIC = "data0"
LINK = "fabric0"
MAX_HOSTS = len(string.ascii_lowercase)
MAX_QUEUES = 32
SLICES = 256  # the /24 networks of 198.18.0.0/16, set aside for benchmarks by RFC 2544
DEFAULT_SLICE = 0
MAX_USER_HOSTS = 8
MAX_USER_QUEUES = 10
PORTS = 100
PORT_SLICES = 150
FIRST_PORT = 10000
DEFAULT_PORT = 27000


def xdg(variable: str, fallback: str) -> Path:
    """A base folder of the XDG specification; relative values are ignored, as it demands."""
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else Path.home() / fallback


def default_state() -> Path:
    return xdg("XDG_STATE_HOME", ".local/state") / "tether" / "lab"


def cache_folder() -> Path:
    return xdg("XDG_CACHE_HOME", ".cache") / "tether"


def host_names(count: int) -> list[str]:
    """a, b, c ... Raises LabError for a count outside 1..MAX_HOSTS."""
    if not 1 <= count <= MAX_HOSTS:
        raise LabError(f"a lab has 1 to {MAX_HOSTS} hosts, not {count}")
    return list(string.ascii_lowercase[:count])


@dataclass(frozen=True)
class LabNames:
    """Derived names: ``lab_id`` is eight hex digits, ``uplink`` the only link in the machine's own namespace."""

    state: Path

    @property
    def lab_id(self) -> str:
        return hashlib.blake2s(str(self.state).encode(), digest_size=4).hexdigest()

    @property
    def is_default(self) -> bool:
        return self.state == default_state().resolve()

    @property
    def uplink(self) -> str:
        return f"tl{self.lab_id}"

    @property
    def first_slice(self) -> int:
        """Where the search for a free slice starts; the default lab always has DEFAULT_SLICE."""
        return DEFAULT_SLICE if self.is_default else 1 + int(self.lab_id, 16) % (SLICES - 1)

    def mac(self, host: str, nic: str) -> str:
        """The hardware address of a NIC of the lab: the same after every boot."""
        digest = hashlib.blake2s(f"{self.lab_id} {host} {nic}".encode(), digest_size=3).hexdigest()
        return "52:54:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))

    @property
    def first_port(self) -> int:
        """The first of PORTS ports of a lab without root; below the range that Linux hands out by itself."""
        return DEFAULT_PORT if self.is_default else FIRST_PORT + int(self.lab_id, 16) % PORT_SLICES * PORTS


@dataclass(frozen=True)
class Slice:
    """The management addresses of one lab: the machine reaches the outer network, the bastion joins it to the inner."""

    number: int

    def _address(self, last: int) -> str:
        return f"198.18.{self.number}.{last}"

    @property
    def machine(self) -> str:
        return self._address(1)

    @property
    def bastion_outer(self) -> str:
        return self._address(2)

    @property
    def bastion_inner(self) -> str:
        return self._address(130)

    @staticmethod
    def is_inner(index: int) -> bool:
        """Every second host is reachable through the bastion alone."""
        return index % 2 == 1

    def host(self, index: int) -> str:
        return self._address((138 if self.is_inner(index) else 10) + index)


@dataclass(frozen=True)
class Ports:
    """The ports of a lab without root, from ``first`` on."""

    first: int

    def ssh(self, index: int) -> int:
        return self.first + 1 + index

    def udp(self, index: int) -> int:
        """The port of the first lane of a host."""
        return self.first + 11 + MAX_USER_QUEUES * index

    def metrics(self, index: int) -> int:
        return self.first + 91 + index
