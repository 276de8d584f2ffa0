# SPDX-License-Identifier: Apache-2.0
"""From the facts and the intent of one NIC to steps, refusals and notes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tether_hw.nic.generic.profile import Profile
from tether_hw.nic.nic import Nic
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_mtu import NicMtu
from tether_hw.plan.kinds.nic_queues import NicQueues, queues_text
from tether_hw.plan.kinds.nic_ring import NicRing


@dataclass
class NicPlan:
    """What is to be done with a NIC, or why it cannot be."""

    steps: list[StepData] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def plan_nic(
    nic: Nic,
    device: str,
    facts: Mapping[str, Any],
    limits: Mapping[str, Any],
    profile: Profile,
    *,
    carrier: str,
    link_mtu: int | None,
    mtu: int | None,
) -> NicPlan:
    """Plan one NIC.

    facts: its entry of config; limits: its entry of status. link_mtu: what its link carries, None without a link.
    mtu: what it must be set to, None to leave it as it is.
    """
    plan = NicPlan()
    _queues(plan, nic, device, facts, limits, profile)
    _ring(plan, nic, device, facts, limits, profile)
    _mtu(plan, device, facts, limits, mtu)
    if nic.lanes is not None:
        _carrier(plan, nic, device, facts, profile, carrier, mtu)
        if link_mtu is not None and mtu is None and facts["mtu"] < link_mtu:
            plan.refusals.append(
                f"{device} has MTU {facts['mtu']}, its link {link_mtu}: give the NIC or the link an mtu"
            )
    return plan


def _queues(
    plan: NicPlan,
    nic: Nic,
    device: str,
    facts: Mapping[str, Any],
    limits: Mapping[str, Any],
    profile: Profile,
) -> None:
    now = facts["queues"]
    most = limits["queues_max"]
    if nic.queues is not None:
        if now is None or profile.queues == "none":
            if nic.queues != 1:
                plan.refusals.append(f"{device}: driver {facts['driver']} has no queue count that can be set")
            return
        wanted = dict.fromkeys(now, nic.queues)
        if wanted == now:
            return
        if most is not None and any(nic.queues > count for count in most.values()):
            plan.refusals.append(f"{device}: {nic.queues} queues, it has at most {queues_text(most)}")
            return
        plan.steps.append(NicQueues(device, wanted))
        return
    if nic.lanes is not None and nic.udp is None:
        count = 1 if now is None else min(now.values())
        over = [queue for queue in nic.lane_queues() if queue >= count]
        if over:
            text = ", ".join(map(str, over))
            plan.refusals.append(f"{device}: lanes on queue {text}, it has {count}: say queues: {max(over) + 1}")


def _ring(
    plan: NicPlan,
    nic: Nic,
    device: str,
    facts: Mapping[str, Any],
    limits: Mapping[str, Any],
    profile: Profile,
) -> None:
    if nic.ring is None:
        return
    if facts["ring"] is None or profile.ring == "none":
        plan.refusals.append(f"{device}: driver {facts['driver']} has no ring that can be set")
        return
    wanted = {"rx": nic.ring.rx, "tx": nic.ring.tx}
    most = limits["ring_max"] or {}
    over = [f"{name} {wanted[name]} of at most {most[name]}" for name in wanted if wanted[name] > most.get(name, 2**31)]
    if over:
        plan.refusals.append(f"{device}: ring {', '.join(over)}")
    elif wanted != facts["ring"]:
        plan.steps.append(NicRing(device, wanted))


def _mtu(plan: NicPlan, device: str, facts: Mapping[str, Any], limits: Mapping[str, Any], mtu: int | None) -> None:
    if mtu is None or mtu == facts["mtu"]:
        return
    least, most = limits["mtu_min"] or 0, limits["mtu_max"] or 2**31
    if not least <= mtu <= most:
        plan.refusals.append(f"{device}: MTU {mtu}, the device takes {least} to {most}")
    else:
        plan.steps.append(NicMtu(device, mtu))


def _carrier(
    plan: NicPlan,
    nic: Nic,
    device: str,
    facts: Mapping[str, Any],
    profile: Profile,
    carrier: str,
    mtu: int | None,
) -> None:
    if carrier not in ("af_xdp", "auto"):
        return
    if facts["xdp"]["foreign"]:
        plan.refusals.append(
            f"{device} carries an XDP program that is not ours: take it off, or say carrier: af_packet"
        )
    effective = facts["mtu"] if mtu is None else mtu
    if carrier == "af_xdp" and effective > profile.xdp.mtu_max:
        if profile.xdp.mtu_max == 0:
            plan.refusals.append(f"{device}: no XDP on driver {facts['driver'] or 'loopback'}")
        else:
            plan.refusals.append(
                f"{device}: MTU {effective} does not fit XDP on driver {facts['driver']}, at most {profile.xdp.mtu_max}"
            )
