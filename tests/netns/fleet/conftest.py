# SPDX-License-Identifier: Apache-2.0
"""The fleet that these tests are run on: here a lab; the tests themselves know only the inventory and the faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleets import Fleet
from tests.support.gated import gated
from tests.support.labs import Lab
from tether_hw.cli.main import main
from tether_hw.fleet import runs
from tether_hw.plan.facts import Facts, differences

Say = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Runs a verb with --json; its exit code and the one document on stdout."""
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "state"))

    def run(inventory: Path, *words: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*words, "-i", str(inventory), "--json"])
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert isinstance(document, dict)
        assert document["schema"].startswith("tether.")
        return code, document

    return run


@pytest.fixture(scope="session")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two enrolled hosts without anything applied, and an agent with a gate around its journal."""
    folder = tmp_path_factory.mktemp("fleet")
    one = Fleet(
        inventory_file=own_inventory(lab, folder),
        bundle=gated(folder),
        reboot=lab.reboot,
        fault=lab.fault,
        heal=lab.heal,
    )
    one.enroll()
    yield one
    one.close()


@pytest.fixture(scope="session")
def before(fleet: Fleet) -> dict[str, Facts]:
    """The facts of the hosts before any test applied anything."""
    found = {host: fleet.facts(host) for host in sorted(fleet.inventory.hosts)}
    assert all(facts.config["engine"]["service"] == "absent" for facts in found.values())
    return found


@pytest.fixture(autouse=True)
def as_found(fleet: Fleet, before: dict[str, Facts]) -> Iterator[None]:
    """Every test leaves the hosts as it found them; after one that did not, they are put right for the next."""
    yield
    left = {host: fleet.facts(host) for host in before}
    changed = {
        host: differences(before[host].config, facts.config)
        for host, facts in left.items()
        if facts.config != before[host].config or facts.status["pending"] or facts.status["owned"]
    }
    for host in changed:
        known = fleet.ask(host, "runs", {})["runs"]
        for run in reversed(known):
            if run["state"] not in ("rolled-back", "taken-back"):
                runs.rollback(fleet.reach(), [host], run["run"])
    assert not changed


def own_inventory(lab: Lab, folder: Path, more: str = "") -> Path:
    """The lab's inventory with a keys file of our own."""
    lines = [line for line in lab.inventory.read_text().splitlines() if not line.startswith("keys_file:")]
    path = folder / "fleet.yaml"
    path.write_text("\n".join(lines) + f"\nstate: {folder}/state\n{more}")
    return path
