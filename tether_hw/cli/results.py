# SPDX-License-Identifier: Apache-2.0
"""Results of hosts, for people and as JSON documents."""

from __future__ import annotations

from typing import Any

from tether_hw.cli import output
from tether_hw.cli.exits import Exit, worst
from tether_hw.fleet.secrets import redact, redact_all
from tether_hw.plan.checks import FAILED, IN_SOFTWARE, NOT_NOW, PROVED


def lines(results: list[dict[str, Any]]) -> list[str]:
    """One line per host, and its hint below it."""
    text = []
    for result in results:
        text.append(f"{result['host']}: {result['result']}: {redact(result['message'])}")
        for difference in (result.get("detail") or {}).get("differences", []):
            path = ".".join(difference["path"])
            text.append(f"    {path}: was {difference['before']}, is {difference['after']}")
        if result.get("hint"):
            text.append(f"    hint: {redact(result['hint'])}")
    return text


def card_lines(cards: list[dict[str, Any]]) -> list[str]:
    """One line per card whose sides ended differently."""
    return [
        f"card {card['card']}: split; it is mended by: {card['hint']}" for card in cards if card["result"] == "split"
    ]


def check_lines(checks: list[dict[str, Any]]) -> list[str]:
    """One line per check."""
    marks = {PROVED: "ok", FAILED: "FAILED", NOT_NOW: "--", IN_SOFTWARE: "SOFT"}
    return [
        f"{marks[check['result']]:6} {check['host']}: {check['id']}: {redact(str(check['evidence']))}"
        for check in checks
    ]


def proofs(checks: list[dict[str, Any]]) -> Exit:
    """UNPROVED when a check failed, or when rules that may run in hardware do not."""
    return Exit.UNPROVED if any(check["result"] in (FAILED, IN_SOFTWARE) for check in checks) else Exit.DONE


def give(schema: str, results: list[dict[str, Any]], *, as_json: bool, **more: Any) -> int:
    """Print the results of a verb; gives its exit code."""
    checks = more.get("checks", [])
    codes = [int(result["exit"]) for result in results]
    code = worst([*codes, int(proofs(checks))])
    text = [
        *lines(results),
        *check_lines(checks),
        *card_lines(more.get("cards", [])),
        *(f"next: {command}" for command in more.get("next", [])),
    ]
    if text:
        output.result("\n".join(text), as_json=as_json)
    if as_json:
        document = {"schema": schema, "exit": int(code), **more, "hosts": results}
        output.emit_json(redact_all(document))
    return code
