# SPDX-License-Identifier: Apache-2.0
"""A package file that an inventory refers to: what it is, and why a driver or its firmware would not take it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tether_hw.nic.e810.ddp.build import lay_over, refuse_signed
from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.info import describe
from tether_hw.nic.e810.ddp.source.compile import compile_source
from tether_hw.nic.e810.ddp.source.words import SourceError
from tether_hw.nic.e810.ddp.tables import Tables
from tether_hw.nic.e810.model import Ddp


@dataclass(frozen=True)
class PackageFile:
    """`sha256`: of the bytes that travel. `name` and `version`: what the driver shows once it works with them.

    `refusals`: why it cannot be used as asked. `notes`: what whoever uses it must know.
    `field`: the field of the inventory's `ddp` that the file does not bear out, which the refusals are to name.
    """

    path: str
    sha256: str = ""
    name: str = ""
    version: str = ""
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    field: str = ""

    def told(self, place: str, path: str) -> PackageFile:
        """The same with its refusals complete. place: where the inventory says `field`; path: where the file is."""
        if not self.field:
            return self
        step = (
            f"sha256sum {path} shows what it is: name the file that is meant, or say its digest"
            if self.field == "sha256"
            else f"put the file at {path}, or name the one that is meant; sha256sum FILE gives its digest"
        )
        return replace(self, refusals=tuple(f"{reason} ({place}); {step}" for reason in self.refusals))

    @property
    def shown(self) -> dict[str, str]:
        """As facts show an active package."""
        return {"name": self.name, "version": self.version}


def unreadable(asked: Ddp, why: str) -> PackageFile:
    """A file that is not there."""
    return PackageFile(asked.package, refusals=(f"package {asked.package}: {why}",), field="package")


def judge(asked: Ddp, data: bytes, overlay: str) -> tuple[PackageFile, bytes]:
    """What the file is, and the bytes that travel. overlay: the source that `extend` lays over it."""
    refusals: list[str] = []
    found = hashlib.sha256(data).hexdigest()
    if found != asked.sha256:
        refusals.append(f"package {asked.package}: its SHA-256 is {found}, the inventory says {asked.sha256}")
        return PackageFile(asked.package, refusals=tuple(refusals), field="sha256"), data
    try:
        if asked.extend:
            data = _extended(data, overlay)
        document = describe(data)
    except DdpError as error:
        refusals.append(f"package {asked.package}: {error}" + (f"; {error.hint}" if error.hint else ""))
        return PackageFile(asked.package, refusals=tuple(refusals)), data
    except SourceError as error:
        mistakes = "; ".join(mistake.message for mistake in error.mistakes)
        refusals.append(f"package {asked.package} cannot be extended: {mistakes}")
        return PackageFile(asked.package, refusals=tuple(refusals)), data
    notes: list[str] = []
    for gate in document["drivers"]:
        if gate["verdict"] != "refused":
            continue
        if gate["gate"] != "signature":
            refusals.append(f"package {asked.package}: {gate['why']}")
        elif asked.signature == "required":
            refusals.append(
                f"package {asked.package} is not signed: production firmware refuses it and the card falls into "
                "safe mode; on a test bed whose firmware does not check, say signature: none"
            )
        else:
            notes.append(
                f"package {asked.package} is not signed: only a test bed whose firmware does not check will take it"
            )
    file = PackageFile(
        path=asked.package,
        sha256=hashlib.sha256(data).hexdigest(),
        name=str(document.get("package_name", "")),
        version=str(document.get("version", "")),
        refusals=tuple(refusals),
        notes=tuple(notes),
    )
    return file, data


def _extended(data: bytes, overlay: str) -> bytes:
    package = Package.read(data)
    refuse_signed(package)
    lay_over(package, compile_source(overlay, Tables.read(package)))
    return package.to_bytes()
