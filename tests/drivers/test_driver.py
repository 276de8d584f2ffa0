# SPDX-License-Identifier: Apache-2.0
"""The driver's part of loading a package: which file, what it says in the log, and when that is safe mode."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from tests.drivers.common.rules import seen
from tests.drivers.ice import sign
from tests.drivers.ice.driver import Loaded, Search, State, load
from tests.drivers.ice.firmware import GLOBAL_CONFIG, Firmware, PackageInfo
from tests.support.e810_packages import package_of, signed_bytes
from tests.support.e810_variants import variant, without_metadata

DSN = 0x0001_02FF_FF03_0405
OWN = f"ice-{DSN:016x}.pkg"
GOOD = sign.signed(variant())
RELEASE = "6.12.95+deb12-amd64"


def put(root: Path, where: str, content: bytes) -> None:
    path = root / "lib/firmware" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def loaded(root: Path, firmware: Firmware | None = None, **search: object) -> tuple[Loaded, list[str]]:
    log: list[str] = []
    place = Search(root, RELEASE, **search)  # type: ignore[arg-type]
    return load(firmware or Firmware(), "0000:17:00.0", DSN, place, log.append), log


def test_the_order_of_places(tmp_path: Path) -> None:
    """Each place wins over all that are tried after it; a file by serial number over every ice.pkg."""
    folder = "intel/ice/ddp"
    places = [f"{folder}/ice.pkg", f"{RELEASE}/{folder}/ice.pkg", f"updates/{folder}/ice.pkg"]
    places += [f"updates/{RELEASE}/{folder}/ice.pkg", f"{folder}/{OWN}", f"{RELEASE}/{folder}/{OWN}"]
    places += [f"updates/{folder}/{OWN}", f"updates/{RELEASE}/{folder}/{OWN}"]
    for number, place in enumerate(places):
        put(tmp_path, place, sign.signed(variant(version=(1, 3, number, 0))))
        found, _ = loaded(tmp_path)
        assert found.package is not None
        assert found.package.version[2] == number, place
    own = tmp_path / "opt/fw"
    own.mkdir(parents=True)
    (own / folder).mkdir(parents=True)
    (own / folder / OWN).write_bytes(sign.signed(variant(version=(1, 3, 99, 0))))
    found, _ = loaded(tmp_path, path="/opt/fw")
    assert found.package is not None
    assert found.package.version[2] == 99


def test_a_compressed_file_is_found_only_by_kernels_that_can(tmp_path: Path) -> None:
    put(tmp_path, "intel/ice/ddp/ice.pkg.xz", lzma.compress(GOOD))
    assert loaded(tmp_path)[0].state is State.NO_FILE
    assert loaded(tmp_path, compressed=True)[0].state is State.SUCCESS


def test_without_a_file_there_is_safe_mode(tmp_path: Path) -> None:
    found, log = loaded(tmp_path)
    assert found == Loaded(State.NO_FILE, None, None)
    assert found.safe_mode
    assert log == [
        "Direct firmware load for intel/ice/ddp/ice.pkg failed with error -2",
        "The DDP package file was not found or could not be read. Entering Safe Mode",
    ]


def test_a_file_by_serial_number_that_fails_is_final(tmp_path: Path) -> None:
    put(tmp_path, "intel/ice/ddp/ice.pkg", GOOD)
    put(tmp_path, f"intel/ice/ddp/{OWN}", b"rubbish")
    with seen() as bites:
        found, log = loaded(tmp_path)
    assert found.state is State.INVALID
    assert bites["ddp-no-fall-back"] == 1
    assert log == ["The DDP package file is invalid. Entering Safe Mode."]


NVM_OLD = PackageInfo("ICE NVM Package", (1, 2, 0, 0), 1, in_nvm=True)
RESULTS = [
    (GOOD, None, State.SUCCESS, "successfully loaded: ICE OS Default Package version 1.3.36.0"),
    (sign.signed(variant(version=(1, 4, 0, 0))), None, State.TOO_HIGH, "higher than the driver supports"),
    (sign.signed(variant(version=(2, 0, 0, 0))), None, State.TOO_HIGH, "higher than the driver supports"),
    (sign.signed(variant(version=(1, 2, 9, 9))), None, State.TOO_LOW, "The driver requires version 1.3.x.x"),
    (sign.signed(variant(), svn=0), None, State.REVISION, "security revision is too low"),
    (variant(), None, State.SIGNATURE, "signature is not valid"),
    (signed_bytes(), None, State.SIGNATURE, "signature is not valid"),
    (sign.signed(variant(), spoil="signature"), None, State.SIGNATURE, "signature is not valid"),
    (sign.signed(variant(), spoil="manifest"), None, State.LOAD_ERROR, "The device will be reset"),
    (sign.signed(variant(), spoil="buffer"), None, State.LOAD_ERROR, "The device will be reset"),
    (sign.signed(variant(segment_format=(2, 0))), None, State.MISMATCH, "Please update the device's NVM"),
    (GOOD, Firmware(nvm=NVM_OLD), State.MISMATCH, "Please update the device's NVM"),
    (GOOD[:500], None, State.INVALID, "package file is invalid"),
    (without_metadata(), None, State.INVALID, "package file is invalid"),
    (package_of("tether").to_bytes(), Firmware(verifies=False), State.SUCCESS, "loaded: Tether Parser version 1.3.1.0"),
]


@pytest.mark.parametrize(("content", "firmware", "state", "words"), RESULTS)
def test_every_result(tmp_path: Path, content: bytes, firmware: Firmware | None, state: State, words: str) -> None:
    put(tmp_path, "intel/ice/ddp/ice.pkg", content)
    found, log = loaded(tmp_path, firmware)
    assert found.state is state
    assert words in log[-1]
    assert found.safe_mode == (state is not State.SUCCESS)
    assert (found.package is not None) == (state is State.SUCCESS)


def test_what_another_function_has_loaded_stays(tmp_path: Path) -> None:
    firmware = Firmware(verifies=False)
    put(tmp_path, "intel/ice/ddp/ice.pkg", variant())
    assert loaded(tmp_path, firmware)[0].state is State.SUCCESS
    again, log = loaded(tmp_path, firmware)
    assert again.state is State.SAME
    assert log == ["DDP package already present on device: ICE OS Default Package version 1.3.36.0"]
    put(tmp_path, "intel/ice/ddp/ice.pkg", variant(version=(1, 3, 40, 0)))
    other, log = loaded(tmp_path, firmware)
    assert (other.state, other.safe_mode) == (State.COMPATIBLE, False)
    assert "compatible DDP package is already present" in log[0]
    assert other.package is not None
    assert other.package.version == (1, 3, 36, 0)
    firmware.active = PackageInfo("Older", (1, 2, 0, 0), 1, active=True)
    bad, log = loaded(tmp_path, firmware)
    assert (bad.state, bad.safe_mode) == (State.UNSUPPORTED, True)
    assert "The driver requires version 1.3.x.x.  Entering Safe Mode." in log[0]


def test_a_lock_that_another_holds_is_an_error(tmp_path: Path) -> None:
    firmware = Firmware()
    firmware.request(GLOBAL_CONFIG, "0000:17:00.1")
    put(tmp_path, "intel/ice/ddp/ice.pkg", GOOD)
    found, log = loaded(tmp_path, firmware)
    assert found.state is State.ERROR
    assert log == ["An unknown error occurred when loading the DDP package.  Entering Safe Mode."]
