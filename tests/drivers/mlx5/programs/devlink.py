# SPDX-License-Identifier: Apache-2.0
"""devlink of iproute2 6.1 over mlx5: info, e-switch, parameters, ports, functions and their rates, reload."""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING, Any

from tests.drivers.common.machine import Done
from tests.drivers.common.rules import Refused
from tests.drivers.mlx5 import subfunctions
from tests.drivers.mlx5.virtual import Sf, Vf

if TYPE_CHECKING:
    from tests.drivers.mlx5.card import Function
    from tests.drivers.mlx5.machine import Machine

UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "bps": 8, "kbps": 8 * 10**3, "mbps": 8 * 10**6, "": 8}


def main(machine: Machine, words: list[str], stdin: str) -> Done:
    """argv without the program's name."""
    as_json = False
    while words and words[0].startswith("-"):
        as_json = "j" in words.pop(0) or as_json
    try:
        return _run(machine, words, as_json)
    except Refused as refused:
        lines = [f"Error: {refused.words}."] if refused.words else []
        return Done(1, "", "\n".join([*lines, f"kernel answers: {refused.answer}"]) + "\n")
    except (ValueError, IndexError, KeyError):
        return Done(1, "", f'Command "{" ".join(words)}" not found\n')


def _run(machine: Machine, words: list[str], as_json: bool) -> Done:
    verb, rest = words[:2], words[2:]
    if verb == ["dev", "eswitch"]:
        return _eswitch(machine, rest)
    if verb == ["dev", "param"]:
        return _param(machine, rest)
    if verb == ["dev", "reload"]:
        return _reload(machine, rest)
    if verb == ["dev", "info"]:
        return _show({"info": {one.handle: info(one) for one in _those(machine, rest)}})
    if verb == ["dev", "show"] or words == ["dev"]:
        return _show(
            {"dev": {one.handle: {"reload_failed": True} if one.reload_failed else {} for one in _those(machine, rest)}}
        )
    if verb == ["port", "show"] or words == ["port"]:
        return _ports(machine, rest)
    if verb == ["port", "add"]:
        return _add(machine, rest)
    if verb in (["port", "del"], ["port", "delete"]):
        function, number = _port(machine, rest[0])
        subfunctions.remove(function, number)
        return Done(0)
    if verb == ["port", "function"]:
        return _function(machine, rest)
    raise ValueError(words)


def _show(document: dict[str, Any]) -> Done:
    return Done(0, json.dumps(document) + "\n")


def _those(machine: Machine, rest: list[str]) -> list[Function]:
    """The functions that have a driver, or the one that is named."""
    there = [one for one in machine.functions if one.driver is not None]
    return [_named(machine, rest[0])] if rest else there


def _named(machine: Machine, handle: str) -> Function:
    found = next((one for one in machine.functions if one.handle == handle), None)
    if found is None or found.driver is None:
        raise Refused("no-driver", errno.ENODEV)
    return found


def _port(machine: Machine, name: str) -> tuple[Function, int]:
    handle, _, number = name.rpartition("/")
    return _named(machine, handle), int(number)


def _eswitch(machine: Machine, rest: list[str]) -> Done:
    if rest[0] == "show":
        one = _named(machine, rest[1])
        if not one.manages:  # a question, and no refusal of what a plan does
            return Done(1, "", "kernel answers: Operation not permitted\n")
        shown = {"mode": one.mode}
        if machine.switchdev_built:
            shown |= {"inline-mode": one.inline, "encap-mode": one.encap}
        return _show({"dev": {one.handle: shown}})
    values = dict(zip(rest[2::2], rest[3::2], strict=True))
    names = {"mode": ("legacy", "switchdev"), "inline-mode": ("none", "link", "network", "transport")}
    names |= {"encap-mode": ("none", "basic"), "encap": ("none", "basic", "enable", "disable")}
    for name, value in values.items():
        if value not in names[name]:
            return Done(1, "", f'Unknown eswitch {name} "{value}"\n')
    _named(machine, rest[1]).set_eswitch(values.get("mode"), values.get("inline-mode"), values.get("encap-mode"))
    return Done(0)


def _value(one: Function, name: str) -> Any:
    return one.steering if name == "flow_steering_mode" else one.metadata


def _sf_param(found: tuple[Function, Sf], rest: list[str]) -> Done:
    """enable_eth of a subfunction: what is set holds after a reload."""
    sf = found[1]
    if rest[0] == "show":
        values = [{"cmode": "driverinit", "value": sf.eth_next}]
        return _show({"param": {rest[1]: [{"name": "enable_eth", "type": "generic", "values": values}]}})
    values_ = dict(zip(rest[2::2], rest[3::2], strict=True))
    if (values_["name"], values_["cmode"]) != ("enable_eth", "driverinit"):
        return Done(1, "", "kernel answers: Invalid argument\n")
    sf.eth_next = values_["value"] == "true"
    return Done(0)


