# SPDX-License-Identifier: Apache-2.0
"""The command line: its verbs, exit codes, and where words go."""

from __future__ import annotations

import io
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.schema_check import mistakes
from tether_hw.cli import main as cli
from tether_hw.cli import output
from tether_hw.cli.exits import MEANINGS, PRECEDENCE, Exit, worst
from tether_hw.cli.plan_text import plan_lines
from tether_hw.data import data_path
from tether_hw.errors import HostUnreachable, InputErrors, Problem, TetherError
from tether_hw.fleet import runner
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.fleet.schemas import DOCUMENTS, SCHEMAS, json_schema
from tether_hw.plan.canonical import load
from tether_hw.plan.plan import Plan

VERBS = (
    "init", "validate", "facts", "render", "plan", "show", "apply", "confirm", "verify", "drift", "rollback", "resume",
    "runs", "retire", "host", "key", "schema", "doctor", "lab", "engine", "frame", "sim", "ddp",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
LAB = str(data_path("inventory") / "lab.yaml")
PAIR = str(data_path("inventory") / "example-pair.yaml")
PAIR_FACTS = str(data_path("inventory") / "example-facts")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    code = cli.main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one JSON document, which must be of its documented shape."""
    code, out, _ = run(capsys, *argv, "--json")
    found = load(out)
    assert mistakes(found, json_schema(found["schema"])) == []
    return code, found


def test_the_verbs() -> None:
    assert tuple(name for name, _, _ in cli.VERBS) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, err = run(capsys, verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: tether {verb}")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert [match.group(1) for match in re.finditer(r"^    ([a-z]+) {2,}\w", out, re.MULTILINE)] == list(VERBS)
    for exit_code, meaning in MEANINGS.items():
        assert re.search(rf"^ +{int(exit_code)}  {re.escape(meaning)}$", out, re.MULTILINE)


@pytest.mark.parametrize(
    "argv", [[], ["--bogus"], ["plan", "--bogus"], ["bogus"], ["show"], ["plan", "--timeout", "0"], ["key", "bogus"]]
)
def test_usage_is_64(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (64, "")
    verb = f" {argv[0]}" if argv and argv[0] in VERBS else ""
    assert f"hint: tether{verb}" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from tether_hw import __version__

    assert run(capsys, "--version")[:2] == (0, f"tether {__version__}\n")


def test_exit_codes() -> None:
    assert {int(code) for code in Exit} == {0, 1, 2, 3, 4, 5, 6, 7, 64, 130}
    assert set(MEANINGS) == set(Exit)
    assert [int(code) for code in PRECEDENCE] == [7, 1, 5, 3, 4, 6, 2]
    assert worst([]) == 0
    for place, code in enumerate(PRECEDENCE):
        assert worst([0, *reversed(PRECEDENCE[place:])]) == code
    assert worst([7, 130]) == 130


def test_plan_from_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = document(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS)
    assert code == 0
    assert plan["schema"] == "tether.plan/1"
    assert plan["changes"] == len(plan["steps"]) == 12
    assert {step["host"] for step in plan["steps"]} == {"left", "right"}
    assert plan["not_for_apply"][0] == "made from recorded facts"
    first = plan["steps"][0]
    assert (first["kind"], first["nic"], first["disruption"]) == ("nic_queues", "fabric", "traffic")
    assert first["undo"] == [["ethtool", "-L", "ens2f0", "combined", "16"]]
    assert run(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS, "--detailed-exitcode")[0] == 2
    code, plan = document(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS, "--limit", "left")
    assert list(plan["hosts"]) == ["left"]


def test_words_go_to_stderr_beside_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS)
    assert "12 steps on 2 of 2 hosts" in out
    assert err == ""
    _, out, err = run(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS, "--json")
    assert "12 steps on 2 of 2 hosts" in err
    assert out.startswith("{")


def enrolled(folder: Path) -> tuple[str, str]:
    """A pair whose keys are known, with facts that show them: inventory and record."""
    inventory = folder / "inventory.yaml"
    inventory.write_text(Path(PAIR).read_text(encoding="utf-8"), encoding="utf-8")
    keys = {"left": "1a" * 32, "right": "2b" * 32}
    text = "".join(f"  {name}: {{keys: [{key}]}}\n" for name, key in keys.items())
    (folder / "inventory.keys.yaml").write_text("hosts:\n" + text, encoding="utf-8")
    record = folder / "facts"
    record.mkdir()
    for name, key in keys.items():
        facts = json.loads((Path(PAIR_FACTS) / f"{name}.json").read_text(encoding="utf-8"))
        facts["config"]["keys"]["node"] = key
        (record / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    return str(inventory), str(record)


def test_a_saved_plan_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path, bundles: None) -> None:
    inventory, record = enrolled(tmp_path)
    saved = tmp_path / "plan.json"
    code, plan = document(capsys, "plan", "-i", inventory, "--facts", record, "-o", str(saved))
    assert (code, saved.stat().st_mode & 0o777) == (0, 0o600)
    assert plan["not_for_apply"] == ["made from recorded facts"]
    code, shown = document(capsys, "show", str(saved))
    assert (code, shown["id"]) == (0, plan["id"])
    _, out, _ = run(capsys, "show", str(saved))
    assert "$ ethtool -L ens2f0 combined 4" in out
    assert "undo: ethtool -L ens2f0 combined 16" in out
    saved.write_text(saved.read_text(encoding="utf-8").replace('"mtu":3498', '"mtu":3499'), encoding="utf-8")
    code, out, err = run(capsys, "show", str(saved))
    assert (code, out) == (1, "")
    assert "plan again" in err


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bundles of this suite, whether they are built or not."""
    from tests.support import fleet_facts
    from tether_hw.fleet import planning

    def setting(inventory: Any, *, recorded: bool = False) -> Any:
        from dataclasses import replace

        return replace(fleet_facts.setting(), recorded=recorded, made="2026-01-01T00:00:00Z")

    monkeypatch.setattr(planning, "setting", setting)


def test_a_plan_with_keys_to_be_made_is_not_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    code, out, err = run(capsys, "plan", "-i", PAIR, "--facts", PAIR_FACTS, "-o", str(saved))
    assert (code, out, saved.exists()) == (1, "", False)
    assert "identity key of left is to be made" in err


def test_a_roster_with_a_key_to_be_made_is_not_for_apply(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, bundles: None
) -> None:
    inventory, record = enrolled(tmp_path)
    keys = tmp_path / "inventory.keys.yaml"
    keys.write_text("".join(line for line in keys.read_text().splitlines(True) if "right" not in line))
    _, plan = document(capsys, "plan", "-i", inventory, "--facts", record, "--limit", "left")
    assert list(plan["hosts"]) == ["left"]
    assert "the identity key of right is to be made" in plan["not_for_apply"]


def test_refused_hosts_are_3(capsys: pytest.CaptureFixture[str], tmp_path: Path, bundles: None) -> None:
    inventory, record = enrolled(tmp_path)
    path = Path(record) / "left.json"
    path.write_text(path.read_text(encoding="utf-8").replace("1a1a", "3c3c"), encoding="utf-8")
    code, plan = document(capsys, "plan", "-i", inventory, "--facts", record)
    assert code == 3
    assert list(plan["hosts"]) == ["right"]
    assert fingerprint("1a" * 32) in plan["refusals"][0]["reason"]
    assert fingerprint("3c" * 32) in plan["refusals"][0]["reason"]


def test_a_record_that_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "left.json").write_text('{"schema": "tether.facts/1", "host": "left"}', encoding="utf-8")
    code, _, err = run(capsys, "plan", "-i", PAIR, "--facts", str(tmp_path))
    assert code == 1
    assert "left.json: config: missing" in err
    assert "right.json: No such file" in err
    facts = json.loads((Path(PAIR_FACTS) / "left.json").read_text(encoding="utf-8"))
    facts["status"]["root"] = "somewhere"
    (tmp_path / "left.json").write_text(json.dumps(facts), encoding="utf-8")
    code, _, err = run(capsys, "plan", "-i", PAIR, "--facts", str(tmp_path), "--limit", "left")
    assert code == 1
    assert "status.root: 'somewhere' is not of the expected form" in err


