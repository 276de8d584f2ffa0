# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs have."""

from __future__ import annotations

import argparse
import os

from tether_hw.errors import UsageError

DEFAULT_INVENTORY = "inventory.yaml"


class Parser(argparse.ArgumentParser):
    """argparse whose usage errors end in 64, since 2 means changes."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{self.prog}: {message}", hint=f"{self.prog} --help")


def add_inventory(parser: argparse.ArgumentParser) -> None:
    """-i/--inventory"""
    parser.add_argument(
        "-i",
        "--inventory",
        metavar="FILE",
        default=os.environ.get("TETHER_INVENTORY") or DEFAULT_INVENTORY,
        help="the inventory (or TETHER_INVENTORY; %(default)s)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json"""
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, words on stderr")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """--limit"""
    parser.add_argument(
        "--limit",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only these hosts: names, globs, groups, separated by commas; ! leaves out",
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """--yes"""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """--timeout and --parallel: what every verb that reaches hosts has."""
    parser.add_argument(
        "--timeout", metavar="S", type=seconds, default=20.0, help="deadline for a session with a host (%(default)s s)"
    )
    parser.add_argument(
        "-j", "--parallel", metavar="N", type=positive, default=32, help="hosts at a time (%(default)s)"
    )


def seconds(text: str) -> float:
    """A positive number of seconds."""
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def positive(text: str) -> int:
    """A whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


__all__ = [
    "DEFAULT_INVENTORY",
    "Parser",
    "add_inventory",
    "add_json",
    "add_limit",
    "add_timeout",
    "add_yes",
    "positive",
    "seconds",
]
