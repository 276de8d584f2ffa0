# SPDX-License-Identifier: Apache-2.0
"""What a comparison with the last kept run needs: that record, the facts now, and traces of who changed what."""

from __future__ import annotations

import pwd
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Sequence

from tether_hw.agent import cards, close, facts, kept, sealed
from tether_hw.agent.host import Host
from tether_hw.agent.process import PROC, boot_id
from tether_hw.agent.staged import Staged
from tether_hw.agent.state import state
from tether_hw.plan.facts_mlx5 import nv_keys
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.plan import selectors_of

if TYPE_CHECKING:
    from tether_hw.agent.run import Run

_STAMP = re.compile(r"\[\s*(\d+\.\d+)\] ?(.*)\Z")
_MOST_LINES = 8
#: Name of a process (15 characters) -> what people call the tool that it belongs to.
TOOLS = {
    "NetworkManager": "NetworkManager",
    "systemd-network": "systemd-networkd",
    "connmand": "ConnMan",
    "wickedd": "wicked",
    "dhcpcd": "dhcpcd",
    "ovs-vswitchd": "Open vSwitch",
    "tuned": "tuned",
    "lldpad": "lldpad",
    "sriov-network-c": "the SR-IOV operator of Kubernetes",
    "mlnx_interface_": "the scripts of MLNX_OFED",
}


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "host", "devices", "nv"} -> the same as `collect`, without the bundle of this suite on the host."""
    with sealed.sealed():
        return collect(Host(HostPaths(request["root"])), request["host"], request["devices"], request["nv"])


def collect(host: Host, name: str, devices: list[dict[str, Any]], nv: Sequence[str] = ()) -> dict[str, Any]:
    """{"facts", "kept", "boot", "open_runs", "files", "log", "tools"}; reads only."""
    record = kept.read(host)
    asked, keys = list(devices), set(nv)
    if record is not None:
        asked += [one for one in selectors_of(record["config"]) if one not in devices]
        keys |= set(nv_keys(record["config"]))
    return {
        "facts": facts.collect(host, name, asked, sorted(keys)),
        "kept": record,
        "boot": boot_id(),
        "open_runs": [_open_run(run) for run in host.all_runs() if close.closed(run) is None and run.exists()],
        "files": {
            "config": _file(host.paths.engine_config),
            "roster": _file(host.paths.roster),
            "unit": _file(host.paths.unit),
        },
        "log": _log(record),
        "tools": sorted({TOOLS[comm] for comm in _processes() if comm in TOOLS}),
    }


def _open_run(run: Run) -> dict[str, Any]:
    staged = Staged.of(run)
    paths = sorted({change.path for change in staged.changes()})
    return {
        "run": run.name,
        "state": state(run),
        "holder": staged.holder,
        "paths": [list(path) for path in paths],
    }


def _file(path: str) -> Optional[dict[str, Any]]:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    return {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.st_mtime)), "owner": owner}


def _log(record: Optional[dict[str, Any]]) -> dict[str, list[str]]:
    """Device or function -> what the kernel said of it since the record was made in this boot; the newest lines."""
    if record is None or record["boot"] != boot_id():
        return {}
    lines = []
    for line in (cards.ask(["dmesg"]) or "").splitlines():
        match = _STAMP.match(line)
        if match and float(match[1]) * 1e9 > record["up_ns"]:
            lines.append(match[2])
    found = {}
    for name in [*record["config"]["nics"], *record["config"]["functions"]]:
        word = re.compile(r"(?<![\w.:-])%s(?![\w.-])" % re.escape(name))
        told = [line[:400] for line in lines if word.search(line)]
        if told:
            found[name] = told[-_MOST_LINES:]
    return found


def _processes() -> set[str]:
    names = set()
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                names.add((entry / "comm").read_text(errors="replace").strip())
            except OSError:
                continue
    return names
