#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the parser simulator against a second judge, and writes the record and the golden set.

Usage: .venv/bin/python tools/e810_judge.py JUDGE SOURCES [--frames N] [--seed N]

JUDGE is docs/proof/e810-judge/judge.c, built outside of this project with the parser of DPDK's ice base code; SOURCES
is the folder of that code, whose files are named in the record by digest. Ends in 1 when one frame differs.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.e810_frames import frames, line  # noqa: E402
from tests.support.e810_packages import package_of  # noqa: E402
from tether_hw.nic.e810.ddp.parser.machine import Machine  # noqa: E402
from tether_hw.nic.e810.ddp.parser.memo import Memo  # noqa: E402
from tether_hw.nic.e810.ddp.tables import Tables  # noqa: E402

GOLDEN = ROOT / "tests" / "cases" / "e810" / "golden-frames.txt"
RECORD = ROOT / "docs" / "proof" / "e810-judge.md"
MODES = {"as-is": None, "svm": False, "dvm": True}
PACKAGES = ("tether", "plain", "overlay")
GOLDEN_EACH = 250
PARSER_FILES = [
    *("ice_parser.c", "ice_parser.h", "ice_parser_rt.c", "ice_parser_rt.h", "ice_imem.c", "ice_metainit.c"),
    *("ice_pg_cam.c", "ice_bst_tcam.c", "ice_ptype_mk.c", "ice_mk_grp.c", "ice_proto_grp.c", "ice_flg_rd.c"),
    *("ice_xlt_kb.c", "ice_tmatch.h", "ice_ddp.c"),
]


def main() -> int:
    """Run, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--frames", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--commit", default="unknown", help="commit of the DPDK sources, for the record")
    args = parser.parse_args()
    wire = b"".join(struct.pack("<H", len(data)) + data for data in frames(args.seed, args.frames))
    chosen = sorted(random.Random(args.seed + 1).sample(range(args.frames), GOLDEN_EACH))
    golden, rows, wrong = [], [], 0
    for name in PACKAGES:
        package = package_of(name)
        raw = package.to_bytes()
        with tempfile.NamedTemporaryFile(suffix=".pkg") as file:
            file.write(raw)
            file.flush()
            for mode, dvm in MODES.items():
                command = [str(args.judge), file.name, mode]
                judged = subprocess.run(command, input=wire, capture_output=True, check=True).stdout.decode()
                said = judged.splitlines()
                memo = Memo(Machine(Tables.read(package), dvm=dvm))
                ours = [line(result) for result in memo.run_all(frames(args.seed, args.frames))]
                differing = [place for place, (a, b) in enumerate(zip(said, ours, strict=True)) if a != b]
                wrong += len(differing)
                for place in differing[:5]:
                    print(f"{name} {mode} frame {place}: judge {said[place]!r}, we {ours[place]!r}")
                digest = hashlib.sha256(judged.encode()).hexdigest()
                rows.append(f"| {name} | {hashlib.sha256(raw).hexdigest()} | {mode} | {len(differing)} | {digest} |")
                golden += [f"{name} {mode} {place} {said[place]}" for place in chosen]
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    head = f"# seed {args.seed} frames {args.frames}: package, mode, frame, and what the judge said of it\n"
    GOLDEN.write_text(head + "\n".join(golden) + "\n")
    RECORD.write_text(record(args, hashlib.sha256(wire).hexdigest(), rows))
    print(f"{len(rows)} runs of {args.frames} frames, {wrong} differ; {len(golden)} golden results")
    return 1 if wrong else 0


def record(args: argparse.Namespace, wire: str, rows: list[str]) -> str:
    """The page of the record."""
    digests = [
        f"| {name} | {hashlib.sha256((args.sources / name).read_bytes()).hexdigest()} |" for name in PARSER_FILES
    ]
    harness = hashlib.sha256((ROOT / "docs/proof/e810-judge/judge.c").read_bytes()).hexdigest()
    newline = "\n"
    return f"""# The parser simulator and a second judge

`tether ddp simulate` was held against the RX parser of DPDK's ice driver (drivers/net/intel/ice/base, BSD-3-Clause) on
packages of this tree. The judge was built outside of this project; its harness is `e810-judge/judge.c` (sha256
`{harness}`), with stand-ins for DPDK's own headers. Neither its code nor a build of it is here.

- DPDK commit: {args.commit}
- frames: {args.frames} for each run, seed {args.seed} (`tests/support/e810_frames.py`), sha256 of the set `{wire}`
- compared: status, PTYPE, the 64 parser flags, every protocol with its offset

| package | sha256 | VLAN mode | differ | sha256 of the judge's results |
|---|---|---|---|---|
{newline.join(rows)}

A set of {len(rows) * GOLDEN_EACH} results of these runs, chosen by seed, is in `tests/cases/e810/golden-frames.txt`;
`make test` holds the simulator to it.

## Quirks of the judge that we do not follow

None of them is reached by these packages.

- The source of an ALU passes through a helper that returns 8 bits (`_bit_rev_u16`); ours keeps 16.
- Error bits are written to the pending word of the flags (`_err_add`); ours have no effect.
- The root node of metadata init is read with 10 of its 11 bits; ours with 11.
- A graph without an end never ends there; ours stops after 256 rounds and says so.
- A header offset beyond 504 bytes reads behind the packet's buffer there; ours reads zeros.
- More than 16 protocols overrun the result there; ours have no limit.

## Files of the judge

| file | sha256 |
|---|---|
{newline.join(digests)}
"""


if __name__ == "__main__":
    sys.exit(main())
