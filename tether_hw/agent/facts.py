# SPDX-License-Identifier: Apache-2.0
"""The facts of this host, composed from the readers of its NICs, its engine, its keys and the machine itself.

Reads only. Runs from a bundle, and from memory on a host that has nothing of ours (`bare`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import shutil
from pathlib import Path
from typing import Any, Optional, Sequence

from tether_hw.agent import cards, command, machine, offload_probe, probed, public, sealed, service
from tether_hw.agent.host import Host
from tether_hw.nic.functions.read import Found
from tether_hw.nic.generic import read
from tether_hw.plan.canonical import DocumentError, load
from tether_hw.plan.facts import SCHEMA
from tether_hw.plan.paths import HostPaths

TOOLS = (
    "ip",
    "ethtool",
    "systemctl",
    "useradd",
    "devlink",
    "tc",
    "modprobe",
    "update-initramfs",
    "dracut",
    "dmesg",
    "mlxconfig",
    "mstconfig",
    "mlxfwreset",
    "mstfwreset",
    "mlxprivhost",
)


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "host", "devices", "nv"} -> the facts document, without any file of ours on the host."""
    with sealed.sealed():
        return collect(Host(HostPaths(request["root"])), request["host"], request["devices"], request["nv"])


def collect(host: Host, name: str, devices: list[dict[str, Any]], nv: Sequence[str] = ()) -> dict[str, Any]:
    """The facts document of this host: the devices that are asked for and those that we own something of.

    nv: settings in the memory of cards that are asked for; those that we own are read as well.
    """
    paths = host.paths
    owned = host.owned.entries()
    engine = _engine(paths)
    tables = ("nics", "functions", "cards")
    names = {what: {entry["path"][1] for entry in owned if entry["path"][0] == what} for what in tables}
    ours = _engine_devices(engine) if engine["service"] == "running" else []
    nics, limits, links, resolved = read.read(devices, names["nics"], ours)
    functions = cards.chosen(devices, nics, names["functions"], names["cards"])
    more = {one.device for one in functions if one.device is not None}
    if not more <= set(nics):
        # A card is one thing: what its driver does, it does to all of its devices.
        nics, limits, links, resolved = read.read(devices, names["nics"] | more, ours)
    kept = {entry["path"][4] for entry in owned if entry["path"][0] == "functions" and entry["path"][3:4] == ["nv"]}
    sizes = {device: read.filter_locations(device) for device in more}
    there = cards.collect(functions, paths, sizes, sorted({*nv, *kept}))
    config = {
        "nics": nics,
        "functions": there["functions"],
        "cards": there["cards"],
        "engine": engine,
        "keys": {"node": _node_key(host, engine["bundle"])},
    }
    status = {
        "kernel": platform.release(),
        "kernel_config": machine.kernel_config(platform.release()),
        "boot_id": machine.boot_id(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "tools": {tool: shutil.which(tool, path=command.SEARCH) for tool in TOOLS},
        "root": paths.root,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "is_root": os.geteuid() == 0,
        "cpus": os.cpu_count() or 1,
        "service_manager": service.manager(paths),
        "carriers": _carriers(),
        "limits": limits,
        "links": links,
        "functions": there["function_status"],
        "cards": there["card_status"],
        "devices": [_resolved(entry, functions) for entry in resolved],
        "owned": owned,
        "pending": _pending(host),
    }
    found = probed.known(paths, there["functions"], there["function_status"])
    status.update({"probed": found} if found else {})
    return {"schema": SCHEMA, "host": name, "config": config, "status": status}


def _resolved(entry: dict[str, Any], functions: Sequence[Found]) -> dict[str, Any]:
    """A device that was asked for: what it is called here, and the function that it belongs to."""
    one = cards.function_of(functions, entry["selector"], entry["device"])
    device = entry["device"] if one is None or one.device is None else one.device
    return {"selector": entry["selector"], "device": device, "function": None if one is None else one.function}


def _engine(paths: HostPaths) -> dict[str, Any]:
    engine = service.state(paths)
    for field, path in (("config", paths.engine_config), ("roster", paths.roster)):
        engine[field], engine[field + "_sha256"] = _document(Path(path))
    return engine


def _document(path: Path) -> tuple[Optional[dict[str, Any]], Optional[str]]:
    """The content and digest of one of our files; a file that is not a document has a digest only."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, None
    try:
        document = load(content)
    except DocumentError:
        document = None
    return document if isinstance(document, dict) else None, hashlib.sha256(content).hexdigest()


def _engine_devices(engine: dict[str, Any]) -> list[str]:
    """The devices that a running engine of ours has an XDP program on."""
    lanes = (engine["config"] or {}).get("lanes", [])
    raw = ("af_xdp", "auto")  # a program beside lanes of another carrier is somebody else's
    return [str(lane.get("device")) for lane in lanes if isinstance(lane, dict) and lane.get("carrier") in raw]


def _node_key(host: Host, serving: Optional[str]) -> Optional[str]:
    """The public identity key; None when this host was never enrolled."""
    identity = Path(host.paths.identity)
    if not identity.exists():
        return None
    return public.key(host, serving)


def _carriers() -> dict[str, Optional[str]]:
    """Carrier -> why it cannot be used here, None when it can."""
    answer: dict[str, Optional[str]] = {"udp": None}
    raw = None if os.geteuid() == 0 else "needs root"
    answer["af_packet"] = raw
    answer["af_xdp"] = raw or _no_xdp()
    return answer


def _no_xdp() -> Optional[str]:
    import socket

    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
    except OSError as error:
        return "the kernel has no AF_XDP sockets (%s)" % error.strerror
    return None


def _pending(host: Host) -> Optional[dict[str, Any]]:
    holder = host.lock.holder()
    if holder is not None and holder["for"] == offload_probe.PURPOSE and not offload_probe.runs(host):
        return None  # cut off: whoever comes to change this host takes it away first
    return None if holder is None else {name: holder[name] for name in ("run", "holder", "since")}
