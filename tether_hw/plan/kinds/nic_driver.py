# SPDX-License-Identifier: Apache-2.0
"""Take the driver from all functions of a card, or give it back: the only way to another package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.facts_functions import parse_package
from tether_hw.plan.kinds.base import StepData
from tether_hw.plan.kinds.nic_driver_keep import Keep
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import DSN, NAME, PCI, Fields

ACTIONS = ("bind", "unbind")


@dataclass(frozen=True)
class NicDriver(StepData):
    """`unbind`: no function of `card` has a driver. `bind`: all have `driver`, and are as `keep` says.

    A new driver starts from its defaults, so what bind keeps it sets again. Rules, VFs and switchdev do not survive
    and are no business of this step: they go before it and come after it. bind fails where the card then does not
    have `package`, or is in safe mode and should not be.
    """

    action: str
    card: str
    driver: str
    functions: tuple[str, ...]
    keep: dict[str, Keep]
    package: dict[str, Any] | None
    safe_mode: bool

    kind = "nic_driver"
    disruption = "driver-reload"
    timeout_s = 120

    @classmethod
    def unbinding(cls, config: Mapping[str, Any], card: str) -> NicDriver:
        """Take the driver from all functions of a card that facts show."""
        functions = tuple(sorted(name for name, one in config["functions"].items() if one["card"] == card))
        driver = next((one for name in functions if (one := config["functions"][name]["driver"])), "")
        return cls("unbind", card, str(driver), functions, {}, None, False)

    @classmethod
    def binding(
        cls,
        config: Mapping[str, Any],
        card: str,
        package: Mapping[str, Any] | None,
        safe_mode: bool = False,
        queues: Mapping[str, dict[str, int]] | None = None,
    ) -> NicDriver:
        """Give the driver back to a card that has it in this config, with each function as it is there.

        queues: device -> count, where it is not to be as it was (out of safe mode the driver's own count is unknown).
        """
        away = cls.unbinding(config, card)
        keep = {name: Keep.of(config, name, safe_mode) for name in away.functions}
        for name, one in keep.items():
            if queues and one.device in queues:
                keep[name] = one.with_queues(queues[one.device])
        held = None if package is None else dict(package)
        return cls("bind", card, away.driver, away.functions, keep, held, safe_mode)

    @classmethod
    def parse(cls, value: Any, where: str) -> NicDriver:
        fields = Fields(value, where)
        data = cls(
            fields.one_of("action", ACTIONS),
            fields.text("card", DSN),
            fields.text("driver", NAME),
            tuple(fields.objects("functions", _parse_function, 8)),
            fields.table("keep", Keep.parse, PCI),
            parse_package(fields.take("package"), fields.at("package")),
            fields.boolean("safe_mode"),
        )
        fields.done()
        if not data.functions or list(data.functions) != sorted(set(data.functions)):
            raise fields.fail("functions", "expected each function of the card once, in order")
        if set(data.keep) != (set(data.functions) if data.action == "bind" else set()):
            raise fields.fail("keep", f"does not go with {data.action}")
        if data.action == "unbind" and (data.package or data.safe_mode):
            raise fields.fail("package", "unbind takes none")
        if data.package is not None and data.safe_mode:
            raise fields.fail("safe_mode", "a card in safe mode has no package")
        return data

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "card": self.card,
            "driver": self.driver,
            "functions": list(self.functions),
            "keep": {name: self.keep[name].to_dict() for name in self.keep},
            "package": None if self.package is None else dict(self.package),
            "safe_mode": self.safe_mode,
        }

    def argv(self, paths: HostPaths) -> tuple[tuple[str, ...], ...]:
        words = [("echo", name, ">", f"/sys/bus/pci/drivers/{self.driver}/{self.action}") for name in self.functions]
        if self.action == "unbind":
            return tuple(words)
        kept = [argv for name in self.functions for argv in self.keep[name].argv()]
        return (("modprobe", self.driver), *words, *kept)

    def changes(self, config: dict[str, Any]) -> dict[tuple[str, ...], Any]:
        changes: dict[tuple[str, ...], Any] = {}
        for name in self.functions:
            now = Keep.nothing() if self.action == "unbind" else self.keep[name].changes()
            at = ("functions", name)
            changes[(*at, "driver")] = None if self.action == "unbind" else self.driver
            changes.update({(*at, field): now[field] for field in ("device", "eswitch", "ntuple", "flower")})
            if self.action == "bind":
                changes.update({("nics", self.keep[name].device, field): now[field] for field in Keep.NIC})
        changes[("cards", self.card, "package")] = self.package
        changes[("cards", self.card, "safe_mode")] = self.safe_mode
        return changes

    def presumes(self, path: tuple[str, ...]) -> bool:
        # A device is gone while its function has no driver.
        return self.action != "bind" or path[0] != "nics"

    def undo(self, config: dict[str, Any]) -> StepData | str:
        if self.action == "bind":
            return NicDriver("unbind", self.card, self.driver, self.functions, {}, None, False)
        lost = [words for name in self.functions if (words := Keep.lost(config, name))]
        if lost:
            return f"what a new driver does not bring back: {', '.join(lost)}"
        card = config["cards"][self.card]
        return NicDriver.binding(config, self.card, card["package"], card["safe_mode"])

    def summary(self, config: dict[str, Any]) -> str:
        text = f"card {self.card}: driver {self.driver} {'off' if self.action == 'unbind' else 'on'}"
        text += f" {len(self.functions)} function{'s' if len(self.functions) > 1 else ''}"
        if self.action == "unbind":
            return text
        if self.package is not None:
            return f"{text}, package {self.package['name']} {self.package['version']}"
        return f"{text}, {'safe mode' if self.safe_mode else 'no package'}"


def _parse_function(value: Any, where: str) -> str:
    return Fields({"function": value}, where).text("function", PCI)
