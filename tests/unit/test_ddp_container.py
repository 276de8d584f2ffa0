# SPDX-License-Identifier: Apache-2.0
"""The package reader: what it reads it writes back byte for byte, and nothing makes it fail but its one error."""

from __future__ import annotations

import random
import struct

import pytest

from tests.support.ddp_fuzz import run_inputs
from tests.support.e810_packages import package_of, signed_bytes
from tether_hw.nic.e810.ddp import container
from tether_hw.nic.e810.ddp.container import BUFFER_SIZE, Package
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.info import describe
from tether_hw.nic.e810.ddp.tables import Tables

pytestmark = pytest.mark.unit
FUZZ_INPUTS = 20_000


def _with_unknown_segment() -> bytes:
    """Two segments and an unknown one before them, with bytes of nobody between and behind."""
    raw = package_of("tether").to_bytes()
    _count, first, second = struct.unpack_from("<III", raw, 4)
    unknown = struct.pack("<I4BI", 0x4711, 9, 8, 7, 6, 44 + 5) + b"from elsewhere".ljust(32, b"\0") + b"hello"
    shift = 4 + 3 + len(unknown)
    table = struct.pack("<I3I", 3, first + shift, second + shift + 2, 20 + 3)
    return raw[:4] + table + b"gap" + unknown + raw[first:second] + b"!!" + raw[second:] + b"the end"


def _dirty() -> bytes:
    """Gaps between sections and the tail of a buffer filled with what no field describes."""
    package = package_of("tether")
    for buffer in package.configuration().buffers:
        used = {i for section in buffer.sections for i in range(section.offset, section.offset + section.size)}
        used |= set(range(4 + 8 * len(buffer.sections)))
        for at in set(range(BUFFER_SIZE)) - used:
            buffer.data[at] = at % 251
    return package.to_bytes()


PACKAGES = {
    "tether": lambda: package_of("tether").to_bytes(),
    "plain": lambda: package_of("plain").to_bytes(),
    "overlay": lambda: package_of("overlay").to_bytes(),
    "signed": signed_bytes,
    "unknown-segment": _with_unknown_segment,
    "dirty": _dirty,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_read_and_write_are_byte_exact(name: str) -> None:
    raw = PACKAGES[name]()
    assert Package.read(raw).to_bytes() == raw
    assert describe(raw)["bytes"] == len(raw)


@pytest.mark.parametrize("name", ["tether", "overlay", "dirty"])
def test_every_entry_is_encoded_as_it_was(name: str) -> None:
    from tether_hw.nic.e810.ddp.sections import BY_NAME

    tables = Tables.read(Package.read(PACKAGES[name]()))
    assert sum(map(len, tables.entries.values())) > 100
    for table, entries in tables.entries.items():
        layout = BY_NAME[table].layout
        for entry in entries:
            assert layout.encode(entry.row) == entry.raw
            assert layout.encode({}, bytes([0xFF]) * layout.size) == bytes([0xFF]) * layout.size


def test_reserved_bits_survive_an_edit() -> None:
    from tether_hw.nic.e810.ddp.fields import IMEM

    raw = bytes(47) + b"\xf0"
    edited = IMEM.encode({"boost_priority": 7}, raw)
    assert edited[47] == 0xF0 and IMEM.decode(edited)["boost_priority"] == 7


def test_a_signed_package_is_told_as_signed() -> None:
    document = describe(signed_bytes())
    assert document["signed"] is True
    assert document["segments"][2]["signing"]["sign_type_name"] == "RSA2K"
    gates = {gate["gate"]: gate["verdict"] for gate in document["drivers"]}
    assert gates["signature"] == "depends"


def test_an_unsigned_package_will_be_refused_by_firmware_and_we_say_so() -> None:
    gates = {gate["gate"]: gate for gate in describe(package_of("tether").to_bytes())["drivers"]}
    assert gates["signature"]["verdict"] == "refused"
    assert "safe mode" in gates["signature"]["why"]


def _patched(at: int, text: str, *values: int) -> bytes:
    raw = bytearray(package_of("tether").to_bytes())
    struct.pack_into(text, raw, at, *values)
    return bytes(raw)


def _config_offset() -> int:
    return int(struct.unpack_from("<I", package_of("tether").to_bytes(), 12)[0])


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (lambda base: _patched(0, "<B", 2), "only 1.0.0.0 is known"),
        (lambda base: _patched(4, "<I", 0), "1 to 256 can be"),
        (lambda base: _patched(4, "<I", 0xFFFFFFFF), "1 to 256 can be"),
        (lambda base: _patched(12, "<I", 0xFFFFFFF0), "leaves the file"),
        (lambda base: _patched(12, "<I", 17), "inside what stands before it"),
        (lambda base: _patched(base + 8, "<I", 20), "20 bytes from"),
        (lambda base: _patched(base + 44, "<I", 0x1FFFFFFF), "devices do not fit"),
        (lambda base: _patched(base + 48, "<I", 0x3FFFFFFF), "NVM versions do not fit"),
        (lambda base: _patched(base + 52, "<I", 1000), "buffers do not fit"),
        (lambda base: _patched(base + 56, "<H", 0), "1 to 511 can be"),
        (lambda base: _patched(base + 56, "<H", 512), "1 to 511 can be"),
        (lambda base: _patched(base + 58, "<H", 5000), "its data ends at 5000"),
        (lambda base: _patched(base + 64, "<H", 2), "data begins behind the table"),
        (lambda base: _patched(base + 64, "<H", 4092), "leave the buffer"),
        (lambda base: _patched(base + 64, "<HH", 4090, 6), "no multiple of 4"),
        (lambda base: _patched(base + 66, "<H", 4084 - 200), "overlap"),
    ],
)
def test_what_does_not_hold_together_is_named(patch: object, words: str) -> None:
    raw = patch(_config_offset())  # type: ignore[operator]
    with pytest.raises(DdpError, match=words) as caught:
        Package.read(raw)
    assert caught.value.offset >= 0


def test_an_archive_is_recognised() -> None:
    with pytest.raises(DdpError) as caught:
        Package.read(b"\x28\xb5\x2f\xfd" + bytes(100))
    assert caught.value.hint == "it looks like zstd; unpack it first"


def test_counts_beyond_a_section_are_named() -> None:
    package = package_of("tether")
    buffer = package.configuration().buffers[0]
    section = next(section for section in buffer.sections if section.type == 50)
    struct.pack_into("<H", buffer.data, section.offset, 60_000)
    with pytest.raises(DdpError, match="60000 entries of 16 bytes do not fit"):
        Tables.read(package)


def test_fuzzed_files_raise_only_the_one_error() -> None:
    seeds = [make() for make in PACKAGES.values()]
    report = run_inputs(seeds, random.Random(7), FUZZ_INPUTS)
    assert report.faults == []
    assert report.inputs == FUZZ_INPUTS
    assert report.refused > FUZZ_INPUTS // 20
    assert report.accepted > FUZZ_INPUTS // 20
    assert report.most_bytes < 64 << 20


def test_the_largest_file_is_bounded() -> None:
    with pytest.raises(DdpError, match="more than a package can have"):
        Package.read(bytes(container.MOST_FILE_BYTES + 1))
