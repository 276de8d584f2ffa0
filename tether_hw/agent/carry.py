# SPDX-License-Identifier: Apache-2.0
"""Carrying out one typed step. What runs is built here from its kind and data, never taken from a plan's argv."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tether_hw.agent import (
    command,
    engine_files,
    nic_driver,
    nic_functions,
    nic_rules,
    nic_rules_port,
    nic_settings,
    nic_virtual,
    package_files,
    service,
)
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.plan.kinds.ddp_package import DdpPackage
from tether_hw.plan.kinds.engine_config import EngineConfig
from tether_hw.plan.kinds.engine_file import EngineFile
from tether_hw.plan.kinds.engine_roster import EngineRoster
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.host_reboot import HostReboot
from tether_hw.plan.kinds.nic_driver import NicDriver
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_nv import NicNv
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_rules_ntuple import NicRulesNtuple
from tether_hw.plan.kinds.nic_rules_port import NicRulesPort
from tether_hw.plan.kinds.nic_sf import NicSf
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from pathlib import Path

    from tether_hw.agent.host import Host
    from tether_hw.plan.kinds.base import StepData
    from tether_hw.plan.paths import HostPaths
    from tether_hw.plan.step import Step


def carry_out(data: StepData, host: Host, snapshot: Path, timeout_s: float) -> None:
    """Do what the data says. Raises AgentError with the words of what failed."""
    if isinstance(data, EngineFile):
        engine_files.carry_out(data, host.paths, snapshot)
        if isinstance(data, EngineRoster) and data.action != "remove":
            _reload(host, timeout_s)
        elif isinstance(data, EngineConfig) and data.hot:
            _reload(host, timeout_s, whole=True)
    elif isinstance(data, EngineService):
        service.carry_out(data, host, snapshot)
    elif isinstance(data, DdpPackage):
        package_files.carry_out(data, host.paths, snapshot, timeout_s)
    elif isinstance(data, NicDriver):
        nic_driver.carry_out(data, host.paths, snapshot, timeout_s)
    elif isinstance(data, (NicVfs, NicHostVfs, NicEswitch, NicParam)):
        nic_functions.carry_out(data, host.paths, snapshot, timeout_s)
    elif isinstance(data, (NicFunction, NicVfBinding, NicSf)):
        nic_virtual.carry_out(data, host.paths, snapshot, timeout_s)
    elif isinstance(data, NicNv):
        nic_settings.carry_out(data, host.paths, timeout_s)
    elif isinstance(data, (NicRulesNtuple, NicRulesFlower)):
        nic_rules.carry_out(data, host.paths, timeout_s)
    elif isinstance(data, NicRulesPort):
        nic_rules_port.carry_out(data, host.paths, timeout_s)
    elif isinstance(data, HostReboot):
        raise AgentError("this host is booted by a run's executor only")
    else:
        for argv in data.argv(host.paths):
            command.run(argv, timeout_s)


def _reload(host: Host, timeout_s: float, whole: bool = False) -> None:
    """Tell a running engine to read its files again; no channel is lost. `whole`: nothing may wait for a restart."""
    if service.state(host.paths)["service"] != "running":
        return
    from tether_hw.transport import control
    from tether_hw.transport.errors import ControlError

    try:
        with control.connect(host.paths.socket) as connection:
            answer = connection.ask({"op": "reload"}, timeout=timeout_s)
    except (ControlError, OSError) as error:
        raise AgentError("the engine did not take its files: %s" % error) from None
    if whole and answer.get("restart"):
        raise AgentError("the engine waits for a restart: %s" % ", ".join(answer["restart"]))


def check_argv(step: Step, paths: HostPaths) -> None:
    """Raises Refused when the plan shows people other commands than its typed data stands for."""
    shown = {"argv": step.argv}
    own = {"argv": parse_data(step.kind, step.data, step.id).argv(paths)}
    if step.undo is not None:
        shown["undo"] = step.undo.argv
        own["undo"] = parse_data(step.kind, step.undo.data, step.id).argv(paths)
    for name, argv in shown.items():
        if tuple(map(tuple, argv)) != tuple(map(tuple, own[name])):
            raise Refused(
                "step %s shows other commands than it stands for" % step.id,
                step=step.id,
                shown=[list(words) for words in argv],
                own=[list(words) for words in own[name]],
            )
