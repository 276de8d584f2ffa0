# SPDX-License-Identifier: Apache-2.0
"""What the agent makes of the driver's words, of package files, of what stands on a device, and of slow kernels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import plan_steps
from tests.support.plan_steps import CARD, OWN, PLACE
from tether_hw.agent import (
    cards,
    command,
    kernel_log,
    nic_links,
    package_files,
    package_words,
    sysfs,
    verify,
    waiting,
)
from tether_hw.agent.errors import AgentError
from tether_hw.agent.host import Host
from tether_hw.agent.session import Connection
from tether_hw.agent.sysfs import Sysfs
from tether_hw.nic.steering.flower import Filter
from tether_hw.plan.checks import Check
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import ShapeError
from tether_hw.plan.step import Step

#: What Linux prints (ice_main.c of 6.x), and which of its ends it stands for.
LINES = {
    "The DDP package was successfully loaded: ICE OS Default Package version 1.3.36.0": "loaded",
    "DDP package already present on device: ICE OS Default Package version 1.3.36.0": "same",
    "The driver could not load the DDP package file because a compatible DDP package is already present on the device."
    "  The device has package 'ICE OS Default Package' version 1.3.30.0.  The package file found by the driver: 'ICE "
    "OS Default Package' version 1.3.36.0.": "other",
    "The device has a DDP package that is not supported by the driver.  The device has package 'ICE OS Default Package'"
    " version 2.0.x.x.  The driver requires version 1.3.x.x.  Entering Safe Mode.": "unsupported",
    "The firmware loaded on the device is not compatible with the DDP package.  Please update the device's NVM.  "
    "Entering safe mode.": "firmware",
    "The DDP package file is invalid. Entering Safe Mode.": "invalid",
    "The DDP package file version is higher than the driver supports.  Please use an updated driver.  Entering Safe "
    "Mode.": "too-new",
    "The DDP package file version is lower than the driver supports.  The driver requires version 1.3.x.x.  Please use "
    "an updated DDP Package file.  Entering Safe Mode.": "too-old",
    "The DDP package could not be loaded because its signature is not valid.  Please use a valid DDP Package.  Entering"
    " Safe Mode.": "signature",
    "The DDP Package could not be loaded because its security revision is too low.  Please use an updated DDP Package."
    "  Entering Safe Mode.": "security-revision",
    "An error occurred on the device while loading the DDP package.  The device will be reset.": "device-error",
    "The DDP package file was not found or could not be read. Entering Safe Mode": "no-file",
    "The DDP package file failed to load. Entering Safe Mode.": "no-file",
    "An unknown error occurred when loading the DDP package.  Entering Safe Mode.": "unknown",
}
SAFE = {"package": None, "safe_mode": True}


@pytest.mark.parametrize(("line", "name"), LINES.items(), ids=lambda value: str(value)[:20])
def test_every_end_of_loading_is_known(line: str, name: str) -> None:
    found = package_words.results(["ice 0000:17:00.0: PTP init successful", f"ice 0000:17:00.0: {line}"])
    assert [(result.name, result.good) for result, _ in found] == [(name, name in ("loaded", "same", "other"))]
    words = package_words.explain(CARD, OWN, False, SAFE, [line])
    assert words.startswith(f"card {CARD} is in safe mode, planned was package Own 1.0.0.1: ")
    assert found[0][0].words in words
    assert line in words


def test_the_ends_are_told_apart() -> None:
    names = [result.name for result in package_words.RESULTS]
    assert len(set(names)) == len(names)
    assert set(LINES.values()) == set(names)
    assert len({result.words for result in package_words.RESULTS}) == len(names)


def test_the_first_failure_is_the_reason_and_silence_is_said() -> None:
    lines = list(LINES)
    signature = next(line for line, name in LINES.items() if name == "signature")
    words = package_words.explain(CARD, OWN, False, SAFE, [lines[0], signature, lines[-1]])
    assert "production firmware takes only packages that the vendor signed" in words
    kept = {"package": {"name": "Old", "version": "1.3.0.0"}, "safe_mode": False}
    other = next(line for line, name in LINES.items() if name == "other")
    words = package_words.explain(CARD, OWN, False, kept, [other])
    assert f"card {CARD} is with package Old 1.3.0.0, planned was package Own 1.0.0.1: the card kept another" in words
    words = package_words.explain(CARD, None, True, kept, [])
    assert words.endswith("planned was safe mode: the kernel's log does not say why")


class Programs:
    """Programs that answer as they are told, and remember what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []

    def execute(self, argv: Sequence[str], timeout_s: float, text: str = "") -> command.Done:
        line = " ".join(argv)
        self.asked.append(line)
        known = line in self.answers
        return command.Done(0 if known else 1, self.answers.get(line, ""), "" if known else "no")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs()
    monkeypatch.setattr(command, "execute", made.execute)
    return made


