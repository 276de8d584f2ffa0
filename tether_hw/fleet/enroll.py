# SPDX-License-Identifier: Apache-2.0
"""Enrolling hosts: keys are made there, their public halves come back over the verified session into the keys file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostRefused, TetherError
from tether_hw.fleet import runner, words
from tether_hw.fleet.engine_intent import engine_user
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.fleet.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.reach import Reach
    from tether_hw.fleet.runner import Results

_HEAD = "# Public identity keys of the hosts, written by `tether key enroll`. Keep this file with the inventory.\n"


def enroll(reach: Reach, hosts: Iterable[str], parallel: int = 32, replace: bool = False) -> list[dict[str, Any]]:
    """Enroll hosts and record their keys. A host that shows another key than the recorded one is refused."""
    inventory = reach.inventory

    def work(host: str) -> dict[str, Any]:
        reach.progress.tell(host, "connects")
        with reach.session(host) as session:
            machine = reach.look(session)
            reach.progress.tell(host, "enrolls")
            agent = reach.agent_on(session, machine)
            answer = agent.call("enroll", {"user": engine_user(inventory, host) or machine.user})
        check(inventory, host, answer["key"], replace)
        reach.progress.tell(host, "enrolled", 1.0)
        message = "key made" if answer["made"] else "has its key"
        return words.result_ok(host, "enrolled", message, **answer, fingerprint=fingerprint(answer["key"]))

    results = runner.run(hosts, work, parallel)
    keys = {host: str(done["key"]) for host, done in results.done.items()}
    record(inventory, keys)
    outcome = dict(results.done)
    outcome.update({host: words.result_of(error) for host, error in results.failed.items()})
    return [outcome[host] for host in sorted(outcome)]


def place(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> Results[str]:
    """Place the bundle where it is missing, and make no key; the digest of each host's bundle."""

    def work(host: str) -> str:
        reach.progress.tell(host, "connects")
        with reach.session(host) as session:
            return reach.agent(session).digest

    return runner.run(hosts, work, parallel)


def check(inventory: Inventory, host: str, key: str, replace: bool = False) -> None:
    """Raises HostRefused when a host shows a key that is not the recorded one, with both fingerprints."""
    known = inventory.keys.get(host)
    if known is None or key in known or replace:
        return
    recorded = ", ".join(fingerprint(old) for old in known)
    raise HostRefused(
        host,
        f"its identity key changed: recorded {recorded}, shown {fingerprint(key)}",
        hint=f"if the host was installed anew: tether key enroll --replace --limit {host}",
    )


def record(inventory: Inventory, keys: Mapping[str, str]) -> bool:
    """Write new keys to the keys file, whole or not at all; True when it changed. Raises TetherError."""
    found = {host: list(known) for host, known in inventory.keys.items()}
    before = {host: list(known) for host, known in found.items()}
    for host, key in keys.items():
        if key not in found.get(host, ()):
            found[host] = [key]
    if found == before:
        return False
    _write_keys(inventory, found)
    return True


def forget(inventory: Inventory, host: str) -> bool:
    """Take a host out of the keys file; True when it was in it. Raises TetherError."""
    if host not in inventory.keys:
        return False
    _write_keys(inventory, {name: list(known) for name, known in inventory.keys.items() if name != host})
    return True


def _write_keys(inventory: Inventory, found: Mapping[str, list[str]]) -> None:
    lines = [_HEAD, "hosts:\n" if found else "hosts: {}\n"]
    for host in sorted(found):
        lines.append(f"  {host}:\n    keys:\n")
        lines += [f'      - "{key}"\n' for key in found[host]]
    _write(inventory.keys_file, "".join(lines))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode(), 0o644)
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None
