# SPDX-License-Identifier: Apache-2.0
"""The admin queue of an E810's firmware, as far as drivers download packages by it.

What it accepts as a signature is a keyed digest of this emulator's own (sign.py); nothing here says anything about the
real one, only what a driver sees when its firmware says yes or no.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from tests.drivers.ice import sign
from tether_hw.nic.e810.ddp.container import BUFFER_SIZE, Buffer, Version
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.sections import METADATA_SECTION


class Aq(IntEnum):
    """Result codes of admin commands: those of verification, and the common ones that this emulator uses."""

    OK = 0
    EPERM = 1
    ENOENT = 2
    EBUSY = 12
    EEXIST = 13
    EINVAL = 14
    ENOSEC = 24
    EBADSIG = 25
    ESVN = 26
    EBADMAN = 27
    EBADBUF = 28


#: Sections that drivers send by Update Package (0x0C42); what firmware does with others nobody has published.
UPDATABLE = frozenset({56, 66} | {base + part for base in (10, 20, 30, 40, 80) for part in (2, 3, 4, 6)})
GLOBAL_CONFIG, CHANGE = "global config", "change"
HOLD_MS = {GLOBAL_CONFIG: 3000, CHANGE: 1000}


@dataclass(frozen=True)
class Result:
    """An answer; on an error of a download the buffer's first bytes come back as offset and info."""

    code: Aq
    offset: int = 0
    info: int = 0


@dataclass(frozen=True)
class PackageInfo:
    """One entry of Get Package Info List (0x0C43)."""

    name: str
    version: Version
    track: int
    in_nvm: bool = False
    active: bool = False


@dataclass
class Firmware:
    """nvm: the package that lies in NVM. verifies: whether signatures are wanted. least_svn: lower ones are barred."""

    nvm: PackageInfo = PackageInfo("ICE NVM Package", (1, 3, 0, 0), 0xC000_0000, in_nvm=True)
    verifies: bool = True
    least_svn: int = 1
    now_ms: int = 0
    active: PackageInfo | None = None
    updates: int = 0
    locks: dict[str, tuple[str, int]] = field(default_factory=dict)  # resource -> holder, until when
    _manifest: sign.Manifest | None = None
    _pending: PackageInfo | None = None
    _sent: int = 0
    _last: bool = False
    _failed: bool = False

    def request(self, resource: str, holder: str) -> str:
        """Request Resource: "granted", "busy", or "no work" when another function has loaded a package already."""
        held = self.locks.get(resource)
        if held is not None and held[1] > self.now_ms and held[0] != holder:
            return "busy"
        if resource == GLOBAL_CONFIG and self.active is not None:
            return "no work"
        self.locks[resource] = (holder, self.now_ms + HOLD_MS[resource])
        if resource == GLOBAL_CONFIG:
            self._begin()
        return "granted"

    def release(self, resource: str, holder: str) -> None:
        """Release Resource; of somebody else's nothing comes."""
        if self.locks.get(resource, ("", 0))[0] == holder:
            del self.locks[resource]

    def _holds(self, resource: str, holder: str) -> bool:
        held = self.locks.get(resource)
        return held is not None and held[0] == holder and held[1] > self.now_ms

    def _begin(self) -> None:
        self._manifest = self._pending = None
        self._sent, self._last, self._failed = 0, False, False

    def download(self, holder: str, raw: bytes, last: bool) -> Result:
        """Download Package (0x0C40): one whole buffer, in the order of the package."""
        if not self._holds(GLOBAL_CONFIG, holder):
            return Result(Aq.EPERM)
        if self.active is not None:
            return Result(Aq.EEXIST)
        if self._last or self._failed or len(raw) != BUFFER_SIZE:
            return Result(Aq.EINVAL)
        result = self._take(raw)
        self._failed = result.code is not Aq.OK
        if last and not self._failed:
            if self._pending is None:
                self._failed = True
                return Result(Aq.EINVAL)
            if self._manifest is not None and self._sent != len(self._manifest.digests):
                self._failed = True
                return Result(Aq.EBADBUF, info=self._sent)
            self._last, self.active = True, self._pending
        return result

    def _take(self, raw: bytes) -> Result:
        if sign.is_manifest(raw):
            manifest = sign.Manifest.read(raw)
            if not manifest.signature_holds:
                return Result(Aq.EBADSIG)
            if manifest.svn < self.least_svn:
                return Result(Aq.ESVN, info=manifest.svn)
            if not manifest.adds_up:
                return Result(Aq.EBADMAN)
            self._manifest = manifest
            return Result(Aq.OK)
        if self.verifies and self._manifest is None:
            return Result(Aq.ENOSEC)
        try:
            buffer = Buffer.read(raw, 0, "buffer")
        except DdpError as error:
            return Result(Aq.EINVAL, offset=max(error.offset, 0))
        if buffer.ends_download:
            return Result(Aq.EINVAL, offset=4)
        if self._manifest is not None:
            digests = self._manifest.digests
            if self._sent >= len(digests) or digests[self._sent] != sign.digest(raw):
                return Result(Aq.EBADBUF, info=self._sent)
        self._sent += 1
        for section in buffer.sections:
            if section.type == METADATA_SECTION:
                content = buffer.content(section)
                major, minor, update, draft = content[:4]
                name = content[4:32].split(b"\0")[0].decode("latin-1")
                (track,) = struct.unpack_from("<I", content, 32)
                self._pending = PackageInfo(name, (major, minor, update, draft), track, active=True)
        return Result(Aq.OK)

    def update(self, holder: str, raw: bytes) -> Result:
        """Update Package (0x0C42): under the change lock, any time after a package is active."""
        if not self._holds(CHANGE, holder):
            return Result(Aq.EPERM)
        if self.active is None:
            return Result(Aq.ENOENT)
        try:
            buffer = Buffer.read(raw.ljust(BUFFER_SIZE, b"\0"), 0, "buffer")
        except DdpError as error:
            return Result(Aq.EINVAL, offset=max(error.offset, 0))
        if len(raw) != buffer.data_end or any(section.type not in UPDATABLE for section in buffer.sections):
            return Result(Aq.EINVAL, offset=4)
        self.updates += 1
        return Result(Aq.OK)

    def packages(self) -> list[PackageInfo]:
        """Get Package Info List (0x0C43)."""
        return [self.nvm] + ([self.active] if self.active is not None else [])

    def reset(self) -> None:
        """Core or global reset, or the last function was let go: only what lies in NVM is left."""
        self.active = None
        self.locks.clear()
        self._begin()
