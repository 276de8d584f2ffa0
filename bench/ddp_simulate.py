# SPDX-License-Identifier: Apache-2.0
"""Frames a second of the E810 parser simulator: the plain machine, and the one that remembers, from nothing and warm.

Usage: .venv/bin/python bench/ddp_simulate.py [--frames N] [--rounds N]
One JSON document on stdout: medians of the rounds with their least and most, CPU time of one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.e810_frames import frames  # noqa: E402
from tests.support.e810_packages import package_of  # noqa: E402
from tether_hw.nic.e810.ddp.parser.machine import Machine  # noqa: E402
from tether_hw.nic.e810.ddp.parser.memo import Memo  # noqa: E402
from tether_hw.nic.e810.ddp.parser.reads import Frame  # noqa: E402
from tether_hw.nic.e810.ddp.tables import Tables  # noqa: E402


def rate(parse: Callable[[bytes], object], data: list[bytes]) -> float:
    """Frames for each second of CPU time."""
    started = time.process_time()
    for frame in data:
        parse(frame)
    return len(data) / (time.process_time() - started)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    data = list(frames(5, args.frames))
    machine = Machine(Tables.read(package_of("tether")))
    plain, cold, warm = [], [], []
    for _ in range(args.rounds):
        memo = Memo(machine)
        cold.append(rate(memo.run, data))
        warm.append(rate(memo.run, data))
        plain.append(rate(lambda frame: machine.run(Frame(frame)), data[: args.frames // 10]))
    document: dict[str, Any] = {"schema": "tether.bench.ddp/1", "frames": args.frames, "rounds": args.rounds}
    document["frames_per_s"] = {"plain": spread(plain), "remembering": spread(cold), "remembered": spread(warm)}
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
