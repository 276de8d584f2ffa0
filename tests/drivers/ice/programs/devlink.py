# SPDX-License-Identifier: Apache-2.0
"""devlink of iproute2 6.1: info, e-switch, ports, reload."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

from tests.drivers.common.machine import Done
from tests.drivers.common.rules import Refused
from tether_hw.nic.e810.ddp.container import version_text

if TYPE_CHECKING:
    from tests.drivers.ice.card import Function
    from tests.drivers.ice.machine import Machine

NO_DEVICE = "kernel answers: No such device"


def main(machine: Machine, words: list[str], stdin: str) -> Done:
    """argv without the program's name."""
    as_json = False
    while words and words[0].startswith("-"):
        option = words.pop(0)
        as_json = as_json or "j" in option
    try:
        return _run(machine, words, as_json)
    except Refused as refused:
        return _no(refused)


def _no(refused: Refused) -> Done:
    lines = [f"Error: {refused.words}."] if refused.words else []
    return Done(1, "", "\n".join([*lines, f"kernel answers: {refused.answer}"]) + "\n")


def _run(machine: Machine, words: list[str], as_json: bool) -> Done:
    found = [function for function in machine.functions if function.driver == "ice"]
    verb, rest = words[:2], words[2:]
    if verb == ["dev", "eswitch"] and rest[:1] == ["set"] and len(rest) == 4 and rest[2] == "mode":
        _bound(machine, rest[1])
        return _eswitch_set(found, rest[1], rest[3])
    if verb == ["dev", "reload"]:
        return _reload(found, rest)
    if verb == ["dev", "eswitch"] and rest[:1] == ["show"]:
        verb, rest = ["dev", "eswitch show"], rest[1:]
    if rest:
        found = [one for one in found if one.handle == rest[-1].rpartition("/")[0] or one.handle == rest[-1]]
        if not found:
            return Done(1, "", NO_DEVICE + "\n")
    if verb == ["dev", "info"]:
        return _show({"info": {one.handle: info(one) for one in found}}, as_json)
    if verb == ["dev", "eswitch show"]:
        if not rest:
            return Done(1, "", 'Devlink device expected.\n"pci/0000:17:00.0"\n')
        return _show({"dev": {one.handle: {"mode": one.mode} for one in found}}, as_json)
    if verb == ["port", "show"] or words == ["port"]:
        ports: dict[str, Any] = {}
        for one in found:
            ports.update(_ports(one))
        return _show({"port": ports}, as_json)
    if words[:2] == ["dev", "show"] or words == ["dev"]:
        return _show({"dev": {one.handle: {} for one in found}}, as_json)
    return Done(1, "", f'Command "{" ".join(words)}" not found\n')


def _bound(machine: Machine, handle: str) -> None:
    """A function without its driver has no devlink instance."""
    if any(one.handle == handle and one.driver != "ice" for one in machine.functions):
        raise Refused("no-driver", errno.ENODEV)


def _show(document: dict[str, Any], as_json: bool) -> Done:
    if as_json:
        return Done(0, json.dumps(document) + "\n")
    lines = []
    for entries in document.values():
        for handle, values in entries.items():
            lines.append(f"{handle}: " + " ".join(f"{key} {value}" for key, value in values.items()))
    return Done(0, "\n".join(lines) + "\n")


def _of(found: list[Function], handle: str) -> Function | None:
    return next((one for one in found if one.handle == handle), None)


def _eswitch_set(found: list[Function], handle: str, mode: str) -> Done:
    function = _of(found, handle)
    if function is None:
        return Done(1, "", NO_DEVICE + "\n")
    if mode not in ("legacy", "switchdev"):
        return Done(1, "", f'Unknown eswitch mode "{mode}"\n')
    words = function.set_mode(mode)
    return Done(0, "", f"Warning: {words}.\n" if words else "")


def _reload(found: list[Function], rest: list[str]) -> Done:
    function = _of(found, rest[0]) if rest else None
    if function is None:
        return Done(1, "", NO_DEVICE + "\n")
    action = rest[rest.index("action") + 1] if "action" in rest else "driver_reinit"
    if action == "fw_activate":
        words = "ice: No pending firmware update"
        return Done(1, "", f"Error: {words}.\nkernel answers: Operation canceled\n")
    function.reload()
    return Done(0, f"reload_actions_performed:\n    {action}\n")


def info(function: Function) -> dict[str, Any]:
    """What ice tells of itself: in safe mode it has no name of a package and zeros for its version."""
    running = {
        "fw.mgmt": "7.5.4",
        "fw.mgmt.api": "1.7.11",
        "fw.mgmt.build": "0x4d4e1deb",
        "fw.undi": "1.3682.0",
        "fw.psid.api": "4.50",
        "fw.bundle_id": "0x8001d8b6",
    }
    package = function.loaded.package if function.loaded is not None else None
    if package is not None:
        running["fw.app.name"] = package.name
    running["fw.app"] = version_text(package.version) if package is not None else "0.0.0.0"
    running["fw.app.bundle_id"] = f"0x{package.track if package is not None else 0:08x}"
    running |= {"fw.netlist": "4.5.5000-1.14.0", "fw.netlist.build": "0x5f6a4c1b"}
    return {
        "driver": "ice",
        "serial_number": function.card.serial,
        "versions": {
            "fixed": {"board.id": "K91258-000"},
            "running": running,
            "stored": {"fw.undi": "1.3682.0", "fw.psid.api": "4.50", "fw.bundle_id": "0x8001d8b6"},
        },
    }


def _ports(function: Function) -> dict[str, Any]:
    ports: dict[str, Any] = {}
    if function.device is not None:
        ports[f"{function.handle}/{function.port}"] = {
            "type": "eth",
            "netdev": function.device.name,
            "flavour": "physical",
            "port": function.port,
            "splittable": False,
        }
    for device in function.representors:
        ports[f"{function.handle}/{64 + (device.vf or 0)}"] = {
            "type": "eth",
            "netdev": device.name,
            "flavour": "pcivf",
            "controller": 0,
            "pfnum": function.number,
            "vfnum": device.vf,
            "external": False,
            "splittable": False,
        }
    return ports
