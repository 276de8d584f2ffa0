# SPDX-License-Identifier: Apache-2.0
"""Archives of the form that the kernel unpacks at boot (cpio, "newc"): several in one file follow one another."""

from __future__ import annotations

import gzip
import stat
from dataclasses import dataclass, field

MAGIC = b"070701"
END = "TRAILER!!!"


@dataclass
class Archive:
    """Folders above a file are made with it."""

    _parts: list[bytes] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def folder(self, name: str, mode: int = 0o755) -> None:
        if name in self._names:
            return
        above = name.rpartition("/")[0]
        if above:
            self.folder(above)
        self._add(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        above = name.rpartition("/")[0]
        if above:
            self.folder(above)
        self._add(name, stat.S_IFREG | mode, content)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        if name.startswith("/") or name in self._names:
            raise ValueError(f"{name}: not a new relative path")
        self._names.add(name)
        self._parts.append(entry(len(self._names), name, mode, content))

    def bytes(self) -> bytes:
        """Packed, with its end mark."""
        return gzip.compress(b"".join(self._parts) + entry(0, END, 0, b""), 6, mtime=0)


def entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    # inode, mode, user, group, links, time, size, four device numbers, length of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = MAGIC + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
    return padded(head) + padded(content)


def padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