def _param(machine: Machine, rest: list[str]) -> Done:
    found_sf = subfunctions.by_device(machine.functions, rest[1]) if len(rest) > 1 else None
    if found_sf is not None:
        return _sf_param(found_sf, rest)
    if rest[0] == "show":
        wanted = rest[rest.index("name") + 1] if "name" in rest else None
        found: dict[str, Any] = {}
        for one in _those(machine, rest[1:2]):
            found[one.handle] = [
                {"name": name, "type": "driver-specific", "values": [{"cmode": "runtime", "value": _value(one, name)}]}
                for name in one.params
                if wanted in (None, name)
            ]
        return _show({"param": found})
    values = dict(zip(rest[2::2], rest[3::2], strict=True))
    if values["name"] not in _named(machine, rest[1]).params or values["cmode"] != "runtime":
        return Done(1, "", "kernel answers: Invalid argument\n")
    _named(machine, rest[1]).set_param(values["name"], values["value"])
    return Done(0)


def _reload(machine: Machine, rest: list[str]) -> Done:
    found = subfunctions.by_device(machine.functions, rest[0])
    if found is not None:
        subfunctions.reload(*found)
        return Done(0)
    action = rest[rest.index("action") + 1] if "action" in rest else "driver_reinit"
    words = _named(machine, rest[0]).reload(action)
    return Done(0, f"reload_actions_performed:\n    {action}\n", f"Warning: {words}.\n" if words else "")


def info(one: Function) -> dict[str, Any]:
    """What mlx5 tells of itself."""
    firmware = {"fw.version": one.card.firmware.version, "fw": one.card.firmware.version}
    versions = {"fixed": {"fw.psid": one.card.psid}, "running": firmware, "stored": dict(firmware)}
    return {
        "driver": "mlx5_core",
        "serial_number": one.card.serial,
        "board.serial_number": one.card.serial,
        "versions": versions,
    }


def _ports(machine: Machine, rest: list[str]) -> Done:
    ports: dict[str, Any] = {}
    for one in machine.functions:
        if one.driver is not None:
            ports.update(subfunctions.shown(one))
    if rest:
        if rest[0] not in ports:
            raise Refused("port-missing", errno.ENODEV)
        ports = {rest[0]: ports[rest[0]]}
    return _show({"port": ports})


def _add(machine: Machine, rest: list[str]) -> Done:
    with_index = rest[0].count("/") == 2
    handle = rest[0].rpartition("/")[0] if with_index else rest[0]
    words = dict(zip(rest[1::2], rest[2::2], strict=True))
    if set(words) - subfunctions.NEW or words.get("flavour") != "pcisf":
        raise ValueError(rest)
    function = _named(machine, handle)
    number = subfunctions.add(function, words, with_index)
    return Done(
        0, json.dumps({"port": {f"{handle}/{number}": subfunctions.shown(function)[f"{handle}/{number}"]}}) + "\n"
    )


def _function(machine: Machine, rest: list[str]) -> Done:
    if rest[:2] == ["rate", "show"]:
        return _rates(machine)
    if rest[:2] == ["rate", "set"]:
        function, number = _port(machine, rest[2])
        wanted = {name: _bytes(value) for name, value in zip(rest[3::2], rest[4::2], strict=True)}
        if set(wanted) - {"tx_max", "tx_share"}:
            raise ValueError(rest)
        subfunctions.set_rates(function, subfunctions.target(function, number), wanted)
        return Done(0)
    if rest[:1] != ["set"]:
        raise ValueError(rest)
    function, number = _port(machine, rest[1])
    found = subfunctions.target(function, number)
    for name, value in zip(rest[2::2], rest[3::2], strict=True):
        if name == "hw_addr":
            subfunctions.set_address(function, found, value)
        elif name == "state" and isinstance(found, Sf):
            subfunctions.set_state(function, found, value == "active")
        else:
            raise ValueError(rest)
    return Done(0)


def _bytes(text: str) -> int:
    """A rate as tc spells it; without a unit it is bytes."""
    found = re.fullmatch(r"(\d+)([a-z]*)", text.lower())
    if found is None:
        raise ValueError(text)
    return int(found[1]) * UNITS[found[2]] // 8


def _rates(machine: Machine) -> Done:
    rates: dict[str, Any] = {}
    for one in machine.functions:
        for number, found in subfunctions.targets(one).items():
            leaf: dict[str, Any] = {"type": "leaf"}
            leaf |= {name: value for name, value in (("tx_share", found.tx_share), ("tx_max", found.tx_max)) if value}
            if isinstance(found, Vf | Sf):
                rates[f"{one.handle}/{number}"] = leaf
    return _show({"rate": rates})
