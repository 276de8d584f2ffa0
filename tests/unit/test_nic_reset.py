# SPDX-License-Identifier: Apache-2.0
"""Resets of firmware: what a card offers is asked before, and a boot that one begins is a boot of the run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.drivers.bluefield.chip import firmware
from tests.drivers.mlx5.programs.firmware_tools import query
from tether_hw.agent import cards, command, nic_reset, reboot
from tether_hw.agent.errors import AgentError
from tether_hw.nic.functions.reset import Offer, parse, restricted
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_reset import NicReset
from tether_hw.plan.kinds.registry import parse_data

DATA = NicReset("0000:03:00.0 starts with NUM_OF_VFS=16", 1, (), "0000:03:00.0", 3, 1)


def offer(levels: tuple[int, ...], syncs: tuple[int, ...]) -> str:
    made = firmware("dpu")
    made.levels, made.syncs = levels, syncs
    return query(made)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Program -> what it says of the card; every command that is run for its effect is noted."""
    answers: dict[str, Any] = {"ran": []}
    monkeypatch.setattr(cards, "ask", lambda argv: answers.get(argv[0]))
    monkeypatch.setattr(command, "checked", lambda argv, timeout_s: answers["ran"].append(argv))
    return answers


def test_what_is_offered_is_read() -> None:
    assert parse(offer((3, 4), (1,))) == Offer((3, 4), (1,))
    assert parse(offer((4,), ())) == Offer((4,), ())
    assert parse("-E- Failed to open device\n") == Offer((), ())


@pytest.mark.parametrize(("level", "found"), [("RESTRICTED", True), ("PRIVILEGED", False), ("", None)])
def test_what_a_host_may_do_is_read(level: str, found: bool | None) -> None:
    assert restricted(lambda argv: f"Host configurations\nlevel                         : {level}\n", "x") is found
    assert restricted(lambda argv: None, "x") is None


@pytest.mark.pain(14)
def test_a_reset_is_begun_where_the_card_offers_it(told: dict[str, Any]) -> None:
    told["mstfwreset"] = offer((3, 4), (1,))
    nic_reset.start(DATA)
    assert told["ran"] == [["mstfwreset", "-d", "0000:03:00.0", "-y", "-l", "3", "--sync", "1", "reset"]]


@pytest.mark.pain(13)
@pytest.mark.pain(14)
@pytest.mark.parametrize(("levels", "syncs"), [((3, 4), ()), ((4,), (1,)), ((3,), (0,))])
def test_what_the_card_does_not_offer_needs_a_power_cycle(
    told: dict[str, Any], levels: tuple[int, ...], syncs: tuple[int, ...]
) -> None:
    told["mlxfwreset"] = offer(levels, syncs)
    with pytest.raises(AgentError, match="needs a power cycle: the card of 0000:03:00.0 offers reset levels"):
        nic_reset.start(DATA)
    assert told["ran"] == []


def test_no_program_is_said(told: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="neither mlxfwreset nor mstfwreset answers"):
        nic_reset.check(DATA)


def test_a_step_that_resets_is_a_boot(told: dict[str, Any]) -> None:
    told["mlxfwreset"] = offer((3,), (1,))
    read = parse_data("nic_reset", DATA.to_dict())
    assert read == DATA
    assert isinstance(read, HostReboot)
    reboot.go(None, read, 0.0, lambda: True)  # type: ignore[arg-type]
    assert len(told["ran"]) == 1
    assert [argv[-1] for argv in DATA.argv(None)] == ["q", "reset"]  # type: ignore[arg-type]
