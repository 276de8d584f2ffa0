# SPDX-License-Identifier: Apache-2.0
"""What facts say of a function whose virtual functions are configured through devlink: mlx5_core and netdevsim."""

from __future__ import annotations

import re
from typing import Any

from tether_hw.plan.rule import SYMBOLIC
from tether_hw.plan.rules_table import PLACE, parse_entry
from tether_hw.plan.shape import MAC, NAME, Fields

INLINE_MODES = ("none", "link", "network", "transport")
ENCAP_MODES = ("none", "basic")
#: Parameters that a driver takes while it runs; the first has a place of its own in the facts.
STEERING_MODE = "flow_steering_mode"
RUNTIME_PARAMS = ("esw_multiport", "esw_port_metadata")
NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
NV_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
NV_VALUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
WORD = re.compile(r"[a-z0-9_-]{1,32}\Z")
#: What a virtual function is when nobody has told it anything.
PLAIN: dict[str, Any] = {"address": None, "tx_max": 0, "tx_share": 0}


def parse_mlx5(value: Any, where: str) -> dict[str, Any] | None:
    """The part "mlx5" of a function: null for drivers that have nothing of it."""
    if value is None:
        return None
    fields = Fields(value, where)
    part: dict[str, Any] = {
        "steering_mode": fields.optional_text("steering_mode", WORD),
        "inline": fields.optional_one_of("inline", INLINE_MODES),
        "encap": fields.optional_one_of("encap", ENCAP_MODES),
        "autoprobe": None if fields.take("autoprobe") is None else fields.boolean("autoprobe"),
        "params": fields.table("params", _parse_param),
        "vfs": fields.table("vfs", _parse_vf, NUMBER),
        "sfs": fields.table("sfs", _parse_sf, NUMBER),
        "nv": fields.table("nv", _parse_setting, NV_KEY),
        "reps": fields.table("reps", _parse_rep, SYMBOLIC) if fields.has("reps") else {},
    }
    fields.done()
    return part


def plain_vfs(count: int, driver: str | None) -> dict[str, Any]:
    """The virtual functions of a function that were made a moment ago."""
    return {str(number): {**PLAIN, "driver": driver} for number in range(count)}


def is_plain(target: dict[str, Any]) -> bool:
    """Whether a virtual function or subfunction has no address and no rate that somebody gave it."""
    return all(target[name] == PLAIN[name] for name in PLAIN)


def _parse_param(value: Any, where: str) -> str:
    return Fields({"value": value}, where).text("value", NAME)


def parse_attributes(fields: Fields) -> dict[str, Any]:
    """Address and rates (bytes a second; 0: no bound) of a virtual function or subfunction."""
    return {
        "address": fields.optional_text("address", MAC),
        "tx_max": fields.integer("tx_max"),
        "tx_share": fields.integer("tx_share"),
    }


def _parse_vf(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    vf = {**parse_attributes(fields), "driver": fields.optional_text("driver", limit=64)}
    fields.done()
    return vf


def _parse_sf(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    sf = {**parse_attributes(fields), "active": fields.boolean("active")}
    fields.done()
    return sf


def _parse_rep(value: Any, where: str) -> dict[str, Any]:
    """The rules of tc on what stands for a VF or SF; it is there only where they have a hook to hang on."""
    fields = Fields(value, where)
    rep = {"rules": fields.table("rules", parse_entry, PLACE)}
    fields.done()
    return rep


def parse_key(value: Any, where: str) -> str:
    """The name of a setting in a card's memory."""
    return Fields({"key": value}, where).text("key", NV_KEY)


def nv_keys(config: dict[str, Any]) -> tuple[str, ...]:
    """The settings in the memory of cards that this config knows of."""
    parts = [function["mlx5"] for function in config["functions"].values()]
    return tuple(sorted({key for part in parts if part is not None for key in part["nv"]}))


def _parse_setting(value: Any, where: str) -> dict[str, Any]:
    """A setting in the card's memory: what its firmware runs with, and what it starts with next."""
    fields = Fields(value, where)
    setting = {"next": fields.text("next", NV_VALUE), "current": fields.text("current", NV_VALUE)}
    fields.done()
    return setting
