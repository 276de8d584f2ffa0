# SPDX-License-Identifier: Apache-2.0
"""One transaction over the two sides of a card: two hosts of a lab, one reached through the other, and the faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleets import Fleet, label, new_run
from tests.support.gated import gated
from tests.support.labs import Lab
from tether_hw.cli.main import main
from tether_hw.fleet import cards, planner, planner_e810, runs
from tether_hw.fleet.apply import Application, Wish
from tether_hw.plan.facts import Facts, differences
from tether_hw.plan.joined import After
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.plan import Plan

ARM, HOST = "c", "a"
SIDES = [HOST, ARM]
MTU = "02-nic_mtu-data0"

#: The deadline of an armed run is now.
FIRE = """
import json, os, sys
path = "/var/lib/tether/runs/%s/armed.json" % sys.argv[1]
record = json.load(open(path))
record["deadline_ns"] = 1
open(path + ".test", "w").write(json.dumps(record))
os.rename(path + ".test", path)
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three enrolled hosts; a and c are the sides of a card, and sessions to the Arm go through the host."""
    folder = tmp_path_factory.mktemp("cards")
    lab = Lab(folder / "lab")
    lab.up(hosts=3, queues=2)
    lines = [line for line in lab.inventory.read_text().splitlines() if not line.startswith("keys_file:")]
    arm = next(number for number, line in enumerate(lines) if line.startswith(f"  {ARM}: "))
    lines[arm] = lines[arm].replace("}", f", jump: {HOST}}}")
    lines.append(f"cards: {{bf0: {{serial: MT2334X00456, arm: {ARM}, host: {HOST}}}}}")
    path = folder / "fleet.yaml"
    path.write_text("\n".join([*lines, f"state: {folder}/state", ""]))
    one = Fleet(inventory_file=path, bundle=gated(folder), reboot=lab.reboot, fault=lab.fault, heal=lab.heal)
    one.enroll()
    yield one
    one.close()
    lab.down()


@pytest.fixture(scope="module")
def before(fleet: Fleet) -> dict[str, Facts]:
    return {host: fleet.facts(host) for host in sorted(fleet.inventory.hosts)}


@pytest.fixture(scope="module")
def plan(fleet: Fleet, before: dict[str, Facts]) -> Plan:
    plan = fleet.plan(before)
    assert not plan.refusals
    return replace(plan, hosts={host: plan.hosts[host] for host in SIDES})


@pytest.fixture(autouse=True)
def as_found(fleet: Fleet, before: dict[str, Facts]) -> Iterator[None]:
    """Every test leaves both sides as it found them; after one that did not, they are put right for the next."""
    yield
    left = {host: fleet.facts(host) for host in SIDES}
    changed = {
        host: differences(before[host].config, facts.config)
        for host, facts in left.items()
        if facts.config != before[host].config or facts.status["pending"] or facts.status["owned"]
    }
    if changed:
        for run in reversed(fleet.ask(HOST, "runs", {})["runs"]):
            runs.rollback(fleet.reach(), SIDES, run["run"])
    assert not changed


def apply(fleet: Fleet, plan: Plan, run: str, wish: Wish | None = None) -> dict[str, dict[str, Any]]:
    results = Application(fleet.reach(), plan, wish or Wish(), run).carry_out()
    return {result["host"]: result for result in results}


class Background:
    """An apply of both sides in a thread."""

    def __init__(self, fleet: Fleet, plan: Plan, run: str) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self.thread = threading.Thread(target=self._run, args=(fleet, plan, run), daemon=True)
        self.thread.start()

    def _run(self, fleet: Fleet, plan: Plan, run: str) -> None:
        self.results = apply(fleet, plan, run)

    def join(self) -> dict[str, dict[str, Any]]:
        self.thread.join(180)
        assert not self.thread.is_alive(), "the controller hangs"
        return self.results


def states(fleet: Fleet, run: str) -> dict[str, str]:
    return {host: fleet.status(host, run)["state"] for host in SIDES}


def fire(fleet: Fleet, host: str, run: str) -> None:
    """The dead-man of one side fires now; comes back when it took the run back there."""
    fleet.run(host, "python3", "-I", "-c", FIRE, run)
    for _ in range(200):
        if fleet.status(host, run)["state"] == "rolled-back":
            return
    raise AssertionError("the dead-man did not fire")


def take_back(fleet: Fleet, run: str) -> None:
    results = runs.rollback(fleet.reach(), SIDES, run)
    assert [result["exit"] for result in results] == [0, 0], results


def split(fleet: Fleet) -> list[dict[str, Any]]:
    return runs.split_runs(fleet.reach(), SIDES)


def test_both_sides_are_one_transaction_and_the_host_is_confirmed_last(fleet: Fleet, plan: Plan) -> None:
    waiting = replace(plan, hosts={**plan.hosts, ARM: replace(plan.hosts[ARM], after=(After(MTU, HOST, MTU),))})
    run = new_run()
    results = apply(fleet, waiting, run)
    assert {host: result["result"] for host, result in results.items()} == {HOST: "confirmed", ARM: "confirmed"}
    (card,) = cards.outcomes(results.values())
    assert (card["card"], card["result"], card["exit"]) == ("bf0", "confirmed", 0)
    # One machine, one boot clock: what came before what.
    when = {host: {label(record): record["up_ns"] for record in fleet.journal(host, run)} for host in SIDES}
    first_start = min(when[host]["start.begin"] for host in SIDES)
    assert max(when[host]["stage.end"] for host in SIDES) < first_start
    first_step = min(up for host in SIDES for name, up in when[host].items() if name.startswith("step."))
    assert max(when[host]["arm.end"] for host in SIDES) < first_step
    assert when[HOST][f"step.end {MTU}"] < when[ARM][f"step.begin {MTU}"]
    assert f"hold.begin {MTU}" in when[ARM]
    first_confirm = min(when[host]["confirm.begin"] for host in SIDES)
    assert max(when[host]["verify.end"] for host in SIDES) < first_confirm
    assert max(when[host]["ready.end"] for host in SIDES) < first_confirm
    assert when[ARM]["confirm.end"] < when[HOST]["confirm.begin"]
    # One deadline.
    deadlines = [
        next(record for record in fleet.journal(host, run) if label(record) == "arm.end")["deadline_ns"]
        for host in SIDES
    ]
    assert abs(deadlines[0] - deadlines[1]) < 20e9
    assert split(fleet) == []
    take_back(fleet, run)


def test_a_side_alone_is_not_chosen(fleet: Fleet, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["apply"], ["rollback", "last"], ["resume", "r20260101-000000-abcdef"]):
        assert main([*verb, "--limit", f"{ARM},b", "-i", str(fleet.inventory_file), "--yes"]) == 1
        assert "both sides of a card are changed together" in capsys.readouterr().err
    one = replace(plan, hosts={ARM: plan.hosts[ARM]})
    (result,) = apply(fleet, one, new_run()).values()
    assert (result["result"], result["exit"]) == ("not-begun", 3)


def killed_between_the_confirms(fleet: Fleet, plan: Plan, run: str, folder: Path) -> None:
    """The Arm is confirmed, the host waits, and the controller is gone."""
    fleet.gate(ARM, "close.end")
    controller = fleet.controller_of(plan, run, folder)
    pid = fleet.paused(ARM, 120)
    controller.kill()
    controller.wait()
    fleet.signal(ARM, pid, "CONT")
    assert states(fleet, run) == {ARM: "confirmed", HOST: "awaiting"}


@pytest.mark.parametrize("way", ["in-time", "dead-man", "rollback"])
def test_a_controller_that_dies_between_the_confirms(
    fleet: Fleet, plan: Plan, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    killed_between_the_confirms(fleet, plan, run, tmp_path)
    saved = json.loads((tmp_path / "killed" / "runs" / f"{run}.json").read_text())
    assert saved["confirming"] == {"bf0": [ARM, HOST]}
    monkeypatch.setenv("TETHER_STATE", str(tmp_path / "another"))
    if way == "in-time":
        results = runs.resume(fleet.reach(), SIDES, run)
        assert [result["result"] for result in results] == ["confirmed", "confirmed"], results
        assert split(fleet) == []
        take_back(fleet, run)
        return
    if way == "dead-man":
        fire(fleet, HOST, run)
    told = split(fleet)
    assert [one["hint"] for one in told] == [f"tether resume {run}"], told
    assert "c kept it" in told[0]["message"]
    if way == "rollback":
        take_back(fleet, run)
    else:
        confirmed = runs.confirm(fleet.reach(), SIDES, run)
        assert [(result["result"], result["exit"]) for result in confirmed] == [("split", 3), ("refused", 3)][
            :: 1 if confirmed[0]["host"] == ARM else -1
        ], confirmed
        results = runs.resume(fleet.reach(), SIDES, run)
        assert [(result["result"], result["exit"]) for result in results] == [("rolled-back", 5)] * 2, results
    assert split(fleet) == []
    assert set(states(fleet, run).values()) <= {"rolled-back", "taken-back"}


@pytest.mark.parametrize("host", SIDES)
def test_the_agent_of_one_side_is_killed(fleet: Fleet, plan: Plan, host: str) -> None:
    run = new_run()
    fleet.gate(host, f"step.end {MTU}")
    background = Background(fleet, plan, run)
    fleet.signal(host, fleet.paused(host), "KILL")
    results = background.join()
    assert {side: result["result"] for side, result in results.items()} == dict.fromkeys(SIDES, "rolled-back"), results
    assert all(result["exit"] == 5 for result in results.values())
    other = next(side for side in SIDES if side != host)
    assert f"{host}, the other side of card bf0" in results[other]["message"]


@pytest.mark.parametrize("host", SIDES)
def test_ssh_to_one_side_is_cut(fleet: Fleet, plan: Plan, host: str) -> None:
    run = new_run()
    fleet.gate(host, f"step.end {MTU}")
    background = Background(fleet, plan, run)
    pid = fleet.paused(host)
    fleet.cut_sessions(host)
    fleet.signal(host, pid, "CONT")
    results = background.join()
    assert {side: result["result"] for side, result in results.items()} == dict.fromkeys(SIDES, "confirmed"), results
    take_back(fleet, run)


@pytest.mark.parametrize("host", SIDES)
def test_what_one_side_cannot_prove_takes_both_back(fleet: Fleet, plan: Plan, host: str) -> None:
    run = new_run()
    fleet.gate(host, "verify.begin")
    background = Background(fleet, plan, run)
    pid = fleet.paused(host)
    fleet.run(host, "ip", "link", "set", "dev", "data0", "mtu", "1400")
    fleet.signal(host, pid, "CONT")
    results = background.join()
    assert {side: result["result"] for side, result in results.items()} == dict.fromkeys(SIDES, "rolled-back"), results
    assert "verify failed" in results[host]["message"]
    assert states(fleet, run) == dict.fromkeys(SIDES, "rolled-back")


@pytest.mark.parametrize("host", SIDES)
def test_the_dead_man_of_one_side_alone_takes_both_back(fleet: Fleet, plan: Plan, host: str) -> None:
    run = new_run()
    results = apply(fleet, plan, run, Wish(confirm=False))
    assert {result["result"] for result in results.values()} == {"awaiting"}
    fire(fleet, host, run)
    refused = runs.confirm(fleet.reach(), SIDES, run)
    assert {result["result"] for result in refused} == {"refused"}, refused
    ended = runs.resume(fleet.reach(), SIDES, run)
    assert [(result["result"], result["exit"]) for result in ended] == [("rolled-back", 5)] * 2, ended


def test_without_a_controller_both_dead_men_take_it_back(fleet: Fleet, plan: Plan, tmp_path: Path) -> None:
    run = new_run()
    fleet.gate(HOST, f"step.begin {MTU}")
    controller = fleet.controller_of(plan, run, tmp_path)
    pid = fleet.paused(HOST)
    controller.kill()
    controller.wait()
    fleet.signal(HOST, pid, "CONT")
    for host in SIDES:
        fire(fleet, host, run)
    assert states(fleet, run) == dict.fromkeys(SIDES, "rolled-back")
    assert split(fleet) == []


def test_a_host_that_is_lost_after_the_arm_is_confirmed_is_told_as_split(
    fleet: Fleet, plan: Plan, tmp_path: Path, say_of: Callable[..., dict[str, Any]]
) -> None:
    text = fleet.inventory_file.read_text().replace(f", jump: {HOST}}}", "}")
    path = tmp_path / "direct.yaml"
    path.write_text(text + "apply: {confirm_timeout_s: 5}\n")
    path.with_name("direct.keys.yaml").write_text(fleet.inventory.keys_file.read_text())
    direct = replace(fleet, inventory_file=path)
    run = new_run()
    fleet.gate(ARM, "close.end")
    background = Background(direct, plan, run)
    pid = fleet.paused(ARM)
    fleet.fault(HOST, "cut-ssh", "all")
    try:
        direct.close()
        direct.signal(ARM, pid, "CONT")
        results = background.join()
    finally:
        fleet.heal(HOST)
    assert {result["result"] for result in results.values()} == {"split"}, results
    (card,) = cards.outcomes(results.values())
    assert (card["result"], card["exit"], card["hint"]) == ("split", 3, f"tether resume {run}")
    document = say_of("resume", run, "--yes", inventory=fleet.inventory_file)
    assert document["exit"] == 5, document
    assert [one["result"] for one in document["cards"]] == ["rolled-back"]
    assert set(states(fleet, run).values()) <= {"rolled-back", "taken-back"}


@pytest.fixture
def say_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs a verb with --json; the document."""

    def run(*words: str, inventory: Path) -> dict[str, Any]:
        capsys.readouterr()
        main([*words, "--limit", ",".join(SIDES), "-i", str(inventory), "--json"])
        document = json.loads(capsys.readouterr().out)
        assert isinstance(document, dict)
        return document

    return run


def test_the_host_boots_and_is_the_way_to_the_arm(
    fleet: Fleet, before: dict[str, Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    original = planner_e810.plan_e810

    def with_boot(inventory: Any, name: str, draft: Any, *more: Any) -> None:
        original(inventory, name, draft, *more)
        if name == HOST and name not in asked:
            asked.add(name)
            step = HostReboot.planned(draft.facts.config, draft.facts.status["owned"], "the test wants it")
            draft.nic_steps.append((None, step))

    monkeypatch.setattr(planner, "plan_e810", with_boot)
    plan = fleet.plan(before)
    assert plan.hosts[HOST].boots
    run = new_run()
    first = fleet.run(HOST, "cat", "/proc/sys/kernel/random/boot_id")
    results = apply(fleet, replace(plan, hosts={host: plan.hosts[host] for host in SIDES}), run)
    assert {host: result["result"] for host, result in results.items()} == dict.fromkeys(SIDES, "confirmed"), results
    assert fleet.run(HOST, "cat", "/proc/sys/kernel/random/boot_id") != first
    told = [(one["number"], one["of"]) for one in fleet.journal(HOST, run) if one["point"] == "reboot"]
    assert told == [(1, 1), (1, 1)]
    take_back(fleet, run)
