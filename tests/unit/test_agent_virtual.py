# SPDX-License-Identifier: Apache-2.0
"""A subfunction whose driver brings no network device by itself, as the agent makes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.facts_cx7 import PF0
from tether_hw.agent import cards, command, nic_virtual, sysfs, waiting
from tether_hw.agent.errors import AgentError
from tether_hw.agent.sysfs import Sysfs
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.paths import HostPaths

MAC = "02:00:00:00:08:88"
PORT, DEVICE = f"pci/{PF0}/32768", "auxiliary/mlx5_core.sf.4"


class Card:
    """devlink of a card in switchdev; its SFs come attached, and with a network device where `eth` says so."""

    def __init__(self, eth: bool = False, attaches: bool = True) -> None:
        self.eth, self.attaches = eth, attaches
        self.port: dict[str, Any] | None = None
        self.changed: list[str] = []

    def execute(self, argv: Sequence[str], timeout_s: float, text: str = "") -> command.Done:
        words = list(argv)
        if words[0] != "devlink":
            return command.Done(1, "", "no")
        if "show" in words:
            return command.Done(0, json.dumps(self.shown(words)), "")
        line = " ".join(words[1:])
        self.changed.append(line)
        if "add" in words:
            self.port = {"flavour": "pcisf", "pfnum": 0, "sfnum": 88, "function": {"state": "inactive"}}
        elif "hw_addr" in words and self.port is not None:
            self.port["function"]["hw_addr"] = words[-1]
        elif "state" in words and self.port is not None:
            self.port["function"]["state"] = words[-1]
            attached = words[-1] == "active" and self.attaches
            self.port["function"]["opstate"] = "attached" if attached else "detached"
        elif "del" in words:
            self.port = None
        elif "param" in words:
            self.eth = True
        return command.Done(0, "", "")

    def shown(self, words: list[str]) -> dict[str, Any]:
        if "port" in words:
            return {"port": {} if self.port is None else {PORT: self.port}}
        if words[:4] == ["devlink", "-j", "dev", "show"] or "health" in words:
            return {words[2]: {}}  # nothing is known to be wrong with the card
        assert words[-3:] == [DEVICE, "name", "enable_eth"]
        value = {"cmode": "driverinit", "value": self.eth}
        return {"param": {DEVICE: [{"name": "enable_eth", "type": "generic", "values": [value]}]}}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    made = Card()
    for name, number in (("sf.3", 7), ("sf.4", 88)):
        place = tmp_path / "bus/pci/devices" / PF0 / f"mlx5_core.{name}"
        place.mkdir(parents=True)
        (place / "sfnum").write_text(f"{number}\n")
    monkeypatch.setattr(command, "execute", made.execute)
    monkeypatch.setattr(sysfs, "SYSFS", Sysfs(str(tmp_path)))
    monkeypatch.setattr(cards, "standing", lambda *_: None)
    monkeypatch.setattr(waiting, "_PAUSE_S", 0.001)
    return made


def carry_out(data: NicSf, root: Path) -> None:
    nic_virtual.carry_out(data, HostPaths(), root / "snapshot", 0.05)


def test_it_has_its_address_before_it_is_active_and_is_told_to_have_a_device(card: Card, tmp_path: Path) -> None:
    carry_out(NicSf(PF0, 88, True, MAC), tmp_path)
    assert card.changed == [
        f"port add pci/{PF0} flavour pcisf pfnum 0 sfnum 88",
        f"port function set {PORT} hw_addr {MAC}",
        f"port function set {PORT} state active",
        f"dev param set {DEVICE} name enable_eth value true cmode driverinit",
        f"dev reload {DEVICE}",
    ]
    carry_out(NicSf(PF0, 88, True, MAC), tmp_path)
    assert len(card.changed) == 5  # it is as it should be
    carry_out(NicSf(PF0, 88, False), tmp_path)
    assert card.changed[5:] == [f"port function set {PORT} state inactive", f"port del {PORT}"]
    carry_out(NicSf(PF0, 88, False), tmp_path)
    assert len(card.changed) == 7


def test_one_that_has_a_device_is_not_loaded_anew(card: Card, tmp_path: Path) -> None:
    card.eth = True
    carry_out(NicSf(PF0, 88, True), tmp_path)
    assert [line.split()[1] for line in card.changed] == ["add", "function"]


def test_one_that_never_attaches_says_so(card: Card, tmp_path: Path) -> None:
    card.attaches = False
    with pytest.raises(AgentError, match="sf88 of 0000:08:00.0 is active, detached after 0.05 s"):
        carry_out(NicSf(PF0, 88, True), tmp_path)
