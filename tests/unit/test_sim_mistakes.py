# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a scenario is said with its place, its field and what to do; of `--set` without a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_hw.cli.main import main
from tether_hw.errors import InputErrors, UsageError
from tether_hw.sim import build, load, run

pytestmark = pytest.mark.unit
TEXT = """\
about: two
rtt: 10ms
limit: 60s
nodes:
  a: {}
  b: {count: 2}
  c: {}
links:
  - {between: [a, b], delay: 5ms}
channels:
  - {from: a, to: b}
flows:
  - {from: a, to: b, size: 1kB}
  - {from: a, to: b0, kind: messages, size: 1B..1KiB}
contacts:
  - {at: 0s, for: 10s}
  - {at: 20s..30s, for: 10s}
"""


def mistakes(tmp_path: Path, old: str, new: str) -> list[tuple[int, int, str, str, str | None]]:
    path = tmp_path / "two.yaml"
    assert TEXT.count(old) == 1
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(InputErrors) as caught:
        load.read(str(path))
    return [(each.line, each.col, each.path, each.message, each.hint) for each in caught.value.problems]


def test_the_scenario_itself_is_right(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(TEXT)
    assert len(load.read(str(path)).flows) == 2


@pytest.mark.parametrize(
    ("old", "new", "place", "field", "words"),
    [
        ("at: 0s, for: 10s", "at: 0s, for: 0s", (16, 19), "contacts.0.for", "expected more than 0"),
        ("at: 20s..30s", "at: 9s", (17, 10), "contacts.1.at", "begins before the window before it has ended"),
        ("at: 0s", "at: 1h", (17, 10), "contacts.1.at", "earlier than the window before it"),
        ("a: {}", "a: {rx_cells: 0}", (5, 17), "nodes.a.rx_cells", "expected 2 to 4194304 frames"),
        ("a: {}", "a: {rx_cells: 4000M}", (5, 17), "nodes.a.rx_cells", "expected 2 to 4194304 frames"),
        ("a: {}", "a: {tx_cells: 1}", (5, 17), "nodes.a.tx_cells", "expected 2 to 4194304 frames"),
        ("a: {}", "a: {ring_frames: 3}", (5, 20), "nodes.a.ring_frames", "expected 4 to 16777216 frames"),
        ("a: {}", "a: {frame_blocks: 4}", (5, 21), "nodes.a.frame_blocks", "expected 5 to 1023 blocks of 64 bytes"),
        ("a: {}", "a: {replay_window: 100}", (5, 22), "nodes.a.replay_window", "no size of a replay window"),
        ("a: {}", "a: {max_channels: 4096, max_flows: 4096}", (5, 38), "nodes.a.max_flows", "more than 65536 flows"),
        ("a: {}", "a: {count: 1024, lanes: 16}", (5, 3), "nodes", "16387 lanes of nodes"),
        ("rtt: 10ms", "rtt: 900000h", (2, 6), "rtt", "expected at most 876000h"),
        ("delay: 5ms", "loss: 101%", (9, 29), "links.0.loss", "expected at most 100%"),
        ("delay: 5ms", "back: {loss: 101%}", (9, 36), "links.0.back.loss", "expected at most 100%"),
        ("delay: 5ms", "burst: {begins: 200%, ends: 1%}", (9, 39), "links.0.burst.begins", "expected at most 100%"),
        ("[a, b]", "[a, d]", (9, 19), "links.0.between.1", "there is no node 'd'"),
        ("- {from: a, to: b}", "- {from: d, to: b}", (11, 12), "channels.0.from", "there is no node 'd'"),
        ("to: b, size", "to: c, size", (13, 19), "flows.0.to", "there is no channel between a and c"),
        ("to: b0", "to: b2", (14, 19), "flows.1.to", "there is no node 'b2'"),
        ("to: b, size", "to: b, lane: 1, size", (13, 28), "flows.0.lane", "there is no lane 1 at both ends"),
        ("size: 1B..1KiB", "size: 1B..2MiB", (14, 45), "flows.1.size", "larger than the largest message"),
        ("size: 1B..1KiB", "size: 0B..1KiB", (14, 45), "flows.1.size", "a message has at least one byte"),
        ("contacts:", "outages:\n  - {from: a, to: c}\ncontacts:", (16, 19), "outages.0.to", "there is no link"),
        ("contacts:", "events:\n  - {at: 1s, cancel: 4}\ncontacts:", (16, 22), "events.0.cancel", "there is no flow 4"),
        ("contacts:", "events:\n  - {at: 1s, crash: d}\ncontacts:", (16, 21), "events.0.crash", "there is no node 'd'"),
        ("contacts:", "events:\n  - {at: 1s}\ncontacts:", (16, 5), "events.0", "nothing happens"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place(
    tmp_path: Path, old: str, new: str, place: tuple[int, int], field: str, words: str
) -> None:
    found = mistakes(tmp_path, old, new)
    assert {(line, col, path) for line, col, path, _, _ in found if path == field} == {(*place, field)}, found
    assert any(path == field and message.startswith(words) for _, _, path, message, _ in found), found


def test_what_to_do_about_windows_that_overlap(tmp_path: Path) -> None:
    [(_, _, _, _, hint)] = mistakes(tmp_path, "at: 20s..30s", "at: 9s")
    assert hint is not None and hint.startswith("begin at 10000000000ns or later")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("links.0.loss=200%", "wan-loss with --scaled --set links.0.loss=200%: links.0.loss: expected at most 100%"),
        ("nope=1", "wan-loss with --scaled --set nope=1: nope: unknown field"),
        ("flows=1", "wan-loss with --scaled --set flows=1: flows: expected a list, found a number"),
        ("links.0.between.1=nobody", "links.0.between.1: there is no node 'nobody'"),
        ("limit=[", "not YAML"),
    ],
)
def test_what_is_set_is_held_to_the_same(change: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "wan-loss", "--scaled", "--set", change]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Extra inputs" not in said and "pydantic" not in said


@pytest.mark.parametrize("change", ["=2%", "nope", "links..loss=1%", ".=1"])
def test_what_is_no_setting(change: str) -> None:
    with pytest.raises(UsageError, match="expected PATH=VALUE"):
        load.read("wan-loss", changes=(change,))


@pytest.mark.parametrize("seed", ["-1", str(1 << 64), "1e3", "9" * 5000, "x"])
def test_seeds_have_64_bits(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "rack", f"--seed={seed}"]) == 64
    assert "0 to 2^64-1" in capsys.readouterr().err
    assert main(["sim", "run", "rack", f"--seeds={seed}..{seed}"]) == 64


def test_the_last_seed_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "rack", "--scaled", "--seed", str((1 << 64) - 1)]) == 0
    assert f"seed {(1 << 64) - 1}: done" in capsys.readouterr().out


@pytest.mark.parametrize("name", load.names())
def test_every_scenario_can_begin_in_its_full_form(name: str) -> None:
    scenario = load.read(name, changes=("limit=1ns",))
    outcome = run.run_built(build.build(scenario, 1))
    assert outcome.verdict == "unfinished"
