# SPDX-License-Identifier: Apache-2.0
"""tc of iproute2 6.1, its clsact and flower parts: single commands and batches, text and JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.drivers.common.machine import Done, Host
from tests.drivers.common.netdev import DROP, GOTO, QUEUE, REDIRECT, Filter, NetDev, shown_name
from tests.drivers.common.rules import Refused, bite

TALKING = "We have an error talking to the kernel"
NAMES = {"802.1q": 0x8100, "802.1Q": 0x8100, "ip": 0x0800, "ipv6": 0x86DD, "arp": 0x0806, "all": 0x0003}
KEYS = ("dst_mac", "src_mac", "vlan_id", "vlan_ethtype", "dst_ip", "src_ip", "ip_proto")


class _SyntaxError(Exception):
    """What tc says to a command that it does not understand."""


class _NoDevice(Exception):
    """The name of no device."""


def main(machine: Host, words: list[str], stdin: str) -> Done:
    """argv without the program's name; `-b -` reads its lines from stdin."""
    options: set[str] = set()
    batch: str | None = None
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-b", "-batch"):
            batch = words.pop(0)
        else:
            options.add(option.lstrip("-"))
    if batch is not None:
        text = stdin if batch == "-" else Path(batch).read_text(encoding="utf-8")
        return _batch(machine, text, batch, "force" in options)
    code, out, err = _one(machine, words, options)
    return Done(code, out, err)


def _batch(machine: Host, text: str, name: str, force: bool) -> Done:
    """Stops at the first line that fails and keeps what the lines before it did."""
    failed, out, errors = 0, "", ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        code, more, err = _one(machine, words, set())
        out += more
        if code:
            failed = 1
            errors += f"{err}Command failed {name}:{number}\n"
            if not force:
                if number > 1:
                    bite("batch-stops")
                break
    return Done(failed, out, errors)


def _one(machine: Host, words: list[str], options: set[str]) -> tuple[int, str, str]:
    try:
        out = _command(machine, list(words), options)
    except _SyntaxError as error:
        return 1, "", f"{error}\n"
    except _NoDevice as error:
        return 1, "", f'Cannot find device "{error}"\n'
    except Refused as refused:
        if refused.words:
            first = f"Error: {refused.words}."
        else:
            first = f"RTNETLINK answers: {refused.answer}"
        qdisc = words[:1] == ["qdisc"]
        return 2, "", first + "\n" + ("" if qdisc else TALKING + "\n")
    return 0, out, ""


def _command(machine: Host, words: list[str], options: set[str]) -> str:
    what, verb = [*words, "", ""][:2]
    rest = words[2:]
    if verb in ("", "show", "list", "ls"):
        device = _after(rest, "dev")
        found = None if device is None else _device(machine, device)
        if what == "qdisc":
            return _qdiscs(machine, found, options)
        if what == "filter":
            if found is None:
                raise _SyntaxError('"dev" is required')
            return _filters(found, rest, options)
    if what == "qdisc" and verb in ("add", "del", "delete", "replace") and rest[:1] == ["dev"] and len(rest) == 3:
        if rest[2] not in ("clsact", "ingress"):
            raise _SyntaxError(f'Unknown qdisc "{rest[2]}", hence option is unparsable')
        one = _device(machine, rest[1])
        (machine.tc.add_hook if verb in ("add", "replace") else machine.tc.del_hook)(one)
        return ""
    if what == "filter" and verb in ("add", "replace", "del", "delete"):
        _filter(machine, verb, rest)
        return ""
    raise _SyntaxError(f'Object "{what} {verb}" is unknown, try "tc help".')


def _after(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words[:-1] else None


def _device(machine: Host, name: str) -> NetDev:
    found = machine.device(name)
    if found is None:
        raise _NoDevice(name)
    return found


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise _SyntaxError(f'Illegal "{text}"') from None


def _filter(machine: Host, verb: str, words: list[str]) -> None:
    values: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at] not in ("flower", "u32"):
        if words[at] in ("ingress", "egress"):
            at += 1
        elif words[at] in ("dev", "protocol", "proto", "pref", "prio", "handle", "chain") and at + 1 < len(words):
            values[{"proto": "protocol", "prio": "pref"}.get(words[at], words[at])] = words[at + 1]
            at += 2
        else:
            raise _SyntaxError(f'Unknown filter "{words[at]}", hence option "{words[at]}" is unparsable')
    device = _device(machine, values.get("dev", ""))
    chain = _number(values.get("chain", "0"))
    protocol = values.get("protocol", "all")
    number = NAMES[protocol] if protocol in NAMES else _number(protocol)
    if verb.startswith("del"):
        handle = _number(values["handle"]) if "handle" in values else None
        if "pref" not in values:
            for one in list(device.filters):
                machine.tc.remove(device, one.pref, one.handle, one.chain)
            return
        machine.tc.remove(device, _number(values["pref"]), handle, chain)
        return
    pref = _number(values["pref"]) if "pref" in values else _free_pref(device)
    handle = _number(values.get("handle", "0"))
    made = Filter(pref, handle, number, {}, DROP, chain=chain)
    made = (_u32 if words[at : at + 1] == ["u32"] else _flower)(machine, words[at + 1 :], made)
    machine.tc.put(device, made, verb == "replace")


