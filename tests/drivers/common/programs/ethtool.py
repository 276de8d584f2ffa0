# SPDX-License-Identifier: Apache-2.0
"""ethtool 6.1: driver, features, channels, rings, private flags and flow classification.

A flow that the driver refuses is told on stderr only: this version of ethtool ends with 0 all the same.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any

from tests.drivers.common.machine import Done, Host
from tests.drivers.common.netdev import UPLINK, NetDev
from tests.drivers.common.ntuple import ONES, ZEROS, Flow
from tests.drivers.common.rules import Refused, bite

UNSUPPORTED = os.strerror(errno.EOPNOTSUPP)
FEATURES = ("rx-checksumming", "tx-checksumming", "generic-receive-offload", "ntuple-filters", "hw-tc-offload")
LONG = {"--features": "-K", "--offload": "-K", "--config-ntuple": "-N", "-U": "-N", "--config-nfc": "-N"} | {
    "--show-features": "-k",
    "--show-offload": "-k",
    "--show-ntuple": "-n",
    "-u": "-n",
    "--driver": "-i",
    "--show-channels": "-l",
    "--set-channels": "-L",
    "--show-ring": "-g",
    "--set-ring": "-G",
}


def main(machine: Host, words: list[str], stdin: str) -> Done:
    """argv without the program's name."""
    as_json = words[:1] == ["--json"]
    words = words[as_json:]
    if words[:1] == ["--version"]:
        return Done(0, "ethtool version 6.1\n")
    if len(words) < 2:
        return Done(1, "", "ethtool: bad command line argument(s)\nFor more information run ethtool -h\n")
    option, name, rest = LONG.get(words[0], words[0]), words[1], words[2:]
    device = machine.device(name)
    if device is None:
        return _missing(option)
    function = machine.function_of(device)
    actions = {"-i": _driver, "-k": _features, "-K": _set_feature, "-l": _channels, "-L": _set_channels}
    actions |= {"-g": _ring, "-G": _set_ring, "-n": _flows, "-N": _set_flow, "--show-priv-flags": _private}
    if option == "-k":
        return _features(device, function, ["json"] if as_json else [])
    if option not in actions:
        return Done(1, "", f"ethtool: bad command line argument(s)\n{option}\n")
    return actions[option](device, function, rest)


def _missing(option: str) -> Done:
    if option == "-i":
        return Done(71, "", "Cannot get driver information: No such device\n")
    if option == "-n":
        lines = ["Cannot get RX rings: No such device", "rxclass: Cannot get RX class rule count: No such device"]
        return Done(1, "", "\n".join([*lines, "RX classification rule retrieval failed"]) + "\n")
    return Done(1, "", "netlink error: no device matches name (offset 24)\nnetlink error: No such device\n")


def _driver(device: NetDev, function: Any, rest: list[str]) -> Done:
    if function is None:
        return Done(71, "", "Cannot get driver information: Operation not supported\n")
    return Done(0, "\n".join(function.driver_lines(device)) + "\n")


def _state(device: NetDev, function: Any, name: str) -> tuple[bool, bool]:
    """Whether a feature is on, and whether it can be changed."""
    if function is not None and name in ("ntuple-filters", "hw-tc-offload"):
        state: tuple[bool, bool] = function.feature(device, name)
        return state
    return name not in ("ntuple-filters", "hw-tc-offload"), False


def _features(device: NetDev, function: Any, rest: list[str]) -> Done:
    states = {name: _state(device, function, name) for name in FEATURES}
    if rest == ["json"]:
        document = {"ifname": device.name}
        items = {name: {"active": on, "fixed": not free, "requested": on} for name, (on, free) in states.items()}
        return Done(0, json.dumps([document | items], indent=4) + "\n")
    lines = [f"Features for {device.name}:"]
    lines += [f"{name}: {'on' if on else 'off'}{'' if free else ' [fixed]'}" for name, (on, free) in states.items()]
    return Done(0, "\n".join(lines) + "\n")