@pytest.mark.pain(1)
def test_the_log_of_one_device_since_a_moment(programs: Programs) -> None:
    programs.answers["dmesg"] = (
        "[   12.000001] ice 0000:17:00.0: one\n[   13.000001] ice 0000:17:00.1: other\n[14.5] ice 0000:17:00.0: two\n"
    )
    assert kernel_log.lines("0000:17:00.0") == ["ice 0000:17:00.0: one", "ice 0000:17:00.0: two"]
    assert kernel_log.told("0000:17:00.0", 1) == "; the kernel's log: two"
    assert kernel_log.since("0000:17:00.0", 9) == ["ice 0000:17:00.0: one", "ice 0000:17:00.0: two"]
    programs.answers.clear()
    assert kernel_log.told("0000:17:00.0", 0) == ""


@pytest.mark.pain(1)
def test_what_is_wrong_with_a_device_stands_beside_an_error(programs: Programs) -> None:
    folder = Path(__file__).resolve().parents[1] / "recorded" / "iproute2" / "6.1"
    programs.answers = {
        "devlink -j dev show netdevsim/netdevsim7": (folder / "dev-show-reload-failed.json").read_text(),
        "devlink -j health show": (folder / "health-show.json").read_text().replace('"healthy"', '"error"', 1),
    }
    words = kernel_log.told("netdevsim7", 0)
    assert words == (
        "; the last reload of netdevsim7 failed: devlink dev reload netdevsim/netdevsim7; empty says error"
    )
    assert kernel_log.troubles("netdevsim1") == []


