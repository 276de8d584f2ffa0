# SPDX-License-Identifier: Apache-2.0
"""What `devlink -j` prints, by shape. Pure; an output that is no JSON says nothing, as one of a program that failed.

Handles are devlink's: "pci/0000:08:00.0", "netdevsim/netdevsim1"; those of ports have "/INDEX" behind that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

#: What a port is, in symbolic names: flavour -> letters and the field with its number.
_NAMED = {"pcivf": ("vf", "vfnum"), "pcisf": ("sf", "sfnum")}


@dataclass(frozen=True)
class Port:
    """A port of a switch. netdev: its device, where it has one. function: what is said of what is behind it."""

    handle: str
    flavour: str
    netdev: Optional[str] = None
    controller: int = 0
    external: bool = False
    pf: Optional[int] = None
    number: Optional[int] = None  # of its VF or SF
    hw_addr: Optional[str] = None
    state: Optional[str] = None
    opstate: Optional[str] = None

    @property
    def device(self) -> str:
        """The handle of the device that it is a port of."""
        return self.handle.rpartition("/")[0]

    @property
    def index(self) -> int:
        return int(self.handle.rpartition("/")[2])

    @property
    def symbol(self) -> Optional[str]:
        """What stands for a VF or SF, as plans name it; one of a host behind the card says its controller too."""
        if self.flavour not in _NAMED or self.pf is None or self.number is None:
            return None
        where = f"c{self.controller}" if self.external else ""
        return f"@{where}pf{self.pf}{_NAMED[self.flavour][0]}{self.number}.rep"


@dataclass(frozen=True)
class Eswitch:
    """The mode of a switch; inline and encap where its driver has them."""

    mode: Optional[str] = None
    inline: Optional[str] = None
    encap: Optional[str] = None


@dataclass(frozen=True)
class Info:
    """What a device says of itself; versions are name -> text."""

    driver: Optional[str] = None
    serial: Optional[str] = None
    board_serial: Optional[str] = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rate:
    """Limits of a leaf (a function's port) or a node, in bytes per second; 0 where there is none."""

    kind: str
    tx_share: int = 0
    tx_max: int = 0
    parent: Optional[str] = None


def ports(text: Optional[str]) -> list[Port]:
    """`devlink -j port show`."""
    return [_port(handle, one) for handle, one in _under(text, "port").items() if isinstance(one, dict)]


def _port(handle: str, one: dict[str, Any]) -> Port:
    flavour = str(one.get("flavour", ""))
    number = one.get(_NAMED[flavour][1]) if flavour in _NAMED else None
    function = one.get("function")
    inner = function if isinstance(function, dict) else {}
    return Port(
        handle,
        flavour,
        _text(one.get("netdev")),
        one["controller"] if isinstance(one.get("controller"), int) else 0,
        one.get("external") is True,
        one["pfnum"] if isinstance(one.get("pfnum"), int) else None,
        number if isinstance(number, int) else None,
        _text(inner.get("hw_addr")),
        _text(inner.get("state")),
        _text(inner.get("opstate")),
    )


def representors(found: list[Port], device: str) -> dict[str, str]:
    """Symbolic name -> netdev of what stands for VFs and SFs of a device."""
    return {
        one.symbol: one.netdev
        for one in found
        if one.device == device and one.symbol is not None and one.netdev is not None
    }


def eswitch(text: Optional[str], device: str) -> Eswitch:
    """`devlink -j dev eswitch show DEVICE`."""
    one = _one(text, "dev", device)
    return Eswitch(_text(one.get("mode")), _text(one.get("inline-mode")), _text(one.get("encap-mode")))


def reload_failed(text: Optional[str], device: str) -> bool:
    """`devlink -j dev show DEVICE`: whether its last reload failed, after which it has no ports."""
    return _one(text, "dev", device).get("reload_failed") is True


def info(text: Optional[str], device: str) -> Info:
    """`devlink -j dev info DEVICE`."""
    one = _one(text, "info", device)
    versions = one.get("versions")
    told = {
        name: {str(part): str(value) for part, value in found.items()}
        for name, found in (versions.items() if isinstance(versions, dict) else [])
        if isinstance(found, dict)
    }
    return Info(
        _text(one.get("driver")),
        _text(one.get("serial_number")),
        _text(one.get("board.serial_number")),
        told.get("fixed", {}),
        told.get("running", {}),
        told.get("stored", {}),
    )


def params(text: Optional[str], device: str) -> dict[str, dict[str, str]]:
    """`devlink -j dev param show [DEVICE name NAME]`: name -> cmode -> value, as devlink takes it."""
    found: dict[str, dict[str, str]] = {}
    listed = _under(text, "param").get(device)
    for one in listed if isinstance(listed, list) else []:
        values = one.get("values") if isinstance(one, dict) else None
        for value in values if isinstance(values, list) else []:
            if isinstance(value, dict) and "value" in value:
                found.setdefault(str(one.get("name")), {})[str(value.get("cmode"))] = _word(value["value"])
    return found


def rates(text: Optional[str]) -> dict[str, Rate]:
    """`devlink -j port function rate show`: handle of a port, or DEVICE/NAME of a node -> its limits."""
    found = {}
    for handle, one in _under(text, "rate").items():
        if isinstance(one, dict):
            share, most = (one[name] if isinstance(one.get(name), int) else 0 for name in ("tx_share", "tx_max"))
            found[handle] = Rate(str(one.get("type", "")), share, most, _text(one.get("parent")))
    return found


def health(text: Optional[str], device: str) -> dict[str, str]:
    """`devlink -j health show`, which takes no device alone: reporter -> state."""
    listed = _under(text, "health").get(device)
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return {str(one.get("reporter")): str(one.get("state")) for one in found}


def _word(value: Any) -> str:
    """A value in devlink's own spelling."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None


def _one(text: Optional[str], what: str, device: str) -> dict[str, Any]:
    inner = _under(text, what).get(device)
    return inner if isinstance(inner, dict) else {}


def _under(text: Optional[str], what: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    inner = value.get(what) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}
