# SPDX-License-Identifier: Apache-2.0
"""Packages for tests: all made here from the tree's profile, some with what only other people's packages have."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from tether_hw.fleet.parser_source import read_profile, source_of
from tether_hw.nic.e810.ddp.build import lay_over, new_package
from tether_hw.nic.e810.ddp.container import FORMAT_VERSION, SIGNING, Package
from tether_hw.nic.e810.ddp.source.compile import compile_source
from tether_hw.nic.e810.ddp.tables import Tables

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "profiles" / "e810" / "tether.yaml"


@cache
def _bytes_of(name: str, version: str | None = None) -> bytes:
    profile = read_profile(PROFILE)
    if version is not None:
        profile = profile.model_copy(update={"version": version})
    plain = profile.model_copy(update={"tether": None})
    if name == "tether":
        return new_package(compile_source(source_of(profile))).to_bytes()
    package = new_package(compile_source(source_of(plain)))
    if name == "overlay":
        lay_over(package, compile_source(source_of(profile, overlay=True), Tables.read(package)))
    return package.to_bytes()


def package_of(name: str) -> Package:
    """tether (the profile), plain (without its Tether part), or overlay (the part laid over the plain one)."""
    return Package.read(_bytes_of(name))


def package_bytes(name: str, version: str | None = None) -> bytes:
    """The same as a file, of another version when one is given; `signed` is the plain one with a signing segment."""
    if name == "rubbish":
        return b"no package at all"
    return signed_bytes(version=version) if name == "signed" else _bytes_of(name, version)


def signed_bytes(sign_type: int = 1, version: str | None = None) -> bytes:
    """A package with a signing segment; the signature is rubbish, as no key of ours could make it otherwise."""
    package = Package.read(_bytes_of("plain", version))
    buffers = len(package.configuration().buffers)
    body = struct.pack("<6I", 0x10, sign_type, 1, 0, buffers, 0x8000_0001) + b"\xa5" * 40 + struct.pack("<I", 0)
    head = struct.pack("<I4BI", SIGNING, 1, 0, 0, 0, 44 + len(body)) + b"signature".ljust(32, b"\0")
    raw = package.to_bytes()
    count, first, second = struct.unpack_from("<III", raw, 4)
    offsets = [first + 4, second + 4, len(raw) + 4]
    return bytes(FORMAT_VERSION) + struct.pack("<I3I", count + 1, *offsets) + raw[16:] + head + body