def _free_pref(device: NetDev) -> int:
    return min([49153, *(one.pref for one in device.filters)]) - 1


def _u32(machine: Host, words: list[str], made: Filter) -> Filter:
    """match u32 VALUE MASK at 0 [skip_sw|skip_hw] action ..."""
    at = words.index("action") if "action" in words else len(words)
    skip_sw, skip_hw = "skip_sw" in words[:at], "skip_hw" in words[:at]
    match = [word for word in words[:at] if word not in ("skip_sw", "skip_hw")]
    if match[:2] != ["match", "u32"] or len(match) != 6 or match[4] != "at":
        raise _SyntaxError(f'What is "{" ".join(match)}"?')
    made = replace(made, kind="u32", keys={"match": " ".join(match[2:])}, skip_sw=skip_sw, skip_hw=skip_hw)
    return _actions(machine, words[at + 1 :], made)


def _flower(machine: Host, words: list[str], made: Filter) -> Filter:
    keys: dict[str, str] = {}
    skips = {"skip_sw": False, "skip_hw": False}
    at = 0
    while at < len(words) and words[at] != "action":
        if words[at] in skips:
            skips[words[at]] = True
            at += 1
        elif words[at] in KEYS and at + 1 < len(words):
            keys[words[at]] = words[at + 1].lower()
            at += 2
        else:
            raise _SyntaxError(f'What is "{words[at]}"?')
    return _actions(
        machine, words[at + 1 :], replace(made, keys=keys, skip_sw=skips["skip_sw"], skip_hw=skips["skip_hw"])
    )


def _actions(machine: Host, words: list[str], made: Filter) -> Filter:
    """Those behind the first word `action`; the last one decides."""
    while "action" in words:
        at = words.index("action")
        first, words = words[:at], words[at + 1 :]
        if first[:1] == ["police"]:
            made = replace(made, police=_police(first[1:]))
        elif first[:4] == ["mirred", "egress", "mirror", "dev"] and len(first) == 5:
            made = replace(made, mirrors=(*made.mirrors, _device(machine, first[4])))
        else:
            raise _bad(first)
    if words == ["drop"] or words == ["gact", "drop"]:
        return replace(made, action=DROP)
    if words[:4] == ["mirred", "egress", "redirect", "dev"] and len(words) == 5:
        return replace(made, action=REDIRECT, target=_device(machine, words[4]))
    if words[:2] == ["goto", "chain"] and len(words) == 3:
        return replace(made, action=GOTO, goto=_number(words[2]))
    if words[:2] == ["skbedit", "queue_mapping"] and len(words) == 3:
        return replace(made, action=QUEUE, queue=_number(words[2]))
    raise _bad(words)


def _bad(words: list[str]) -> _SyntaxError:
    return _SyntaxError(f"bad action parsing\nparse_action: bad value ({len(words)}:{' '.join(words)})!")


def _police(words: list[str]) -> tuple[int, int]:
    values = dict(zip(words[::2], words[1::2], strict=True))
    if set(values) != {"rate", "burst", "mtu", "conform-exceed"} or values["conform-exceed"] != "drop/pipe":
        raise _bad(["police", *words])
    found = re.fullmatch(r"(\d+)([kmg]?)bit", values["rate"].lower())
    if found is None:
        raise _bad(["police", *words])
    return int(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2]], _number(values["burst"])


def _qdiscs(machine: Host, device: NetDev | None, options: set[str]) -> str:
    found: list[dict[str, Any]] = []
    for one in [device] if device is not None else machine.devices:
        named = {} if device is not None else {"dev": one.name}
        found.append({"kind": "mq", "handle": "0:", **named, "root": True, "options": {}})
        if one.hook:
            found.append({"kind": "clsact", "handle": "ffff:", **named, "parent": "ffff:fff1", "options": {}})
    if _json(options):
        return json.dumps(found) + "\n"
    where = f"dev {device.name} " if device is not None else ""
    return "".join(f"qdisc {one['kind']} {one['handle']} {where}\n" for one in found)


def _json(options: set[str]) -> bool:
    return any(re.fullmatch(r"j(son)?", option) for option in options)


def _protocol(number: int) -> str:
    for name, value in (("802.1Q", 0x8100), ("ip", 0x0800), ("ipv6", 0x86DD), ("arp", 0x0806), ("all", 3)):
        if number == value:
            return name
    return f"[{number}]"


