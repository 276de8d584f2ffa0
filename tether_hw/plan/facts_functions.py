# SPDX-License-Identifier: Apache-2.0
"""What facts say of the physical functions of cards whose driver a family of ours knows, and of those cards."""

from __future__ import annotations

import re
from typing import Any

from tether_hw.plan.facts_mlx5 import NV_KEY, parse_mlx5
from tether_hw.plan.rule import SYMBOLIC
from tether_hw.plan.rules_table import LOCATION, PLACE, parse_entry
from tether_hw.plan.shape import DSN, HEX64, IFNAME, SERIAL, Fields, ShapeError, integer_item, text_item

ESWITCH_MODES = ("legacy", "switchdev")
FILE = re.compile(r"/[^\0\n]{1,1023}\Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def parse_function(value: Any, where: str) -> dict[str, Any]:
    """One entry of config's "functions"."""
    fields = Fields(value, where)
    function: dict[str, Any] = {
        "card": fields.optional_text("card", SERIAL),
        "driver": fields.optional_text("driver", limit=64),
        "device": fields.optional_text("device", IFNAME),
        "eswitch": fields.optional_one_of("eswitch", ESWITCH_MODES),
        "vfs": fields.integer("vfs", 0, 65535),
        "ntuple": _parse_ntuple(fields.take("ntuple"), fields.at("ntuple")),
        "flower": _parse_flower(fields.take("flower"), fields.at("flower")),
        "mlx5": parse_mlx5(fields.take("mlx5"), fields.at("mlx5")),
    }
    fields.done()
    numbers = [str(number) for number in range(function["vfs"])]
    if function["mlx5"] is not None and sorted(function["mlx5"]["vfs"]) != sorted(numbers):
        raise fields.fail("mlx5.vfs", f"are not the {function['vfs']} that vfs counts")
    return function


def _parse_ntuple(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    fields = Fields(value, where)
    table = {"on": fields.boolean("on"), "rules": fields.table("rules", parse_entry, LOCATION)}
    fields.done()
    return table


def _parse_flower(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    fields = Fields(value, where)
    table = {
        "hook": fields.boolean("hook"),
        "offload": fields.boolean("offload"),
        "rules": fields.table("rules", parse_entry, PLACE),
    }
    fields.done()
    return table


def parse_card(value: Any, where: str) -> dict[str, Any]:
    """One entry of config's "cards"."""
    fields = Fields(value, where)
    card = {
        "package": parse_package(fields.take("package"), fields.at("package")),
        "safe_mode": fields.boolean("safe_mode"),
        "files": fields.table("files", _parse_digest, FILE),
    }
    fields.done()
    return card


def parse_package(value: Any, where: str) -> dict[str, Any] | None:
    """The package that a card works with: both together identify it. None where there is none."""
    if value is None:
        return None
    fields = Fields(value, where)
    package = {"name": fields.text("name", limit=64), "version": fields.text("version", limit=64)}
    fields.done()
    return package


def _parse_digest(value: Any, where: str) -> str | None:
    return Fields({"sha256": value}, where).optional_text("sha256", HEX64)


def parse_function_status(value: Any, where: str) -> dict[str, Any]:
    """One entry of status' "functions"."""
    fields = Fields(value, where)
    status: dict[str, Any] = {
        "port": fields.integer("port", 0, 65535),
        "vfs_max": fields.integer("vfs_max", 0, 65535),
        "vf_drivers": fields.table("vf_drivers", _optional_text, LOCATION),
        "ntuple_size": fields.optional_integer("ntuple_size", 0, 2**31 - 1),
        "driver_version": fields.optional_text("driver_version", limit=64),
        "firmware": fields.table("firmware", text_item, _WORD),
        "representors": fields.table("representors", _parse_netdev, SYMBOLIC),
        "lldp": None if fields.take("lldp") is None else fields.boolean("lldp"),
        "rides_ssh": fields.boolean("rides_ssh"),
        "psid": fields.optional_text("psid", limit=64),
        "nv_default": fields.table("nv_default", text_item, NV_KEY),
    }
    if fields.has("restricted"):
        status["restricted"] = None if fields.take("restricted") is None else fields.boolean("restricted")
        status["reset"] = parse_reset(fields.take("reset"), fields.at("reset"))
    fields.done()
    return status


def parse_reset(value: Any, where: str) -> dict[str, Any] | None:
    """What a card can be reset with now: only of cards with two sides. None where no program says it."""
    if value is None:
        return None
    fields = Fields(value, where)
    offer = {name: list(fields.objects(name, integer_item, 16)) for name in ("levels", "syncs")}
    fields.done()
    return offer


def parse_card_status(value: Any, where: str) -> dict[str, Any]:
    """One entry of status' "cards": `search`, the files in the order in which the driver looks for them."""
    fields = Fields(value, where)
    status = {"search": fields.objects("search", text_item, 64)}
    fields.done()
    return status


def check_together(config: dict[str, Any], status: dict[str, Any]) -> None:
    """What the tables say of each other. Raises ShapeError."""
    for name in ("functions", "cards"):
        if set(status[name]) != set(config[name]):
            raise ShapeError(f"status.{name}", f"are not the {name} of config")
    for name, function in config["functions"].items():
        for field, table in (("device", "nics"), ("card", "cards")):
            # Only a card with packages has an entry of its own.
            needed = field == "device" or DSN.match(str(function[field]))
            if function[field] is not None and needed and function[field] not in config[table]:
                raise ShapeError(f"config.functions.{name}.{field}", f"is none of {table}")
    for serial, card in status["cards"].items():
        if sorted(card["search"]) != sorted(config["cards"][serial]["files"]):
            raise ShapeError(f"status.cards.{serial}.search", "are not the files of config")


def _optional_text(value: Any, where: str) -> str | None:
    return None if value is None else text_item(value, where)


def _parse_netdev(value: Any, where: str) -> str:
    return Fields({"device": value}, where).text("device", IFNAME)
