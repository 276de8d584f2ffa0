# SPDX-License-Identifier: Apache-2.0
"""Setting hosts up for a login that is not root: once as root, over a session or by a script for an image."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostRefused, TetherError
from tether_hw.fleet import bare, bundle, operator, push, runner, words
from tether_hw.fleet.ssh import Session
from tether_hw.fleet.target import root_target
from tether_hw.plan.paths import HELPER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.reach import Reach

_MODULE = "tether_hw.agent.bootstrap"
_SET_UP_S = 120.0
_WIDTH = 100
_SCRIPT = """#!/bin/sh
# {about}
# Made by tether host bootstrap --print. Run it once as root, on the host or in its image.
set -eu
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cat >"$program" <<'END_OF_PROGRAM'
import base64, sys, zlib
exec(compile(zlib.decompress(base64.b64decode(\"\"\"
{program}
\"\"\")), "tether", "exec"))
END_OF_PROGRAM
python3 -I -B "$program"
"""


@dataclass(frozen=True)
class Wanted:
    """What a host is set up with."""

    user: str
    keys: dict[str, str]


def wanted(inventory: Inventory, host: str) -> Wanted:
    """Who logs in there and who may change it. Raises TetherError where the inventory says too little."""
    keys = operator.trusted(inventory)
    if not keys:
        hint = "tether key operator --make FILE makes one; its public line goes into `operators`"
        raise TetherError(f"{inventory.path} names no operators, so nobody could change {host} any more", hint=hint)
    one = inventory.hosts[host]
    if one.root != "/":
        raise TetherError(f"{host} lies in the folder {one.root}: it needs no root and has no helper")
    return Wanted(one.user or root_target(inventory, host).user, keys)


def bootstrap(reach: Reach, hosts: Iterable[str], parallel: int = 32) -> list[dict[str, Any]]:
    """Set hosts up, or renew what they were set up with. One result per host."""
    inventory = reach.inventory

    def work(host: str) -> dict[str, Any]:
        reach.progress.tell(host, "connects")
        want = wanted(inventory, host)
        one = inventory.hosts[host]
        if one.helper and not one.sudo and want.user != "root":
            answer = _renewed(reach, host, want)
        else:
            answer = _set_up(reach, host, want)
        reach.progress.tell(host, "set up", 1.0)
        return words.result_ok(host, "set-up", f"{want.user} reaches root by {HELPER} only", **answer)

    results = runner.run(hosts, work, parallel)
    outcome = dict(results.done)
    outcome.update({host: words.result_of(error) for host, error in results.failed.items()})
    return [outcome[host] for host in sorted(outcome)]


def _set_up(reach: Reach, host: str, want: Wanted) -> dict[str, Any]:
    with Session.connect(root_target(reach.inventory, host), reach.timeout_s) as session:
        machine = reach.look(session)
        if not machine.is_root:
            hint = "say sudo: true (and sudo_password), log in as root, or take the script: --print"
            raise HostRefused(host, f"setting it up takes root once, {machine.user} is not", hint=hint)
        digest = push.place(session, machine, reach.bundles, reach.time_scale)
        request = _request(digest, host, want, None)
        answer = bare.run(session, _MODULE, request, _SET_UP_S * reach.time_scale)
    if "trouble" in answer:
        raise HostRefused(host, str(answer["trouble"]))
    return dict(answer)


def _renewed(reach: Reach, host: str, want: Wanted) -> dict[str, Any]:
    with reach.session(host) as session:
        agent = reach.agent(session)
        return agent.call("helper", {"digest": agent.digest, "keys": want.keys})


def _request(digest: str, host: str | None, want: Wanted, packed: str | None) -> dict[str, Any]:
    user = None if want.user == "root" else want.user
    return {"root": "/", "digest": digest, "host": host, "user": user, "keys": want.keys, "bundle": packed}


def script(inventory: Inventory, hosts: list[str], arch: str) -> str:
    """A shell script that does the same, with the bundle inside. Several hosts share one when they log in alike."""
    users = sorted({wanted(inventory, host).user for host in hosts})
    if len(users) > 1:
        raise TetherError(f"these hosts have different login users: {', '.join(users)}", hint="--print some at a time")
    found = bundle.find(arch)
    packed = base64.b64encode(zlib.compress(found.path.read_bytes(), 9)).decode()
    # An image becomes many hosts: which one it is, the first signed request says.
    name = hosts[0] if len(hosts) == 1 else None
    request = _request(found.digest, name, wanted(inventory, hosts[0]), packed)
    text = base64.b64encode(zlib.compress(bare.program(_MODULE, request), 9)).decode()
    lines = "\n".join(text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH))
    about = f"Sets a host up for the login user {users[0]}: bundle {found.digest[:12]} ({arch}), helper, operators."
    return _SCRIPT.format(about=about, program=lines)
