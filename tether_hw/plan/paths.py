# SPDX-License-Identifier: Apache-2.0
"""Where things lie on a managed host, under its root ("/" or the inventory's `root:`)."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

UNIT_NAME = "tether-engine.service"
HELPER = "/usr/local/sbin/tether-helper"
BOOT_UNIT_NAME = "tether-boot.service"


@dataclass(frozen=True)
class HostPaths:
    """The folders and files of one host. `root` is absolute; "/" on a machine of its own."""

    root: str = "/"

    def __post_init__(self) -> None:
        if not self.root.startswith("/") or "\0" in self.root or "\n" in self.root:
            raise ValueError(f"root {self.root!r} is not an absolute path")

    def _under(self, *parts: str) -> str:
        return posixpath.join(self.root, *parts)

    @property
    def bundles(self) -> str:
        return self._under("opt/tether")

    def bundle(self, digest: str) -> str:
        return posixpath.join(self.bundles, digest)

    def file(self, sha256: str) -> str:
        """Where a file of the user's lies that a plan names by its digest."""
        return posixpath.join(self.bundles, "files", sha256)

    @property
    def etc(self) -> str:
        return self._under("etc/tether")

    @property
    def state(self) -> str:
        return self._under("var/lib/tether")

    @property
    def run(self) -> str:
        return self._under("run/tether")

    @property
    def engine_config(self) -> str:
        return posixpath.join(self.etc, "engine.json")

    @property
    def roster(self) -> str:
        return posixpath.join(self.etc, "roster.json")

    @property
    def identity(self) -> str:
        return posixpath.join(self.etc, "identity.key")

    @property
    def engine_state(self) -> str:
        """The one folder of state that belongs to the engine's user; the rest of `state` is the agent's."""
        return posixpath.join(self.state, "engine")

    @property
    def counter(self) -> str:
        return posixpath.join(self.engine_state, "hail.counter")

    @property
    def socket(self) -> str:
        return posixpath.join(self.run, "engine.sock")

    @property
    def owned(self) -> str:
        return posixpath.join(self.state, "owned.json")

    @property
    def kept(self) -> str:
        """The config that the last run left when it was closed: what drift is measured against."""
        return posixpath.join(self.state, "kept.json")

    @property
    def operators(self) -> str:
        """The public keys of those who may change this host; without the file root's login is trusted."""
        return posixpath.join(self.etc, "operators.json")

    @property
    def counters(self) -> str:
        """The last counter of each operator."""
        return posixpath.join(self.state, "counters.json")

    @property
    def helper(self) -> str:
        return self._under(HELPER.lstrip("/"))

    @property
    def sudoers(self) -> str:
        """The line by which a login user runs the helper."""
        return self._under("etc/sudoers.d/tether-helper")

    @property
    def revoked(self) -> str:
        """Keys that this host trusts no more."""
        return posixpath.join(self.state, "revoked.json")

    @property
    def runs(self) -> str:
        return posixpath.join(self.state, "runs")

    @property
    def probed(self) -> str:
        """What probes found out about this host's functions."""
        return posixpath.join(self.state, "probed.json")

    @property
    def probes(self) -> str:
        """The journal of probes."""
        return posixpath.join(self.state, "probes.jsonl")

    @property
    def lock(self) -> str:
        return posixpath.join(self.state, "lock")

    @property
    def unit(self) -> str:
        return self._under("etc/systemd/system", UNIT_NAME)

    @property
    def boot_unit(self) -> str:
        return self._under("etc/systemd/system", BOOT_UNIT_NAME)

    @property
    def boot_script(self) -> str:
        """What the init of a host without systemd runs at every boot."""
        return posixpath.join(self.etc, "at-boot")

    @property
    def boot_plan(self) -> str:
        """What makes this host again, after a boot, what the last confirmed run left."""
        return posixpath.join(self.state, "boot.json")

    @property
    def boot_result(self) -> str:
        """How that went at the last boot."""
        return posixpath.join(self.state, "boot-result.json")

    @property
    def service_record(self) -> str:
        """What a host without systemd keeps in place of a unit file."""
        return posixpath.join(self.state, "engine.service.json")
