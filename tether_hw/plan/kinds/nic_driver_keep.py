# SPDX-License-Identifier: Apache-2.0
"""What a function is again after its driver was away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tether_hw.plan.facts import parse_queues, parse_ring
from tether_hw.plan.facts_functions import ESWITCH_MODES
from tether_hw.plan.rule_commands import tc_hook, tc_offload
from tether_hw.plan.shape import IFNAME, Fields


@dataclass(frozen=True)
class Keep:
    """One function: its device, what `nics` says of that, and the switches of its two tables of rules.

    ntuple: on or off, None where the driver has no such filters. flower: (hook, offload), None where tc was not asked.
    """

    device: str
    mtu: int
    queues: dict[str, int] | None
    ring: dict[str, int] | None
    eswitch: str | None
    ntuple: bool | None
    flower: tuple[bool, bool] | None

    NIC: ClassVar[tuple[str, ...]] = ("mtu", "queues", "ring")

    @classmethod
    def of(cls, config: Mapping[str, Any], name: str, safe_mode: bool) -> Keep:
        """As a function is in this config. Raises ValueError where it has no device."""
        function = config["functions"][name]
        device = function["device"]
        if device is None:
            raise ValueError(f"{name} has no device")
        nic, ntuple, flower = config["nics"][device], function["ntuple"], function["flower"]
        return cls(
            device,
            nic["mtu"],
            nic["queues"],
            nic["ring"],
            None if function["eswitch"] is None else "legacy",
            None if safe_mode else True if ntuple is None else ntuple["on"],
            None if flower is None else (flower["hook"], flower["offload"]),
        )

    @classmethod
    def lost(cls, config: Mapping[str, Any], name: str) -> str | None:
        """What a function has in this config and would not have again."""
        function = config["functions"][name]
        if function["device"] is None:
            return f"{name} without a device"
        words = [f"{function['vfs']} VFs"] if function["vfs"] else []
        words += ["switchdev"] if function["eswitch"] not in (None, "legacy") else []
        words += ["rules"] if any((function[table] or {}).get("rules") for table in ("ntuple", "flower")) else []
        return f"{name} with {' and '.join(words)}" if words else None

    def with_queues(self, queues: dict[str, int]) -> Keep:
        return replace(self, queues=dict(queues))

    @classmethod
    def parse(cls, value: Any, where: str) -> Keep:
        fields = Fields(value, where)
        flower = fields.take("flower")
        keep = cls(
            fields.text("device", IFNAME),
            fields.integer("mtu", 0, 2**31 - 1),
            parse_queues(fields.take("queues"), fields.at("queues")),
            parse_ring(fields.take("ring"), fields.at("ring")),
            fields.optional_one_of("eswitch", ESWITCH_MODES),
            None if fields.take("ntuple") is None else fields.boolean("ntuple"),
            None if flower is None else _parse_flower(flower, fields.at("flower")),
        )
        fields.done()
        return keep

    def to_dict(self) -> dict[str, Any]:
        flower = None if self.flower is None else {"hook": self.flower[0], "offload": self.flower[1]}
        return {
            "device": self.device,
            "mtu": self.mtu,
            "queues": None if self.queues is None else dict(self.queues),
            "ring": None if self.ring is None else dict(self.ring),
            "eswitch": self.eswitch,
            "ntuple": self.ntuple,
            "flower": flower,
        }

    @classmethod
    def nothing(cls) -> dict[str, Any]:
        """What facts say of a function without a driver."""
        return {"device": None, "eswitch": None, "ntuple": None, "flower": None}

    def changes(self) -> dict[str, Any]:
        """What facts say of the function, and of its device."""
        nic = {"mtu": self.mtu, "queues": self.queues, "ring": self.ring}
        ntuple = None if self.ntuple is None else {"on": self.ntuple, "rules": {}}
        flower = None
        if self.flower is not None:
            flower = {"hook": self.flower[0], "offload": self.flower[1], "rules": {}}
        return {"device": self.device, "eswitch": self.eswitch, "ntuple": ntuple, "flower": flower, **nic}

    def argv(self) -> list[tuple[str, ...]]:
        """The commands that set what a new driver may have otherwise; what is so already is left out on the host."""
        words: list[tuple[str, ...]] = []
        if self.queues is not None:
            pairs = [word for name in sorted(self.queues) for word in (name, str(self.queues[name]))]
            words.append(("ethtool", "-L", self.device, *pairs))
        if self.ring is not None:
            rx, tx = str(self.ring["rx"]), str(self.ring["tx"])
            words.append(("ethtool", "-G", self.device, "rx", rx, "tx", tx))
        words.append(("ip", "link", "set", "dev", self.device, "mtu", str(self.mtu)))
        if self.ntuple is not None:
            words.append(("ethtool", "-K", self.device, "ntuple", "on" if self.ntuple else "off"))
        if self.flower is not None:
            words.append(tc_offload(self.device, self.flower[1]))
            if self.flower[0]:
                words.append(tc_hook(self.device, True))
        return words


def _parse_flower(value: Any, where: str) -> tuple[bool, bool]:
    fields = Fields(value, where)
    flower = (fields.boolean("hook"), fields.boolean("offload"))
    fields.done()
    return flower
