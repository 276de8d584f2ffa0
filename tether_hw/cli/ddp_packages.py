# SPDX-License-Identifier: Apache-2.0
"""`tether ddp build | render | decompile | info | check | diff`."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.exits import Exit
from tether_hw.errors import InputErrors, Problem, TetherError
from tether_hw.fleet.whole_file import write_whole
from tether_hw.nic.e810.ddp.container import MOST_FILE_BYTES, Package
from tether_hw.nic.e810.ddp.errors import DdpError

MOST_SOURCE_BYTES = 16 << 20


def read_file(path: str, most: int) -> bytes:
    """A whole file of at most `most` bytes."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise TetherError(f"{path}: more than {most} bytes", hint="is it the right file?")
    return data


def read_package(path: str) -> Package:
    """A package; TetherError names the file and the byte at fault."""
    try:
        return Package.read(read_file(path, MOST_FILE_BYTES))
    except DdpError as error:
        raise refused(path, error) from None


def refused(path: str, error: DdpError) -> TetherError:
    """A package's error with the name of its file."""
    return TetherError(f"{path}: {error}", hint=error.hint)


def write_file(path: str, data: bytes, *, force: bool) -> None:
    """Write a file whole or not at all; one that is there only with --force."""
    target = Path(path)
    if target.exists() and not force:
        raise TetherError(f"{path} is there already", hint="--force writes over it")
    try:
        write_whole(target, data, 0o644)
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None


def build(args: argparse.Namespace) -> int:
    """Source or profile -> package."""
    from tether_hw.nic.e810.ddp.build import lay_over, new_package, refuse_signed
    from tether_hw.nic.e810.ddp.check import check as find
    from tether_hw.nic.e810.ddp.source.compile import compile_source
    from tether_hw.nic.e810.ddp.source.words import SourceError
    from tether_hw.nic.e810.ddp.tables import Tables

    base = read_package(args.base) if args.base else None
    try:
        if base is not None:
            refuse_signed(base)  # before the source is read: no mending of it would help
        text = _source(args.source, overlay=base is not None)
        draft = compile_source(text, Tables.read(base) if base is not None else None)
        if base is None:
            package = new_package(draft)
        else:
            lay_over(package := base, draft)
        data = package.to_bytes()
        findings = find(Package.read(data))
    except SourceError as error:
        problems = [Problem(args.source, m.line, m.col, "", m.message, m.hint) for m in error.mistakes]
        raise InputErrors(problems) from None
    except DdpError as error:
        raise refused(args.base or args.source, error) from None
    write_file(args.output, data, force=args.force)
    digest = hashlib.sha256(data).hexdigest()
    for finding in findings:
        output.say(f"{finding.level}: {finding.message}")
    if args.json:
        document: dict[str, Any] = {"schema": "tether.ddp.build/1", "file": args.output, "bytes": len(data)}
        output.emit_json({**document, "sha256": digest, "findings": [finding.to_dict() for finding in findings]})
    output.result(f"{args.output}: {len(data)} bytes, sha256 {digest}", as_json=args.json)
    return Exit.DONE


def _source(path: str, *, overlay: bool) -> str:
    if path.endswith((".yaml", ".yml")):
        from tether_hw.fleet.parser_source import read_profile, source_of

        profile = read_profile(Path(path))
        if overlay and profile.tether is None:
            raise TetherError(f"{path}: tether is null: there is nothing to lay over a package")
        return source_of(profile, overlay=overlay)
    try:
        return read_file(path, MOST_SOURCE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TetherError(f"{path}: byte {error.start} is no UTF-8") from None


def render(args: argparse.Namespace) -> int:
    """Profile -> source on stdout."""
    if not args.profile.endswith((".yaml", ".yml")):
        raise TetherError(f"{args.profile}: a profile is a .yaml file")
    output.result(_source(args.profile, overlay=args.overlay).rstrip("\n"))
    return Exit.DONE


def decompile(args: argparse.Namespace) -> int:
    """Package -> source on stdout."""
    from tether_hw.nic.e810.ddp.source.decompile import decompile as source_of

    try:
        output.result(source_of(read_package(args.package)).rstrip("\n"))
    except DdpError as error:
        raise refused(args.package, error) from None
    return Exit.DONE


def info(args: argparse.Namespace) -> int:
    """What a file is."""
    from tether_hw.nic.e810.ddp.info import describe

    try:
        document = describe(read_file(args.package, MOST_FILE_BYTES))
    except DdpError as error:
        raise refused(args.package, error) from None
    if args.json:
        output.emit_json(document)
    output.result(_info_words(args.package, document), as_json=args.json)
    return Exit.DONE


def _info_words(path: str, document: dict[str, Any]) -> str:
    lines = [f"{path}: {document['bytes']} bytes, sha256 {document['sha256']}"]
    if "package_name" in document:
        lines.append(f"{document['package_name']} {document['version']}, track id {document['track_id']:#010x}")
    for segment in document["segments"]:
        lines.append(
            f"segment {segment['index']}: {segment['kind']}, format {segment['format_version']},"
            f" {segment['bytes']} bytes,"
            f" {segment['buffers']} buffers of which {segment['downloaded_buffers']} are downloaded"
        )
        signing = segment.get("signing")
        if signing:
            lines.append(
                f"    signs {signing['signed_count']} buffers from {signing['signed_start']} of segment"
                f" {signing['signed_segment']}, {signing['sign_type_name']}"
            )
        lines += [
            f"    {section['type']:#10x}  {section['name']:28} {section['bytes']:6} bytes"
            + (f" in {section['count']} sections" if section["count"] > 1 else "")
            for section in segment["sections"]
        ]
    if "tables_error" in document:
        lines.append(f"its tables cannot be read: {document['tables_error']}")
    lines.append("what drivers and firmware would say:")
    lines += [f"    {gate['gate']}: {gate['verdict']}: {gate['why']}" for gate in document["drivers"]]
    return "\n".join(lines)


def check(args: argparse.Namespace) -> int:
    """What is wrong or odd; exit 1 when an error is among it."""
    from tether_hw.nic.e810.ddp.check import check as find

    try:
        findings = find(read_package(args.package))
    except DdpError as error:
        raise refused(args.package, error) from None
    errors = sum(finding.level == "error" for finding in findings)
    if args.json:
        found = [finding.to_dict() for finding in findings]
        output.emit_json({"schema": "tether.ddp.check/1", "file": args.package, "findings": found})
    for finding in findings:
        output.result(f"{finding.level}: {finding.message}", as_json=args.json)
    if not findings:
        output.result("nothing found", as_json=args.json)
    return Exit.ERROR if errors else Exit.DONE


def diff(args: argparse.Namespace) -> int:
    """Differences by meaning."""
    from tether_hw.nic.e810.ddp.diff import differences

    before, after = read_package(args.before), read_package(args.after)
    try:
        found = differences(before, after)
    except DdpError as error:
        raise refused(f"{args.before} or {args.after}", error) from None
    if args.json:
        document = {"schema": "tether.ddp.diff/1", "before": args.before, "after": args.after}
        output.emit_json({**document, "differences": [difference.to_dict() for difference in found]})
    for item in found:
        output.result(f"{item.what} {item.name}", as_json=args.json)
        for sign, text in (("-", item.before), ("+", item.after)):
            if text:
                output.result(f"    {sign} {text}", as_json=args.json)
    if not found:
        output.result("no difference", as_json=args.json)
    return Exit.CHANGES if found else Exit.DONE
