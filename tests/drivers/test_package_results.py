# SPDX-License-Identifier: Apache-2.0
"""Every way in which loading a package ends, through a whole transaction: kept, or taken back with the reason."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.common.transaction import Applied, Scene
from tests.drivers.ice import sign
from tests.drivers.ice.build import DSN, FILE, PF0, machine, put
from tests.drivers.ice.draws import Picture
from tests.drivers.ice.firmware import Firmware, PackageInfo
from tests.support.e810_variants import variant, without_metadata
from tether_hw.fleet import packages
from tether_hw.nic.e810.package import PackageFile, judge

OLD = sign.signed(variant(), svn=2)
NEW = (1, 3, 77, 0)
OWN = f"/lib/firmware/updates/intel/ice/ddp/ice-{DSN:016x}.pkg"


def apply(scene: Scene, content: bytes, signature: str = "required", queues: int | None = None) -> Applied:
    """Ask for this package on the first port, plan and apply."""
    ddp = {"package": "new.pkg", "sha256": hashlib.sha256(content).hexdigest(), "signature": signature}
    nic: dict[str, Any] = {"family": "e810", "device": {"pci": PF0}, "ddp": ddp}
    if queues is not None:
        nic["queues"] = queues
    inventory = scene.inventory({"east": nic}, {"new.pkg": content})
    plan = scene.plan(inventory)
    assert plan.refusals == (), plan.refusals
    return scene.apply(inventory, plan)


def loads(scene: Scene) -> list[str]:
    """What each function works with."""
    found = []
    for function in scene.machine.functions:
        loaded = function.loaded
        if loaded is not None and loaded.safe_mode:
            found.append("safe mode")
        elif loaded is not None and loaded.package is not None:
            found.append(".".join(map(str, loaded.package.version)))
    return found


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that sees no harm in any file: what is wrong shows only on the host."""

    def blind(asked: Any, data: bytes, overlay: str) -> tuple[PackageFile, bytes]:
        file, data = judge(asked, data, overlay)
        name = file.name or "ICE OS Default Package"
        sha256 = hashlib.sha256(data).hexdigest()
        return replace(file, refusals=(), sha256=sha256, name=name, version=file.version or "1.3.36.0"), data

    monkeypatch.setattr(packages, "judge", blind)


def test_loaded_by_the_first_function_and_there_for_the_second(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path, OLD), tmp_path)
    begin = len(scene.machine.kernel_log)
    applied = apply(scene, sign.signed(variant(version=NEW), svn=2))
    assert applied.state == "confirmed", applied.why
    assert loads(scene) == ["1.3.77.0", "1.3.77.0"]
    said = " ".join(scene.machine.kernel_log[begin:])
    assert "The DDP package was successfully loaded: ICE OS Default Package version 1.3.77.0" in said
    assert "DDP package already present on device: ICE OS Default Package version 1.3.77.0" in said
    assert scene.roll_back(applied)["restored"]
    assert loads(scene) == ["1.3.36.0", "1.3.36.0"]
    assert not (tmp_path / OWN.lstrip("/")).exists()


@pytest.mark.pain(19)
def test_out_of_safe_mode_and_back_into_it(tmp_path: Path) -> None:
    scene = Scene(machine(tmp_path, None), tmp_path)
    assert loads(scene) == ["safe mode", "safe mode"]
    before = Picture.of(scene.machine)
    applied = apply(scene, OLD, queues=4)
    assert applied.state == "confirmed", applied.why
    assert loads(scene) == ["1.3.36.0", "1.3.36.0"]
    assert scene.roll_back(applied)["restored"]
    assert not before.differences(Picture.of(scene.machine))


FAILS: list[tuple[str, bytes, str, str]] = [
    ("signature", variant(version=NEW), "none", "found no signature or not a good one"),
    ("signature", sign.signed(variant(version=NEW), 2, "signature"), "required", "that the vendor signed"),
    ("security-revision", sign.signed(variant(version=NEW), 1), "required", "bars this security revision"),
    (
        "device-error",
        sign.signed(variant(version=NEW), 2, "manifest"),
        "required",
        "does not agree with the signed",
    ),
    (
        "device-error",
        sign.signed(variant(version=NEW), 2, "buffer"),
        "required",
        "does not agree with the signed",
    ),
    ("too-new", sign.signed(variant(version=(1, 4, 0, 0)), 2), "required", "too new for this driver"),
    ("too-old", sign.signed(variant(version=(1, 2, 0, 0)), 2), "required", "too old for this driver"),
    (
        "firmware",
        sign.signed(variant(version=NEW, segment_format=(2, 0)), 2),
        "required",
        "firmware (NVM) does not go with",
    ),
    ("invalid", sign.signed(without_metadata(), 2), "required", "no package that this driver can read"),
]


@pytest.mark.usefixtures("unjudged")
@pytest.mark.parametrize(("name", "content", "signature", "words"), FAILS)
def test_what_the_card_does_not_take_is_taken_back_with_the_reason(
    tmp_path: Path,
    name: str,
    content: bytes,
    signature: str,
    words: str,
) -> None:
    scene = Scene(machine(tmp_path, None, bound=False), tmp_path)
    put(tmp_path, OLD)
    for function in scene.machine.functions:
        function.card.firmware.least_svn = 2
        function.bind()
    before = Picture.of(scene.machine)
    applied = apply(scene, content, signature)
    assert applied.state == "rolled-back", applied.why
    assert words in applied.why
    assert f"({name}; the driver: ice {PF0}: " in applied.why
    assert f"card {DSN:016x} is in safe mode, planned was package ICE OS Default Package" in applied.why
    record = applied.run.journal.last("revert", "end")
    assert record is not None
    assert record["restored"], record
    assert not before.differences(Picture.of(scene.machine))
    assert loads(scene) == ["1.3.36.0", "1.3.36.0"]
    assert (tmp_path / FILE).read_bytes() == OLD


@pytest.mark.pain(16, 18)
def test_another_package_that_stays_on_the_card_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(machine(tmp_path, OLD), tmp_path)
    monkeypatch.setattr(Firmware, "reset", lambda self: None)  # another system's function holds the card
    applied = apply(scene, sign.signed(variant(version=NEW), svn=2))
    assert applied.state == "rolled-back"
    assert "the card kept another package" in applied.why
    assert "(other; the driver:" in applied.why
    assert (
        "is with package ICE OS Default Package 1.3.36.0, planned was package ICE OS Default Package 1.3.77.0"
        in applied.why
    )
    assert loads(scene) == ["1.3.36.0", "1.3.36.0"]


def test_one_that_the_driver_does_not_support_and_that_stays_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(machine(tmp_path, None), tmp_path)
    firmware = scene.machine.cards[0].firmware
    firmware.active = PackageInfo("ICE OS Default Package", (2, 0, 0, 0), 1, active=True)
    monkeypatch.setattr(Firmware, "reset", lambda self: None)
    applied = apply(scene, OLD, queues=4)
    assert applied.state == "rolled-back"
    assert "(unsupported; the driver:" in applied.why
    assert loads(scene) == ["safe mode", "safe mode"]
