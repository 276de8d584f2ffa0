# SPDX-License-Identifier: Apache-2.0
"""Virtual machines as the tests use them: enrolled once, put back to that by their snapshot, looked into over SSH."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleets import Fleet
from tests.support.gated import gated
from tests.support.labs import Lab, tether
from tether_hw.fleet import bundle
from tether_hw.fleet.bundle import Bundle
from tether_hw.fleet.enroll import enroll, place
from tether_hw.fleet.inventory import load
from tether_hw.fleet.reach import Reach
from tether_hw.lab.errors import LabError
from tether_hw.lab.names import cache_folder
from tether_hw.lab.vm.build import ensure
from tether_hw.lab.vm.recipe import DEFAULT_KERNEL, series

SLOWER = 8.0  # than a machine that is not emulated: the lab's time_scale
VERB_S = 1500.0
BOOT_S = 600.0
OUT_OF_REACH = ("apt-get", "the machine's package sources")


class Guests(Lab):
    """A lab of virtual machines. ``stops`` is a bundle whose agent stops behind a chosen record of its journal."""

    stops: Bundle

    @property
    def names(self) -> list[str]:
        return sorted(load(self.inventory).hosts)

    def back(self, *hosts: str) -> None:
        """To the snapshot: enrolled, nothing applied."""
        for host in hosts or self.names:
            self.run("restore", host)

    def fleet(self, stopping: bool = False) -> Fleet:
        return Fleet(
            inventory_file=self.inventory,
            bundle=self.stops if stopping else bundle.find("x86_64"),
            reboot=self.reboot,
            fault=self._fault,
            heal=self.heal,
            scale=SLOWER,
        )

    def _fault(self, host: str, what: str, _how: str) -> None:
        self.run("fault", what, host, "--how", "silent")

    def variant(self, name: str, **changes: str) -> Path:
        """The inventory with other words, beside it."""
        text = self.inventory.read_text(encoding="utf-8")
        for old, new in changes.items():
            words = old.replace("__", ": ")
            assert words in text
            text = text.replace(words, new)
        path = self.inventory.with_name(f"{name}.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    def say(self, *words: str, inventory: Path | None = None) -> tuple[int, dict[str, Any]]:
        """A verb of the command line with --json: its exit code and its document."""
        file = str(inventory or self.inventory)
        state = str(self.state.parent / "told")
        done = tether(*words, "-i", file, "--json", check=False, timeout=VERB_S, TETHER_STATE=state)
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return done.returncode, document

    def config(self) -> dict[str, Any]:
        """Facts that plans are made from, of every host."""
        code, document = self.say("facts")
        assert code == 0, document
        return {host: found["facts"]["config"] for host, found in document["hosts"].items()}

    def boot_id(self, host: str) -> str:
        return self.ssh(host, "cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def reboot_by_itself(self, host: str) -> None:
        """As its administrator would; returns when it answers after that."""
        before = self.boot_id(host)
        self.ssh(host, "systemctl --no-block reboot")
        self.come_back(host, before)

    def come_back(self, host: str, former_boot: str) -> None:
        """Returns when the host answers in another boot."""
        limit = time.monotonic() + BOOT_S
        while time.monotonic() < limit:
            try:
                shown = self.ssh(host, "cat /proc/sys/kernel/random/boot_id", check=False)
            except subprocess.TimeoutExpired:  # the host went down under the session
                continue
            if shown.returncode == 0 and shown.stdout.strip() != former_boot:
                return
            time.sleep(1.0)
        raise AssertionError(f"{host} does not come back")


@contextmanager
def guests(
    folder: Path, hosts: int, *words: str, kernel: str = DEFAULT_KERNEL, stopping: bool = True
) -> Iterator[Guests]:
    """Boots a lab, enrolls its hosts, takes their snapshots; takes it away. Skips where Debian is out of reach.

    ``stopping``: with the bundle beside whose agent stops where it is asked to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        ensure(cache_folder(), series(kernel), print)
    except LabError as error:
        if error.message.startswith(OUT_OF_REACH):
            pytest.skip(f"needs Debian's packages for an image with kernel {kernel}: {error.message}")
        raise
    made = Guests(folder / "state")
    made.run("up", "--tier", "vm", "--hosts", str(hosts), "--queues", "2", "--kernel", kernel, *words)
    try:
        results = enroll(Reach(load(made.inventory)), made.names)
        assert all(result["exit"] == 0 for result in results), results
        if stopping:
            made.stops = gated(folder)
            placed = place(Reach(load(made.inventory), bundles=lambda arch: made.stops), made.names)
            assert not placed.failed, placed.failed
        for host in made.names:
            made.ssh(host, "sync")
            made.run("snapshot", host)
        yield made
    finally:
        made.down()
