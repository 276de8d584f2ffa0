#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpus of the fuzz targets, tests/protocol/fuzz/TARGET/NAME, from the vectors and from drawn scripts.

Usage: .venv/bin/python tools/fuzz_seeds.py      the same bytes on every run; a test fails when the tree has others
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "protocol" / "vectors"
SEEDS = ROOT / "tests" / "protocol" / "fuzz"
LONGEST = 2048
SCRIPTS = 12


def cases(name: str) -> Iterator[dict[str, str]]:
    """The records of one vector file in its text form."""
    for record in (VECTORS / f"{name}.txt").read_text().split("\n\n"):
        lines = [line for line in record.splitlines() if " = " in line]
        if lines:
            yield dict(line.split(" = ", 1) for line in lines)


def from_vectors(name: str, key: str, every: int = 1) -> dict[str, bytes]:
    found = {case["case"]: case[key] for case in cases(name) if case.get(key, "-") != "-"}
    seeds = {label: bytes.fromhex(value) for label, value in list(found.items())[::every]}
    return {f"{name}-{label}": data for label, data in seeds.items() if len(data) <= LONGEST}


def drawn(target: str, draw: random.Random) -> bytes:
    """One script that gets somewhere: what the target does first leads to what it does next."""
    if target == "fuzz_script":
        script = [b"\x00" + bytes([kind, 0]) for kind in (0, 1)] + [b"\x07\x0e\x00"]
        for _ in range(40):
            op = draw.choice((1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 7, 7)) | draw.choice((0, 0x80))
            first = draw.choice((0x15, 0x01, 0x40, 0x00, 0xC0)) if op & 7 == 6 else draw.randrange(16)
            script.append(bytes([op, first, draw.randrange(256)]))
        return b"".join(script)
    if target == "fuzz_handshake":
        # a channel comes up, for some scripts it ends again, and then who knows its keys says what he likes
        script = [bytes([draw.choice((0, 0, 0x80, 0xC0)), 0x3F, 0x3F])]
        script += [bytes([0x36, 0x3F, 0x3F])] if draw.randrange(2) else []
        for _ in range(8):
            op = draw.choice((0, 1, 2, 3, 4, 5, 7, 7, 8, 9, 9, 9, 10, 11, 11, 12, 13)) | draw.choice(
                (0, 0x10, 0x20, 0x30, 0x30, 0x70)
            )
            changes = [draw.choice((0, 0, 1)), draw.randrange(80), 1 << draw.randrange(8)]
            script.append(bytes([op, draw.randrange(4), 0, *changes, 0, 0]))
        return b"".join(script)
    if target == "fuzz_ledger":
        return bytes([draw.randrange(2)]) + bytes(draw.choice((draw.randrange(256), 1, 22)) for _ in range(90))
    frames = []  # fuzz_endpoint: headers of a peer that means it, more or less
    for _ in range(6):
        slot, want = 22 * draw.randrange(4), 22 * draw.randrange(8)
        head = [draw.choice((0, 0x10, 0xC0)), draw.randrange(4), *want.to_bytes(2, "little"),
                *(22 * draw.randrange(20)).to_bytes(4, "little"), *slot.to_bytes(2, "little"),
                *slot.to_bytes(2, "little"), *(22 * draw.randrange(3)).to_bytes(2, "little")]  # fmt: skip
        frames.append(bytes(head) + bytes(8) + draw.choice((0, 4, 1408)).to_bytes(2, "little") + bytes(4))
    return b"".join(frames)


def greetings() -> dict[str, bytes]:
    """Scripts of fuzz_handshake, one for each thing that a Lamp can be, unchanged: the fuzzer changes them."""
    up, hail, end = bytes([0x3F, 0x3F]), bytes([1, 5, 0, 0, 0, 0]), bytes([0x36, 0x3F, 0x3F])
    sealed = bytes([0, 1, 1, 0, 7, 3, 0, 0, 0])
    signed = b"".join(bytes([0x30, 1, 5, 0, 0, 0, 0, how, 0]) for how in (0, 0, 0, 0, 1, 1, 3, 1))
    return {
        "drawn-rekey": bytes([0]) + up + bytes([0x3C]) + up + bytes([0x37, 0]) + hail + bytes([0, 0x3F, 0x7C]) + up,
        "drawn-rekey-gone": bytes([0]) + up + bytes([0x37, 1]) + hail + bytes([0]) + up,
        "drawn-rekey-crossing": bytes([0]) + up + bytes([0x0C, 0x4C]) + up + up,
        "drawn-warm": bytes([0]) + up + end + bytes([0x3B, 50, 0x3F, 0x39]) + sealed + bytes([0x39]) + sealed,
        "drawn-warm-back": bytes([0]) + up + end + bytes([0x7B, 50, 0x3F, 0x79]) + sealed + bytes([0x79]) + sealed,
        "drawn-warm-answer": bytes([0]) + up + end + bytes([0x0B, 50, 0x3A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3F]),
        "drawn-cookie": bytes([0x80, 0x0F, 0x38, 0, 0x3F]) + up + bytes([0x44]) + up,
        "drawn-mac2": bytes([0xC0]) + signed + bytes([0x3D]) + up,
    }


def seeds() -> dict[str, dict[str, bytes]]:
    """{target: {name: content}}"""
    made = {
        "fuzz_frame": from_vectors("bad_frames", "frame", 3) | from_vectors("bad_hails", "frame", 3),
        "fuzz_tags": from_vectors("tags", "payload", 2),
    }
    for target in ("fuzz_endpoint", "fuzz_handshake", "fuzz_ledger", "fuzz_script"):
        draw = random.Random(target)
        made[target] = {f"drawn-{number}": drawn(target, draw) for number in range(SCRIPTS)}
    made["fuzz_handshake"] |= greetings()
    return made


def main() -> int:
    for target, files in seeds().items():
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name.startswith(("drawn-", "bad_", "tags-")):
                path.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        print(f"{target}: {len(files)} files, {sum(map(len, files.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
