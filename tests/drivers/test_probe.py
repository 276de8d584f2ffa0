# SPDX-License-Identifier: Apache-2.0
"""A probe finds out what a driver takes into hardware, leaves nothing, and holds for the ground it was made on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.common.netdev import DROP, Filter
from tests.drivers.common.programs import tc
from tests.drivers.common.rules import Refused
from tests.drivers.common.transaction import Scene
from tests.drivers.ice.build import PF0, PF1, machine
from tests.drivers.ice.card import Function
from tests.drivers.ice.draws import Picture
from tether_hw.agent import close, command, offload_probe, probed
from tether_hw.agent.errors import AgentError, Locked
from tether_hw.agent.errors import Refused as AgentRefused
from tether_hw.plan.facts import Facts
from tether_hw.plan.probed import HARDWARE, LIES, PREF, REFUSED, offloads

SWITCHDEV = {"family": "e810", "device": {"pci": PF0}, "eswitch": "switchdev", "vfs": 1}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Scene(machine(tmp_path), tmp_path)


def probe(scene: Scene) -> dict[str, Any]:
    scene.machine.settle()
    with scene._agent():
        return offload_probe.probe(scene.host, [{"pci": PF0}], "tests")


def facts(scene: Scene) -> Facts:
    return scene.facts(scene.inventory({"east": SWITCHDEV}))


def put(scene: Scene, pref: int) -> None:
    """A rule of somebody else on the first port."""
    device = scene.machine.device("data0")
    assert device is not None
    device.hook = True
    device.filters.append(Filter(pref, 1, 0x88B5, {}, DROP))


def test_what_hardware_takes_is_known_afterwards(scene: Scene) -> None:
    inventory = scene.inventory({"east": SWITCHDEV})
    assert "probed" not in facts(scene).status
    assert scene.apply(inventory, scene.plan(inventory)).state == "confirmed"
    before = Picture.of(scene.machine)
    told = {one["function"]: one for one in probe(scene)["probed"]}
    assert not before.differences(Picture.of(scene.machine))
    assert told[PF0]["mode"] == "switchdev" and told[PF0]["flower"] == {"verdict": HARDWARE, "words": ""}
    assert told[PF0]["u32"]["verdict"] == REFUSED
    redirected = [argv for argv in scene.ran if str(PREF) in argv and "redirect" in argv]
    assert len(redirected) == 1  # the first rule drops; with a representor there, one redirects too
    status = facts(scene).status
    assert offloads(status, PF0, "ice", "switchdev")[0] is True
    assert offloads(status, PF0, "ice", "legacy")[0] is None  # ice has another flower there
    assert scene.host.lock.holder() is None
    assert scene.plan(inventory).steps == []


def test_a_driver_that_says_no_is_quoted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Function, device: Any, new: Any) -> None:
        raise Refused("flower-keys", 95, "only offload of BPF classifiers supported")

    monkeypatch.setattr(Function, "offload", refuse)
    told = probe(scene)["probed"][0]
    assert told["flower"] == {"verdict": REFUSED, "words": "Error: only offload of BPF classifiers supported."}
    status = facts(scene).status
    found, words = offloads(status, PF0, "netdevsim", "legacy")
    assert found is False and "takes no rule" in words and "only offload of BPF" in words
    # A driver whose flower is built or not says the same in either mode.
    assert "(probed in legacy)" in offloads(status, PF0, "mlx5_core", "switchdev")[1]
    assert offloads(status, PF0, "ice", "switchdev") == (
        None,
        "unknown whether hardware takes rules of tc here: tether facts --probe finds out",
    )


@pytest.mark.pain(27)
def test_a_rule_that_is_taken_and_is_nowhere_is_a_lie(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tc._options
    monkeypatch.setattr(tc, "_options", lambda one, meter: {**options(one, meter), "in_hw": False, "not_in_hw": True})
    monkeypatch.setattr(Function, "offload", lambda self, device, new: None)
    told = probe(scene)["probed"][0]
    assert told["flower"]["verdict"] == LIES
    found, words = offloads(facts(scene).status, PF0, "ice", "legacy")
    assert found is False and "run nowhere" in words


def test_another_kernel_driver_or_firmware_is_another_ground(scene: Scene) -> None:
    probe(scene)
    assert offloads(facts(scene).status, PF0, "ice", "legacy")[0] is not None
    scene.machine.release = "6.99.0"
    assert "probed" not in facts(scene).status
    probe(scene)
    kept = probed.records(scene.host.paths)
    assert [one["ground"]["kernel"] for one in kept[PF0].values()] == ["6.99.0"]


def test_the_switches_are_as_they_were(scene: Scene) -> None:
    device = scene.machine.device("data0")
    assert device is not None
    for hook in (False, True):
        for offload in (False, True):
            device.hook, device.features["hw-tc-offload"] = hook, offload
            probe(scene)
            assert (device.hook, device.feature("hw-tc-offload")) == (hook, offload)


def test_a_pref_that_is_taken_is_left_alone(scene: Scene) -> None:
    put(scene, PREF)
    told = probe(scene)
    assert [one["function"] for one in told["probed"]] == [PF1]
    assert [(one["function"], "not ours" in one["why"]) for one in told["skipped"]] == [(PF0, True)]


def test_rules_of_others_keep_the_hook(scene: Scene) -> None:
    put(scene, 10)
    probe(scene)
    device = scene.machine.device("data0")
    assert device is not None and device.hook and [one.pref for one in device.filters] == [10]


class Cut(BaseException):
    """The agent is gone."""


@pytest.mark.parametrize("at", range(12))
def test_what_a_probe_leaves_that_was_cut_off_is_taken_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    before = Picture.of(scene.machine)
    with scene._agent():
        execute, left = command.execute, [at]

        def cut(argv: Any, *more: Any, **named: Any) -> Any:
            if left[0] == 0:
                raise Cut
            left[0] -= argv[:3] not in (("tc", "-s", "-j"), ["tc", "-s", "-j"]) and argv[0] in ("tc", "ethtool")
            return execute(argv, *more, **named)

        with monkeypatch.context() as patched:
            patched.setattr(command, "execute", cut)
            patched.setattr(offload_probe, "_undo", lambda *_: None)
            with pytest.raises(Cut):
                offload_probe.probe(scene.host, [{"pci": PF0}], "tests")
        close.tidy(scene.host)
        assert scene.host.lock.holder() is None
        assert not offload_probe._open(scene.host)
    assert not before.differences(Picture.of(scene.machine))


def stop(*_: Any) -> Any:
    raise Cut


def test_a_probe_that_runs_keeps_the_host(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(offload_probe, "_try", stop)
        with pytest.raises(Cut):
            probe(scene)
    monkeypatch.setattr(offload_probe, "_alive", lambda _: True)
    pending = facts(scene).status["pending"]
    assert pending is not None and pending["run"] == "probe"
    with pytest.raises(Locked):
        scene.host.lock.take("run1", "tests", "apply")
    monkeypatch.setattr(offload_probe, "_alive", lambda _: False)
    assert facts(scene).status["pending"] is None
    assert [one["function"] for one in probe(scene)["probed"]] == [PF0, PF1]


def test_after_a_reboot_there_is_nothing_to_take_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload_probe, "_try", stop)
    with pytest.raises(Cut):
        probe(scene)
    monkeypatch.setattr(offload_probe, "boot_id", lambda: "another")
    monkeypatch.setattr(offload_probe, "_undo", lambda *_: pytest.fail("undone in another boot"))
    with scene._agent():
        offload_probe.mend(scene.host)
    assert scene.host.lock.holder() is None


def test_a_run_that_is_pending_comes_first(scene: Scene) -> None:
    scene.host.make_state()
    scene.host.lock.take("run1", "somebody", "apply")
    with pytest.raises(Locked):
        probe(scene)


def test_only_root_probes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AgentRefused):
        probe(scene)


def test_a_tool_that_fails_ends_the_probe_and_leaves_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AgentError("tc: not finished after 15 s")

    monkeypatch.setattr(offload_probe, "_try", fail)
    told = probe(scene)
    assert told["probed"] == [] and {one["why"] for one in told["skipped"]} == {"tc: not finished after 15 s"}
    assert scene.host.lock.holder() is None and "probed" not in facts(scene).status
