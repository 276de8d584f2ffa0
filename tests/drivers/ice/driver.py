# SPDX-License-Identifier: Apache-2.0
"""What Linux's ice does when it is bound to a function: which file it takes, what it sends, what it says in the log."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.drivers.common.rules import bite
from tests.drivers.ice.firmware import GLOBAL_CONFIG, Aq, Firmware, PackageInfo
from tether_hw.nic.e810.ddp.container import BUFFER_SIZE, CONFIG_E810, Package, Segment, Version, version_text
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.info import SUPPORTED
from tether_hw.nic.e810.ddp.tables import Tables

FOLDER = "intel/ice/ddp"


class State(Enum):
    """How loading ended, and whether that is good enough to leave safe mode."""

    SUCCESS = ("loaded", True)
    SAME = ("same version already loaded", True)
    COMPATIBLE = ("another one that will do is loaded", True)
    UNSUPPORTED = ("another one that will not do is loaded", False)
    MISMATCH = ("firmware mismatch", False)
    INVALID = ("invalid file", False)
    TOO_HIGH = ("version too high", False)
    TOO_LOW = ("version too low", False)
    SIGNATURE = ("signature invalid", False)
    REVISION = ("security revision too low", False)
    LOAD_ERROR = ("error on the device", False)
    ERROR = ("unknown error", False)
    NO_FILE = ("no file", False)

    @property
    def good(self) -> bool:
        return self.value[1]


#: Rules that bite where loading does not end well, or not as somebody may expect.
RULES = {
    State.SAME: "ddp-first-pf-only",
    State.COMPATIBLE: "ddp-other-stays",
    State.UNSUPPORTED: "ddp-other-stays",
    State.MISMATCH: "ddp-nvm-format",
    State.INVALID: "ddp-invalid-file",
    State.TOO_HIGH: "ddp-too-high",
    State.TOO_LOW: "ddp-too-low",
    State.REVISION: "ddp-revision",
    State.NO_FILE: "ddp-no-file",
    State.ERROR: "ddp-locked",
}
_CODES = {
    Aq.ENOSEC: (State.SIGNATURE, "ddp-no-manifest"),
    Aq.EBADSIG: (State.SIGNATURE, "ddp-signature"),
    Aq.ESVN: (State.REVISION, "ddp-revision"),
    Aq.EBADMAN: (State.LOAD_ERROR, "ddp-bad-manifest"),
    Aq.EBADBUF: (State.LOAD_ERROR, "ddp-bad-buffer"),
}


@dataclass(frozen=True)
class Search:
    """Where the kernel looks for firmware. root: of the host. path: firmware_class.path, empty when it is not set."""

    root: Path
    release: str
    path: str = ""
    compressed: bool = False

    def places(self, name: str) -> Iterator[Path]:
        """Every path of one name, in the kernel's order."""
        base = self.root / "lib/firmware"
        folders = [base / "updates" / self.release, base / "updates", base / self.release, base]
        if self.path:
            folders.insert(0, self.root / self.path.lstrip("/"))
        for suffix in ("", ".xz") if self.compressed else ("",):
            yield from (folder / f"{name}{suffix}" for folder in folders)

    def read(self, name: str) -> bytes | None:
        """The first one that is there."""
        for place in self.places(name):
            if place.is_file():
                content = place.read_bytes()
                return lzma.decompress(content) if place.suffix == ".xz" else content
        return None


@dataclass(frozen=True)
class Loaded:
    """What one function came to: `package` is what its driver believes to be active."""

    state: State
    package: PackageInfo | None
    from_file: str | None

    @property
    def safe_mode(self) -> bool:
        return not self.state.good


def load(firmware: Firmware, holder: str, dsn: int, search: Search, log: Callable[[str], None]) -> Loaded:
    """ice_request_fw and what follows. A file by serial number that is there is the only one that is tried."""
    name = f"{FOLDER}/ice-{dsn:016x}.pkg"
    content = search.read(name) if dsn else None
    if content is None:
        name = f"{FOLDER}/ice.pkg"
        content = search.read(name)
    if content is None:
        bite(RULES[State.NO_FILE])
        log(f"Direct firmware load for {name} failed with error -2")
        log("The DDP package file was not found or could not be read. Entering Safe Mode")
        return Loaded(State.NO_FILE, None, None)
    state, mine = _init(firmware, holder, content)
    package = firmware.active if state in (State.SUCCESS, State.SAME, State.COMPATIBLE, State.UNSUPPORTED) else None
    if state in RULES and state is not State.REVISION:
        bite(RULES[state])
    if not state.good and name != f"{FOLDER}/ice.pkg" and search.read(f"{FOLDER}/ice.pkg") is not None:
        bite("ddp-no-fall-back")
    log(_words(state, package, mine))
    if state is State.LOAD_ERROR:
        firmware.reset()
    return Loaded(state, package, name)


