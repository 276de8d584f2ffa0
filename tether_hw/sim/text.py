# SPDX-License-Identifier: Apache-2.0
"""What a run came to, in words."""

from __future__ import annotations

from typing import Any

from tether_hw.sim import native
from tether_hw.sim.build import Built
from tether_hw.sim.model import Scenario
from tether_hw.sim.run import Fault


def summary(text: dict[str, Any]) -> str:
    """A tether.sim/1 document for people."""
    lines = [
        f"{text['scenario']}, seed {text['seed']}: {text['verdict']}"
        + (f", {text['invariant']}: {text['message']}" if text["invariant"] else "")
        + (f" (at {text['at']})" if text["at"] else ""),
        f"  {text['frames']} frames, {text['virtual_s']:.6g} s of virtual time, {text['faults']} faults, "
        f"{text['checks']} checks, {text['wall_s']:.2f} s",
    ]
    for flow in text["flows"]:
        done = "complete" if flow["complete"] else "not complete"
        lines.append(
            f"  {flow['from']} -> {flow['to']}: {flow['delivered_bytes']} bytes, {done}, "
            f"{flow['goodput_bps'] / 1e6:.6g} Mbit/s"
        )
    for name in ("share", "incast"):
        if name in text:
            lines.append(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in text[name].items()))
    return "\n".join(lines)


def faults(built: Built, happened: list[Fault]) -> list[str]:
    """Each fault in words."""
    words = []
    for kind, where, which in happened:
        name = native.FAULTS.get(kind, str(kind))
        if name == "script":
            event = built.scenario.events[where] if where < len(built.scenario.events) else None
            words.append(f"event {where}" + (f": {event.model_dump(exclude_defaults=True)}" if event else ""))
        elif name == "outage":
            outage = built.outages[where]
            words.append(f"outage {where} ({outage.from_ns / 1e9:.6g} s to {outage.until_ns / 1e9:.6g} s)")
        elif name == "attack":
            words.append(f"frame {which} of {built.vertex_names[where]}")
        else:
            pipe = built.pipes[where]
            ends = f"{built.vertex_names[pipe.from_]} -> {built.vertex_names[pipe.to]}"
            words.append(f"{name} of frame {which} {ends}")
    return words


def describe(name: str, scenario: Scenario) -> str:
    """A scenario for people."""
    lines = [f"{name}: {scenario.about}"]
    lines.append(f"  nodes     {', '.join(scenario.nodes)}")
    lines.append(f"  links     {', '.join('-'.join(link.between) for link in scenario.links)}")
    lines.append(f"  flows     {len(scenario.flows)} kinds over {len(scenario.channels)} kinds of channels")
    if scenario.events or scenario.outages:
        lines.append(f"  happens   {len(scenario.events)} events, {len(scenario.outages)} outages")
    if scenario.variants:
        lines.append(f"  variants  {', '.join(scenario.variants)}")
    if scenario.scaled:
        lines.append("  scaled    " + ", ".join(f"{path} = {value}" for path, value in scenario.scaled.items()))
    if scenario.proves:
        lines.append(f"  proves    {', '.join(scenario.proves)}")
    return "\n".join(lines)
