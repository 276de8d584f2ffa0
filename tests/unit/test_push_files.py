# SPDX-License-Identifier: Apache-2.0
"""A package file on its way to a host: sent once, checked there, told apart from what nobody has."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.support import plan_steps
from tests.support.e810_variants import variant
from tests.support.plan_steps import CARD, PLACE
from tether_hw.agent import stage, store
from tether_hw.agent.errors import Refused
from tether_hw.agent.host import Host
from tether_hw.errors import HostFailed, HostRefused
from tether_hw.fleet.client import Agent
from tether_hw.fleet.connect import Target
from tether_hw.fleet.inventory import load
from tether_hw.fleet.push_files import Files, named
from tether_hw.fleet.ssh import Completed, Session
from tether_hw.plan.canonical import digest
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.step import Step


class Here:
    """A session to this machine; `spoil` changes what is sent."""

    target = Target("a", "192.0.2.1")

    def __init__(self, spoil: Callable[[bytes], bytes] = lambda data: data) -> None:
        self.calls = 0
        self.spoil = spoil

    def run(self, argv: list[str], stdin: Any, timeout_s: float, progress: object = None) -> Completed:
        self.calls += 1
        data = stdin
        if not isinstance(stdin, bytes):
            data = b""
            while part := stdin.read(1 << 16):
                data += part
            data = self.spoil(data)
        done = subprocess.run(
            [sys.executable, *argv[1:]], input=data, capture_output=True, timeout=timeout_s, check=False
        )
        return Completed(done.returncode, done.stdout, done.stderr)


def session(**more: Any) -> tuple[Here, Session]:
    made = Here(**more)
    return made, cast(Session, made)


def agent(to: Session, root: Path) -> Agent:
    return Agent(to, str(root), None)


def step(sha256: str | None) -> Step:
    return make_step(DdpPackage(CARD, PLACE, sha256, None), plan_steps.clean(), HostPaths(), 1, "a", None)


@pytest.fixture
def package() -> bytes:
    return variant()


@pytest.fixture
def files(tmp_path: Path, package: bytes) -> Files:
    (tmp_path / "own.pkg").write_bytes(package)
    ddp = {"package": "own.pkg", "sha256": hashlib.sha256(package).hexdigest(), "signature": "none"}
    nic = {"family": "e810", "device": {"pci": plan_steps.PF0}, "ddp": ddp}
    document = {"tether": 1, "hosts": {"a": {"address": "192.0.2.1", "nics": {"data0": nic}}}}
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(document))
    return Files(load(tmp_path / "inventory.yaml"))


def test_a_file_is_sent_once(tmp_path: Path, package: bytes, files: Files) -> None:
    sha256 = hashlib.sha256(package).hexdigest()
    host = tmp_path / "host"
    here, to = session()
    assert files.place(agent(to, host), [step(None)]) == 0
    assert here.calls == 0
    assert files.place(agent(to, host), [step(sha256), step(None)]) == 1
    kept = host / "opt/tether/files" / sha256
    assert kept.read_bytes() == package
    assert kept.stat().st_mode & 0o777 == 0o644
    assert files.place(agent(to, host), [step(sha256)]) == 0
    assert here.calls == 3
    kept.write_bytes(b"rotten")
    assert files.place(agent(to, host), [step(sha256)]) == 1
    assert kept.read_bytes() == package


def test_what_the_inventory_does_not_have_is_refused(tmp_path: Path, files: Files) -> None:
    _, to = session()
    with pytest.raises(HostRefused, match="no NIC of the inventory refers") as caught:
        files.place(agent(to, tmp_path / "host"), [step("4" * 64)])
    assert caught.value.hint == "plan again: tether plan"


@pytest.mark.pain(17)
def test_bytes_that_changed_on_the_way_are_not_kept(tmp_path: Path, package: bytes, files: Files) -> None:
    _, to = session(spoil=lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(HostFailed, match="the file that arrived is"):
        files.place(agent(to, tmp_path / "host"), [step(hashlib.sha256(package).hexdigest())])
    _, to = session(spoil=lambda data: data[:-5])
    with pytest.raises(HostFailed, match="the file that arrived is"):
        files.place(agent(to, tmp_path / "host"), [step(hashlib.sha256(package).hexdigest())])
    assert list((tmp_path / "host").rglob("*")) == []


def test_a_file_of_any_size_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="larger than"):
        store.receive(io.BytesIO(b""), HostPaths(str(tmp_path)), "0" * 64, (64 << 20) + 1)


def test_a_plan_whose_files_are_not_there_is_not_staged(tmp_path: Path) -> None:
    paths = HostPaths(str(tmp_path))
    config = plan_steps.clean()
    one = make_step(DdpPackage(CARD, PLACE, "5" * 64, None), config, paths, 1, "a", None)
    plan = {
        "root": str(tmp_path),
        "facts_digest": digest(config),
        "config": config,
        "bundle": None,
        "steps": [one.to_dict()],
        "checks": [],
        "boot": None,
    }
    body = {"run": "r1", "host": "a", "holder": "me", "plan_id": "0", "inventory": "i", "confirm_timeout_s": 60}
    with pytest.raises(Refused, match=f"files that are not on this host: {'5' * 64}"):
        stage.stage(Host(paths), {**body, "time_scale": 1.0, "plan": plan})
    assert not (tmp_path / "var").exists()


def test_only_packages_that_are_put_in_place_are_named() -> None:
    assert named([step("6" * 64), step(None)]) == {"6" * 64}
