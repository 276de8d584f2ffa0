# SPDX-License-Identifier: Apache-2.0
"""The firmware emulator: order, locks, metadata, verification; packages are built by the tree's own code."""

from __future__ import annotations

from tests.drivers.ice import sign
from tests.drivers.ice.firmware import CHANGE, GLOBAL_CONFIG, UPDATABLE, Aq, Firmware, Result
from tests.support.e810_packages import package_of, signed_bytes
from tests.support.e810_variants import variant
from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.info import downloaded

PF0, PF1 = "0000:17:00.0", "0000:17:00.1"


def buffers(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """What proves a package, and what is downloaded of it."""
    package = Package.read(data)
    config = package.configuration()
    proof = [bytes(buffer.data) for segment in package.signing_segments for buffer in segment.buffers]
    return proof, [bytes(buffer.data) for buffer in config.buffers[: downloaded(config)]]


def send(firmware: Firmware, data: bytes, holder: str = PF0) -> Result:
    """All buffers until one is refused; the lock is taken and given back."""
    proof, tables = buffers(data)
    assert firmware.request(GLOBAL_CONFIG, holder) == "granted"
    result = Result(Aq.OK)
    for number, raw in enumerate(proof + tables, 1):
        result = firmware.download(holder, raw, last=number == len(proof + tables))
        if result.code is not Aq.OK:
            break
    firmware.release(GLOBAL_CONFIG, holder)
    return result


def test_a_signed_package_becomes_active() -> None:
    firmware = Firmware()
    assert send(firmware, sign.signed(variant(version=(1, 3, 36, 0), track=7))).code is Aq.OK
    assert firmware.active is not None
    assert (firmware.active.name, firmware.active.version, firmware.active.track) == (
        "ICE OS Default Package",
        (1, 3, 36, 0),
        7,
    )
    assert [info.in_nvm for info in firmware.packages()] == [True, False]


def test_every_package_of_the_tree_downloads_where_nothing_is_verified() -> None:
    for name in ("tether", "plain", "overlay"):
        firmware = Firmware(verifies=False)
        assert send(firmware, package_of(name).to_bytes()).code is Aq.OK, name
        assert firmware.active is not None
        assert firmware.active.name == "Tether Parser"


def test_verification_codes() -> None:
    package = variant()
    wrong = {
        Aq.ENOSEC: package,
        Aq.EBADSIG: sign.signed(package, spoil="signature"),
        Aq.ESVN: sign.signed(package, svn=0),
        Aq.EBADMAN: sign.signed(package, spoil="manifest"),
        Aq.EBADBUF: sign.signed(package, spoil="buffer"),
    }
    assert [int(code) for code in wrong] == [24, 25, 26, 27, 28]
    for code, data in wrong.items():
        firmware = Firmware()
        assert send(firmware, data).code is code
        assert firmware.active is None
        assert send(firmware, sign.signed(package)).code is Aq.OK  # a refused download leaves nothing behind


def test_a_signing_segment_of_rubbish_is_no_manifest() -> None:
    assert send(Firmware(), signed_bytes()).code is Aq.ENOSEC


def test_only_the_holder_of_the_lock_downloads() -> None:
    firmware = Firmware(verifies=False)
    _, tables = buffers(package_of("plain").to_bytes())
    assert firmware.download(PF0, tables[0], last=True).code is Aq.EPERM
    assert firmware.request(GLOBAL_CONFIG, PF0) == "granted"
    assert firmware.request(GLOBAL_CONFIG, PF1) == "busy"
    assert firmware.download(PF1, tables[0], last=True).code is Aq.EPERM
    firmware.release(GLOBAL_CONFIG, PF1)  # of somebody else's nothing comes
    assert firmware.download(PF0, tables[0], last=True).code is Aq.OK
    firmware.release(GLOBAL_CONFIG, PF0)
    assert firmware.request(GLOBAL_CONFIG, PF1) == "no work"


def test_a_lock_runs_out() -> None:
    firmware = Firmware(verifies=False)
    _, tables = buffers(package_of("plain").to_bytes())
    assert firmware.request(GLOBAL_CONFIG, PF0) == "granted"
    firmware.now_ms += 3000
    assert firmware.download(PF0, tables[0], last=True).code is Aq.EPERM
    assert firmware.request(GLOBAL_CONFIG, PF1) == "granted"


def test_buffers_have_one_size_and_one_order() -> None:
    data = sign.signed(package_of("overlay").to_bytes())
    proof, tables = buffers(data)
    assert len(tables) == 2
    firmware = Firmware()
    assert firmware.request(GLOBAL_CONFIG, PF0) == "granted"
    assert firmware.download(PF0, proof[0], last=False).code is Aq.OK
    assert firmware.download(PF0, tables[1], last=False) == Result(Aq.EBADBUF, info=0)
    assert firmware.download(PF0, tables[0], last=False).code is Aq.EINVAL  # the download has failed
    firmware.reset()
    assert firmware.request(GLOBAL_CONFIG, PF0) == "granted"
    assert firmware.download(PF0, proof[0][:100], last=False).code is Aq.EINVAL


def test_a_package_that_ends_too_early_is_no_package() -> None:
    proof, tables = buffers(sign.signed(package_of("overlay").to_bytes()))
    firmware = Firmware()
    firmware.request(GLOBAL_CONFIG, PF0)
    firmware.download(PF0, proof[0], last=False)
    assert firmware.download(PF0, tables[0], last=True).code is Aq.EBADBUF
    assert firmware.active is None


def test_metadata_is_never_downloaded() -> None:
    package = package_of("plain")
    labels = bytes(package.configuration().buffers[-1].data)
    firmware = Firmware(verifies=False)
    firmware.request(GLOBAL_CONFIG, PF0)
    assert firmware.download(PF0, labels, last=True) == Result(Aq.EINVAL, offset=4)


def test_update_needs_a_package_its_lock_and_known_sections() -> None:
    firmware = Firmware(verifies=False)
    package = package_of("plain")
    config = package.configuration()
    boost = next(s for _, s in package.sections(config) if s.type == 56)
    content = config.buffers[0].content(boost)
    raw = bytearray(b"\1\0\0\0" + (56).to_bytes(4, "little") + (12).to_bytes(2, "little"))
    raw += len(content).to_bytes(2, "little") + content
    raw[2:4] = len(raw).to_bytes(2, "little")
    assert firmware.update(PF0, bytes(raw)).code is Aq.EPERM
    assert firmware.request(CHANGE, PF0) == "granted"
    assert firmware.update(PF0, bytes(raw)).code is Aq.ENOENT
    assert send(firmware, package.to_bytes()).code is Aq.OK
    assert firmware.update(PF0, bytes(raw)).code is Aq.OK
    assert firmware.updates == 1
    raw[4:8] = (50).to_bytes(4, "little")
    assert 50 not in UPDATABLE
    assert firmware.update(PF0, bytes(raw)).code is Aq.EINVAL


def test_a_reset_leaves_the_nvm_package() -> None:
    firmware = Firmware(verifies=False)
    assert send(firmware, package_of("plain").to_bytes()).code is Aq.OK
    assert firmware.request(GLOBAL_CONFIG, PF1) == "no work"
    firmware.reset()
    assert [info.name for info in firmware.packages()] == ["ICE NVM Package"]
    assert firmware.request(GLOBAL_CONFIG, PF1) == "granted"
