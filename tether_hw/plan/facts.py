# SPDX-License-Identifier: Apache-2.0
"""What a host is: `config` (all that a plan may change, compared as a whole) and `status` (everything else)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tether_hw.plan import probed
from tether_hw.plan.canonical import digest
from tether_hw.plan.facts_functions import (
    check_together,
    parse_card,
    parse_card_status,
    parse_function,
    parse_function_status,
)
from tether_hw.plan.function_name import DEVLINK, FUNCTION
from tether_hw.plan.shape import DSN, HEX64, IFNAME, MAC, NAME, SERIAL, Fields, ShapeError, text_item

_ABSOLUTE = re.compile(r"/[^\0\n]*\Z")

SCHEMA = "tether.facts/1"
SERVICE_STATES = ("running", "stopped", "absent")
SERVICE_MANAGERS = ("systemd", "supervised")
CARRIERS = ("udp", "af_packet", "af_xdp")


@dataclass(frozen=True)
class Facts:
    """The facts of one host.

    config: {"nics": {DEVICE: {"driver", "mac", "mtu", "queues": {"combined"} or {"rx", "tx"} or null,
    "ring": {"rx", "tx"} or null, "xdp": {"foreign"}}}, "engine": {"config_sha256", "config", "roster_sha256",
    "roster", "unit_sha256", "service", "bundle"}, "keys": {"node"},
    "functions": {FUNCTION: {"card", "driver", "device", "eswitch", "vfs", "ntuple": {"on", "rules"} or null,
    "flower": {"hook", "offload", "rules"} or null, "mlx5": {"steering_mode", "inline", "encap", "autoprobe",
    "params": {NAME: value}, "vfs": {NUMBER: {"address", "tx_max", "tx_share", "driver"}},
    "sfs": {NUMBER: {"address", "tx_max", "tx_share", "active"}}, "nv": {KEY: {"next", "current"}}} or null}},
    "cards": {SERIAL: {"package": {"name", "version"} or null, "safe_mode", "files": {PATH: sha256 or null}}}}.
    DEVICE is the kernel's name of it; FUNCTION a PCI address or a name of netdevsim. Functions and cards are those
    whose driver a family of ours knows: of the devices asked for, with all functions of the same card. "cards" has
    those with packages. "nv" has the settings that are asked for or owned. Rates are bytes a second, 0 for none.

    status: {"kernel", "kernel_config": {OPTION: value or null}, "boot_id", "arch", "python",
    "tools": {NAME: path or null}, "root": absolute, "user", "is_root", "cpus",
    "service_manager", "carriers": {CARRIER: null when it can be used, else why not},
    "devices": [{"selector", "device": name or null, "function": FUNCTION or null}],
    "links": [{"name", "mac", "driver", "carrier"}] without loopback,
    "limits": {DEVICE: {"mtu_min", "mtu_max", "queues_max", "ring_max"}},
    "functions": {FUNCTION: {"port", "vfs_max", "vf_drivers", "ntuple_size", "driver_version",
    "firmware": {NAME: version}, "representors": {SYMBOLIC: name}, "lldp", "rides_ssh", "psid",
    "nv_default": {KEY: value}}}, "cards": {SERIAL: {"search": [PATH]}},
    "owned": [{"path", "before", "set"}], "pending": null or {"run", "holder", "since"}}; and, where there was
    a probe that still holds, "probed": {FUNCTION: {MODE: {"flower", "u32", "at"}}} (plan/probed.py).
    """

    host: str
    config: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest by which a plan names the facts that it was made from: of `config` only."""
        return digest(self.config)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "host": self.host, "config": self.config, "status": self.status}

    @classmethod
    def parse(cls, value: Any) -> Facts:
        """Read a facts document strictly; raises ShapeError."""
        fields = Fields(value)
        fields.schema(SCHEMA)
        host = fields.text("host", NAME)
        config = parse_config(fields.take("config"), "config")
        status = parse_status(fields.take("status"), "status")
        fields.done()
        if set(status["limits"]) != set(config["nics"]):
            raise fields.fail("status.limits", "are not those of the devices of config")
        check_together(config, status)
        return cls(host, config, status)


def empty_config() -> dict[str, Any]:
    """The config of a host on which nothing of ours is, without NICs."""
    engine = {
        "config_sha256": None,
        "config": None,
        "roster_sha256": None,
        "roster": None,
        "unit_sha256": None,
        "service": "absent",
        "bundle": None,
    }
    return {"nics": {}, "functions": {}, "cards": {}, "engine": engine, "keys": {"node": None}}


def differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Every leaf that differs between two configs: [{"path", "before", "after"}]."""
    if before == after and type(before) is type(after):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found: list[dict[str, Any]] = []
        for key in sorted(set(before) | set(after)):
            found.extend(differences(before.get(key), after.get(key), (*path, key)))
        return found
    return [{"path": list(path), "before": before, "after": after}]


def parse_config(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    config = {
        "nics": fields.table("nics", _parse_nic, IFNAME),
        "functions": fields.table("functions", parse_function, FUNCTION),
        "cards": fields.table("cards", parse_card, DSN),
        "engine": _parse_engine(fields.take("engine"), fields.at("engine")),
        "keys": _parse_keys(fields.take("keys"), fields.at("keys")),
    }
    fields.done()
    return config


def _parse_nic(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    nic: dict[str, Any] = {
        "driver": fields.optional_text("driver", limit=64),
        "mac": fields.optional_text("mac", MAC),
        "mtu": fields.integer("mtu", 0, 2**31 - 1),
        "queues": parse_queues(fields.take("queues"), fields.at("queues")),
        "ring": parse_ring(fields.take("ring"), fields.at("ring")),
        "xdp": _parse_xdp(fields.take("xdp"), fields.at("xdp")),
    }
    fields.done()
    return nic


def parse_queues(value: Any, where: str) -> dict[str, int] | None:
    """Queue counts as the driver counts them: {"combined"} or {"rx", "tx"}; None where the driver has no say."""
    if value is None:
        return None
    fields = Fields(value, where)
    names = ("combined",) if fields.has("combined") else ("rx", "tx")
    queues = {name: fields.integer(name, 1, 65535) for name in names}
    fields.done()
    return queues


def parse_ring(value: Any, where: str) -> dict[str, int] | None:
    """Ring depths {"rx", "tx"}; None where the driver has none."""
    if value is None:
        return None
    fields = Fields(value, where)
    ring = {name: fields.integer(name, 0, 2**31 - 1) for name in ("rx", "tx")}
    fields.done()
    return ring


def _parse_xdp(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    xdp = {"foreign": fields.boolean("foreign")}
    fields.done()
    return xdp


def _parse_engine(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    engine: dict[str, Any] = {}
    for name in ("config", "roster"):
        engine[name + "_sha256"] = fields.optional_text(name + "_sha256", HEX64)
        content = fields.take(name)
        if content is not None and not isinstance(content, dict):
            raise fields.fail(name, "expected an object or null")
        engine[name] = content
    engine["unit_sha256"] = fields.optional_text("unit_sha256", HEX64)
    engine["service"] = fields.one_of("service", SERVICE_STATES)
    engine["bundle"] = fields.optional_text("bundle", HEX64)
    fields.done()
    return engine


def _parse_keys(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    keys = {"node": fields.optional_text("node", HEX64)}
    fields.done()
    return keys


def parse_status(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    status: dict[str, Any] = {
        "kernel": fields.text("kernel", limit=256),
        "kernel_config": fields.table("kernel_config", _optional_text_item),
        "boot_id": fields.optional_text("boot_id", limit=64),
        "arch": fields.text("arch", NAME),
        "python": fields.text("python", limit=64),
        "tools": fields.table("tools", _optional_text_item),
        "root": fields.text("root", _ABSOLUTE),
        "user": fields.text("user", limit=64),
        "is_root": fields.boolean("is_root"),
        "cpus": fields.integer("cpus", 1, 65535),
        "service_manager": fields.one_of("service_manager", SERVICE_MANAGERS),
        "carriers": fields.table("carriers", _optional_text_item),
        "devices": fields.objects("devices", _parse_device),
        "limits": fields.table("limits", _parse_limits, IFNAME),
        "functions": fields.table("functions", parse_function_status, FUNCTION),
        "cards": fields.table("cards", parse_card_status, DSN),
        "links": fields.objects("links", _parse_link),
        "owned": fields.objects("owned", parse_owned),
        "pending": _parse_pending(fields.take("pending"), fields.at("pending")),
    }
    if fields.has("probed"):
        status["probed"] = probed.parse(fields.take("probed"), fields.at("probed"))
    fields.done()
    return status


def _optional_text_item(value: Any, where: str) -> str | None:
    return None if value is None else text_item(value, where)


def _parse_device(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    selector = parse_selector(fields.take("selector"), fields.at("selector"))
    device = {
        "selector": selector,
        "device": fields.optional_text("device", IFNAME),
        "function": fields.optional_text("function", FUNCTION),
    }
    fields.done()
    return device


def parse_selector(value: Any, where: str) -> dict[str, Any]:
    """A device of the inventory: exactly one of name, mac, pci, devlink, or serial with port."""
    fields = Fields(value, where)
    names = [name for name in ("name", "mac", "pci", "devlink", "serial") if fields.has(name)]
    if len(names) != 1:
        raise ShapeError(where, "expected exactly one of name, mac, pci, devlink, serial")
    selector: dict[str, Any]
    if names[0] == "serial":
        selector = {"serial": fields.text("serial", SERIAL), "port": fields.integer("port", 0, 65535)}
    elif names[0] == "devlink":
        selector = {"devlink": fields.text("devlink", DEVLINK)}
    else:
        selector = {names[0]: fields.text(names[0], limit=64)}
    fields.done()
    return selector


def _parse_limits(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    limits: dict[str, Any] = {
        "mtu_min": fields.optional_integer("mtu_min"),
        "mtu_max": fields.optional_integer("mtu_max"),
        "queues_max": parse_queues(fields.take("queues_max"), fields.at("queues_max")),
        "ring_max": parse_ring(fields.take("ring_max"), fields.at("ring_max")),
    }
    fields.done()
    return limits


def _parse_link(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    link: dict[str, Any] = {
        "name": fields.text("name", limit=15),
        "mac": fields.optional_text("mac", MAC),
        "driver": fields.optional_text("driver", limit=64),
        "carrier": fields.boolean("carrier"),
    }
    fields.done()
    return link


def parse_owned(value: Any, where: str) -> dict[str, Any]:
    """One entry of the owned record: what we set at a path of config, and what was there before."""
    fields = Fields(value, where)
    owned = {
        "path": fields.objects("path", text_item, 16),
        "before": fields.take("before"),
        "set": fields.take("set"),
    }
    fields.done()
    if len(owned["path"]) < 2:
        raise ShapeError(where, "path is too short")
    return owned


def _parse_pending(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    fields = Fields(value, where)
    pending: dict[str, Any] = {
        "run": fields.text("run", NAME),
        "holder": fields.text("holder"),
        "since": fields.text("since"),
    }
    fields.done()
    return pending


__all__ = [
    "CARRIERS",
    "SCHEMA",
    "SERVICE_MANAGERS",
    "SERVICE_STATES",
    "Facts",
    "differences",
    "empty_config",
    "parse_config",
    "parse_owned",
    "parse_queues",
    "parse_ring",
    "parse_selector",
    "parse_status",
]
