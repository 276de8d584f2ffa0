# SPDX-License-Identifier: Apache-2.0
"""The engine as a service on a host without systemd: its rights, its restarts, its end; and what a reboot leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.fleets import Fleet, new_run
from tether_hw.fleet import runs
from tether_hw.plan.facts import differences

ENGINE = "for p in /proc/[0-9]*; do grep -q [t]ether-engine $p/cmdline 2>/dev/null && echo ${p#/proc/}; done"
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_BPF": 39}


def engines(fleet: Fleet, host: str) -> list[int]:
    return [int(word) for word in fleet.run(host, "sh", "-c", ENGINE + "; true").split()]


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_the_service_from_its_start_to_its_end(fleet: Fleet) -> None:
    before = fleet.facts("a")
    first = new_run()
    assert fleet.apply(fleet.plan({"a": before}), "a", first)["result"] == "confirmed"
    (engine,) = engines(fleet, "a")

    status = dict(line.split(":", 1) for line in fleet.run("a", "cat", f"/proc/{engine}/status").splitlines())
    assert set(status["Uid"].split()) == {fleet.run("a", "id", "-u", "tether").strip()}
    needed = {CAPABILITIES[name] for name in ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF")}
    for kind in ("CapEff", "CapPrm"):
        held = {bit for bit in range(64) if int(status[kind], 16) >> bit & 1}
        assert needed <= held <= needed | {CAPABILITIES["CAP_IPC_LOCK"]}, (kind, held)
    assert int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"

    # The supervisor brings back an engine that died.
    fleet.run("a", "kill", "-9", str(engine))
    wait_until(lambda: bool(engines(fleet, "a")) and engines(fleet, "a") != [engine])
    session, agent = fleet.agent("a")
    with session:
        planned = fleet.plan({"a": fleet.facts("a")}).hosts["a"]
        checks = [check.to_dict() for check in planned.checks]
        body = {"host": "a", "devices": [{"name": "data0"}], "checks": checks, "config": planned.expected()}
        answers = agent.call("verify", {**body, "time_scale": 1.0})["checks"]
    assert {answer["result"] for answer in answers} == {"proved"}

    # Without its supervisor the engine ends too, its XDP program with it; facts and plan see it.
    (engine,) = engines(fleet, "a")
    parent = fleet.run("a", "sh", "-c", f"cut -d' ' -f4 /proc/{engine}/stat").strip()
    fleet.run("a", "kill", "-9", parent)
    wait_until(lambda: not engines(fleet, "a"))
    found = fleet.facts("a")
    assert found.config["engine"]["service"] == "stopped"
    assert found.config["nics"]["data0"]["xdp"]["foreign"] is False
    plan = fleet.plan({"a": found})
    assert [step.kind for step in plan.steps] == ["engine_service"]
    second = new_run()
    assert fleet.apply(plan, "a", second)["result"] == "confirmed"
    for run in (second, first):
        assert runs.rollback(fleet.reach(), ["a"], run)[0]["exit"] == 0
    assert differences(before.config, fleet.facts("a").config) == []
    assert engines(fleet, "a") == []


def test_a_confirmed_host_that_was_rebooted_is_what_it_was_and_can_still_be_taken_back(fleet: Fleet) -> None:
    before = fleet.facts("b")
    run = new_run()
    assert fleet.apply(fleet.plan({"b": before}), "b", run)["result"] == "confirmed"
    kept = fleet.facts("b")
    fleet.reboot("b")
    found = fleet.facts("b")
    assert differences(kept.config, found.config) == []
    assert fleet.plan({"b": found}).changes == 0
    # One that nothing calls at its boot waits for the next apply.
    fleet.run("b", "rm", "/etc/tether/at-boot")
    fleet.reboot("b")
    found = fleet.facts("b")
    assert found.config["engine"]["service"] == "stopped"
    assert fleet.plan({"b": found}).changes > 0
    assert runs.rollback(fleet.reach(), ["b"], run)[0]["exit"] == 0
    assert differences(before.config, fleet.facts("b").config) == []


@pytest.mark.pain(8)
@pytest.mark.parametrize(
    ("command", "path", "undo"),
    [
        ("ip link set data0 mtu 1400", ["nics", "data0", "mtu"], "ip link set data0 mtu 1500"),
        ("ethtool -L data0 rx 2 tx 2", ["nics", "data0", "queues", "rx"], "ethtool -L data0 rx 1 tx 1"),
        ("ip link set data0 address 02:00:00:00:00:77", ["nics", "data0", "mac"], ""),
        ("printf x > /etc/tether/engine.json", ["engine", "config_sha256"], "rm /etc/tether/engine.json"),
        ("printf x > /etc/tether/roster.json", ["engine", "roster_sha256"], "rm /etc/tether/roster.json"),
        (
            "printf '{\"bundle\": null}' > /var/lib/tether/engine.service.json",
            ["engine", "service"],
            "rm /var/lib/tether/engine.service.json",
        ),
    ],
)
def test_a_field_that_was_changed_with_the_raw_tool_is_seen(
    fleet: Fleet, command: str, path: list[str], undo: str
) -> None:
    before = fleet.facts("a").config
    undo = undo or f"ip link set data0 address {before['nics']['data0']['mac']}"
    planned = fleet.plan({"a": fleet.facts("a")})
    fleet.run("a", "sh", "-c", command)
    try:
        found = fleet.facts("a")
        seen = [difference["path"] for difference in differences(before, found.config)]
        assert path in seen
        again = fleet.plan({"a": found})
        assert again.hosts["a"].facts_digest != planned.hosts["a"].facts_digest
        assert fleet.apply(planned, "a")["result"] == "refused"
    finally:
        fleet.run("a", "sh", "-c", undo)
    assert differences(before, fleet.facts("a").config) == []
