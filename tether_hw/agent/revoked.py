# SPDX-License-Identifier: Apache-2.0
"""Keys that this host trusts no more: no plan and no way back, the dead-man's included, puts one into its roster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable

from tether_hw.agent import durable
from tether_hw.agent.errors import Locked, Refused
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.roster import keys_in

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.plan.step import Step

SCHEMA = "tether.revoked/1"


def read(host: Host) -> dict[str, str]:
    """Key -> whose it was."""
    document = durable.read_json(Path(host.paths.revoked))
    return {} if document is None else dict(document["keys"])


def revoke(host: Host, name: str, keys: Iterable[str]) -> dict[str, Any]:
    """Trust these keys no more. Raises Locked while a run is pending, Refused while the roster has one of them."""
    holder = host.lock.holder()
    if holder is not None:
        raise Locked("run %s is pending here" % holder["run"], **{n: holder[n] for n in ("run", "holder", "since")})
    roster = durable.read_json(Path(host.paths.roster))
    wanted = set(keys)
    still = sorted(wanted & set(keys_in(roster)))
    if still:
        raise Refused("the roster still has the key %s of %s" % (still[0][:12], keys_in(roster)[still[0]]))
    known = read(host)
    new = wanted - set(known)
    if new:
        host.make_state()
        document = {"schema": SCHEMA, "keys": {**known, **dict.fromkeys(new, name)}}
        durable.write_json(Path(host.paths.revoked), document, 0o600)
    return {"revoked": sorted(new)}


def check(host: Host, steps: Iterable[Step]) -> None:
    """Raises Refused when a step would write a roster with a key that is trusted no more."""
    gone = read(host)
    for step in steps:
        if step.kind == EngineRoster.kind and gone:
            for key, name in keys_in(step.data["content"]).items():
                if key in gone:
                    raise Refused("the plan's roster has the revoked key %s of %s" % (key[:12], name), key=key)
