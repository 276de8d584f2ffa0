# SPDX-License-Identifier: Apache-2.0
"""Ports of cards with two sides: which side may say what, and that both sides agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_hw.errors import InputErrors
from tether_hw.fleet.inventory import load
from tether_hw.nic.bluefield.model import ENGINE, BluefieldNic

HEAD = """\
tether: 1
cards: {{bf: {{serial: MT2334X00456, arm: a, host: h, mode: {mode}, nv: {{NUM_OF_VFS: 16}}}}}}
hosts:
"""
PORT = "family: bluefield, card: bf, port: 0"


def written(folder: Path, arm: str, host: str, mode: str = "dpu", more: str = "") -> Path:
    """arm, host: further fields of port 0 at each side; None leaves the port out."""
    path = folder / "inventory.yaml"
    text = HEAD.format(mode=mode)
    for number, (name, fields) in enumerate((("a", arm), ("h", host)), 1):
        nics = "" if fields == "-" else f"d: {{{PORT}{', ' if fields else ''}{fields}}}"
        text += f"  {name}:\n    address: 192.0.2.{number}\n    nics: {{{nics}}}\n"
    path.write_text(text + more, encoding="utf-8")
    return path


def test_a_port_is_found_by_its_card(tmp_path: Path) -> None:
    inventory = load(written(tmp_path, "eswitch: switchdev, vfs: [{}, {}]", "vfs: 2"))
    sides = {name: inventory.hosts[name].nics["d"] for name in ("a", "h")}
    for name, nic in sides.items():
        assert isinstance(nic, BluefieldNic)
        assert nic.device.selector() == {"serial": "MT2334X00456", "port": 0}
        assert (nic.seat.side, nic.seat.other) == (("arm", "h") if name == "a" else ("host", "a"))
        assert ENGINE in nic.settings()
    assert sides["a"].settings() == (ENGINE, "NUM_OF_VFS")  # the Arm has the settings
    assert sides["h"].settings() == (ENGINE,)


def test_in_mode_nic_the_host_has_it_all(tmp_path: Path) -> None:
    nic = load(written(tmp_path, "-", "eswitch: switchdev, vfs: [{}]", "nic")).hosts["h"].nics["d"]
    assert nic.settings() == (ENGINE, "NUM_OF_VFS")


@pytest.mark.parametrize(
    ("arm", "host", "mode", "path", "words"),
    [
        ("-", "eswitch: switchdev", "dpu", "hosts.h.nics.d.eswitch", "is the Arm's to say in mode dpu"),
        ("-", "encap: none", "zero-trust", "hosts.h.nics.d.encap", "is the Arm's to say in mode zero-trust"),
        ("-", "inline: none", "dpu", "hosts.h.nics.d.inline", "is the Arm's"),
        ("-", "steering_mode: smfs", "dpu", "hosts.h.nics.d.steering_mode", "is the Arm's"),
        ("-", "sfs: [{number: 1}]", "dpu", "hosts.h.nics.d.sfs", "is the Arm's"),
        ("-", "params: {esw_multiport: true}", "dpu", "hosts.h.nics.d.params", "are the Arm's"),
        ("-", "nv: {SRIOV_EN: 1}", "dpu", "hosts.h.nics.d.nv", "settings are the Arm's"),
        ("-", "vfs: [{}]", "dpu", "hosts.h.nics.d.vfs", "what VFs are told is the Arm's"),
        ("eswitch: legacy", "-", "dpu", "hosts.a.nics.d.eswitch", "h's driver waits for switchdev"),
        ("vfs: 2", "-", "dpu", "hosts.a.nics.d.vfs", "the VFs are h's to make"),
        ("vfs: 2", "vfs: 3", "dpu", "hosts.a.nics.d.vfs", "2 VFs, h.d makes 3"),
        ("", "-", "nic", "hosts.a.nics.d.card", "in mode nic the Arm has no port of bf"),
        ("nv: {INTERNAL_CPU_OFFLOAD_ENGINE: 1}", "-", "dpu", f"hosts.a.nics.d.nv.{ENGINE}", "card bf is in mode dpu"),
    ],
)
def test_what_is_the_other_sides_has_its_place(
    tmp_path: Path, arm: str, host: str, mode: str, path: str, words: str
) -> None:
    with pytest.raises(InputErrors) as caught:
        load(written(tmp_path, arm, host, mode))
    (problem,) = caught.value.problems
    assert (problem.path, problem.line > 3, problem.col > 1) == (path, True, True)
    assert words in problem.message
    assert problem.hint


def test_rules_of_the_switch_are_the_arms(tmp_path: Path) -> None:
    rule = "steering: {rules: [{name: r, match: {destination: '02:00:00:00:00:01'}, action: {redirect: {vf: 0}}}]}"
    with pytest.raises(InputErrors) as caught:
        load(written(tmp_path, "-", f"vfs: 1, {rule}"))
    assert [problem.message for problem in caught.value.problems] == ["the switch is the Arm's in mode dpu"]


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("family: bluefield, card: bg, port: 0", "unknown card 'bg'"),
        ("family: bluefield, card: bf, port: 0", "c is neither the Arm nor the host of bf"),
        ("family: bluefield, card: bf, port: 2", "nics.d.port"),
        ("family: bluefield, card: bf, port: 0, device: {name: x}", "leave device out"),
    ],
)
def test_a_port_that_is_none(tmp_path: Path, port: str, words: str) -> None:
    more = f"  c:\n    address: 192.0.2.9\n    nics: {{d: {{{port}}}}}\n"
    with pytest.raises(InputErrors) as caught:
        load(written(tmp_path, "-", "-", more=more))
    assert any(words in f"{problem.path} {problem.message} {problem.hint}" for problem in caught.value.problems)


def test_a_port_is_there_once(tmp_path: Path) -> None:
    path = written(tmp_path, "-", "")
    path.write_text(path.read_text().replace("d: {", f"e: {{{PORT}}}, d: {{"))
    with pytest.raises(InputErrors) as caught:
        load(path)
    assert any("is port 0 of d too" in problem.message for problem in caught.value.problems)


def test_the_example_is_an_inventory() -> None:
    example = Path(__file__).resolve().parents[2] / "inventory" / "example-bluefield.yaml"
    assert set(load(example).cards) == {"bf0"}