def test_hosts_that_cannot_be_reached_are_4(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"silent": silent.getsockname()[1], "closed": closed.getsockname()[1]}
        path = tmp_path / "inventory.yaml"
        hosts = "".join(f"  {name}: {{address: 127.0.0.1, port: {port}}}\n" for name, port in ports.items())
        path.write_text(f"tether: 1\nhosts:\n{hosts}", encoding="utf-8")
        code, facts = document(capsys, "facts", "-i", str(path), "--timeout", "1")
    assert code == 4
    assert {failure["host"]: failure["exit"] for failure in facts["failed"]} == {"silent": 4, "closed": 4}
    assert facts["hosts"] == {}


def test_validate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert document(capsys, "validate", "-i", LAB) == (
        0, {"schema": "tether.validate/1", "inventory": LAB, "valid": True, "problems": []}
    )  # fmt: skip
    path = tmp_path / "a,b.yaml"
    path.write_text("tether: 1\nhosts:\n  a: {address: x, prot: 5%}\n", encoding="utf-8")
    code, found = document(capsys, "validate", str(path))
    assert (code, found["valid"]) == (1, False)
    assert found["problems"][0] == {
        "file": str(path), "line": 3, "col": 19, "path": "hosts.a.prot", "message": "unknown field",
        "hint": "did you mean 'port'?",
    }  # fmt: skip
    code, out, _ = run(capsys, "validate", str(path), "--format", "github")
    name = str(path).replace(",", "%2C")
    text = "hosts.a.prot: unknown field (did you mean 'port'?)"
    assert (code, out) == (1, f"::error file={name},line=3,col=19,title=tether::{text}\n")
    code, _, err = run(capsys, "validate", str(path))
    assert f"{path}:3:19: hosts.a.prot: unknown field\n    hint: did you mean 'port'?\n1 mistake\n" in err


