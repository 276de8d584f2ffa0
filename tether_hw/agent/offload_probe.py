# SPDX-License-Identifier: Apache-2.0
"""Finding out what the drivers of this host take into hardware: a rule is set that no frame fits, looked at, and taken.

Asked for by a person, under the host's lock, on a pref that nothing else has. Each probe is in a journal before it
begins, so that what one leaves when it is cut off is taken away by the next verb that changes this host.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Optional

from tether_hw.agent import cards, command, probed
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.journal import BEGIN, END, Journal
from tether_hw.agent.process import ProcessId, boot_id, read_stat
from tether_hw.nic.generic import read as links
from tether_hw.plan.probed import HARDWARE, LIES, PREF, REFUSED
from tether_hw.plan.rule_commands import tc_hook, tc_offload

if TYPE_CHECKING:
    from tether_hw.agent.host import Host
    from tether_hw.plan.rule_commands import Words

RUN, PURPOSE = "probe", "probe"
_STEP_S = 15.0
#: A unicast address of documentation (RFC 7042): no frame goes there.
_NOBODY = "00:00:5e:00:53:ff"
_HANDLE = "0x88b5f000"


def probe(host: Host, selectors: list[dict[str, Any]], holder: str) -> dict[str, Any]:
    """Probe the functions that are asked for: {"probed": [...], "skipped": [{"function", "why"}]}."""
    if os.geteuid() != 0:
        raise Refused("a probe needs root")
    host.make_state()
    mend(host)
    host.lock.take(RUN, holder, PURPOSE)
    done: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    try:
        nics = links.read(selectors, [], [])[0]
        for one in cards.chosen(selectors, nics, []):
            why = _one(host, one.function, done)
            if why is not None:
                skipped.append({"function": one.function, "why": why})
    finally:
        if not _open(host):
            host.lock.release(RUN)
    return {"probed": done, "skipped": skipped}


def journal(host: Host) -> Journal:
    return Journal(Path(host.paths.probes))


def _one(host: Host, function: str, done: list[dict[str, Any]]) -> Optional[str]:
    """Probe one function; why not, where it cannot be."""
    now = cards.standing(function, host.paths)
    device, table = now.config["device"], now.config["flower"]
    if device is None or table is None:
        return "it has no device" if device is None else "tc does not tell its rules"
    taken = [item for item in cards.filters(device) if item.pref == PREF] if table["hook"] else []
    if taken:
        return "pref %d of %s is taken by a rule that is not ours" % (PREF, device)
    mode = now.config["eswitch"] or "none"
    stat = read_stat(os.getpid())
    mine = {"function": function, "device": device, "hook": table["hook"], "offload": table["offload"]}
    book = journal(host)
    book.append("probe", BEGIN, start=0 if stat is None else stat.start, **mine)
    found: Optional[dict[str, Any]] = None
    why: Optional[str] = None
    try:
        found = _try(device, table["hook"], table["offload"], list(now.status["representors"].values()))
    except AgentError as error:
        why = error.message
    _undo(device, table["hook"], table["offload"])
    if found is not None:
        found["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        probed.keep(host.paths, function, mode, probed.ground(now.config, now.status), found)
        done.append({"function": function, "mode": mode, **found})
    book.append("probe", END, function=function, found=found)
    return why


def _try(device: str, hook: bool, offload: bool, representors: Iterable[str]) -> dict[str, Any]:
    if not offload:
        command.execute(tc_offload(device, True), _STEP_S)  # refused where it is fixed: the rule's refusal tells it
    if not hook:
        command.checked(tc_hook(device, True), _STEP_S)
    drop = ("action", "drop")
    flower = ("handle", _HANDLE, "flower", "dst_mac", _NOBODY, "skip_sw")
    found = {"flower": _rule(device, (*flower, *drop))}
    for representor in sorted(representors)[:1]:
        if found["flower"]["verdict"] == HARDWARE:
            found["flower"] = _rule(device, (*flower, "action", "mirred", "egress", "redirect", "dev", representor))
    found["u32"] = _rule(device, ("u32", "match", "u32", "0xffffffff", "0xffffffff", "at", "0", "skip_sw", *drop))
    return found


def _rule(device: str, words: Words) -> dict[str, Any]:
    """What comes of one rule for hardware only. It is taken away again at once."""
    argv = ("tc", "filter", "add", "dev", device, "ingress", "protocol", "0x88b5", "pref", str(PREF), *words)
    done = command.execute(argv, _STEP_S)
    try:
        if done.code != 0:
            return {"verdict": REFUSED, "words": _said(done.err)}
        there = [item for item in cards.filters(device) if item.pref == PREF]
        if any(item.in_hw for item in there):
            return {"verdict": HARDWARE, "words": ""}
        return {"verdict": LIES, "words": "tc ends well, and shows it in no hardware" if there else "tc shows no rule"}
    finally:
        _take(device)


def _said(text: str) -> str:
    """The driver's words, without those of tc about its own state."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "talking to the kernel" not in line]
    return "; ".join(lines)[:1000] or "tc fails without words"


def _take(device: str) -> None:
    command.execute(("tc", "filter", "del", "dev", device, "ingress", "pref", str(PREF)), _STEP_S)


def _undo(device: str, hook: bool, offload: bool) -> None:
    """The device as it was. Raises AgentError where it is not so afterwards."""
    there = links.read([{"name": device}], [], [])[0]
    if device not in there:
        return
    _take(device)
    if not hook and _empty(device):
        command.execute(tc_hook(device, False), _STEP_S)
    if not offload:
        command.execute(tc_offload(device, False), _STEP_S)
    left = [item for item in cards.filters(device) if item.pref == PREF] if hook else []
    if left:
        raise AgentError("%s: the rule of the probe cannot be taken away" % device)


def _empty(device: str) -> bool:
    """Whether nothing hangs on the hook: it takes all along."""
    shown = [cards.ask(["tc", "-j", "filter", "show", "dev", device, end]) for end in ("ingress", "egress")]
    return all((text or "").strip() in ("", "[]", "[ ]") for text in shown)


def _open(host: Host) -> list[dict[str, Any]]:
    """Probes that began and did not end, the last one of each function."""
    last: dict[str, dict[str, Any]] = {}
    for record in journal(host).records():
        last[str(record.get("function"))] = record
    return [record for record in last.values() if record["phase"] == BEGIN]


def runs(host: Host) -> bool:
    """Whether a probe is at work now; also where we may not read of it."""
    try:
        return any(record["boot"] == boot_id() and _alive(record) for record in _open(host))
    except OSError:
        return True


def _alive(record: dict[str, Any]) -> bool:
    return ProcessId(record["pid"], record["start"]).alive() and record["pid"] != os.getpid()


def mend(host: Host) -> None:
    """Take away what a probe left that was cut off; one that still runs keeps the host."""
    for record in _open(host):
        if record["boot"] == boot_id():
            if _alive(record):
                return
            _undo(record["device"], record["hook"], record["offload"])
        journal(host).append("probe", END, function=record["function"], found=None)
    holder = host.lock.holder()
    if holder is not None and holder["for"] == PURPOSE:
        host.lock.release(RUN)
