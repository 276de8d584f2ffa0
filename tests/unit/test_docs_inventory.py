# SPDX-License-Identifier: Apache-2.0
"""The examples in docs/inventory.md are inventories, and its figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tether_hw.fleet.cards import Card
from tether_hw.fleet.inventory import load
from tether_hw.fleet.models import Host, Link
from tether_hw.nic.bluefield.model import BluefieldNic
from tether_hw.nic.cx7.model import Cx7Device, Cx7Nic, Params, Sf, Vf
from tether_hw.nic.e810.model import Ddp, E810Device, E810Nic
from tether_hw.nic.generic.limits import XDP_MTU_MAX, smallest_mtu
from tether_hw.nic.generic.model import GenericNic
from tether_hw.nic.steering.model import Action, Match, Steering, WantedRule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "inventory.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(number: int, tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(EXAMPLES[number], encoding="utf-8")
    assert load(path).hosts


def test_figures() -> None:
    assert len(EXAMPLES) == 7
    assert f"{smallest_mtu('af_xdp')} bytes, {smallest_mtu('udp')} with UDP" in PAGE
    assert f"at most {XDP_MTU_MAX}" in PAGE


FAMILIES: list[type[BaseModel]] = [GenericNic, E810Nic, E810Device, Ddp, Cx7Nic, Cx7Device, Params, Vf, Sf]
MODELS = [Host, Link, Card, *FAMILIES, BluefieldNic, Steering, WantedRule, Match, Action]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_is_shown(model: type[BaseModel]) -> None:
    rare = {"passphrase", "identity_file", "port", "silence", "family", "mtu"}
    assert [name for name in model.model_fields if name not in rare and f"{name}:" not in PAGE] == []