def _init(firmware: Firmware, holder: str, content: bytes) -> tuple[State, PackageInfo | None]:
    try:
        package = Package.read(content)
        config = next(segment for segment in package.segments if segment.type == CONFIG_E810)
        identity = Tables.of_segment(package, config).identity
    except (DdpError, StopIteration):
        return State.INVALID, None
    if identity.version == (0, 0, 0, 0):
        return State.INVALID, None
    mine = PackageInfo(identity.name, identity.version, identity.track_id)
    gate = _gate(firmware, identity.version, config)
    if gate is not None:
        return gate, mine
    state, already = _send(firmware, holder, package, config)
    if state is not State.SUCCESS:
        return state, mine
    active = firmware.active
    if active is None:
        return State.ERROR, mine
    if (active.name, active.version) == (mine.name, mine.version):
        return (State.SAME if already else State.SUCCESS), mine
    return (State.COMPATIBLE if active.version[:2] == SUPPORTED else State.UNSUPPORTED), mine


def _gate(firmware: Firmware, version: Version, config: Segment) -> State | None:
    if version[:2] != SUPPORTED:
        return State.TOO_HIGH if version[:2] > SUPPORTED else State.TOO_LOW
    nvm = next((info for info in firmware.packages() if info.in_nvm), None)
    major, minor = config.format_version[:2]
    if nvm is not None and (major != nvm.version[0] or minor > nvm.version[1]):
        return State.MISMATCH
    return None


def _send(firmware: Firmware, holder: str, package: Package, config: Segment) -> tuple[State, bool]:
    """SUCCESS also stands for a package that another function has loaded; then the second value is true."""
    if not config.buffers or config.buffers[0].ends_download:
        return State.SUCCESS, False
    answer = firmware.request(GLOBAL_CONFIG, holder)
    if answer != "granted":
        return (State.SUCCESS, True) if answer == "no work" else (State.ERROR, False)
    place = package.segments.index(config)
    signing = [
        segment
        for segment in package.signing_segments
        if segment.signing()["segment_id"] == CONFIG_E810 and segment.signing()["signed_segment"] == place
    ]
    tables = [bytes(buffer.data) for buffer in config.buffers]
    ends = next((at for at, buffer in enumerate(config.buffers) if buffer.ends_download), len(tables))
    first, count = 0, ends
    if signing:
        fields = signing[0].signing()
        first, count = fields["signed_start"], min(fields["signed_count"], ends - fields["signed_start"])
    proof = [bytes(buffer.data) for segment in signing for buffer in segment.buffers]
    wanted = proof + tables[first : first + count]
    try:
        for number, raw in enumerate(wanted):
            assert len(raw) == BUFFER_SIZE
            result = firmware.download(holder, raw, last=number == len(wanted) - 1)
            if result.code is not Aq.OK:
                state, rule = _CODES.get(result.code, (State.ERROR, ""))
                if rule:
                    bite(rule)
                return state, False
    finally:
        firmware.release(GLOBAL_CONFIG, holder)
    return State.SUCCESS, False


def _words(state: State, active: PackageInfo | None, mine: PackageInfo | None) -> str:
    """The line in the kernel's log (ice_log_pkg_init)."""
    now = f"{active.name} version {version_text(active.version)}" if active else ""
    supported = f"{SUPPORTED[0]}.{SUPPORTED[1]}.x.x"
    if state is State.COMPATIBLE and active and mine:
        return (
            "The driver could not load the DDP package file because a compatible DDP package is already present on the "
            f"device.  The device has package '{active.name}' version {version_text(active.version)}.  The package "
            f"file found by the driver: '{mine.name}' version {version_text(mine.version)}."
        )
    if state is State.UNSUPPORTED and active:
        return (
            "The device has a DDP package that is not supported by the driver.  The device has package "
            f"'{active.name}' version {active.version[0]}.{active.version[1]}.x.x.  The driver requires version "
            f"{supported}.  Entering Safe Mode."
        )
    return {
        State.SUCCESS: f"The DDP package was successfully loaded: {now}",
        State.SAME: f"DDP package already present on device: {now}",
        State.MISMATCH: "The firmware loaded on the device is not compatible with the DDP package.  Please update the "
        "device's NVM.  Entering safe mode.",
        State.INVALID: "The DDP package file is invalid. Entering Safe Mode.",
        State.TOO_HIGH: "The DDP package file version is higher than the driver supports.  Please use an updated "
        "driver.  Entering Safe Mode.",
        State.TOO_LOW: f"The DDP package file version is lower than the driver supports.  The driver requires version "
        f"{supported}.  Please use an updated DDP Package file.  Entering Safe Mode.",
        State.SIGNATURE: "The DDP package could not be loaded because its signature is not valid.  Please use a valid "
        "DDP Package.  Entering Safe Mode.",
        State.REVISION: "The DDP Package could not be loaded because its security revision is too low.  Please use an "
        "updated DDP Package.  Entering Safe Mode.",
        State.LOAD_ERROR: "An error occurred on the device while loading the DDP package.  The device will be reset.",
    }.get(state, "An unknown error occurred when loading the DDP package.  Entering Safe Mode.")
