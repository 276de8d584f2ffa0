# SPDX-License-Identifier: Apache-2.0
"""Words that would mean something to a shell, a unit, a batch or a terminal: refused, or inert in every file and plan.

The files of ConnectX ports have the same test beside their grammar.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import fleet_facts
from tether_hw.agent import bootstrap
from tether_hw.errors import InputErrors, TetherError
from tether_hw.fleet import bootstrap as fleet_bootstrap
from tether_hw.fleet import bundle, operator
from tether_hw.fleet.files import host_files
from tether_hw.fleet.inventory import load
from tether_hw.fleet.planner import make_plan
from tether_hw.plan.paths import HELPER, HostPaths
from tether_hw.plan.rule import Rule
from tether_hw.plan.shape import Fields, ShapeError
from tether_hw.plan.unit import parse_unit

#: What breaks out of a line, a word, a quotation, a specifier of systemd, a batch of tc or the columns of a terminal.
HOSTILE = (
    "a\nb", "a\r\nExecStart=/bin/sh", "a b", "a;reboot", "$(reboot)", "`id`", "a|b", "a&b", "a>b", "'a'", '"a"', "a\\",
    "%n", "${PATH}", "{{ 7*7 }}", "{% raw %}", "-o", "--help", "../../etc", "a/b", "\x1b[2J", "a\0b", "\u2028", "é",
    "action drop", "pref 1", "dev eth0", "flower", "filter add", "qdisc del dev eth0", "#", "*", "~",
    "ALL=(ALL) NOPASSWD: ALL",
)  # fmt: skip
#: Where a person writes a word.
PLACES = (
    "host", "nic", "link", "group", "device name", "device mac", "device pci", "user", "engine.user", "address", "root",
    "jump", "carrier", "keys_file", "metrics", "rule", "rule address", "package",
)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from("ab0:;|&$`'\"\\\n\r\t {}%[]=*/#-é\x1b\0"), min_size=1, max_size=12),
)


def inventory_text(place: str, word: str) -> str:
    """Two hosts on a link; `word` stands at one place of the first."""
    host, nic, link = (word if place == name else name + "1" for name in ("host", "nic", "link"))
    device: dict[str, Any] = {"name": "eth1"}
    if place.startswith("device "):
        device = {place.split(" ")[1]: word}
    port: dict[str, Any] = {"device": device, "mtu": 3000, "lanes": {"on": "pf", "queues": [0], "by": "mac"}}
    if place == "carrier":
        port["carrier"] = word
    if place in ("rule", "rule address", "package"):
        port = {"family": "e810", "device": {"pci": "0000:17:00.0"}}
        if place == "package":
            port["ddp"] = {"package": word, "sha256": "0" * 64, "signature": "none"}
        match = {"destination": word if place == "rule address" else "02:74:00:00:00:01"}
        port["steering"] = {"rules": [{"name": word if place == "rule" else "r", "match": match, "action": "drop"}]}
    one: dict[str, Any] = {"address": "192.0.2.1", "nics": {nic: port}}
    if place in ("user", "root", "jump", "address"):
        one[place] = word
    if place == "group":
        one["groups"] = [word]
    if place == "engine.user":
        one["engine"] = {"user": word}
    if place == "metrics":
        one["engine"] = {"metrics": {"listen": word}}
    other = {"address": "192.0.2.2", "nics": {"nic1": {"device": {"name": "eth1"}, "lanes": port.get("lanes")}}}
    document: dict[str, Any] = {"tether": 1, "hosts": {host: one, "other": other}}
    if "lanes" in port:
        document["links"] = {link: {"members": [f"{host}.{nic}", "other.nic1"], "mtu": 3000}}
    else:
        del other["nics"]["nic1"]["lanes"]  # type: ignore[index]
    if place == "group":
        document["groups"] = {word: {}}
    if place == "keys_file":
        document["keys_file"] = word
    return yaml.safe_dump(document, allow_unicode=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), word=WORDS)
def test_what_people_write_is_refused_or_inert(tmp_path_factory: pytest.TempPathFactory, place: str, word: str) -> None:
    path = tmp_path_factory.mktemp("injection") / "inventory.yaml"
    path.write_text(inventory_text(place, word), encoding="utf-8", errors="surrogatepass")
    try:
        inventory = load(path)
    except InputErrors as errors:
        # What a mistake says cannot steer a terminal either.
        assert all(str(problem).isprintable() for problem in errors.problems)
        return
    except TetherError:
        return
    name = next(host for host in inventory.hosts if host != "other")
    found = {name: fleet_facts.facts(name, {"eth1": "veth"})}
    try:
        files = host_files(inventory, name, found[name], fleet_facts.setting())
    except TetherError:
        files = {}
    for file, text in files.items():
        if file.endswith(".json"):
            json.loads(text)
        elif file.endswith(".service"):
            unit = parse_unit(text)
            assert set(unit) == {"Unit", "Service"}
            program, *words = shlex.split(unit["Service"]["ExecStart"])
            assert program.endswith(f"/opt/tether/{fleet_facts.BUNDLE}/bin/tether-engine")
            assert words[:2] == ["serve", "--config"]
            assert len(words) == 3
        else:
            assert text.isprintable() or set(text) <= {"\n", *map(chr, range(32, 127))}
    plan = make_plan(inventory, found, fleet_facts.setting())
    for step in plan.steps:
        for argv in step.argv:
            # Every word is one word for whoever pastes it, and none became an option by what somebody wrote.
            assert shlex.split(shlex.join(argv)) == list(argv)
            assert word not in argv or word in ("a", "b", "0") or not word.startswith("-")


@pytest.mark.parametrize("word", [word for word in HOSTILE if word != "flower"])
def test_no_rule_of_a_plan_has_such_a_name(word: str) -> None:
    good = Rule("lane", "eth0", 0, "queue", queue=1).to_dict()
    assert Rule.parse(good, "data")
    for field in ("name", "device", "target"):
        with pytest.raises(ShapeError):
            Rule.parse({**good, field: word}, "data")


@pytest.mark.parametrize("word", [word for word in HOSTILE if word != "flower"])
def test_the_line_for_sudo_takes_a_user_and_nothing_else(word: str) -> None:
    request = {
        "root": "/nowhere",
        "digest": "0" * 64,
        "host": None,
        "user": word,
        "keys": {"0" * 64: "ann"},
        "bundle": None,
    }
    answer = bootstrap.bare(request)
    assert "user" in str(answer["trouble"])
    answer = bootstrap.bare({**request, "user": None, "digest": word})
    assert "digest" in str(answer["trouble"])
    answer = bootstrap.bare({**request, "user": None, "host": word})
    assert "host" in str(answer["trouble"])


def test_the_line_for_sudo_allows_one_program_without_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "etc/sudoers.d").mkdir(parents=True)
    monkeypatch.setattr(shutil, "which", lambda name, path: "/usr/bin/sudo" if name == "sudo" else None)
    paths = HostPaths(str(tmp_path))
    lines = bootstrap._sudoers(paths, "root").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [f'root ALL=(root) NOPASSWD: {paths.helper} ""']
    assert HostPaths().helper == HELPER


@pytest.mark.parametrize("comment", ["END_OF_PROGRAM", "'; reboot #", "$(reboot)", '"""', "`id`"])
def test_a_comment_of_an_operator_stays_data_in_the_script(
    comment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = operator.make(tmp_path / "key", comment, None)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(
        yaml.safe_dump({"tether": 1, "operators": [line], "hosts": {"a": {"address": "192.0.2.1", "user": "ops"}}})
    )
    tar = tmp_path / "bundle.tar"
    tar.write_bytes(b"tar")
    found = bundle.Bundle("x86_64", "0" * 64, "", (), tar, 3)
    monkeypatch.setattr(bundle, "find", lambda arch: found)
    text = fleet_bootstrap.script(load(inventory), ["a"], "x86_64")
    head, _, rest = text.partition('b64decode("""\n')
    program, _, tail = rest.partition('\n""")')
    assert comment not in head + tail.replace("END_OF_PROGRAM", "", 1) or comment in ("END_OF_PROGRAM", '"""')
    assert set(program) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n")
    assert tail.count("END_OF_PROGRAM") == 1


@pytest.mark.parametrize("word", HOSTILE)
def test_keys_of_operators_have_printable_comments(word: str) -> None:
    keys = {"0" * 64: word}
    if word.isprintable():
        assert bootstrap.parse_keys(Fields({"keys": keys})) == keys  # in a JSON file, where it means nothing
    else:
        with pytest.raises(ShapeError):
            bootstrap.parse_keys(Fields({"keys": keys}))
