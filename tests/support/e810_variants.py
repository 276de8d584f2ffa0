# SPDX-License-Identifier: Apache-2.0
"""The tree's package as other packages: another name, version, track id or segment format; broken on purpose."""

from __future__ import annotations

import struct

from tests.support.e810_packages import package_of
from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.sections import METADATA_SECTION


def variant(
    name: str = "ICE OS Default Package",
    version: tuple[int, int, int, int] = (1, 3, 36, 0),
    track: int = 0xC000_0001,
    segment_format: tuple[int, int] | None = None,
) -> bytes:
    """A package without a signing segment that calls itself so."""
    package = Package.read(package_of("plain").to_bytes())
    config = package.configuration()
    for buffer, section in package.sections(config):
        if section.type == METADATA_SECTION:
            text = name.encode("latin-1").ljust(28, b"\0")
            buffer.data[section.offset : section.offset + 36] = bytes(version) + text + struct.pack("<I", track)
    if segment_format is not None:
        config.prefix = config.prefix[:4] + bytes(segment_format) + config.prefix[6:]
    return package.to_bytes()


def without_metadata() -> bytes:
    """A package whose metadata section carries a number of no meaning: drivers do not find who it is."""
    package = Package.read(package_of("plain").to_bytes())
    buffer = package.configuration().buffers[0]
    for index, section in enumerate(buffer.sections):
        if section.type == METADATA_SECTION:
            struct.pack_into("<I", buffer.data, 4 + 8 * index, 0x1FF)
    return package.to_bytes()