ADDR = {"ifname": "eth1", "flags": ["BROADCAST", "UP"], "addr_info": [
    {"local": "192.0.2.1", "prefixlen": 24, "scope": "global"},
    {"local": "192.0.2.9", "prefixlen": 24, "scope": "global", "dynamic": True},
    {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
]}  # fmt: skip
ROUTES = [
    {"dst": "default", "gateway": "192.0.2.254", "protocol": "static", "metric": 100},
    {"dst": "192.0.2.0/24", "protocol": "kernel"},
]


def test_what_stood_on_a_device_is_put_back(programs: Programs, tmp_path: Path) -> None:
    programs.answers = {
        "ip -j addr show dev eth1": json.dumps([ADDR]),
        "ip -j -4 route show dev eth1": json.dumps(ROUTES),
    }
    nic_links.keep(["eth1"], tmp_path / "snapshot")
    back = ["ip link set dev eth1 up", "ip addr replace 192.0.2.1/24 dev eth1"]
    back.append("ip route replace default via 192.0.2.254 metric 100 dev eth1")
    programs.answers = {**dict.fromkeys(back, ""), "ip -j addr show dev eth1": json.dumps([{"flags": []}])}
    programs.asked.clear()
    nic_links.keep(["eth1"], tmp_path / "snapshot")  # a second time: the first look stays
    nic_links.restore(["eth1", "eth2"], tmp_path / "snapshot", 1.0)
    assert [line for line in programs.asked if " -j " not in line] == back
    del programs.answers[back[1]]
    with pytest.raises(AgentError, match="ip addr replace"):
        nic_links.restore(["eth1"], tmp_path / "snapshot", 1.0)


@pytest.mark.pain(1)
def test_waiting_ends_with_what_is_missing() -> None:
    seen = iter(["0 of 4", "2 of 4", None])
    waiting.until(lambda: next(seen), 5.0)
    with pytest.raises(AgentError, match="0 of 4 after 0 s"):
        waiting.until(lambda: "0 of 4", 0.0)


@pytest.mark.pain(25)
def test_the_devices_of_a_session_reach_down_to_what_a_bond_is_made_of(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysfs, "SYSFS", Sysfs(str(tmp_path)))
    for name in ("vlan7/lower_bond0", "bond0/lower_eth1", "bond0/lower_eth2", "eth1", "eth2"):
        (tmp_path / "class/net" / name).mkdir(parents=True, exist_ok=True)
    programs.answers["ip -j route get 192.0.2.7"] = '[{"dst":"192.0.2.7","dev":"vlan7"}]'
    monkeypatch.setattr(cards, "connection", lambda: None)
    assert cards.session_devices() == set()
    monkeypatch.setattr(cards, "connection", lambda: Connection("192.0.2.7 5000 192.0.2.1 22", 1, 0))
    assert cards.session_devices() == {"vlan7", "bond0", "eth1", "eth2"}
    programs.answers["ip -j route get 192.0.2.7"] = "not JSON"
    assert cards.session_devices() == set()


CHECK = {"function": plan_steps.PF0, "table": "flower", "rules": {}}


@pytest.mark.pain(27)
@pytest.mark.parametrize(
    ("offload", "target", "in_hw", "result", "words"),
    [
        ("required", "@pf0vf2.rep", True, "proved", "1 rules of flower are there, 1 of them in hardware"),
        ("preferred", "@pf0vf2.rep", True, "proved", "1 rules of flower are there, 1 of them in hardware"),
        ("software", "@pf0vf2.rep", False, "proved", "1 rules of flower are there, 0 of them in hardware"),
        ("preferred", "@pf0vf2.rep", False, "in software", "hardware did not take them: 1206/88b50001"),
        ("required", "@pf0vf2.rep", False, "failed", "1206/88b50001 is not in hardware"),
        ("required", "*", True, "failed", "1206/88b50001 has lost its target"),
        ("required", "eth9", True, "failed", "1206/88b50001 is not as planned"),
        ("required", None, True, "failed", "1206/88b50001 is not there"),
    ],
)
def test_rules_are_proved_in_hardware(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    offload: str,
    target: str | None,
    in_hw: bool,
    result: str,
    words: str,
) -> None:
    place = plan_steps.TO_VF_PLACE
    rule = {**plan_steps.TO_VF.document(), "offload": offload}
    shown = {} if target is None else {place: {**rule, "target": target}}
    config = {"device": "eth1", "flower": {"hook": True, "offload": True, "rules": shown}}
    monkeypatch.setattr(cards, "standing", lambda pci, paths: cards.Standing(config, {}, None))
    found = [Filter(pref=1206, handle=0x88B50001, protocol=0x8100, kind="flower", in_hw=in_hw)]
    monkeypatch.setattr(cards, "filters", lambda device: found)
    check = Check.parse({"id": "r", "check": "rules", "nic": "data0", "data": {**CHECK, "rules": {place: rule}}})
    [answer] = verify.local(Host(HostPaths(str(tmp_path))), "a", [], [check], {}, 1.0)
    assert answer["result"] == result
    assert words in answer["evidence"]


@pytest.mark.parametrize(
    "data", [{}, {**CHECK, "table": "u32"}, {**CHECK, "rules": {"x/y/z": {}}}, {**CHECK, "function": "eth1"}]
)
def test_checks_of_rules_are_read_strictly(data: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        Check.parse({"id": "r", "check": "rules", "nic": None, "data": data})


class Place:
    """A host's root with a folder for packages, a store and a run's snapshot."""

    def __init__(self, root: Path) -> None:
        self.paths = HostPaths(str(root))
        self.snapshot = root / "run" / "snapshot"
        self.snapshot.mkdir(parents=True)
        self.folder = root / "lib/firmware/updates/intel/ice/ddp"
        self.folder.mkdir(parents=True)
        self.path = self.folder / f"ice-{CARD}.pkg"

    def store(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        place = Path(self.paths.file(sha256))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return sha256

    def step(self, sha256: str | None, path: str | None = None) -> Step:
        data = DdpPackage(CARD, path or str(self.path), sha256, None)
        config = plan_steps.clean()
        config["cards"][CARD]["files"][data.path] = package_files.digest(Path(data.path))
        return make_step(data, config, self.paths, 1, "a", None)

    def take(self, *steps: Step) -> None:
        kept: dict[str, Any] = {"packages": package_files.keep(steps, self.snapshot)}
        (self.snapshot.parent / "snapshot.json").write_text(json.dumps(kept))

    def carry(self, sha256: str | None, path: str | None = None) -> None:
        data = DdpPackage(CARD, path or str(self.path), sha256, None)
        package_files.carry_out(data, self.paths, self.snapshot, 5.0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sysfs, "SYSFS", Sysfs(str(tmp_path / "sys")))
    return Place(tmp_path)


def test_a_package_is_placed_and_the_old_bytes_come_back(place: Place) -> None:
    place.path.write_bytes(b"old")
    sha256 = place.store(b"new")
    step = place.step(sha256)
    place.take(step)
    place.carry(sha256)
    assert place.path.read_bytes() == b"new"
    assert place.path.stat().st_mode & 0o777 == 0o644
    assert Path(place.paths.file(hashlib.sha256(b"old").hexdigest())).read_bytes() == b"old"
    place.carry(hashlib.sha256(b"old").hexdigest())
    assert place.path.read_bytes() == b"old"
    place.carry(None)
    place.carry(None)
    assert not place.path.exists()


def test_a_file_that_was_a_link_is_a_link_again(place: Place) -> None:
    (place.folder / "ice-1.3.36.0.pkg").write_bytes(b"old")
    link = place.folder / "ice.pkg"
    link.symlink_to("ice-1.3.36.0.pkg")
    sha256 = place.store(b"new")
    place.take(place.step(sha256, str(link)))
    place.carry(sha256, str(link))
    assert not link.is_symlink()
    assert (place.folder / "ice-1.3.36.0.pkg").read_bytes() == b"old"
    place.carry(hashlib.sha256(b"old").hexdigest(), str(link))
    assert (link.is_symlink(), link.read_bytes()) == (True, b"old")


def test_only_places_of_packages_and_only_the_bytes_that_were_named(place: Place) -> None:
    sha256 = place.store(b"new")
    with pytest.raises(AgentError, match="no place where the driver looks"):
        place.carry(sha256, f"{place.folder}/other.pkg")
    with pytest.raises(AgentError, match="no place where the driver looks"):
        place.carry(sha256, PLACE)  # of another root
    Path(place.paths.file(sha256)).write_bytes(b"spoilt")
    with pytest.raises(AgentError, match="no file of digest"):
        place.carry(sha256)
    assert package_files.missing([place.step(sha256), place.step(None)], place.paths) == [sha256]
    assert not place.path.exists()
