# SPDX-License-Identifier: Apache-2.0
"""A part of /sys: paths into a model, for agents in this process and, by FUSE, for those on a host."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drivers.common.rules import Refused


@dataclass(frozen=True)
class Dir:
    names: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class File:
    """content: None where it cannot be read; write: None where it cannot be written."""

    content: bytes | None
    write: Callable[[str], None] | None = None


Node = Dir | Link | File
Tree = dict[str, "Tree | Node"]


class SysFs(ABC):
    """Paths are below /sys, without a leading slash."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def node(self, path: str) -> Node:
        """What lies at a path; links inside it are followed, a last one is not. Raises OSError."""
        return self._find(path.strip("/"), 0)

    def _find(self, path: str, depth: int) -> Node:
        if depth > 8:
            raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)
        here: Tree | Node = self._root()
        parts = [part for part in path.split("/") if part and part != "."]
        for at, part in enumerate(parts):
            if isinstance(here, Link):
                base = "/".join(parts[: at - 1])
                return self._find("/".join([join(base, here.target), *parts[at:]]), depth + 1)
            if not isinstance(here, dict) or part not in here:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"/sys/{path}")
            here = here[part]
        return Dir(tuple(sorted(here))) if isinstance(here, dict) else here

    def follow(self, path: str) -> Node:
        """The same, a last link followed too."""
        found = self.node(path)
        if isinstance(found, Link):
            return self.node(join(path.strip("/").rpartition("/")[0], found.target))
        return found

    # What an agent does

    def read(self, path: str) -> str:
        self.machine.look()
        return self.read_bytes(path).decode()

    def read_bytes(self, path: str) -> bytes:
        found = self.follow(path)
        if isinstance(found, Dir):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        assert isinstance(found, File)
        if found.content is None:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return found.content

    def write(self, path: str, text: str) -> None:
        self.machine.look()
        found = self.follow(path)
        if not isinstance(found, File) or found.write is None:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        try:
            found.write(text.strip())
        except Refused as refused:
            raise OSError(refused.number, refused.answer, path) from None
        except ValueError:
            raise OSError(errno.EINVAL, "Invalid argument", path) from None

    def list(self, path: str) -> list[str]:
        self.machine.look()
        found = self.follow(path)
        if not isinstance(found, Dir):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        return list(found.names)

    def readlink(self, path: str) -> str:
        found = self.node(path)
        if not isinstance(found, Link):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return found.target

    def exists(self, path: str) -> bool:
        try:
            self.follow(path)
        except OSError:
            return False
        return True

    @abstractmethod
    def _root(self) -> Tree:
        """The tree, made anew for each look."""


def text_file(value: str) -> File:
    return File(f"{value}\n".encode())


def join(base: str, target: str) -> str:
    parts = base.split("/") if base else []
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part:
            parts.append(part)
    return "/".join(parts)