def _set_feature(device: NetDev, function: Any, rest: list[str]) -> Done:
    names = {"ntuple": "ntuple-filters", "ntuple-filters": "ntuple-filters", "rx-ntuple-filter": "ntuple-filters"}
    for word, value in zip(rest[::2], rest[1::2], strict=True):
        name = names.get(word, word)
        if name not in FEATURES or value not in ("on", "off"):
            return Done(1, "", f"ethtool: bad command line argument(s)\n{word}\n")
        on = value == "on"
        now, free = _state(device, function, name)
        if now == on:
            continue
        if not free or function is None:
            bite("feature-fixed")
            text = "Could not change any device features\n"
            return Done(1, f"Actual changes:\n{word}: {'on' if now else 'off'} [requested {value}]\n", text)
        try:
            function.set_feature(device, name, on)
        except Refused:
            text = "Could not change any device features\n"
            return Done(1, f"Actual changes:\n{word}: {'on' if now else 'off'} [requested {value}]\n", text)
    return Done(0)


def _channels(device: NetDev, function: Any, rest: list[str]) -> Done:
    if function is None or device.kind != UPLINK:
        return Done(1, "", f"netlink error: {UNSUPPORTED}\n")
    text = f"Channel parameters for {device.name}:\n"
    for title, combined, other in (
        ("Pre-set maximums:", device.queues_max, 1),
        ("Current hardware settings:", device.queues, 1),
    ):
        text += f"{title}\nRX:\t\t{combined}\nTX:\t\t{combined}\nOther:\t\t{other}\nCombined:\t{combined}\n"
    return Done(0, text)


def _set_channels(device: NetDev, function: Any, rest: list[str]) -> Done:
    if function is None or device.kind != UPLINK:
        return Done(1, "", f"netlink error: {UNSUPPORTED}\n")
    if len(rest) != 2 or rest[0] != "combined" or not rest[1].isdigit():
        return Done(1, "", "netlink error: requested channel count exceeds maximum (offset 32)\n")
    try:
        function.set_queues(int(rest[1]))
    except Refused as refused:
        first = f"netlink error: {refused.words} (offset 32)\n" if refused.words else ""
        return Done(1, "", f"{first}netlink error: {refused.answer}\n")
    return Done(0)


def _ring(device: NetDev, function: Any, rest: list[str]) -> Done:
    text = f"Ring parameters for {device.name}:\n"
    for title, ring in (("Pre-set maximums:", device.ring_max), ("Current hardware settings:", device.ring)):
        text += f"{title}\nRX:\t\t{ring['rx']}\nRX Mini:\tn/a\nRX Jumbo:\tn/a\nTX:\t\t{ring['tx']}\n"
    return Done(0, text)


