# SPDX-License-Identifier: Apache-2.0
"""What a package file is, and what a driver would say of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from tether_hw.nic.e810.ddp import container
from tether_hw.nic.e810.ddp.container import Package, Segment, version_text
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.sections import section_name
from tether_hw.nic.e810.ddp.tables import Tables

SCHEMA = "tether.ddp.info/1"
SUPPORTED = (1, 3)  # ICE_PKG_SUPP_VER_MAJ, ICE_PKG_SUPP_VER_MNR


def describe(data: bytes) -> dict[str, Any]:
    """A file as a document; DdpError when it is no package."""
    package = Package.read(data)
    segments = [_segment(index, segment) for index, segment in enumerate(package.segments)]
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "format_version": version_text(package.format_version),
        "segments": segments,
        "signed": bool(package.signing_segments),
    }
    try:
        tables = Tables.read(package)
        identity = tables.identity
        document["package_name"] = identity.name
        document["version"] = version_text(identity.version)
        document["track_id"] = identity.track_id
        document["tables"] = {name: len(entries) for name, entries in sorted(tables.entries.items())}
        document["labels"] = {kind: len(names) for kind, names in sorted(tables.labels.items())}
    except DdpError as error:
        document["tables_error"] = str(error)
    document["drivers"] = verdicts(package)
    return document


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    counts: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for buffer in segment.buffers:
        for section in buffer.sections:
            counts[section.type] += 1
            sizes[section.type] += section.size
    document: dict[str, Any] = {
        "index": index,
        "type": segment.type,
        "kind": segment.name,
        "format_version": version_text(segment.format_version),
        "id": segment.identifier,
        "bytes": segment.size,
        "buffers": len(segment.buffers),
        "downloaded_buffers": downloaded(segment),
        "sections": [
            {"type": kind, "name": section_name(kind), "count": counts[kind], "bytes": sizes[kind]}
            for kind in sorted(counts)
        ],
    }
    if segment.type == container.SIGNING:
        fields = segment.signing()
        fields_of: dict[str, Any] = dict(fields)
        fields_of["sign_type_name"] = container.SIGN_TYPES.get(fields["sign_type"], "unknown")
        document["signing"] = fields_of
    if segment.type in container.CONFIGS:
        document["devices"] = [
            {"vendor": vendor, "device": device, "subdevice": sub} for device, vendor, sub in segment.devices
        ]
    return document


def downloaded(segment: Segment) -> int:
    """Buffers that a driver sends: those before the first one that begins with metadata."""
    for count, buffer in enumerate(segment.buffers):
        if buffer.ends_download:
            return count
    return len(segment.buffers)


def verdicts(package: Package) -> list[dict[str, str]]:
    """Each gate that drivers and firmware have, whether it is passed, and why. E810 is meant where cards differ."""
    found = []

    def gate(name: str, verdict: str, why: str) -> None:
        found.append({"gate": name, "verdict": verdict, "why": why})

    e810 = [segment for segment in package.segments if segment.type == container.CONFIG_E810]
    if not e810:
        gate("segment", "refused", "no configuration segment of type 0x10, which E810 needs")
        return found
    gate("segment", "passed", "a configuration segment of type 0x10")
    if not any(segment.type == container.METADATA for segment in package.segments):
        gate("metadata", "refused", "no metadata segment of type 0x1: drivers take it for invalid")
    try:
        tables = Tables.of_segment(package, e810[0])
    except DdpError as error:
        gate("tables", "refused", str(error))
        return found
    version = tables.identity.version
    if version == (0, 0, 0, 0):
        gate("version", "refused", "no metadata section with a version in the configuration segment")
    elif version[:2] == SUPPORTED:
        gate("version", "passed", f"{version_text(version)}: drivers support exactly 1.3")
    else:
        high = version[:2] > SUPPORTED
        gate(
            "version",
            "refused",
            f"{version_text(version)} is too {'high' if high else 'low'}: drivers support exactly 1.3",
        )
    major, minor = e810[0].format_version[:2]
    gate(
        "firmware",
        "depends",
        f"segment format {major}.{minor}: major must be that of the package in NVM, minor not above",
    )
    signed = [
        segment for segment in package.signing_segments if segment.signing()["segment_id"] == container.CONFIG_E810
    ]
    if signed:
        gate("signature", "depends", "signing segments are there; only firmware can say whether the signature is good")
    else:
        gate(
            "signature",
            "refused",
            "no signing segment: production E810 firmware refuses it, and the driver enters safe mode",
        )
    if not downloaded(e810[0]):
        gate("download", "refused", "nothing to download: its first buffer begins with metadata")
    return found
