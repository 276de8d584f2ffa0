#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Floods a live engine and records what became of it in docs/proof/flood.md.

Usage: .venv/bin/python tools/flood.py FRAMES      (make flood)
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "proof" / "flood.md"
BINARY = ROOT / "build" / "native" / "tether-flood"
HEAD = """\
# A flood

`make flood` starts an engine over UDP on loopback and a peer that it knows, records two channels of a third one (one
that has ended and one that still stands), and then sends the engine frames that it must not accept, from many source
addresses, as fast as it takes them: one in ten is a Lamp. All of them follow from a seed. `make test` sends 200,000.

The run fails unless nothing of it was accepted, the flooder got no more bytes than it sent, the engine's memory did
not grow after the first tenth, no invariant broke, and every ping of the legitimate peer came back.
"""
WORDS = {
    "replayed": "recorded frames of both channels, both ways, as they were",
    "mutated": "with some bytes changed",
    "truncated": "cut anywhere",
    "extended": "with bytes behind them",
    "forged": "plausible headers for the channel that stands, with an invented tag",
    "random": "random bytes",
    "hail_replayed": "recorded Hails, as they were",
    "hail_mutated": "recorded Hails, changed, with a good mac1",
    "hail_invented": "good mac1 around random bytes",
    "hail_of_a_stranger": "whole Hails of an identity that is in no roster",
}


COST = """\
## What it costs the legitimate peer

`tether-flood --bench` (`make bench` runs it too): the goodput of one stream over the same engine, without a flood,
under one of Lamps with a good mac1 at ten times the lane's bucket, and while the same flood goes to another socket of
the machine that nobody reads. The flooder is a thread of the same machine, so the last figure is what sending and
delivering that many datagrams costs here whoever they are for. Shares are of the goodput without a flood in the same
round; median, and least to most. The aim is 0.7 or more for the second row.
"""


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    """Two columns, the second to the right."""
    lines = [f"| {head[0]} | {head[1]} |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)


def page(found: dict[str, Any], commit: str) -> str:
    """The record of one run."""
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    rate = found["frames"] / found["seconds"]
    facts = [
        ("frames", f"{found['frames']:,}"),
        ("seconds", f"{found['seconds']:,.0f}"),
        ("frames a second", f"{rate:,.0f}"),
        ("source addresses", str(found["sources"])),
        ("Lamps that the engine looks at, a second", f"{found['lamp_per_s']:,}"),
        ("accepted", str(found["accepted_of_the_flood"])),
        ("bytes to the engine", f"{found['bytes_in']:,}"),
        ("answers", f"{found['replies']:,}"),
        ("bytes to the flooder", f"{found['bytes_out']:,}"),
        ("dropped by the kernel before the engine", f"{found['dropped_by_the_kernel']:,}"),
        ("memory after a tenth, and in the end (KiB)", f"{found['rss_before'] >> 10:,}, {found['rss_after'] >> 10:,}"),
        ("pings of the legitimate peer, missed", f"{found['pings']:,}, {found['pings_missed']}"),
        ("longest ping (ms)", f"{found['longest_ping_ms']:,.0f}"),
    ]
    sent = [(f"{name}: {WORDS[name]}", f"{count:,}") for name, count in found["sent"].items()]
    refused = [(name, f"{count:,}") for name, count in found["refused"].items()]
    where = f"{platform.machine()}, {platform.system()} {platform.release().split('-')[0]}, 2 cores shared with others"
    return "\n".join(
        [
            HEAD,
            f"Recorded {day} at {commit}, seed {found['seed']}, on {where}.",
            "",
            table(("", "count"), facts),
            "",
            table(("sent", "frames"), sent),
            "",
            table(("refused as", "frames"), refused),
            "",
        ]
    )


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def cost(found: dict[str, Any], load: float) -> str:
    """What one measurement of the goodput says, on a machine with this load of others."""
    rows = [
        ("goodput without a flood (Gbit/s)", f"{found['quiet_bps'] / 1e9:.2f}"),
        ("share under the flood", f"{found['share']:.2f} ({spread(found['round_share'])})"),
        ("share beside the flood", f"{found['share_beside']:.2f} ({spread(found['round_share_beside'])})"),
        ("Lamps a second", f"{found['flood_per_s']:,.0f}"),
        ("of a core for the flooder", f"{found['cpu_of_the_flooder']:.2f}"),
        ("dropped by the kernel before the engine", f"{found['dropped_by_the_kernel']:,}"),
        ("load of the machine by others, in threads that want a core", f"{load:.1f}"),
        ("rounds, each of (s)", f"{found['rounds']}, {found['seconds']:g}"),
    ]
    return "\n".join([COST, table(("", "found"), rows), ""])


def main() -> int:
    """Run and record."""
    load = os.getloadavg()[0]
    frames = sys.argv[1] if len(sys.argv) > 1 else "10000000"
    done = subprocess.run([str(BINARY), "--frames", frames], stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    measured = subprocess.run([str(BINARY), "--bench", "--rounds", "9"], stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(measured.stdout)
    if done.returncode or measured.returncode:
        print(f"flood: ended with {done.returncode}, the measurement with {measured.returncode}", file=sys.stderr)
        return done.returncode or measured.returncode
    command = ["git", "describe", "--always", "--dirty"]
    commit = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "no commit"
    )
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(page(json.loads(done.stdout), commit) + "\n" + cost(json.loads(measured.stdout), load))
    print(f"recorded: {RECORD.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
