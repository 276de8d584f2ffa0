# SPDX-License-Identifier: Apache-2.0
"""What stands on a network device and goes with its driver: up or down, addresses and routes that somebody gave it.

A network manager puts its own back by itself; what nobody watches over would be lost, and with it perhaps the session.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Iterable

from tether_hw.agent import cards, command, durable
from tether_hw.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "links.json"


def keep(devices: Iterable[str], snapshot: Path) -> None:
    """Note it in the run's snapshot; what is noted there already is older and stays."""
    place = snapshot / _NAME
    kept: dict[str, Any] = durable.read_json(place) or {}
    for device in devices:
        if device not in kept:
            kept[device] = _read(device)
    snapshot.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.write_json(place, kept)


def restore(devices: Iterable[str], snapshot: Path, timeout_s: float) -> None:
    """Put back what the snapshot has and the device has not. Raises AgentError with what could not be put back."""
    kept: dict[str, Any] = durable.read_json(snapshot / _NAME) or {}
    problems = []
    for device in devices:
        if device not in kept:
            continue
        now = _read(device)
        commands = []
        if kept[device]["up"] and not now["up"]:
            commands.append(["ip", "link", "set", "dev", device, "up"])
        for what, verb in (("addresses", "addr"), ("routes", "route")):
            missing = [words for words in kept[device][what] if words not in now[what]]
            commands += [["ip", verb, "replace", *words, "dev", device] for words in missing]
        for argv in commands:
            try:
                command.checked(argv, timeout_s)
            except AgentError as error:
                problems.append(error.message)
    if problems:
        raise AgentError("; ".join(problems))


def _read(device: str) -> dict[str, Any]:
    links = _json(["ip", "-j", "addr", "show", "dev", device])
    found: dict[str, Any] = {"up": False, "addresses": [], "routes": []}
    for link in links:
        found["up"] = found["up"] or "UP" in link.get("flags", [])
        for item in link.get("addr_info", []):
            if item.get("scope") == "global" and not item.get("dynamic") and not item.get("temporary"):
                found["addresses"].append(["%s/%s" % (item["local"], item["prefixlen"])])
    for version in ("-4", "-6"):
        for route in _json(["ip", "-j", version, "route", "show", "dev", device]):
            if route.get("protocol") in ("boot", "static") and "dst" in route:
                words = [str(route["dst"])]
                words += ["via", str(route["gateway"])] if "gateway" in route else []
                words += ["metric", str(route["metric"])] if "metric" in route else []
                found["routes"].append(words)
    return found


def _json(argv: list[str]) -> list[dict[str, Any]]:
    try:
        value = json.loads(cards.ask(argv) or "[]")
    except ValueError:
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
