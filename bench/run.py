# SPDX-License-Identifier: Apache-2.0
"""Every benchmark that this machine can run, one JSON document each in build/bench, and a line for people.

Usage: .venv/bin/python bench/run.py      (make bench)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "bench"
TETHER = [sys.executable, "-m", "tether_hw.cli.main", "engine", "bench", "--json", "--carrier"]
DEADLINE_S = 600


def run(name: str, command: list[str]) -> dict[str, Any] | None:
    """The document of one benchmark, kept in its file; None when it failed, with its own words shown."""
    print(f"bench: {name}", flush=True)
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        print(f"bench: {name} took more than {DEADLINE_S} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print(f"bench: {name} ended with {done.returncode}", file=sys.stderr)
        return None
    (RESULTS / f"{name}.json").write_text(done.stdout)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def crypto_line(document: dict[str, Any]) -> str:
    words = []
    for row in document["results"]:
        words.append(f"{row['library']} {row['payload_bytes']} B {row['goodput_bps'] / 1e9:.2f} Gbit/s")
    return "seal + open: " + ", ".join(words)


def core_line(document: dict[str, Any]) -> str:
    rows = document["instructions_per_frame"]
    words = [f"{'+'.join(row['calls'])} {row['cipher']} {row['without_aead_and_copies']:.0f}" for row in rows]
    return "instructions per frame at both ends, without AEAD and copies: " + ", ".join(words)


def engine_line(document: dict[str, Any]) -> str:
    words = [f"{document['goodput_bps'] / 1e9:.2f} Gbit/s"]
    for field, limit in (("share_of_aead_limit", "raw AEAD"), ("share_of_xdp_ceiling", "bare AF_XDP")):
        if document.get(field) is not None:
            words.append(f"{document[field]:.2f} of {limit}")
    return ", ".join(words)


def flood_line(document: dict[str, Any]) -> str:
    shares = document["round_share"]
    return (
        f"goodput {document['share']:.2f} of that without (rounds {min(shares):.2f} to {max(shares):.2f}) under "
        f"{document['flood_per_s']:,.0f} Lamps/s, {document['lamp_per_s']:,} of them looked at; "
        f"{document['share_beside']:.2f} while the same goes to a socket that nobody reads"
    )


def ddp_line(document: dict[str, Any]) -> str:
    rates = document["frames_per_s"]
    words = [f"{name} {rates[name]['median']:,.0f}" for name in ("plain", "remembering", "remembered")]
    return f"frames/s of the E810 parser simulator: {', '.join(words)}"


def main() -> int:
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = []
    if Path("/usr/include/sodium.h").exists():
        document = run("crypto", [sys.executable, str(ROOT / "bench" / "crypto_library.py")])
        print(crypto_line(document) if document else "crypto failed")
        failed += [] if document else ["crypto"]
    else:
        print("bench: crypto not run: needs libsodium-dev")
    if shutil.which("valgrind"):
        document = run("core", [sys.executable, str(ROOT / "bench" / "core.py")])
        print(core_line(document) if document else "core failed")
        failed += [] if document else ["core"]
    else:
        print("bench: core not run: needs valgrind")
    for carrier in ("pipe", "udp", "af_xdp"):
        if carrier == "af_xdp" and os.geteuid() != 0:
            print("bench: af_xdp not run: needs root")
            continue
        document = run(carrier, [*TETHER, carrier])
        print(f"{carrier}: {engine_line(document)}" if document else f"{carrier} failed")
        failed += [] if document else [carrier]
    document = run("flood", [str(ROOT / "build" / "native" / "tether-flood"), "--bench"])
    print(f"flood: {flood_line(document)}" if document else "flood failed")
    failed += [] if document else ["flood"]
    document = run("ddp", [sys.executable, str(ROOT / "bench" / "ddp_simulate.py")])
    print(f"ddp: {ddp_line(document)}" if document else "ddp failed")
    failed += [] if document else ["ddp"]
    print(f"results: {RESULTS.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
