#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What drivers refuse (tests/refusals.yaml) and the golden cases that answer to it; writes docs/proof/planner-cases.md.

Ends in 1 where an entry names a case that is not there or does not do what is said, where a driver lacks one of first,
second, change, remove, and where a refusal of cx7 or bluefield is in no entry. Run: python3 tools/refusals.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST = Path("tests/refusals.yaml")
PAGE = Path("docs/proof/planner-cases.md")
FIELDS = {"line", "what", "refused", "ordered", "elsewhere"}
#: Driver or way of steering -> what its cases' names begin with.
DRIVERS = {
    "mlx5_core": "cx7-mlx5",
    "netdevsim": "cx7-netdevsim",
    "BlueField, Arm": "bluefield-arm",
    "BlueField, host": "bluefield-host",
    "ice, ethtool": "e810-new-kernel",
    "ice, switchdev": "e810-switchdev",
    "ice, package": "e810-package",
    "veth": "veth",
    "virtio_net": "virtio",
}
WHATS = ("first", "second", "change", "remove")
#: Refusals that are every family's, and named by no line.
GENERAL = {
    "bluefield-other-serial",
    "bluefield-psid",
    "cx7-mlx5-no-devlink",
    "cx7-mlx5-not-root",
    "cx7-mlx5-other-driver",
    "cx7-mlx5-psid",
    "cx7-mlx5-psid-none",
    "cx7-mlx5-twice",
    "cx7-mlx5-vfs-in-use",
}


@dataclass
class Found:
    """The entries, the cases by name, and what is wrong."""

    entries: list[dict[str, Any]]
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def refused(case: dict[str, Any]) -> bool:
    """Whether a host of a case is refused."""
    return any("refusals" in entry for entry in case["expect"].values() if isinstance(entry, dict))


def of_driver(found: Found, prefix: str, what: str) -> list[str]:
    """The cases of a driver that show this."""
    return sorted(name for name in found.cases if name.startswith(f"{prefix}-{what}"))


def scan(root: Path = ROOT) -> Found:
    """Everything that the tree says of refusals."""
    found = Found(yaml.safe_load((root / LIST).read_text(encoding="utf-8")))
    for path in sorted((root / "tests/cases").glob("*.yaml")):
        found.cases[path.stem] = yaml.safe_load(path.read_text(encoding="utf-8"))
    named: set[str] = set()
    for entry in found.entries:
        words = f"{LIST}: line {entry.get('line')}: {entry.get('what')}"
        if not {"line", "what"} <= set(entry) <= FIELDS or not set(entry) & {"refused", "ordered", "elsewhere"}:
            found.errors.append(f"{words}: expected line, what, and refused, ordered or elsewhere")
        for kind in ("refused", "ordered"):
            for name in entry.get(kind, []):
                named.add(name)
                if name not in found.cases:
                    found.errors.append(f"{words}: there is no case {name}")
                elif refused(found.cases[name]) != (kind == "refused"):
                    found.errors.append(f"{words}: {name} is {'not ' if kind == 'refused' else ''}refused")
    for name, case in found.cases.items():
        if name.startswith(("cx7-", "bluefield-")) and refused(case) and name not in named | GENERAL:
            found.errors.append(f"{name} refuses something that {LIST} does not have")
    for driver, prefix in DRIVERS.items():
        for what in WHATS:
            if not of_driver(found, prefix, what):
                found.errors.append(f"{driver} has no case {prefix}-{what}")
    return found


def page(found: Found) -> str:
    """The tables, as Markdown."""
    rows = []
    for entry in found.entries:
        cells = [str(entry["line"]), entry["what"]]
        cells += ["<br>".join(f"`{name}`" for name in entry.get(kind, [])) for kind in ("refused", "ordered")]
        rows.append("| " + " | ".join([*cells, entry.get("elsewhere", "")]) + " |")
    drivers = []
    for driver, prefix in DRIVERS.items():
        cells = ["<br>".join(f"`{name}`" for name in of_driver(found, prefix, what)) for what in WHATS]
        drivers.append("| " + " | ".join([driver, *cells]) + " |")
    return "\n".join([
        "# What drivers refuse, and the golden cases that answer to it",
        "",
        "Made by `tools/refusals.py` from `tests/refusals.yaml` and `tests/cases`. A test fails when this page is",
        "stale, when an entry names a case that is not there or does not do what is said, when a case of cx7 or",
        "bluefield refuses what no entry has, and when a driver lacks one of its cases. Lines are those of the notes",
        "on switchdev; *refused*: by the plan, before anything runs; *ordered*: planned so that it does not come up.",
        "",
        "| line | | refused | ordered | elsewhere |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Every case is taken back from after each of its steps (`test_taking_back_gives_the_facts_again`), so each of",
        "these is a case of rollback as well.",
        "",
        "| driver | " + " | ".join(WHATS) + " |",
        "|---|---|---|---|---|",
        *drivers,
        "",
    ])  # fmt: skip


def main() -> int:
    found = scan()
    for line in found.errors:
        print(line)
    (ROOT / PAGE).write_text(page(found), encoding="utf-8")
    print(f"{len(found.entries)} refusals and traps, {len(found.cases)} cases")
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
