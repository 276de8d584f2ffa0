# SPDX-License-Identifier: Apache-2.0
"""Facts for verbs that need them: from the hosts, or from a record."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from tether_hw.cli import output
from tether_hw.cli.exits import Exit
from tether_hw.errors import TetherError
from tether_hw.fleet.inventory import Inventory
from tether_hw.plan.facts import Facts


@dataclass(frozen=True)
class Failure:
    """A host whose facts could not be read."""

    host: str
    exit: Exit
    message: str

    def to_dict(self) -> dict[str, object]:
        return {"host": self.host, "exit": int(self.exit), "message": self.message}


def read_facts(
    inventory: Inventory, names: list[str], args: argparse.Namespace
) -> tuple[dict[str, Facts], list[Failure]]:
    """The facts of the hosts, and those that failed, which a person has been told about."""
    from tether_hw.fleet import facts_record

    if getattr(args, "facts", None) is not None:
        return facts_record.read(args.facts, names), []
    from tether_hw.fleet.facts import collect

    found: dict[str, Facts] = {}
    failed: list[Failure] = []
    for name, answer in collect(inventory, names, timeout_s=args.timeout, parallel=args.parallel):
        if isinstance(answer, TetherError):
            output.report(answer)
            failed.append(Failure(name, answer.exit, answer.message))
        else:
            found[name] = answer
    return dict(sorted(found.items())), sorted(failed, key=lambda failure: failure.host)
