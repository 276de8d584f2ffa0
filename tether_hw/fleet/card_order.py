# SPDX-License-Identifier: Apache-2.0
"""Which steps of one side of a card wait for which of the other. Pure.

The host makes VFs and has their drivers, the Arm has the rules that lead to them and says what they are: rules and
addresses go before the VFs go, and a driver takes a VF only when the Arm has told it its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tether_hw.plan.function_name import pf_number
from tether_hw.plan.joined import After
from tether_hw.plan.kinds.engine_service import EngineService
from tether_hw.plan.kinds.nic_eswitch import NicEswitch
from tether_hw.plan.kinds.nic_function import NicFunction
from tether_hw.plan.kinds.nic_host_vfs import NicHostVfs
from tether_hw.plan.kinds.nic_param import NicParam
from tether_hw.plan.kinds.nic_rules_flower import NicRulesFlower
from tether_hw.plan.kinds.nic_vf_binding import NicVfBinding
from tether_hw.plan.kinds.nic_vfs import NicVfs
from tether_hw.plan.kinds.registry import parse_data

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.plan.kinds.base import StepData
    from tether_hw.plan.plan import HostPlan

Steps = list[tuple[str, "StepData"]]


def with_waits(inventory: Inventory, plans: Mapping[str, HostPlan]) -> dict[str, HostPlan]:
    """The plans, where both sides of a card change something with what each waits for."""
    found = dict(plans)
    for card in inventory.cards.values():
        if card.arm not in plans or card.host not in plans:
            continue
        arm, host = (_steps(plans[name], card.serial) for name in (card.arm, card.host))
        waits: dict[str, list[After]] = {card.arm: [], card.host: []}
        for one, data in arm:
            waits[card.arm] += [After(one, card.host, ends) for ends, beside in host if _arm_waits(data, beside)]
        for one, data in host:
            waits[card.host] += [After(one, card.arm, ends) for ends, beside in arm if _host_waits(data, beside)]
        for name, more in waits.items():
            kept = [*found[name].after, *more]
            found[name] = replace(found[name], after=tuple(dict.fromkeys(kept)))
    return found


def _steps(plan: HostPlan, serial: str) -> Steps:
    """The steps at one card, and those of no card; by id."""
    functions = plan.config["functions"]
    found = []
    for step in plan.steps:
        data = parse_data(step.kind, step.data, step.id)
        function = getattr(data, "function", None)
        if function is None or functions[function]["card"] == serial:
            found.append((step.id, data))
    return found


def _arm_waits(data: StepData, host: StepData) -> bool:
    if isinstance(host, EngineService):
        changes = isinstance(data, NicRulesFlower | NicEswitch | NicParam) and not getattr(data, "put", None)
        return host.action == "stop" and changes
    if not _same_port(data, host):
        return False
    if isinstance(data, NicHostVfs):
        return isinstance(host, NicVfs) and host.count == data.count
    if isinstance(data, NicFunction) and not data.clears:
        return isinstance(host, NicVfBinding) and not host.bound
    return False


def _host_waits(data: StepData, arm: StepData) -> bool:
    if isinstance(data, EngineService):
        return data.action == "start" and isinstance(arm, NicRulesFlower) and bool(arm.put)
    if isinstance(data, NicVfs) and data.count == 0:
        if isinstance(arm, NicRulesFlower):
            return not arm.put
        return isinstance(arm, NicFunction) and arm.clears and _same_port(data, arm)
    if isinstance(data, NicVfs):
        return isinstance(arm, NicHostVfs) and arm.count == 0 and _same_port(data, arm)
    if isinstance(data, NicVfBinding) and data.bound:
        return isinstance(arm, NicFunction) and not arm.clears and _same_port(data, arm)
    return False


def _same_port(one: StepData, other: StepData) -> bool:
    functions = [getattr(data, "function", None) for data in (one, other)]
    return all(isinstance(name, str) for name in functions) and len({pf_number(str(name)) for name in functions}) == 1
