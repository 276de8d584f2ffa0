# SPDX-License-Identifier: Apache-2.0
"""Proving changes nothing on a host, and says field by field what is not as planned."""

from __future__ import annotations

from tests.netns.fleet.test_verbs import Say, say
from tests.support.fleets import Fleet
from tether_hw.errors import Exit
from tether_hw.fleet import bundle

__all__ = ["say"]

#: Everything that a verb could leave behind, with its time of change.
LOOK = "find /opt /etc /var/lib /home /root /usr/local -xdev -printf '%p %y %s %T@ %C@\\n' | sort"


def test_verify_on_a_host_without_anything_leaves_it_so(fleet: Fleet, say: Say) -> None:
    fleet.run("a", "rm", "-rf", f"/opt/tether/{bundle.find('x86_64').digest}")
    before = fleet.run("a", "sh", "-c", LOOK)
    code, document = say(fleet.inventory_file, "verify", "--limit", "a")
    assert fleet.run("a", "sh", "-c", LOOK) == before
    assert (code, document["hosts"]) == (Exit.UNPROVED, [])
    found = {check["id"]: (check["result"], check["evidence"]) for check in document["checks"]}
    result, evidence = found.pop("config")
    assert result == "failed"
    assert "engine.service is absent, planned is running" in evidence
    assert "nics.data0.mtu is 1500, planned is 3000" in evidence
    assert {result for name, (result, _) in found.items() if name.startswith("link")} == {"not provable now"}
    missing = {found[name] for name in found if not name.startswith("link")}
    assert missing == {("failed", "the bundle of this suite is not on the host: tether apply places it")}
