# SPDX-License-Identifier: Apache-2.0
"""Signing segments that the emulated firmware believes: a keyed digest over a manifest of buffer digests.

The key stands below for everybody to read. Real firmware verifies with a key of Intel's and refuses all of this.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from tether_hw.nic.e810.ddp.container import BUFFER_SIZE, FORMAT_VERSION, SIGNING, Package
from tether_hw.nic.e810.ddp.info import downloaded

KEY = b"only the emulator of these tests believes this key"
SECTION = 0x2000  # of no table
MAGIC = b"emulated manifest\0\0\0"
_HEAD = struct.Struct("<20sII16s16s")  # magic, security version, digests, digest over them, keyed digest


def digest(raw: bytes) -> bytes:
    """Of one buffer, or of the list of digests."""
    return hashlib.blake2s(raw, digest_size=16).digest()


def _keyed(content: bytes) -> bytes:
    return hashlib.blake2s(content, digest_size=16, key=KEY[:32]).digest()


@dataclass(frozen=True)
class Manifest:
    """What one signing buffer says."""

    svn: int
    digests: tuple[bytes, ...]
    over: bytes
    signature: bytes

    @property
    def adds_up(self) -> bool:
        return digest(b"".join(self.digests)) == self.over

    @property
    def signature_holds(self) -> bool:
        return _keyed(struct.pack("<I", self.svn) + self.over) == self.signature

    @classmethod
    def read(cls, raw: bytes) -> Manifest:
        """Of a buffer that is_manifest."""
        _, svn, count, over, signature = _HEAD.unpack_from(raw, 16)
        at = 16 + _HEAD.size
        return cls(svn, tuple(raw[at + 16 * i : at + 16 * i + 16] for i in range(min(count, 240))), over, signature)


def is_manifest(raw: bytes) -> bool:
    """Whether a buffer is one of these."""
    return len(raw) == BUFFER_SIZE and raw[16 : 16 + len(MAGIC)] == MAGIC


def signed(package: bytes, svn: int = 1, spoil: str = "") -> bytes:
    """The package with a signing segment for what is downloaded of it.

    spoil: "signature", "manifest" or "buffer" makes just that wrong.
    """
    read = Package.read(package)
    assert not read.signing_segments and not any(read.gaps)
    config = read.configuration()
    count = downloaded(config)
    digests = [digest(bytes(buffer.data)) for buffer in config.buffers[:count]]
    if spoil == "buffer":
        digests[-1] = bytes(16)
    over = digest(b"".join(digests))
    if spoil == "manifest":
        digests[0] = bytes(16)
    signature = _keyed(struct.pack("<I", svn) + over)
    if spoil == "signature":
        signature = bytes(16)
    body = _HEAD.pack(MAGIC, svn, len(digests), over, signature) + b"".join(digests)
    buffer = struct.pack("<HHIHH", 1, 16 + len(body), SECTION, 16, len(body)).ljust(16, b"\0") + body
    fields = struct.pack("<6I", config.type, 1, read.segments.index(config), 0, count, 0x8000_0001)
    rest = fields + bytes(40) + struct.pack("<I", 1) + buffer.ljust(BUFFER_SIZE, b"\0")
    head = struct.pack("<I4BI", SIGNING, 1, 0, 0, 0, 44 + len(rest)) + b"signature".ljust(32, b"\0")
    old = len(read.segments)
    offsets = [offset + 4 for offset in struct.unpack_from(f"<{old}I", package, 8)] + [len(package) + 4]
    start = bytes(FORMAT_VERSION) + struct.pack(f"<I{old + 1}I", old + 1, *offsets)
    return start + package[8 + 4 * old :] + head + rest
