# SPDX-License-Identifier: Apache-2.0
"""A controller that a test may kill: applies a saved plan with a given bundle and run name."""

from __future__ import annotations

import sys
from pathlib import Path

from tether_hw.fleet.apply import Application, Wish
from tether_hw.fleet.bundle import Bundle
from tether_hw.fleet.inventory import load
from tether_hw.fleet.progress import Lines
from tether_hw.fleet.reach import Reach
from tether_hw.plan.plan import Plan


def main() -> None:
    inventory, tar, digest, plan, run = sys.argv[1:]
    bundle = Bundle("x86_64", digest, "", (), Path(tar), Path(tar).stat().st_size)
    reach = Reach(load(Path(inventory)), bundles=lambda arch: bundle, progress=Lines())
    print(Application(reach, Plan.load(Path(plan).read_bytes()), Wish(), run).carry_out(), file=sys.stderr)


if __name__ == "__main__":
    main()