def test_init_then_validate_then_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TETHER_INVENTORY", raising=False)
    folder = tmp_path / "new"
    code, made = document(capsys, "init", str(folder))
    assert code == 0
    assert sorted(made["files"]) == sorted(str(path) for path in folder.rglob("*") if path.is_file())
    monkeypatch.chdir(folder)
    assert run(capsys, "validate")[0] == 0
    code, out, _ = run(capsys, "plan", "--facts", "facts/")
    assert code == 0
    assert "12 steps on 2 of 2 hosts" in out
    code, _, err = run(capsys, "init")
    assert code == 1
    assert "nothing was written" in err


def test_render(capsys: pytest.CaptureFixture[str], tmp_path: Path, bundles: None) -> None:
    from tether_hw.plan.unit import parse_unit
    from tether_hw.transport.config import parse_engine, parse_roster

    inventory, record = enrolled(tmp_path)
    code, rendered = document(capsys, "render", "-i", inventory, "--facts", record, "-o", str(tmp_path / "out"))
    assert code == 0
    assert sorted(rendered["hosts"]) == ["left", "right"]
    left = tmp_path / "out" / "left"
    config = parse_engine(json.loads((left / "engine.json").read_text(encoding="utf-8")), "engine.json")
    roster = parse_roster(json.loads((left / "roster.json").read_text(encoding="utf-8")), "roster.json", config)
    assert [lane.queue for lane in config.lanes] == [0, 1, 2, 3]
    assert [(peer.name, peer.keys) for peer in roster.peers] == [("right", ("2b" * 32,))]
    assert parse_unit((left / "tether-engine.service").read_text(encoding="utf-8"))["Service"]["User"] == "tether"


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = document(capsys, "doctor", "-i", LAB)
    results = {check["check"]: check for check in found["checks"]}
    assert results["pydantic"]["result"] == "ok"
    lacking = [check for check in found["checks"] if check["result"] == "lacks" and check["needed_for"] == "controller"]
    assert code == (1 if lacking else 0)
    assert all(check["next"] for check in lacking)


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_schemas(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, "schema", name)
    assert (code, load(out)) == (0, json_schema(name))
    assert mistakes([], json_schema(name)) != []


def test_schema_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(document(capsys, "schema")[1]["schemas"]) == list(SCHEMAS)
    code, _, err = run(capsys, "schema", "tether.plann/1")
    assert code == 1
    assert "tether.plan/1" in err


def test_the_page_of_documents_is_up_to_date() -> None:
    from tools.json_doc import page

    assert (ROOT / "docs" / "json.md").read_text(encoding="utf-8") == page()


def test_every_document_that_is_printed_is_documented() -> None:
    printed = set()
    for folder in ("cli", "lab", "transport"):
        for path in (ROOT / "tether_hw" / folder).rglob("*.py"):
            printed |= set(re.findall(r"\"(tether\.[a-z.]+/1)\"", path.read_text(encoding="utf-8")))
    # Files on hosts and in state folders, not documents of verbs.
    files = {"tether.engine/1", "tether.roster/1", "tether.lab/1", "tether.engine.record/1"}
    assert printed - files <= set(DOCUMENTS)