def _filters(device: NetDev, words: list[str], options: set[str]) -> str:
    wanted = _after(words, "pref")
    listed: list[dict[str, Any]] = []
    text = ""
    here = [] if "egress" in words else device.filters  # the model keeps rules at the entry of a device only
    meters = {id(one): number for number, one in enumerate((one for one in here if one.police is not None), 1)}
    for chain, pref in sorted({(one.chain, one.pref) for one in here}):
        if wanted is not None and pref != int(wanted, 0):
            continue
        group = [one for one in here if (one.chain, one.pref) == (chain, pref)]
        head: dict[str, Any] = {"protocol": _protocol(group[0].protocol)}
        if wanted is None:
            head["pref"] = pref
        head |= {"kind": group[0].kind, "chain": chain}
        listed.append(head)
        for one in sorted(group, key=lambda one: one.handle):
            meter = meters.get(id(one), 0)
            listed.append({**head, "options": _options(one, meter)})
            text += _text(head, one, meter)
    return json.dumps(listed).replace("\\u0000", "") + "\n" if _json(options) else text


def _text(head: dict[str, Any], one: Filter, meter: int) -> str:
    where = f"filter protocol {head['protocol']} pref {one.pref} {one.kind} chain {one.chain} handle {one.handle:#x}\n"
    if one.police is None:
        return where
    rate, unit = one.police[0], 0
    while rate >= 1000 and rate % 1000 == 0:
        rate, unit = rate // 1000, unit + 1
    burst = one.police[1]
    size = f"{burst >> 20}Mb" if burst % (1 << 20) == 0 else f"{burst >> 10}Kb" if burst % 1024 == 0 else f"{burst}b"
    shown = f"rate {rate}{('', 'K', 'M', 'G')[unit]}bit burst {size} mtu 64Kb action drop/pipe overhead 0b"
    return f"{where}\taction order 1:  police {meter:#x} {shown}\n\tref 1 bind 1\n"


def _options(one: Filter, meter: int) -> dict[str, Any]:
    if one.kind == "u32":
        options: dict[str, Any] = {"fh": f"800::{one.handle:x}", "order": one.handle, "key_ht": "800", "bkt": "0"}
    else:
        options = {"handle": one.handle, "keys": _keys(one)}
    if one.skip_sw:
        options["skip_sw"] = True
    if one.skip_hw:
        options["skip_hw"] = True
    if one.in_hw:
        options |= {"in_hw": True, "in_hw_count": 1}
    else:
        options["not_in_hw"] = True
    return {**options, "actions": _shown(one, meter)}


def _keys(one: Filter) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name in ("vlan_id", "vlan_ethtype"):
        if name in one.keys:
            number = int(one.keys[name], 0)
            keys[name] = number if name == "vlan_id" else _protocol(number)
    for name in ("dst_mac", "src_mac"):
        if name in one.keys:
            keys[name] = _mac(one.keys[name])
    if one.protocol != 0x8100:
        keys["eth_type"] = {0x0800: "ipv4", 0x86DD: "ipv6"}.get(one.protocol, f"{one.protocol:x}")
    return keys | {name: one.keys[name] for name in ("dst_ip", "src_ip", "ip_proto") if name in one.keys}


def _shown(one: Filter, meter: int) -> list[dict[str, Any]]:
    stats = dict.fromkeys(("bytes", "packets", "drops", "overlimits", "requeues", "backlog", "qlen"), 0)
    tail = {"index": 1, "ref": 1, "bind": 1, "installed": 0, "last_used": 0, "stats": stats}
    shown: list[dict[str, Any]] = []

    def add(**what: Any) -> None:
        shown.append({"order": len(shown) + 1, **what})

    if one.police is not None:  # tc writes the key of its two verdicts twice
        twice = {"control_action": {"type": "drop"}, "control_action\0": {"type": "pipe"}}
        add(kind="police", **{**tail, "index": meter}, **twice, overhead=0)
    for copy in one.mirrors:
        what = {"kind": "mirred", "mirred_action": "mirror", "direction": "egress", "to_dev": shown_name(copy)}
        add(**what, control_action={"type": "pipe"}, **tail)
    if one.action == REDIRECT:
        what = {"kind": "mirred", "mirred_action": "redirect", "direction": "egress", "to_dev": one.target_name}
        add(**what, control_action={"type": "stolen"}, **tail)
    elif one.action in (DROP, GOTO):
        does = {"type": "drop"} if one.action == DROP else {"type": "goto", "chain": one.goto}
        add(kind="gact", control_action=does, prob={"random_type": "none"}, **tail)
    else:
        add(kind="skbedit", queue_mapping=one.queue, control_action={"type": "pipe"}, **tail)
    return shown


def _mac(text: str) -> str:
    """Masks of leading ones are printed as their length."""
    address, _, mask = text.partition("/")
    if not mask or mask == "ff:ff:ff:ff:ff:ff":
        return address
    bits = f"{int(mask.replace(':', ''), 16):048b}"
    return f"{address}/{bits.count('1')}" if "01" not in bits else f"{address}/{mask}"
