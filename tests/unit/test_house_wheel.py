# SPDX-License-Identifier: Apache-2.0
"""The wheel, used as a stranger would: a new environment, an empty folder, no checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tether_hw import __version__
from tools import wheel as tool

pytestmark = pytest.mark.wheel

# Nothing of this process's environment that could lead back to the checkout.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PIP_", "SSL_", "HTTP", "http", "REQUESTS_")


def run(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, tool.ROOT / "tools" / "wheel.py", folder], tool.ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", folder], folder)
    run([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", built], folder)
    return folder / "bin"


def test_one_wheel_serves_every_python(built: Path) -> None:
    assert re.fullmatch(rf"tether_hw-{re.escape(__version__)}-py3-none-\w+\.whl", built.name)


def test_what_the_wheel_carries(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    assert {"tether_hw/transport/libtether.so", "tether_hw/py.typed"} <= names
    assert {f"tether_hw/_data/bundles/tether-{arch}.tar" for arch in ("x86_64", "aarch64")} <= names
    for folder in ("profiles", "templates", "inventory"):
        wanted = {
            f"tether_hw/_data/{path.relative_to(tool.ROOT).as_posix()}"
            for path in (tool.ROOT / folder).rglob("*")
            if path.is_file()
        }
        assert wanted and wanted <= names
    assert [name for name in names if name.endswith((".c", ".h", ".pyc")) or "/tests/" in name] == []


def test_an_installed_tether_needs_no_checkout(environment: Path, tmp_path: Path) -> None:
    tether = environment / "tether"
    run([tether, "init", "x"], tmp_path)
    fleet = tmp_path / "x"
    run([tether, "validate"], fleet)
    run([tether, "plan", "--facts", "facts/"], fleet)
    document = json.loads(run([tether, "plan", "--facts", "facts/", "--json"], fleet))
    assert document["schema"] == "tether.plan/1"
    assert document["changes"] == len(document["steps"]) > 0


def test_the_installed_engine_and_bundles_are_found(environment: Path, tmp_path: Path) -> None:
    program = (
        "from tether_hw.fleet import bundle; from tether_hw.transport import library; library.load();"
        "print(*(bundle.find(arch).path for arch in bundle.ARCHITECTURES))"
    )
    found = run([environment / "python", "-I", "-c", program], tmp_path).split()
    assert len(found) == 2
    assert all(path.startswith(str(environment.parent)) for path in found)


@pytest.mark.netns
def test_a_bundle_of_the_wheel_provisions_the_lab(environment: Path, tmp_path: Path) -> None:
    state = tmp_path / "lab"

    def tether(*words: str | Path) -> str:
        return run(["env", f"XDG_STATE_HOME={tmp_path}", environment / "tether", *words], tmp_path)

    tether("lab", "up", "--hosts", "2", "--state", state)
    try:
        inventory = ("-i", state / "inventory.yaml")
        applied = json.loads(tether("apply", *inventory, "--yes", "--json"))
        assert {host["result"] for host in applied["hosts"]} == {"confirmed"}
        checks = json.loads(tether("verify", *inventory, "--json"))["checks"]
        assert checks and {check["result"] for check in checks} == {"proved"}
        tether("rollback", "last", *inventory, "--yes")
    finally:
        tether("lab", "down", "--state", state)
