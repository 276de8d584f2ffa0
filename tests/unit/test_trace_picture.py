# SPDX-License-Identifier: Apache-2.0
"""Traces are read strictly and drawn the same way every time."""

from __future__ import annotations

import argparse
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from tests.support.schema_check import mistakes
from tether_hw.cli import sim_draw
from tether_hw.cli.main import main
from tether_hw.errors import InputErrors, TetherError, UsageError
from tether_hw.fleet.schemas import DOCUMENTS
from tether_hw.trace.events import KINDS, Trace, read
from tether_hw.trace.flows import directions, peers
from tether_hw.trace.picture import Choice, draw, page
from tether_hw.trace.svg import Marks, Scale, nice_step, steps

TRACES = Path(__file__).parent / "traces"
HEAD = '{"schema":"tether.trace/1","clock":"virtual"}'
SENT = '{"at_ns":5,"event":"sent","node":"a","lane":0,"channel":7,"flow":2,"slot":0,"count":22,"bytes":9}'


def loss() -> Trace:
    """One transfer with losses, as both ends wrote it."""
    return read([("loss.jsonl", (TRACES / "loss.jsonl").read_text().splitlines())])


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sim_draw.add_parser(parser.add_subparsers())
    return parser.parse_args(["draw", *words])


def test_the_picture_is_the_golden_one() -> None:
    assert draw(loss(), "loss") == (TRACES / "loss.svg").read_text()


def test_every_mark_of_the_legend_is_in_the_picture() -> None:
    picture = draw(loss(), "loss")
    root = ET.fromstring(picture)
    classes = Counter(element.get("class") for element in root.iter() if element.get("class"))
    # once in the legend, once or more in the plot
    for kind in (
        "grantline",
        "told",
        "credit",
        "sent",
        "ember",
        "arrived",
        "lost",
        "nack",
        "repair",
        "known",
        "blocked",
    ):
        assert classes[kind] >= 2, kind
    assert classes["again"] == 0  # nothing came twice, so the legend does not speak of it
    text = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    assert "time since the first event of the trace (ms)" in text and "slots" in text and "a → b, flow 2" in text


def test_losses_are_what_was_sent_and_never_arrived() -> None:
    trace = loss()
    (direction,) = [one for one in directions(trace) if one.flow == 2]
    assert direction.sender and direction.receiver and direction.sender[0] == "a" and direction.receiver[0] == "b"
    sent = [event.sequence for event in trace.events if event.node == "a" and event.kind in ("sent", "repair")]
    there = {event.sequence for event in trace.events if event.node == "b" and event.kind == "received"}
    missing = [sequence for sequence in sent if sequence not in there]
    assert missing and {event.sequence for event in direction.lost()} <= set(missing)
    assert len(direction.lost()) == len(missing)


def test_one_end_alone_is_drawn_without_losses() -> None:
    lines = [line for line in (TRACES / "loss.jsonl").read_text().splitlines() if '"node":"b"' not in line]
    trace = read([("a", lines)])
    assert peers(trace) == {}
    picture = draw(trace, "one end")
    assert "a → peer (not traced)" in picture and 'class="lost"' not in picture and 'class="sent"' in picture


def test_two_files_are_merged_by_time() -> None:
    lines = (TRACES / "loss.jsonl").read_text().splitlines()
    parts = [[lines[0], *(line for line in lines[1:] if f'"node":"{node}"' in line)] for node in "ab"]
    assert draw(read([("a", parts[0]), ("b", parts[1])]), "loss") == draw(loss(), "loss")


def test_drops_are_said_and_nothing_is_called_lost() -> None:
    lines = (TRACES / "loss.jsonl").read_text().splitlines()
    lines.append('{"event":"dropped","node":"b","lane":0,"events":12}')
    picture = draw(read([("t", lines)]), "loss")
    assert "b: 12 events were dropped" in picture
    assert picture.count('class="lost"') <= 1  # the legend's


def test_a_long_trace_makes_a_picture_of_bounded_size() -> None:
    events = [HEAD]
    for number in range(60_000):
        event = json.loads(SENT)
        events.append(json.dumps({**event, "at_ns": number * 1000, "slot": number * 22, "sequence": number + 1}))
    assert len(draw(read([("long", events)]), "long")) < 400_000


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "t: is empty"),
        (["{}"], "t:1:1: schema: None is not 'tether.trace/1'"),
        ([HEAD, "{"], "t:2:1: no JSON"),
        ([HEAD, "[]"], "t:2:1: is no JSON object"),
        ([HEAD, SENT.replace('"slot":0,', "")], "t:2:1: slot: is missing in an event 'sent'"),
        ([HEAD, SENT.replace('"slot":0', '"slot":-1')], "t:2:1: slot: -1 is no number"),
        ([HEAD, SENT.replace('"slot":0', '"slot":true')], "t:2:1: slot: True is no number"),
        ([HEAD, SENT.replace('"node":"a"', '"node":3')], "t:2:1: node: must be text"),
        ([HEAD, SENT.replace("tether.trace/1", "x"), '{"schema":"x"}'], "t:3:1: schema: 'x' is not"),
    ],
)
def test_bad_lines_are_named(lines: list[str], words: str) -> None:
    with pytest.raises(InputErrors) as error:
        read([("t", lines)])
    assert words in str(error.value)


def test_every_line_fits_the_schema() -> None:
    for line in (TRACES / "loss.jsonl").read_text().splitlines():
        assert mistakes(json.loads(line), DOCUMENTS["tether.trace/1"]) == []
    known = set(DOCUMENTS["tether.trace/1"]["properties"])
    assert all(set(json.loads(line)) <= known for line in (TRACES / "loss.jsonl").read_text().splitlines())


def test_events_of_later_versions_are_passed_over() -> None:
    trace = read([("t", [HEAD, '{"event":"teleported","node":"a"}', SENT.replace("}", ',"colour":"red"}')])])
    assert [event.kind for event in trace.events] == ["sent"]


def test_every_kind_of_the_core_is_known() -> None:
    header = Path(__file__).parents[2] / "tether_hw/transport/core/include/tether.h"
    kinds = re.findall(r"TETHER_TRACE_([A-Z]+)(?: = 1)?,  ?/\*|TETHER_TRACE_([A-Z]+),\s+/\*", header.read_text())
    assert {(one or other).lower() for one, other in kinds} == set(KINDS)


def test_the_command_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = str(TRACES / "loss.jsonl"), tmp_path / "x.svg"
    assert sim_draw.run(parse([source, "-o", str(target), "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == ["a", "b"]
    with pytest.raises(TetherError, match="exists"):
        sim_draw.run(parse([source, "-o", str(target)]))
    assert sim_draw.run(parse([source, "-o", str(target), "--force", "--begin", "30ms", "--end", "60ms"])) == 0
    with pytest.raises(UsageError, match=r"\.svg or \.html"):
        sim_draw.run(parse([source, "-o", str(tmp_path / "x.png")]))
    with pytest.raises(TetherError, match="no flow of this trace fits"):
        sim_draw.run(parse([source, "-o", str(tmp_path / "y.svg"), "--flow", "99"]))
    with pytest.raises(TetherError, match="No such file"):
        sim_draw.run(parse([str(tmp_path / "none"), "-o", str(tmp_path / "y.svg")]))


def test_a_page_counts_the_events() -> None:
    trace = loss()
    text = page(trace, "a <b>")
    assert text.startswith("<!doctype html>") and "a &lt;b&gt;" in text and "a <b>" not in text
    blocked = sum(event.kind == "blocked" and event.node == "a" for event in trace.events)
    assert f"<tr><th>blocked</th><td>{blocked}</td>" in text


def test_a_simulation_is_traced_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for file in (trace, again):
        assert main(["sim", "run", "wan-loss", "--scaled", "--seed", "3", "--trace", str(file)]) == 0
    assert trace.read_bytes() == again.read_bytes()
    assert main(["sim", "draw", str(trace), "-o", str(tmp_path / "x.html")]) == 0
    assert 'class="lost"' in (tmp_path / "x.html").read_text()
    capsys.readouterr()
    assert main(["sim", "run", "wan-loss", "--scaled", "--trace", str(trace)]) == 1
    assert "never written over" in capsys.readouterr().err
    assert main(["sim", "run", "wan-loss", "--seeds", "1..2", "--trace", str(trace)]) == 64


def test_control_is_drawn_when_asked_for() -> None:
    assert "control" in draw(loss(), "loss", Choice(control=True))
    assert "control" not in draw(loss(), "loss")


def test_marks_that_touch_become_one() -> None:
    marks = Marks()
    for top, bottom in ((10, 12), (12, 14), (20, 21), (11, 13)):
        marks.bar(5.1, top, bottom)
    assert marks.merged() == [(5.0, 10.0, 14.0), (5.0, 20.0, 21.0)]
    assert steps([(0, 10), (5, 10), (6, 4)], 9) == "M0 10H6V4H9"
    assert [nice_step(span, 10) for span in (0.9, 1, 7, 10, 11, 95)] == [0.1, 0.1, 1, 1, 2, 10]
    assert Scale(0, 10, 100, 200)(5) == 150
