# SPDX-License-Identifier: Apache-2.0
"""Set the mode of the switch inside a NIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import MISSING, look_up
from tether_hw.plan.facts_functions import ESWITCH_MODES
from tether_hw.plan.facts_mlx5 import ENCAP_MODES, INLINE_MODES
from tether_hw.plan.function_name import FUNCTION, devlink_handle
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.device_keeps import device_paths
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import Fields

_WORDS = {"eswitch": "mode", "inline": "inline-mode", "encap": "encap-mode"}


@dataclass(frozen=True)
class NicEswitch(StepData):
    """`mode`: legacy or switchdev, of the switch that belongs to a physical function.

    inline: how much of a packet's headers VFs hand over beside it; encap: whether tunnels are offloaded. None leaves
    each as it is. A driver that comes back with other queues, rings or MTU gets those that it had.
    """

    function: str
    mode: str
    inline: str | None = None
    encap: str | None = None

    kind = "nic_eswitch"
    disruption = "function-reset"
    timeout_s = 120

    @classmethod
    def parse(cls, value: Any, where: str) -> NicEswitch:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.one_of("mode", ESWITCH_MODES),
            fields.optional_one_of("inline", INLINE_MODES),
            fields.optional_one_of("encap", ENCAP_MODES),
        )
        fields.done()
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "mode": self.mode, "inline": self.inline, "encap": self.encap}

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        return (self.setting(self.values),)

    @property
    def values(self) -> dict[str, str]:
        """What it sets, by the names of facts."""
        given = {"eswitch": self.mode, "inline": self.inline, "encap": self.encap}
        return {name: value for name, value in given.items() if value is not None}

    def setting(self, values: dict[str, str]) -> tuple[str, ...]:
        """The command that sets these."""
        words = [word for name in _WORDS if name in values for word in (_WORDS[name], values[name])]
        return ("devlink", "dev", "eswitch", "set", devlink_handle(self.function), *words)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        at = ("functions", self.function)
        changes: dict[tuple[str, ...], Any] = {(*at, "eswitch"): self.mode}
        for name in ("inline", "encap"):
            if getattr(self, name) is not None:
                changes[(*at, "mlx5", name)] = getattr(self, name)
        return changes

    def keeps(self, config: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
        return device_paths(config, self.function)

    def undo(self, config: dict[str, Any]) -> StepData | str:
        at = ("functions", self.function)
        before = look_up(config, (*at, "eswitch"))
        if before not in ESWITCH_MODES:
            return f"{self.function} shows no mode to go back to"
        former = {name: look_up(config, (*at, "mlx5", name)) for name in ("inline", "encap")}
        unknown = [name for name in former if getattr(self, name) is not None and former[name] in (None, MISSING)]
        if unknown:
            return f"{self.function} shows no {unknown[0]} mode to go back to"
        if self.mode != before:
            lost = _lost(config, self.function)
            if lost:
                return f"{self.function}: {lost} does not come back with the mode"
        kept = {name: former[name] if getattr(self, name) is not None else None for name in former}
        return NicEswitch(self.function, str(before), kept["inline"], kept["encap"])

    def summary(self, config: dict[str, Any]) -> str:
        at = ("functions", self.function)
        text = f"{self.function}: eswitch {look_up(config, (*at, 'eswitch'))} -> {self.mode}"
        for name in ("inline", "encap"):
            if getattr(self, name) is not None:
                text += f", {name} {look_up(config, (*at, 'mlx5', name))} -> {getattr(self, name)}"
        return text


def _lost(config: dict[str, Any], function: str) -> str | None:
    """What lives in one mode only: it is taken away before, and made again after."""
    part = look_up(config, ("functions", function, "mlx5"))
    if not isinstance(part, dict):
        return None
    if part["sfs"]:
        return f"SF {', '.join(sorted(part['sfs'], key=int))}"
    rated = [number for number in sorted(part["vfs"], key=int) if _rated(part["vfs"][number])]
    return f"the rate of VF {', '.join(rated)}" if rated else None


def _rated(vf: dict[str, Any]) -> bool:
    return bool(vf["tx_max"] or vf["tx_share"])
