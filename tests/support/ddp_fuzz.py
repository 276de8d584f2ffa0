# SPDX-License-Identifier: Apache-2.0
"""Truncated, flipped and spliced packages: each is read, explained, checked, decompiled and run on frames.

Usage: python -m tests.support.ddp_fuzz [--inputs N] [--seed N] [--record FILE]
"""

from __future__ import annotations

import argparse
import datetime
import random
import resource
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.e810_packages import package_of, signed_bytes
from tether_hw.nic.e810.ddp.check import check
from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.errors import DdpError
from tether_hw.nic.e810.ddp.info import describe
from tether_hw.nic.e810.ddp.parser.machine import Machine
from tether_hw.nic.e810.ddp.parser.reads import Frame
from tether_hw.nic.e810.ddp.source.decompile import decompile
from tether_hw.nic.e810.ddp.tables import Tables

MOST_SECONDS = 0.050
MOST_BYTES = 64 * 1024 * 1024
FRAMES = (
    b"",
    bytes(60),
    bytes(12) + b"\x81\x00\x00\x05\x88\xb5" + bytes(46),
    bytes(12) + b"\x08\x00\x45" + bytes(65000),
)
#: What costs more than reading is done for one accepted input in so many.
DEEP_EVERY = 50

RECORD = """# Damaged DDP packages

`make fuzz` truncates, flips, patches and splices four packages of the tests (one of them with a signing segment), and
reads each result: it is either accepted and written back byte for byte, or refused with the reader's one error. One in
fifty of them is also explained, checked, decompiled and run on frames of 0 to 65,000 bytes. `make test` does the same
with 20,000.

The run fails on any other exception, on a reading of more than 50 ms of CPU (the least of five repetitions where the
first was slower), and when the process grows by more than 64 MiB.

Recorded {date}, seed {seed}.

|  |  |
|---|---:|
| inputs | {inputs:,} |
| accepted, and written back byte for byte | {accepted:,} |
| refused with the reader's error | {refused:,} |
| of all these explained, checked, decompiled and simulated, where accepted | {deep:,} |
| faults | 0 |
| slowest reading (ms) | {slowest_ms:.1f} |
| growth of the process (KiB) | {grown_kib:,} |
"""


@dataclass
class Report:
    """What came of a run. `faults`: inputs that broke a rule, in words; `most_bytes`: growth of the process."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    most_bytes: int = 0
    faults: list[str] = field(default_factory=list)


def mutated(seeds: list[bytes], source: random.Random) -> bytes:
    """One input."""
    raw = bytearray(source.choice(seeds))
    kind = source.randrange(6)
    if kind == 0:
        return bytes(raw[: source.randrange(len(raw) + 1)])
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        at = source.randrange(len(raw))
        if kind == 1:
            raw[at] ^= 1 << source.randrange(8)
        elif kind == 2:
            # the head of the file and of its buffers, where counts and offsets stand
            base = source.choice((0, 100, 156, 4252, 8348))
            raw[min(base + source.randrange(140), len(raw) - 1)] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            struct.pack_into("<H", raw, min(at, len(raw) - 2), source.choice((0, 1, 4095, 4096, 65535)))
        elif kind == 4:
            other = source.choice(seeds)
            start = source.randrange(len(other))
            raw[at : at + 64] = other[start : start + 64]
        else:
            raw[at] = source.getrandbits(8)
    return bytes(raw)


def read_everything(raw: bytes, *, deep: bool) -> bool:
    """True when the file was accepted. Raises whatever is no DdpError; `deep` does what costs more than reading."""
    try:
        package = Package.read(raw)
        if package.to_bytes() != raw:
            raise AssertionError("read -> write is not byte-exact")
        tables = Tables.read(package)
        if deep:
            describe(raw)
            check(package)
            decompile(package)
            machine = Machine(tables)
            for frame in FRAMES:
                machine.run(Frame(frame))
    except DdpError:
        return False
    return True


def _again(raw: bytes) -> float:
    """The least of five further readings: a busy machine makes one reading slow, a bad input makes all of them slow."""
    least = float("inf")
    for _ in range(5):
        started = time.thread_time()
        read_everything(raw, deep=False)
        least = min(least, time.thread_time() - started)
    return least


def run_inputs(seeds: list[bytes], source: random.Random, count: int) -> Report:
    """`count` inputs; rules: no other exception, at most MOST_SECONDS of reading each, memory is bounded."""
    report = Report()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        raw = mutated(seeds, source)
        deep = number % DEEP_EVERY == 0
        started = time.thread_time()
        try:
            accepted = read_everything(raw, deep=deep)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault that is looked for
            report.faults.append(f"input {number}: {type(error).__name__}: {error}")
            continue
        seconds = time.thread_time() - started
        if not deep:
            report.slowest_s = max(report.slowest_s, seconds if seconds <= MOST_SECONDS else _again(raw))
        report.inputs += 1
        report.accepted += accepted
        report.refused += not accepted
    report.most_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return report


def record(report: Report, seed: int) -> str:
    """What came of a run, as docs/proof keeps it."""
    return RECORD.format(
        date=datetime.date.today().isoformat(),
        seed=seed,
        inputs=report.inputs,
        accepted=report.accepted,
        refused=report.refused,
        deep=-(-report.inputs // DEEP_EVERY),
        slowest_ms=report.slowest_s * 1000,
        grown_kib=report.most_bytes // 1024,
    )


def main() -> int:
    """A long run for `make fuzz`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, help="write what came of it into this file")
    args = parser.parse_args()
    seeds = [package_of(name).to_bytes() for name in ("tether", "plain", "overlay")] + [signed_bytes()]
    report = run_inputs(seeds, random.Random(args.seed), args.inputs)
    print(
        f"ddp reader: {report.inputs} inputs, seed {args.seed}: {report.accepted} accepted, {report.refused} refused,"
        f" {len(report.faults)} faults; slowest read {report.slowest_s * 1000:.1f} ms,"
        f" memory grew by {report.most_bytes} bytes"
    )
    for fault in report.faults[:20]:
        print(fault)
    held = report.inputs == args.inputs and not report.faults
    held = held and report.slowest_s <= MOST_SECONDS and report.most_bytes <= MOST_BYTES
    if held and args.record is not None:
        args.record.write_text(record(report, args.seed), encoding="utf-8")
        print(f"recorded: {args.record}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
