# SPDX-License-Identifier: Apache-2.0
"""The model's part of /sys as a file system of a host made of namespaces: the kernel's FUSE protocol, spoken here.

Requests come from a descriptor of /dev/fuse that is mounted in the host; no library and no program is needed for it.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
import traceback
from collections.abc import Callable

from tests.drivers.common.sysfs import Dir, Link, Node, SysFs

LOOKUP, FORGET, GETATTR, SETATTR, READLINK = 1, 2, 3, 4, 5
OPEN, READ, WRITE, STATFS, RELEASE, FLUSH = 14, 15, 16, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT = 26, 27, 28, 29, 34, 36
DESTROY, BATCH_FORGET = 38, 42
UNANSWERED = {FORGET, BATCH_FORGET, INTERRUPT}
DIRECT_IO = 1
REQUEST_BYTES = (1 << 17) + 4096
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIIIHHIIHHI28x")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")


class Mount:
    """Serves one folder of the model on a descriptor of /dev/fuse. top: its path below /sys.

    passes: name -> link target, for entries of the folder that are the host's own.
    """

    def __init__(
        self, descriptor: int, sysfs: SysFs, top: str, lock: threading.RLock, passes: dict[str, str] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.sysfs = sysfs
        self.top = top
        self.lock = lock
        self.passes = passes or {}
        self.faults: list[str] = []
        self.paths = {1: ""}
        self.numbers = {"": 1}
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw = os.read(self.descriptor, REQUEST_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # unmounted, or the descriptor was closed
            if not self._answer(raw):
                return

    def _answer(self, raw: bytes) -> bool:
        head: tuple[int, ...] = _IN.unpack_from(raw)
        code, unique, number = head[1:4]
        body = raw[_IN.size :]
        if code in UNANSWERED:
            return True
        try:
            with self.lock:
                answer, trouble = self._handle(code, number, body), 0
        except OSError as error:
            answer, trouble = b"", -(error.errno or errno.EIO)
        except Exception:  # noqa: BLE001 - a fault of the model must not leave its reader hanging
            self.faults.append(traceback.format_exc())
            answer, trouble = b"", -errno.EIO
        try:
            os.write(self.descriptor, _OUT.pack(_OUT.size + len(answer), trouble, unique) + answer)
        except OSError as error:
            if error.errno != errno.ENOENT:  # the asker was interrupted
                return False
        return code != DESTROY

    def _handle(self, code: int, number: int, body: bytes) -> bytes:
        handlers: dict[int, Callable[[int, bytes], bytes]] = {
            INIT: self._init,
            LOOKUP: self._lookup,
            GETATTR: lambda number, body: struct.pack("<QII", 0, 0, 0) + self._attr(number),
            SETATTR: lambda number, body: struct.pack("<QII", 0, 0, 0) + self._attr(number),
            READLINK: self._readlink,
            OPEN: self._open,
            OPENDIR: self._open,
            READ: self._read,
            WRITE: self._write,
            READDIR: self._readdir,
        }
        if code in handlers:
            return handlers[code](number, body)
        if code == STATFS:
            return struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        if code in (RELEASE, RELEASEDIR, FLUSH, ACCESS, DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def _init(self, number: int, body: bytes) -> bytes:
        _, minor, ahead, _ = struct.unpack_from("<IIII", body)
        return _INIT.pack(7, min(minor, 31), ahead, 0, 16, 12, 1 << 16, 1, 16, 0, 0)

    def _node(self, path: str) -> Node:
        if path in self.passes:
            return Link(self.passes[path])
        node = self.sysfs.node(f"{self.top}/{path}" if path else self.top)
        if isinstance(node, Dir) and not path:
            return Dir(tuple(sorted({*node.names, *self.passes})))
        return node

    def _lookup(self, number: int, body: bytes) -> bytes:
        name = body.rstrip(b"\0").decode()
        path = f"{self.paths[number]}/{name}".lstrip("/")
        self._node(path)
        child = self.numbers.setdefault(path, len(self.numbers) + 1)
        self.paths[child] = path
        return struct.pack("<QQQQII", child, 0, 0, 0, 0, 0) + self._attr(child)

    def _attr(self, number: int) -> bytes:
        node = self._node(self.paths[number])
        size = 4096
        if isinstance(node, Dir):
            mode = stat.S_IFDIR | 0o755
        elif isinstance(node, Link):
            mode, size = stat.S_IFLNK | 0o777, len(node.target)
        else:
            mode = stat.S_IFREG | (0o444 if node.content is not None else 0) | (0o200 if node.write else 0)
        return _ATTR.pack(number, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _readlink(self, number: int, body: bytes) -> bytes:
        node = self._node(self.paths[number])
        if not isinstance(node, Link):
            raise OSError(errno.EINVAL, "")
        return node.target.encode()

    def _open(self, number: int, body: bytes) -> bytes:
        self.sysfs.machine.look()
        self._node(self.paths[number])
        return struct.pack("<QII", 0, DIRECT_IO, 0)

    def _read(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        content = self.sysfs.read_bytes(f"{self.top}/{self.paths[number]}")
        return content[offset : offset + size]

    def _write(self, number: int, body: bytes) -> bytes:
        _, _, size = struct.unpack_from("<QQI", body)
        self.sysfs.write(f"{self.top}/{self.paths[number]}", body[40 : 40 + size].decode())
        return struct.pack("<II", size, 0)

    def _readdir(self, number: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        node = self._node(self.paths[number])
        if not isinstance(node, Dir):
            raise OSError(errno.ENOTDIR, "")
        answer = b""
        for at, name in enumerate(node.names[offset:], offset + 1):
            raw = name.encode()
            entry = struct.pack("<QQII", at + 1, at, len(raw), 0) + raw
            entry += bytes(-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer
