# SPDX-License-Identifier: Apache-2.0
"""`tether engine`: which form a command line has, and that both front ends offer the same sub-verbs."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from tests.support.schema_check import mistakes
from tether_hw.cli import engine, engine_remote
from tether_hw.cli.main import main
from tether_hw.fleet.schemas import DOCUMENTS
from tether_hw.transport.commands import Parser, add_engine_verbs
from tether_hw.transport.progress import Progress, rate_words, size_words

VERBS = {"serve", "ping", "send", "recv", "stats", "bench", "reload", "identity"}


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def test_the_sub_verbs_are_these() -> None:
    parser = Parser()
    add_engine_verbs(parser.add_subparsers(parser_class=Parser))
    assert set(verbs_of(parser)) == VERBS
    outer = argparse.ArgumentParser()
    engine.add_parser(outer.add_subparsers())
    assert set(verbs_of(verbs_of(outer)["engine"])) == VERBS


def test_two_hosts_with_paths_are_the_form_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert engine.between_hosts("a:/var/file", "b:/var/file")
    assert engine.between_hosts("a:file", "b:dir/")
    assert not engine.between_hosts("file", "b")
    assert not engine.between_hosts("file", "b:name")
    assert not engine.between_hosts("./a:file", "b:name")
    assert not engine.between_hosts("a:file", "b")
    (tmp_path / "a:file").write_text("")
    assert not engine.between_hosts("a:file", "b:name")


def test_the_offered_name_is_the_same_for_the_same_pair() -> None:
    first = engine_remote.offered_name("a:/x/data.bin", "b:/y")
    assert first == engine_remote.offered_name("a:/x/data.bin", "b:/y")
    assert first != engine_remote.offered_name("a:/x/data.bin", "b:/z")
    assert first.endswith("-data.bin")
    assert len(engine_remote.offered_name("a:/" + "x" * 300, "b:/z")) <= 113


def test_an_unknown_host_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inventory = Path(__file__).resolve().parents[2] / "inventory" / "lab.yaml"
    assert main(["engine", "stats", "nobody", "-i", str(inventory), "--json"]) == 1
    captured = capsys.readouterr()
    assert "no host 'nobody'" in captured.err
    assert json.loads(captured.out)["schema"] == "tether.error/1"


def test_usage_errors_end_in_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "stats", "--no-such-option"]) == 64
    assert main(["engine"]) == 64
    assert capsys.readouterr().out == ""


def test_bench_over_the_pipe_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "bench", "--carrier", "pipe", "--mebibytes", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert mistakes(document, DOCUMENTS["tether.engine.bench/1"]) == []
    assert (document["carrier"], document["payload_bytes"], document["rounds"]) == ("pipe", 1408, 5)
    for name in ("frames_per_s", "goodput_bps", "rtt_p50_ns", "rtt_p99_ns", "aead_limit_bps", "share_of_aead_limit"):
        assert document[name] > 0
    assert len(document["per_round"]) == 5


def test_bench_over_udp_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "bench", "--carrier", "udp", "--mebibytes", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert mistakes(document, DOCUMENTS["tether.engine.bench/1"]) == []
    assert document["carrier"] == "udp"
    assert document["share_of_aead_limit"] > 0
    assert [entry["overruns"] for entry in document["per_round"]] == [0] * 5
    assert 0 < document["rtt_p50_ns"] <= document["rtt_p99_ns"]


@pytest.mark.parametrize("words", [["--rounds", "4"], ["--rounds", "33"], ["--carrier", "udp", "--between", "a,b"]])
def test_benches_that_say_nothing_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "bench", *words]) == 1
    assert "error: " in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_line_is_only_for_terminals() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        progress = Progress("f -> b", stream)
        progress.update(0, 100 << 20)
        progress.update(50 << 20, 100 << 20)
        progress.finish()
    assert plain.getvalue() == ""
    assert " 50% 50.0 MiB of 100.0 MiB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_lines_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("f", Terminal(), lines=True).update(1, 2)
    assert json.loads(capsys.readouterr().out) == {"done": 1, "size": 2}


def test_words_for_sizes_and_rates() -> None:
    assert [size_words(n) for n in (0, 1023, 1536, 3 << 30)] == ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
    rates = [rate_words(n) for n in (1, 1500.0, 2.5e9, 3e12)]
    assert rates == ["1.0 bit/s", "1.5 kbit/s", "2.50 Gbit/s", "3000.00 Gbit/s"]
