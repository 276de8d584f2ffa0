# SPDX-License-Identifier: Apache-2.0
"""`tether plan --facts` and `tether render --facts` on every folder of tests/cases/e810, through the command line.

Each folder has an inventory, its keys, the recorded facts of its host and what the verbs say of them. Packages are
binaries and are not kept: `packages.yaml` says how they are made, here and by `make build`, which puts them beside the
inventories, so that the verbs work on the folders where they are.
"""

from __future__ import annotations

import hashlib
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
ROOT = FOLDER.parents[2]
FOLDERS = sorted(path.parent for path in FOLDER.glob("*/inventory.yaml"))
WANTED = {"old-kernel", "new-kernel", "dpdk", "switchdev", "safe-mode", "wrong-version", "signed-package", "package"}


def packages_of(folder: Path) -> dict[str, Any]:
    """How the packages that an inventory refers to are made."""
    file = folder / "packages.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def make_packages(folder: Path) -> None:
    """The packages that an inventory refers to, beside it."""
    for name, spec in packages_of(folder).items():
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


def test_every_package_is_made_by_the_build_and_is_the_one_that_its_inventory_says() -> None:
    made = {}
    for file in FOLDER.glob("*/packages.yaml"):
        inventory = (file.parent / "inventory.yaml").read_text(encoding="utf-8")
        for name, spec in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            path, data = file.parent / name, package_bytes(spec["make"], spec.get("version"))
            made[f"{file.parent.name}/{name}"] = path
            assert hashlib.sha256(data).hexdigest() in inventory, path
            assert not path.exists() or path.read_bytes() == data, f"{path}: make build makes it again"
    (line,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("E810_PACKAGES :="))
    assert set(line.split("e810/,")[1].rstrip(")").split()) == set(made)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_plan_in_place(folder: Path, bundles: None, capsys: pytest.CaptureFixture[str]) -> None:
    """As a person who has run `make build` says it, in the tree."""
    if any(not (folder / name).exists() for name in packages_of(folder)):
        pytest.skip("make build makes the packages of the examples")
    code = main(["plan", "-i", str(folder / "inventory.yaml"), "--facts", str(folder / "facts")])
    said = capsys.readouterr().out
    assert DIGEST.sub("...", f"exit {code}\n{said}") == (folder / "plan.txt").read_text(encoding="utf-8")


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
