# SPDX-License-Identifier: Apache-2.0
"""The simulator: the same seed gives the same run, scenarios are strict, a broken run is repeated and made smaller."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tether_hw.cli.main import main
from tether_hw.errors import InputErrors, TetherError
from tether_hw.sim import load, native, run, seeds
from tether_hw.sim.units import RATES, SHARES, TIMES, Span, quantity

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]
VARIANTS = (None, "unordered")
SMALL = ("flows.0.size=120MB",)


def ran(name: str, seed: int, *changes: str) -> run.Outcome:
    return run.run(load.read(name, scaled=True, changes=changes), seed)


def without_time(name: str, outcome: run.Outcome) -> str:
    return json.dumps({**run.document(name, outcome), "wall_s": 0})


@pytest.mark.parametrize("name", load.names())
def test_a_scenario_holds_and_is_the_same_again(name: str) -> None:
    first, second, other = ran(name, 7), ran(name, 7), ran(name, 8)
    assert (first.verdict, first.invariant, first.message) == ("done", "", "")
    assert without_time(name, first) == without_time(name, second)
    assert first.faults == second.faults
    assert without_time(name, first) != without_time(name, other)
    assert first.result.frames <= 20_000
    assert first.result.checks > first.result.frames // 2


@pytest.mark.parametrize("name", ["reference", "reference-contact"])
@pytest.mark.parametrize("variant", [None, "answers", "both"])
def test_the_reference_holds_at_either_end(name: str, variant: str | None) -> None:
    scenario = load.read(name, variant=variant)
    for seed in range(1, 21):
        outcome = run.run(scenario, seed)
        assert (seed, outcome.verdict, outcome.message) == (seed, "done", "")
        assert 0 < outcome.result.frames <= 1000


NAMED = {
    "rack", "incast", "wan-loss", "leo-handover", "moon", "mars", "lamp-flood", "forged", "starved-receiver",
    "grant-blackhole-forward", "grant-blackhole-back", "lost-tail", "two-large-messages", "cancelled", "expiring",
    "blocked-both",
}  # fmt: skip


def test_every_scenario_that_was_asked_for_and_every_variant_is_among_the_seeds() -> None:
    forms = load.forms()
    assert NAMED | {"contact", "ephemeris", "jumbo-scaled", "reference-restart"} <= {name for name, _ in forms}
    assert ("mars", "conjunction") in forms
    jobs = seeds.spread(range(len(forms)), forms)
    assert {(job.scenario, job.variant) for job in jobs} == set(forms)


@pytest.mark.parametrize(("name", "variant"), [form for form in load.forms() if form[1]])
def test_a_variant_holds(name: str, variant: str) -> None:
    outcome = run.run(load.read(name, scaled=True, variant=variant), 3)
    assert (outcome.verdict, outcome.message) == ("done", "")
    assert outcome.result.frames <= 20_000


@pytest.mark.proves("T-WIN-5")
def test_a_table_of_round_trips_keeps_distance_from_looking_like_a_queue() -> None:
    for seed in range(1, 6):
        told, untold = (run.run(load.read("ephemeris", variant=variant), seed) for variant in (None, "untold"))
        lasted = [one.streams[0].done_ns - one.streams[0].first_write_ns for one in (told, untold)]
        assert told.good and untold.good
        assert lasted[0] * 1.1 < lasted[1], (seed, lasted)


@pytest.mark.proves("T-FLW-23", "T-RST-4")
@pytest.mark.parametrize("name", ["restart-receiver", "reference-restart"])
def test_messages_without_a_receipt_come_back_and_none_comes_twice(name: str) -> None:
    unknown = given_back = 0
    for seed in range(1, 9):
        outcome = ran(name, seed)
        assert outcome.good, outcome.message
        unknown += sum(stream.unknown_messages for stream in outcome.streams)
        given_back += sum(stream.unsent_messages for stream in outcome.streams)
        for stream in outcome.streams:
            assert stream.delivered_messages + stream.unknown_messages >= stream.written_messages
            assert stream.lost_messages == 0
    assert unknown > 0 and given_back > 0


@pytest.mark.parametrize("node", ["a", "b"])
@pytest.mark.parametrize("name", ["cancelled", "expiring", "rekey"])
def test_the_reference_takes_the_place_of_a_node(name: str, node: str) -> None:
    outcome = ran(name, 2, f"nodes.{node}.kind=python")
    assert (outcome.verdict, outcome.message) == ("done", "")


@pytest.mark.proves("T-MSG-2", "T-MSG-8")
@pytest.mark.parametrize("node", ["a", "b"])
def test_the_reference_takes_messages_that_need_most_of_its_buffer(node: str) -> None:
    for seed in (2, 4):
        outcome = ran("two-large-messages", seed, f"nodes.{node}.kind=python")
        assert (outcome.verdict, outcome.message) == ("done", "")


def test_nothing_is_sent_where_there_is_no_contact() -> None:
    for seed in range(1, 11):
        outcome = ran("contact", seed)
        assert outcome.good and outcome.result.at_ns > 3600 * 10**9
        assert [pipe.outage_lost for pipe in outcome.pipes] == [0, 0]


def test_units() -> None:
    assert quantity("20us", TIMES, "") == Span(20_000, 20_000)
    assert quantity("1%..2.5%", SHARES, "") == Span(10_000, 25_000)
    assert quantity(0, RATES, "") == Span(0, 0)
    for wrong in ("20", "20 parsecs", "3ms..1ms", "1us..2us..3us", "0.5ns", True, None, ""):
        with pytest.raises(ValueError):
            quantity(wrong, TIMES, "20us")


def test_mistakes_of_a_scenario_have_their_place(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    text = (load.FOLDER / "rack.yaml").read_text()
    path.write_text(text.replace("delay: 1us..5us", "delay: soon").replace("limit: 20s", "limits: 20s"))
    with pytest.raises(InputErrors) as caught:
        load.read(str(path))
    found = {(problem.line, problem.path) for problem in caught.value.problems}
    lines = path.read_text().splitlines()
    link = next(number for number, line in enumerate(lines, 1) if "soon" in line)
    limit = next(number for number, line in enumerate(lines, 1) if "limits" in line)
    assert (link, "links.0.delay") in found
    assert (limit, "limits") in found


def test_names_that_are_not_there() -> None:
    with pytest.raises(TetherError, match="no scenario"):
        load.read("rak")
    with pytest.raises(TetherError, match="no variant"):
        load.read("rack", variant="uphill")
    with pytest.raises(TetherError, match="there is no"):
        load.read("rack", changes=("links.9.loss=1%",))


def test_a_fault_that_is_switched_off_moves_no_other() -> None:
    whole = ran("wan-loss", 3)
    assert len(whole.faults) > 4
    scenario = load.read("wan-loss", scaled=True)
    same = run.run(scenario, 3, whole.faults)
    assert same.faults == whole.faults
    assert same.result.frames == whole.result.frames
    none = run.run(scenario, 3, [])
    assert none.faults == [] and none.good
    few = run.run(scenario, 3, whole.faults[:2])
    assert few.faults == whole.faults[:2]


def test_no_build_that_is_used_is_a_broken_one() -> None:
    assert native.load(native.find()).tether_sim_broken_build() == b""
    for commands in (ROOT / "build").glob("*/compile_commands.json"):
        if not commands.parent.name.startswith("break-"):
            assert "TETHER_BREAK" not in commands.read_text(encoding="utf-8"), commands
    for file in ("CMakePresets.json", "pyproject.toml", "tools/bundle.py", "tools/wheel.py"):
        assert "TETHER_BREAK" not in (ROOT / file).read_text(encoding="utf-8"), file


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "rack", "--seed", "3", "--json"]) == 0
    text = json.loads(capsys.readouterr().out)
    assert text["schema"] == "tether.sim/1"
    assert text["verdict"] == "done"
    assert {flow["complete"] for flow in text["flows"]} == {True}
    assert main(["sim", "list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["scenarios"]) == set(load.names())
    assert main(["sim", "show", "rack"]) == 0
    assert "two hosts in a rack" in capsys.readouterr().out
    assert main(["sim", "run", "wan-loss", "--seeds", "1..3", "-j", "1"]) == 0
    assert "3 of 3 seeds held" in capsys.readouterr().out


def test_unordered_flows_and_blind_senders() -> None:
    shares = [run.share(run.run(load.read("wan-loss", variant=variant, changes=SMALL), 1)) for variant in VARIANTS]
    assert all(0.5 < share["link_share_steady"] <= 0.924 for share in shares)
    assert shares[1]["buffer_bdp"] < shares[0]["buffer_bdp"]
    incast = run.incast(run.run(load.read("incast"), 1))
    assert incast["dropped_at_queues"] == 0 and incast["p99_over_ideal"] <= 1.5
    assert incast["blind"]["dropped_at_queues"] > 0 and incast["blind"]["p99_over_ideal"] > incast["p99_over_ideal"]


@pytest.mark.proves("T-BSY-5", "T-BSY-6")
def test_what_a_busy_sender_cannot_use_goes_to_the_other() -> None:
    def goodput(variant: str | None, seed: int) -> list[float]:
        outcome = run.run(load.read("busy", variant=variant), seed)
        assert outcome.good
        return [flow["goodput_bps"] / 1e9 for flow in run.document("busy", outcome)["flows"]]

    for seed in (1, 2, 3):
        slow, quick = goodput(None, seed)
        assert slow < 0.12 and quick > 0.65  # a half of the link is 0.466
    assert all(0.4 < share < 0.5 for share in goodput("free", 1))
    slow, quick = goodput("freed", 1)
    assert slow > 0.3 and quick > 0.5


def test_the_command_that_repeats_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    job = seeds.Job("wan-loss", 5, changes=("links.0.loss=2%",))
    faults = ran("wan-loss", 5, "links.0.loss=2%").faults[:3]
    words = seeds.command(job, faults).split()
    assert words[:2] == ["tether", "sim"]
    assert main([*words[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == 3
    assert main(["sim", "run", "rack", "--only", "nonsense"]) == 64
    assert main(["sim", "run", "rack", "--seeds", "9..1"]) == 64
