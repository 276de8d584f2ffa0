# SPDX-License-Identifier: Apache-2.0
"""Give a virtual function or a subfunction its address and its rates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.effects import look_up
from tether_hw.plan.facts_mlx5 import PLAIN
from tether_hw.plan.function_name import FUNCTION, devlink_handle
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import IFNAME, MAC, Fields

TARGET = re.compile(r"(?:vf(?:0|[1-9][0-9]{0,3})|sf(?:0|[1-9][0-9]{0,9}))\Z")
NO_ADDRESS = "00:00:00:00:00:00"
MBIT = 125_000  # bytes a second


@dataclass(frozen=True)
class NicFunction(StepData):
    """What is `put` of {"address", "tx_max", "tx_share"} of `target` (vf0, sf88).

    Rates are bytes a second, 0 for none; an address of null takes away the one that was given. device: the physical
    function's, where the driver is told through its netdev; null: through the devlink port that stands for the target.
    """

    function: str
    target: str
    device: str | None
    put: dict[str, Any]

    kind = "nic_function"
    disruption = "function-reset"
    timeout_s = 60

    @classmethod
    def parse(cls, value: Any, where: str) -> NicFunction:
        fields = Fields(value, where)
        data = cls(
            fields.text("function", FUNCTION),
            fields.text("target", TARGET),
            fields.optional_text("device", IFNAME),
            _parse_put(fields.take("put"), fields.at("put")),
        )
        fields.done()
        if data.device is not None and not data.target.startswith("vf"):
            raise fields.fail("device", "an SF is told by its devlink port only")
        odd = [name for name in ("tx_max", "tx_share") if data.put.get(name, 0) % MBIT]
        if odd and data.device is not None:
            raise fields.fail(f"put.{odd[0]}", "the netdev takes whole Mbit/s only")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {"function": self.function, "target": self.target, "device": self.device, "put": dict(self.put)}

    @property
    def path(self) -> tuple[str, ...]:
        """Where facts have the target."""
        return ("functions", self.function, "mlx5", f"{self.target[:2]}s", self.target[2:])

    @property
    def clears(self) -> bool:
        """Whether all that it puts is what nobody was told anything has."""
        return all(self.put[name] == PLAIN[name] for name in self.put)

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        if self.device is not None:
            return (self.by_device(self.device),)
        return self.by_port(f"{devlink_handle(self.function)}/@{self.target}")

    def by_device(self, device: str) -> tuple[str, ...]:
        """Its command through the netdev of the physical function."""
        words = ["ip", "link", "set", "dev", device, "vf", self.target[2:]]
        if "address" in self.put:
            words += ["mac", self.put["address"] or NO_ADDRESS]
        for name, word in (("tx_max", "max_tx_rate"), ("tx_share", "min_tx_rate")):
            if name in self.put:
                words += [word, str(self.put[name] // MBIT)]
        return tuple(words)

    def by_port(self, port: str) -> tuple[tuple[str, ...], ...]:
        """Its commands through the devlink port: one for each value, so that a refusal names what it is about."""
        words: list[tuple[str, ...]] = []
        at = ("devlink", "port", "function")
        if "address" in self.put:
            words.append((*at, "set", port, "hw_addr", self.put["address"] or NO_ADDRESS))
        for name in ("tx_max", "tx_share"):
            if name in self.put:
                words.append((*at, "rate", "set", port, name, f"{self.put[name] * 8}bit"))
        return tuple(words)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        *table, number = self.path
        now = look_up(config, table)
        if not isinstance(now, dict) or number not in now:
            raise ValueError(f"{self.function} has no {self.target}")
        return {tuple(table): {**now, number: {**now[number], **self.put}}}

    def undo(self, config: dict[str, Any]) -> StepData | str:
        now = look_up(config, self.path)
        if not isinstance(now, dict):
            return f"{self.function} has no {self.target}"
        return NicFunction(self.function, self.target, self.device, {name: now[name] for name in sorted(self.put)})

    def summary(self, config: dict[str, Any]) -> str:
        changed = [f"{name} {look_up(config, (*self.path, name))} -> {self.put[name]}" for name in sorted(self.put)]
        return f"{self.function} {self.target}: {', '.join(changed)}".replace("None", "none")


def _parse_put(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    put: dict[str, Any] = {}
    if fields.has("address"):
        put["address"] = fields.optional_text("address", MAC)
    for name in ("tx_max", "tx_share"):
        if fields.has(name):
            put[name] = fields.integer(name, 0, 2**60)
    fields.done()
    if not put:
        raise fields.fail("", "expected something to put")
    if put.get("address") == NO_ADDRESS or int((put.get("address") or "0")[:2], 16) & 1:
        raise fields.fail("address", "is no address of one station")
    return put