def test_errors_as_documents(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = document(capsys, "plan", "-i", str(tmp_path / "none.yaml"))
    assert (code, found["schema"], found["exit"], found["verb"]) == (1, "tether.error/1", 1, "plan")
    path = tmp_path / "bad.yaml"
    path.write_text("tether: 1\nhosts: {a: {}}\n", encoding="utf-8")
    code, found = document(capsys, "plan", "-i", str(path))
    assert [problem["path"] for problem in found["problems"]] == ["hosts.a.address"]


def test_no_terminal_and_no_yes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(TetherError, match="no terminal"):
        output.agreed("Go on?", yes=False)
    assert output.agreed("Go on?", yes=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "expected"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_asking(monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", Terminal())
    assert output.agreed("Go on?", yes=False) is expected


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.red("x", Terminal()) == "\033[31mx\033[0m"
    assert output.red("x", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.red("x", Terminal()) == "x"


def test_a_document_without_schema_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="schema"):
        output.emit_json({"a": 1})


def test_problems_are_sorted_and_counted() -> None:
    one, two = Problem("f", 2, 1, "b", "m"), Problem("f", 1, 9, "a", "m")
    errors = InputErrors([one, two, one])
    assert errors.problems == [two, one]
    assert errors.summary == "2 mistakes"
    assert str(two) == "f:1:9: a: m"


def test_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tether_hw.cli.validate.run", stop)
    assert run(capsys, "validate", LAB) == (130, "", "error: interrupted\n")
    code, found = document(capsys, "validate", LAB)
    assert (code, found["exit"], found["verb"]) == (130, 130, "validate")


def test_what_a_file_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text('tether: 1\nhosts:\n  "a\\e[2J\\nb": {address: x, peers: [c]}\n  d: {address: y, peers: [c]}\n')
    code, out, err = run(capsys, "validate", str(path))
    assert (code, out) == (1, "")
    assert "\033" not in err
    assert f"{path}:3:3: hosts.a\\x1b[2J\\nb: expected a name" in err.splitlines()[0]
    assert r"there are a\x1b[2J\nb" in err


def test_a_jump_that_fails_is_the_failure_of_the_host_behind_it() -> None:
    def work(host: str) -> None:
        raise HostUnreachable("bastion", "no answer")

    (error,) = runner.run(["b"], work).failed.values()
    assert (error.host, error.reason) == ("b", "through bastion: no answer")
    assert str(error) == error.message == "b: through bastion: no answer"


def test_the_inventory_of_a_lab_is_a_document_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("lab", "inventory", "--state", str(tmp_path / "lab"), "--hosts", "3")
    _, text, _ = run(capsys, *words)
    code, found = document(capsys, *words)
    assert (code, found["schema"], found["inventory"]) == (0, "tether.lab.inventory/1", text)


def test_a_plan_of_nobody_is_no_plan() -> None:
    plan = Plan("2026-01-01T00:00:00Z", "0", "i.yaml", {})
    assert plan_lines(plan, unread=2) == ["no plan; 2 hosts not read"]


def test_a_plan_of_other_hosts_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, bundles: None) -> None:
    inventory, record = enrolled(tmp_path)
    saved = tmp_path / "plan.json"
    assert run(capsys, "plan", "-i", inventory, "--facts", record, "-o", str(saved))[0] == 0
    code, out, err = run(capsys, "apply", str(saved), "-i", LAB, "--yes")
    assert (code, out) == (1, "")
    assert "left, right of this plan: not in" in err


@pytest.mark.parametrize("path", sorted(data_path("profiles").glob("generic/*.yaml")), ids=lambda path: path.name)
def test_profiles_fit_their_schema(path: Path) -> None:
    from tether_hw.fleet import profiles, source

    problems: list[Problem] = []
    tree = source.read(path, problems)
    assert problems == []
    assert mistakes(tree.plain(), json_schema("profile")) == []
    assert tree.plain()["driver"] in (None, *profiles.load().drivers())


def test_parser_profiles_fit_their_schema() -> None:
    from tether_hw.fleet import source

    paths = sorted(data_path("profiles").glob("e810/*.yaml"))
    assert {path.name for path in paths} == {"ice.yaml", "tether.yaml"}
    for path in paths:
        problems: list[Problem] = []
        schema = "e810-driver" if path.name == "ice.yaml" else "parser-profile"
        assert mistakes(source.read(path, problems).plain(), json_schema(schema)) == []
        assert problems == []


@pytest.mark.parametrize("path", sorted(data_path("inventory").glob("*.yaml")), ids=lambda path: path.name)
def test_inventories_fit_their_schema(path: Path) -> None:
    from tether_hw.fleet import source

    problems: list[Problem] = []
    tree = source.read(path, problems)
    assert problems == []
    assert mistakes(tree.plain(), json_schema("inventory")) == []


def test_a_saved_plan_is_not_forced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "apply", str(tmp_path / "x.plan"), "--force-unproven", "-i", "x.yaml")
    assert (code, out) == (64, "")
    assert "leave PLAN out" in err
