# SPDX-License-Identifier: Apache-2.0
"""`tether plan --facts` and `tether render --facts` on every folder of tests/cases/e810, through the command line.

Each folder has an inventory, its keys, the recorded facts of its host and what the verbs say of them. Packages are
binaries and are not kept: `packages.yaml` says how they are made, here and by
`python -m tests.cases.test_e810_folders`, which puts them beside the inventories.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import fleet_facts
from tests.support.cases import DIGEST
from tests.support.e810_packages import package_bytes
from tether_hw.cli.main import main
from tether_hw.fleet import packages, planning

FOLDER = Path(__file__).resolve().parent / "e810"
FOLDERS = sorted(path.parent for path in FOLDER.glob("*/inventory.yaml"))
WANTED = {"old-kernel", "new-kernel", "dpdk", "switchdev", "safe-mode", "wrong-version", "signed-package", "package"}


def make_packages(folder: Path) -> None:
    """The packages that an inventory refers to, beside it."""
    file = folder / "packages.yaml"
    for name, spec in (yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}).items():
        (folder / name).write_bytes(package_bytes(spec["make"], spec.get("version")))


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles of this suite, whether they are built or not."""

    def setting(inventory: Any, *, recorded: bool = False) -> Any:
        made = replace(fleet_facts.setting(), recorded=recorded, made="2026-01-01T00:00:00Z")
        return replace(made, packages=packages.load(inventory))

    monkeypatch.setattr(planning, "setting", setting)


def copied(folder: Path, to: Path) -> Path:
    there = to / folder.name
    shutil.copytree(folder, there)
    make_packages(there)
    return there


def test_the_folders_are_those_that_were_asked_for() -> None:
    assert {folder.name for folder in FOLDERS} == WANTED


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_plan(folder: Path, tmp_path: Path, bundles: None, capsys: pytest.CaptureFixture[str]) -> None:
    there = copied(folder, tmp_path)
    code = main(["plan", "-i", str(there / "inventory.yaml"), "--facts", str(there / "facts")])
    said = capsys.readouterr()
    assert said.err == ""
    assert DIGEST.sub("...", f"exit {code}\n{said.out}") == (folder / "plan.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_render(folder: Path, tmp_path: Path, bundles: None, capsys: pytest.CaptureFixture[str]) -> None:
    there = copied(folder, tmp_path)
    out = tmp_path / "out"
    code = main(["render", "-i", str(there / "inventory.yaml"), "--facts", str(there / "facts"), "-o", str(out)])
    said = capsys.readouterr()
    rendered = folder / "rendered"
    if folder.name == "safe-mode":
        assert (code, out.exists()) == (3, False)
        assert "there are no rules" in said.err
        return
    assert code == 0, said.err
    wanted = {path.name: path.read_text(encoding="utf-8") for path in rendered.glob("*")}
    found = {path.name: path.read_text(encoding="utf-8") for path in (out / "a").iterdir()}
    assert {name: text for name, text in found.items() if name.startswith("data0")} == wanted
    assert ("engine.json" in found) is (folder.name != "dpdk")


def test_a_dpdk_port_has_no_engine_and_cannot_be_saved(
    tmp_path: Path, bundles: None, capsys: pytest.CaptureFixture[str]
) -> None:
    there = copied(FOLDER / "dpdk", tmp_path)
    saved = tmp_path / "plan.json"
    words = ["plan", "-i", str(there / "inventory.yaml"), "--facts", str(there / "facts"), "-o", str(saved)]
    assert main(words) == 1
    assert "no bundle has a carrier dpdk" in capsys.readouterr().err
    assert not saved.exists()


if __name__ == "__main__":
    for one in FOLDERS:
        make_packages(one)
