# SPDX-License-Identifier: Apache-2.0
"""Plans for both machines of a BlueField, from what the agents of both read of the model."""

from __future__ import annotations

from pathlib import Path

from tests.drivers.bluefield.draws import FAMILY, Begin, Wish
from tests.drivers.bluefield.scene import ARM, HOST, CardScene
from tests.drivers.mlx5.draws import Want

TOLD = ((7, 1000, None), (None, None, 10))
SWITCH = Want(eswitch="switchdev", vfs=TOLD, rules=((1, "redirect", 1), (2, "drop", 0)))
BOTH = Wish((SWITCH, Want(eswitch="switchdev")), (Want(vfs=2, rules=((21, "drop", 0),)), None))


def test_what_waits_for_what(tmp_path: Path) -> None:
    scene = CardScene(FAMILY.build(tmp_path, Begin()), tmp_path)
    plan = scene.plan(scene.inventory(BOTH.nics()))
    found = {(name, one.step, one.host, one.ends) for name in (ARM, HOST) for one in plan.hosts[name].after}
    kinds = {(name, step.split("-")[1], ends.split("-")[1]) for name, step, _, ends in found}
    assert kinds == {(ARM, "nic_host_vfs", "nic_vfs"), (HOST, "nic_vf_binding", "nic_function")}
