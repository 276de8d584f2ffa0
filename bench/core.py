# SPDX-License-Identifier: Apache-2.0
"""Instructions per frame of the core, counted by callgrind in steady state, and the ledger under 1 to N threads.

Usage: .venv/bin/python bench/core.py [--frames N]      prints one JSON document; needs build/native and valgrind

Counted are the carrier's calls at both ends (transmit, receive; of data frames and of what comes back for them), and
beside them the application's (write, read), split into the library's AEAD calls, payload copies, header and ledger, and
bookkeeping. A count does not depend on the load of the machine, only on compiler, libcrypto and processor.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build" / "native" / "bench" / "core_cost"
LEDGER = ROOT / "build" / "native" / "bench" / "ledger_threads"
CIPHERS = {"aes-256-gcm": 2, "chacha20-poly1305": 1}
COPIES = re.compile(r"mem(cpy|move|set|cmp)")
LIBRARY = re.compile(r"EVP_")  # what our functions call of libcrypto for a frame
HEADER_FILES = ("wire.h", "frame.h", "ledger.h")
OURS = "transport/core/src/"
CARRIER = ("measured_transmit", "measured_receive")
APPLICATION = ("measured_write", "measured_read")


class Profile:
    """Costs of one callgrind output file: per (file, function) itself, and of calls between functions."""

    def __init__(self, text: str) -> None:
        self.own: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        names: dict[tuple[str, str], str] = {}
        function = file = callee = ""
        called = False

        def name(kind: str, word: str) -> str:
            match = re.fullmatch(r"\((\d+)\)(?: (.*))?", word)
            if match is None:
                return word
            if match[2] is not None:
                names[kind, match[1]] = match[2]
            return names[kind, match[1]]

        for line in text.splitlines():
            key, _, word = line.partition("=")
            if key in ("fl", "fi", "fe"):
                file = name("file", word)
            elif key == "fn":
                function = name("function", word)
            elif key == "cfn":
                callee = name("function", word)
            elif key in ("cfi", "cfl"):
                name("file", word)
            elif key in ("ob", "cob"):
                name("object", word)
            elif key == "calls":
                called = True
            elif re.match(r"[+*\-0-9]", line):
                cost = int(line.split()[1])
                if called:
                    self.calls[function, callee] += cost
                    called = False
                else:
                    self.own[file, function] += cost


def split(profile: Profile) -> dict[str, int]:
    """What the profile's calls spent, but for what the bench program itself did."""
    ours = {function for file, function in profile.own if OURS in file}
    aead = sum(
        cost
        for (caller, callee), cost in profile.calls.items()
        if caller in ours and LIBRARY.match(callee)
    )
    copies = sum(cost for (caller, callee), cost in profile.calls.items() if caller in ours and COPIES.search(callee))
    header = sum(cost for (file, _), cost in profile.own.items() if Path(file).name in HEADER_FILES)
    rest = sum(cost for (file, _), cost in profile.own.items() if OURS in file) - header
    return {"aead": aead, "copies": copies, "header_and_ledger": header, "bookkeeping": rest}


def counted(end: str, calls: tuple[str, ...], frames: int, cipher: int, gbps: int) -> tuple[Profile, dict[str, int]]:
    """The profile of one end's calls, and what went: data frames, header-only frames, repairs."""
    with tempfile.TemporaryDirectory(prefix="tether-bench-") as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no"]
        command += [f"--toggle-collect={name}" for name in calls]
        command += [f"--callgrind-out-file={out}", str(PROGRAM), end, str(frames), str(cipher), str(gbps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
        words = done.stdout.split()
        return Profile(out.read_text()), {key: int(value) for key, value in zip(words[::2], words[1::2])}


def per_frame(cipher: str, frames: int, calls: tuple[str, ...] = CARRIER, gbps: int = 40) -> dict[str, Any]:
    """Both ends' instructions per data frame, and the functions of ours that cost most."""
    document: dict[str, Any] = {"cipher": cipher, "calls": [name.removeprefix("measured_") for name in calls]}
    document["link_gbps"] = gbps
    ours = 0.0
    for end in ("send", "receive"):
        profile, went = counted(end, calls, frames, CIPHERS[cipher], gbps)
        parts = split(profile)
        count = went["data_frames"]
        functions = Counter[str]()
        for (file, function), cost in profile.own.items():
            if OURS in file:
                functions[function] += cost
        document[end] = {part: round(cost / count, 1) for part, cost in parts.items()}
        document[end]["functions"] = {name: round(cost / count, 1) for name, cost in functions.most_common(12)}
        document[end]["header_frames_per_data_frame"] = round(went["header_frames"] / count, 3)
        ours += (parts["header_and_ledger"] + parts["bookkeeping"]) / count
    document["without_aead_and_copies"] = round(ours, 1)
    return document


def threads(most: int) -> list[dict[str, Any]]:
    """Debits of a ledger by 1..N threads, which a grantor feeds; every slot is taken once (the program checks it)."""
    rows = []
    for count in range(1, most + 1):
        done = subprocess.run([str(LEDGER), str(count)], check=True, capture_output=True, text=True, timeout=300)
        rows.append({"threads": count, **json.loads(done.stdout)})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions per frame of the core.")
    parser.add_argument("--frames", type=int, default=100000, help="data frames that are counted (default 100000)")
    parser.add_argument("--threads", type=int, default=4, help="most threads on the ledger (default 4)")
    arguments = parser.parse_args()
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    document = {
        "schema": "tether.bench.core/1",
        "machine": platform.machine(),
        "compiler": compiler,
        "valgrind": valgrind,
        "frames": arguments.frames,
        "payload_bytes": 1408,
        "instructions_per_frame": [
            *(per_frame(cipher, arguments.frames) for cipher in CIPHERS),
            per_frame("aes-256-gcm", arguments.frames, gbps=10),
            per_frame("aes-256-gcm", arguments.frames, APPLICATION),
        ],
        "ledger": threads(arguments.threads),
    }
    json.dump(document, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
