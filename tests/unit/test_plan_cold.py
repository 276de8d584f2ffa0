# SPDX-License-Identifier: Apache-2.0
"""What a boot leaves of a host's config, and the step that boots it."""

from __future__ import annotations

from typing import Any

from tests.support import fleet_facts, plan_steps
from tether_hw.plan.cold import cold, unlisted, volatile, wiped
from tether_hw.plan.effects import fold, look_up
from tether_hw.plan.kinds.base import make_step
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.paths import HostPaths

PF0 = plan_steps.PF0
NV = {"SRIOV_EN": {"next": "True(1)", "current": "False(0)"}}
MLX5 = {
    "steering_mode": "smfs",
    "inline": "none",
    "encap": None,
    "autoprobe": False,
    "params": {"esw_multiport": "false"},
    "vfs": {"0": {"address": None, "tx_max": 0, "tx_share": 0, "driver": None}},
    "sfs": {},
    "nv": NV,
}


def busy() -> dict[str, Any]:
    """A host on which everything is set."""
    config = plan_steps.carded().config
    function = {"eswitch": "switchdev", "vfs": 4, "mlx5": MLX5}
    return fleet_facts.merge(
        config,
        {"functions": {PF0: function}, "nics": {"data0": {"mtu": 9000}}, "engine": {"service": "running"}},
    )


def test_every_field_of_config_is_in_one_of_the_two_tables() -> None:
    assert unlisted(busy()) == []


def test_a_boot_wipes_what_lives_in_the_kernel_and_keeps_files_and_flash() -> None:
    before = busy()
    after = cold(before)
    function = after["functions"][PF0]
    assert function["vfs"] == 0
    assert function["eswitch"] == "legacy"
    assert function["ntuple"]["rules"] == {}
    assert function["flower"] == {"hook": False, "offload": True, "rules": {}}
    assert function["mlx5"]["nv"]["SRIOV_EN"] == {"next": "True(1)", "current": "True(1)"}
    assert function["mlx5"]["autoprobe"] is False  # not ours
    assert function["mlx5"]["vfs"] == {}
    assert after["engine"] == {**before["engine"], "service": "stopped"}
    assert after["cards"] == before["cards"]
    assert after["nics"] == before["nics"]  # nobody of ours set it: whoever did does so again
    assert cold(after) == after
    assert wiped(after) == {}


def test_what_we_set_is_as_before_us_after_a_boot() -> None:
    owned: list[dict[str, Any]] = [
        {"path": ["nics", "data0", "mtu"], "before": 1500, "set": 9000},
        {"path": ["functions", PF0, "mlx5"], "before": {"steering_mode": "dmfs"}, "set": MLX5},
        {
            "path": ["functions", PF0, "ntuple"],
            "before": {"on": False, "rules": {}},
            "set": busy()["functions"][PF0]["ntuple"],
        },
    ]
    assert cold(fleet_facts.merge(busy(), {"nics": {"data0": {"mtu": 3000}}}), owned)["nics"]["data0"]["mtu"] == 3000
    after = cold(busy(), owned)
    assert after["nics"]["data0"]["mtu"] == 1500
    assert after["functions"][PF0]["mlx5"]["steering_mode"] == "dmfs"
    assert after["functions"][PF0]["mlx5"]["inline"] == "none"
    assert after["functions"][PF0]["ntuple"] == {"on": False, "rules": {}}


def test_what_is_gone_after_a_boot() -> None:
    assert volatile(("nics", "eth1", "mtu"))
    assert volatile(("functions", PF0, "ntuple"))
    assert volatile(("functions", PF0, "ntuple", "rules", "7"))
    assert volatile(("functions", PF0, "mlx5", "nv", "SRIOV_EN", "current"))
    assert volatile(("engine", "service"))
    assert not volatile(("functions", PF0, "mlx5", "nv", "SRIOV_EN", "next"))
    assert not volatile(("functions", PF0, "mlx5"))
    assert not volatile(("engine", "bundle"))
    assert not volatile(("cards", plan_steps.CARD, "package"))


def test_a_boot_in_a_plan_folds_what_it_wipes_and_is_taken_back() -> None:
    before = busy()
    steps = []
    config = before
    data = HostReboot.planned(before, (), "firmware settings")
    for number, one in enumerate((NicVfs(PF0, 0), NicEswitch(PF0, "legacy"), data), 1):
        step = make_step(one, config, HostPaths(), number, "a", None)
        config = fold(config, step.effect)
        steps.append(step)
    assert config == cold(before)
    assert steps[-1].disruption == "reboot"
    assert ("functions", PF0, "vfs") not in {change.path for change in steps[-1].effect}
    assert steps[-1].undo is not None
    undone = HostReboot.parse(steps[-1].undo.data, "undo").effect(config)
    back = fold(config, undone)
    assert look_up(back, ("engine", "service")) == "running"
    assert look_up(back, ("functions", PF0, "mlx5", "nv", "SRIOV_EN", "current")) == "False(0)"