def _set_ring(device: NetDev, function: Any, rest: list[str]) -> Done:
    wanted = dict(zip(rest[::2], (int(word) for word in rest[1::2]), strict=True))
    if any(not 64 <= value <= device.ring_max[name] for name, value in wanted.items()):
        return Done(1, "", "netlink error: Invalid argument\n")
    device.ring |= {name: -(-value // 32) * 32 for name, value in wanted.items()}
    return Done(0)


def _private(device: NetDev, function: Any, rest: list[str]) -> Done:
    flags = function.private_flags() if function is not None and device.kind == UPLINK else None
    if flags is None:
        return Done(1, "", f"netlink error: {UNSUPPORTED}\n")
    lines = [f"{name:<24}: {'on' if on else 'off'}" for name, on in flags.items()]
    return Done(0, f"Private flags for {device.name}:\n" + "\n".join(lines) + "\n")


def _flows(device: NetDev, function: Any, rest: list[str]) -> Done:
    if function is None or device.kind != UPLINK or not function.classifies:
        lines = [f"Cannot get RX rings: {UNSUPPORTED}", f"rxclass: Cannot get RX class rule count: {UNSUPPORTED}"]
        return Done(1, "", "\n".join([*lines, "RX classification rule retrieval failed"]) + "\n")
    flows = [function.table.flows[at] for at in sorted(function.table.flows)]
    text = f"{device.queues} RX rings available\nTotal {len(flows)} rules\n\n"
    return Done(0, text + "".join(_shown(flow, function.table.shows_vlan) for flow in flows))


def _inverted(mask: str) -> str:
    return ":".join(f"{0xFF ^ int(part, 16):02X}" for part in mask.split(":"))


def _shown(flow: Flow, vlan: bool) -> str:
    """vlan: whether the driver gives the VLAN of an ether flow back."""
    lines = [f"Filter: {flow.location}"]
    if flow.kind == "ether":
        lines.append("\tFlow Type: Raw Ethernet")
        for title, (address, mask) in (("Src", flow.source), ("Dest", flow.destination)):
            lines.append(f"\t{title} MAC addr: {address.upper()} mask: {_inverted(mask)}")
        lines.append(f"\tEthertype: {flow.protocol[0]:#X} mask: {flow.protocol[1] ^ 0xFFFF:#X}".replace("0X", "0x"))
        if (flow.vlan[1] or flow.vlan_type[1]) and not vlan:
            bite("ntuple-vlan-hidden")
        elif flow.vlan[1] or flow.vlan_type[1]:
            lines.append(f"\tVLAN EtherType: {flow.vlan_type[0]:#x} mask: {flow.vlan_type[1] ^ 0xFFFF:#x}")
            lines.append(f"\tVLAN: {flow.vlan[0]:#x} mask: {flow.vlan[1] ^ 0xFFFF:#x}")
            lines.append("\tUser-defined: 0x0 mask: 0xffffffffffffffff")
    else:
        lines.append(f"\tRule Type: {flow.kind[:3].upper()} over IPv4")
        lines.append(f"\tDest port: {flow.other.rpartition(' ')[2]} mask: 0x0")
    lines.append("\tAction: Drop" if flow.queue < 0 else f"\tAction: Direct to queue {flow.queue}")
    return "\n".join(lines) + "\n\n"


def _set_flow(device: NetDev, function: Any, rest: list[str]) -> Done:
    if function is None or device.kind != UPLINK:
        return Done(0, "", f"rmgr: Cannot insert RX class rule: {UNSUPPORTED}\n")
    if rest[:1] == ["delete"] and len(rest) == 2:
        try:
            function.check_classifier()
            function.table.delete(int(rest[1]))
        except Refused as refused:
            words = f"rmgr: Cannot delete RX class rule: {refused.answer}\nCannot delete classification rule\n"
            return Done(1, "", words)
        return Done(0)
    try:
        flow = _parse(rest, function)
    except (ValueError, IndexError):
        return Done(1, "", "ethtool: bad command line argument(s)\nFor more information run ethtool -h\n")
    try:
        function.check_classifier()
        function.table.add(flow, device.queues)
    except Refused as refused:
        bite("ntuple-exit-zero")
        return Done(0, "", f"rmgr: Cannot insert RX class rule: {refused.answer}\n")
    return Done(0)


def _parse(words: list[str], function: Any) -> Flow:
    if words[0] != "flow-type":
        raise ValueError(words[0])
    kind, at = words[1], 2
    values: dict[str, tuple[str, str | None]] = {}
    while at < len(words):
        name, value, at = words[at], words[at + 1], at + 2
        mask = None
        if words[at : at + 1] == ["m"]:
            mask, at = words[at + 1], at + 2
        values[name] = (value, mask)
    known = {"src", "dst", "proto", "vlan-etype", "vlan", "action", "loc", "dst-port"}
    if set(values) - known or kind not in ("ether", "tcp4", "udp4"):
        raise ValueError(kind)

    def address(name: str) -> tuple[str, str]:
        if name not in values:
            return ZEROS, ZEROS
        value, mask = values[name]
        return value.lower(), ONES if mask is None else _inverted(mask).lower()

    def number(name: str) -> tuple[int, int]:
        if name not in values:
            return 0, 0
        value, mask = values[name]
        return int(value, 0), 0xFFFF if mask is None else int(mask, 0) ^ 0xFFFF

    taken = function.table.flows
    place = (
        int(values["loc"][0], 0)
        if "loc" in values
        else next(at for at in range(function.table.size - 1, -1, -1) if at not in taken)
    )
    return Flow(
        place,
        kind,
        int(values["action"][0], 0),
        address("src"),
        address("dst"),
        number("proto"),
        number("vlan-etype"),
        number("vlan"),
        f"dst-port {values['dst-port'][0]}" if "dst-port" in values else "",
    )
