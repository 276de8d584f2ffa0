# SPDX-License-Identifier: Apache-2.0
"""The main job on machines with systemd: from legacy to a switch with functions and rules, told as it is, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

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


def verdicts(document: Told) -> list[tuple[str, str, str]]:
    return sorted((one["host"], one["id"], one["result"]) for one in document["checks"])


@dataclass(frozen=True)
class Story:
    """Both hosts after an apply; the tests of it come in the order of this file, and the last one takes it back."""

    lab: Guests
    start: dict[str, Any]
    code: int
    applied: Told


@pytest.fixture(scope="module")
def story(machines: Guests) -> Story:
    machines.back()
    start = machines.config()
    assert {config["functions"]["netdevsim1"]["eswitch"] for config in start.values()} == {"legacy"}
    return Story(machines, start, *machines.say("apply", "--yes"))


def test_two_machines_go_from_legacy_to_switchdev_and_rules_are_told_as_software(story: Story) -> None:
    assert story.code == Exit.UNPROVED, story.applied
    assert {host["result"] for host in story.applied["hosts"]} == {"confirmed"}
    for host in ("a", "b"):
        assert_switch(story.lab, host)
        told = checks(story.applied, host)
        assert told["rules-flower-sim0"][0] == "in software"
        assert told["counters-sim0"] == (
            "not provable now",
            "not provable on this device: netdevsim carries no frames",
        )


def test_a_file_is_sent_over_the_queues_of_virtio(story: Story) -> None:
    story.lab.ssh("a", "head -c 300000 /dev/urandom >/var/tmp/sent")
    code, sent = story.lab.say("engine", "send", "a:/var/tmp/sent", "b:/var/tmp/came")
    assert code == 0, sent
    sums = [story.lab.ssh(host, f"sha256sum </var/tmp/{name}").stdout for host, name in (("a", "sent"), ("b", "came"))]
    assert sums[0] == sums[1]


def test_a_second_plan_is_empty(story: Story) -> None:
    code, second = story.lab.say("plan", "--detailed-exitcode")
    assert (code, second["changes"]) == (0, 0), second


def test_after_a_boot_verify_says_the_same_with_no_action(story: Story) -> None:
    code, before = story.lab.say("verify")
    assert code == Exit.UNPROVED, before
    assert {one["result"] for one in before["checks"]} == {"proved", "in software", "not provable now"}
    story.lab.reboot_by_itself("a")
    code, after = story.lab.say("verify")
    assert code == Exit.UNPROVED, after
    assert verdicts(after) == verdicts(before)
    assert_switch(story.lab, "a")
    assert story.lab.ssh("a", "systemctl is-system-running").stdout == "running\n"
    said = story.lab.ssh("a", "systemd-analyze verify tether-boot.service tether-engine.service 2>&1", check=False)
    assert (said.returncode, said.stdout) == (0, "")
    assert "ordering cycle" not in story.lab.ssh("a", "journalctl -b").stdout


def test_a_rollback_gives_the_facts_of_the_start(story: Story) -> None:
    code, back = story.lab.say("rollback", "last", "--yes")
    assert code == 0, back
    assert story.lab.config() == story.start
    left = story.lab.ssh("a", "ls /etc/systemd/system; systemctl list-timers --all").stdout
    assert "tether" not in left


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
