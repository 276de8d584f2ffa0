# SPDX-License-Identifier: Apache-2.0
"""The main job on machines with systemd: from legacy to a switch with functions and rules, told as it is, and back."""

from __future__ import annotations

import json
from typing import Any

from tests.support.guests import Guests
from tether_hw.errors import Exit

Told = dict[str, Any]


def checks(document: Told, host: str) -> dict[str, tuple[str, str]]:
    return {one["id"]: (one["result"], one["evidence"]) for one in document["checks"] if one["host"] == host}


def representors(lab: Guests, host: str) -> dict[int, str]:
    """Names of the representors by VF number, by their devlink attributes alone."""
    ports = json.loads(lab.ssh(host, "devlink -j port show").stdout)["port"].values()
    return {port["vfnum"]: port["netdev"] for port in ports if port["flavour"] == "pcivf"}


def flower(lab: Guests, host: str, device: str) -> list[dict[str, Any]]:
    shown = json.loads(lab.ssh(host, f"tc -j filter show dev {device} ingress").stdout)
    return [one["options"] for one in shown if one["kind"] == "flower" and "handle" in one.get("options", {})]


def assert_switch(lab: Guests, host: str) -> None:
    """What the inventory asks for, as the host's own programs show it."""
    eswitch = json.loads(lab.ssh(host, "devlink -j dev eswitch show netdevsim/netdevsim1").stdout)
    assert eswitch["dev"]["netdevsim/netdevsim1"]["mode"] == "switchdev"
    found = representors(lab, host)
    assert sorted(found) == [0, 1, 2, 3]
    rules = flower(lab, host, "sim0")
    assert len(rules) == 2
    assert all(rule.get("not_in_hw") and not rule.get("in_hw") for rule in rules)
    actions = [[action.get("to_dev", action["kind"]) for action in rule["actions"]] for rule in rules]
    assert sorted(actions) == sorted([[found[3], found[2]], ["gact"]])
    shown = lab.ssh(host, "systemctl show -p ActiveState,User,NRestarts tether-engine").stdout.split()
    assert "ActiveState=active" in shown
    assert "NRestarts=0" in shown
    assert "User=root" not in shown


def test_two_machines_from_legacy_to_switchdev_rebooted_and_taken_back(fresh: Guests) -> None:
    start = fresh.config()
    assert {config["functions"]["netdevsim1"]["eswitch"] for config in start.values()} == {"legacy"}
    code, applied = fresh.say("apply", "--yes")
    assert code == Exit.UNPROVED, applied
    assert {host["result"] for host in applied["hosts"]} == {"confirmed"}
    for host in ("a", "b"):
        assert_switch(fresh, host)
        told = checks(applied, host)
        assert told["rules-flower-sim0"][0] == "in software"
        assert told["counters-sim0"] == (
            "not provable now",
            "not provable on this device: netdevsim carries no frames",
        )
    code, before = fresh.say("verify")
    assert code == Exit.UNPROVED, before
    assert {one["result"] for one in before["checks"]} == {"proved", "in software", "not provable now"}
    code, second = fresh.say("plan", "--detailed-exitcode")
    assert (code, second["changes"]) == (0, 0), second

    fresh.ssh("a", "head -c 300000 /dev/urandom >/var/tmp/sent")
    code, sent = fresh.say("engine", "send", "a:/var/tmp/sent", "b:/var/tmp/came")
    assert code == 0, sent
    sums = [fresh.ssh(host, f"sha256sum </var/tmp/{name}").stdout for host, name in (("a", "sent"), ("b", "came"))]
    assert sums[0] == sums[1]

    fresh.reboot_by_itself("a")
    code, after = fresh.say("verify")
    assert code == Exit.UNPROVED, after
    assert verdicts(after) == verdicts(before)
    assert_switch(fresh, "a")
    assert fresh.ssh("a", "systemctl is-system-running").stdout == "running\n"
    said = fresh.ssh("a", "systemd-analyze verify tether-boot.service tether-engine.service 2>&1", check=False)
    assert (said.returncode, said.stdout) == (0, "")
    assert "ordering cycle" not in fresh.ssh("a", "journalctl -b").stdout

    code, back = fresh.say("rollback", "last", "--yes")
    assert code == 0, back
    assert fresh.config() == start
    left = fresh.ssh("a", "ls /etc/systemd/system; systemctl list-timers --all").stdout
    assert "tether" not in left


def verdicts(document: Told) -> list[tuple[str, str, str]]:
    return sorted((one["host"], one["id"], one["result"]) for one in document["checks"])


def test_rules_that_must_be_in_hardware_are_refused_by_what_the_probe_found(fresh: Guests) -> None:
    wanted = fresh.variant("required", offload__preferred="offload: required")
    start = fresh.config()
    code, found = fresh.say("facts", "--probe", "--limit", "a")
    assert code == 0, found
    probed = found["hosts"]["a"]["facts"]["status"]["probed"]["netdevsim1"]["legacy"]
    assert probed["flower"]["verdict"] == "refused"
    assert fresh.config() == start  # the probe leaves nothing
    code, plan = fresh.say("plan", "--limit", "a", inventory=wanted)
    assert code == Exit.FAILED, plan
    assert probed["flower"]["words"] in plan["refusals"][0]["reason"]

    code, forced = fresh.say("apply", "--force-unproven", "--yes", "--limit", "a", inventory=wanted)
    assert code == Exit.ROLLED_BACK, forced
    message = forced["hosts"][0]["message"]
    assert "not_in_hw" in message
    assert probed["flower"]["words"].removeprefix("Error: ") in message
    assert fresh.config() == start
