# SPDX-License-Identifier: Apache-2.0
"""The strict parser of rendered batches: what it does not know word for word does not travel and does not run.

A line is split at single spaces; there is no quoting, so a value with a space, a quote or a newline cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tether_hw.nic.steering.rule import (
    DROP,
    EXACT,
    GOTO,
    HANDLE_BASE,
    MOST_CHAIN,
    MOST_RULES,
    OUR_PREFS,
    PREF_TAGGED,
    QUEUE,
    REDIRECT,
    MacMatch,
    Police,
    Rule,
)
from tether_hw.plan.rule import MOST_MIRRORS, SYMBOLIC, TARGET
from tether_hw.plan.rule_commands import SKIP
from tether_hw.plan.rule_police import MOST_BITS, MOST_BURST, MTU, shown_rate

_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_RATE = re.compile(r"[1-9][0-9]{0,14}bit\Z")
_OFFLOAD = {word: name for name, word in SKIP.items()}


class GrammarError(ValueError):
    """A batch with a word that does not belong there; says line and column."""

    def __init__(self, line: int, col: int, message: str) -> None:
        super().__init__(f"{line}:{col}: {message}")
        self.line = line
        self.col = col
        self.message = message


class _Words:
    def __init__(self, text: str, line: int) -> None:
        self.line = line
        self._words: list[tuple[int, str]] = []
        col = 1
        for word in text.split(" "):
            if not word or not word.isascii() or not word.isprintable():
                raise GrammarError(line, col, "words have one space between them and are printable")
            self._words.append((col, word))
            col += len(word) + 1
        self._end = col
        self._at = 0

    def fail(self, message: str) -> GrammarError:
        col = self._words[self._at][0] if self._at < len(self._words) else self._end
        return GrammarError(self.line, col, message)

    def peek(self) -> str:
        return self._words[self._at][1] if self._at < len(self._words) else ""

    def take(self, what: str) -> str:
        if self._at >= len(self._words):
            raise self.fail(f"{what} should follow")
        self._at += 1
        return self._words[self._at - 1][1]

    def expect(self, *words: str) -> None:
        for word in words:
            if self.peek() != word:
                raise self.fail(f"{word!r} should stand here")
            self._at += 1

    def skip(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self._at += 1
        return True

    def match(self, pattern: re.Pattern[str], what: str) -> str:
        if not pattern.match(self.peek()):
            raise self.fail(f"{what} should stand here")
        return self.take(what)

    def number(self, what: str, least: int, most: int) -> int:
        text = self.peek()
        found = re.match(r"(0x[0-9a-f]{1,8}|[0-9]{1,10})\Z", text)
        value = int(text, 16 if text.startswith("0x") else 10) if found else -1
        if not least <= value <= most:
            raise self.fail(f"{what} of {least} to {most} should stand here")
        self._at += 1
        return value

    def end(self) -> None:
        if self._at < len(self._words):
            raise self.fail(f"{self.peek()!r} is one word too many")


def tc_batch(text: str) -> list[tuple[str, Rule | str]]:
    """A batch for `tc -b -`: ("qdisc", device), ("replace", rule) and ("del", rule) in order. Raises GrammarError."""
    found: list[tuple[str, Rule | str]] = []
    if text and not text.endswith("\n"):
        raise GrammarError(text.count("\n") + 1, 1, "the last line has no end")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        words = _Words(line, number)
        if words.skip("qdisc"):
            words.expect("add", "dev")
            found.append(("qdisc", words.match(TARGET, "a device")))
            words.expect("clsact")
        else:
            words.expect("filter")
            verb = words.take("replace or del")
            if verb not in ("replace", "del"):
                raise GrammarError(number, 8, f"{verb!r} is neither replace nor del")
            found.append((verb, _filter(words, whole=verb == "replace")))
        words.end()
    return found


def _filter(words: _Words, *, whole: bool) -> Rule:
    words.expect("dev")
    device = words.match(TARGET, "a device")
    words.expect("ingress", "protocol")
    tagged = words.skip("802.1q")
    ethertype = 0 if tagged else words.number("an EtherType", 0x0600, 0xFFFF)
    words.expect("pref")
    pref = words.number("a pref of ours", min(OUR_PREFS), max(OUR_PREFS))
    if (pref == PREF_TAGGED) != tagged:
        raise words.fail(f"pref {pref} does not belong to this protocol")
    chain = words.number("a chain", 1, MOST_CHAIN) if words.skip("chain") else 0
    words.expect("handle")
    handle = words.number("a handle of ours", HANDLE_BASE, HANDLE_BASE + MOST_RULES - 1)
    words.expect("flower")
    number = handle - HANDLE_BASE
    if not whole:
        return Rule("rule", device, number, DROP, ethertype or 0x88B5, vlan=0 if tagged else None, chain=chain)
    vlan: int | None = None
    if tagged:
        words.expect("vlan_id")
        vlan = words.number("a VLAN id", 0, 4095)
        words.expect("vlan_ethtype")
        ethertype = words.number("an EtherType", 0x0600, 0xFFFF)
    destination = _mac(words) if words.skip("dst_mac") else None
    source = _mac(words) if words.skip("src_mac") else None
    offload = "preferred"
    if words.peek() in _OFFLOAD:
        offload = _OFFLOAD[words.take("skip_sw or skip_hw")]
    action, queue, target, goto, mirror, police = _actions(words, chain)
    where = (destination, source, vlan, queue, target, offload, chain, goto, mirror, police)
    return Rule("rule", device, number, action, ethertype, *where)


def _actions(
    words: _Words, chain: int
) -> tuple[str, int | None, str | None, int | None, tuple[str, ...], Police | None]:
    words.expect("action")
    police = _police(words) if words.skip("police") else None
    mirror: list[str] = []
    while words.skip("mirred"):
        words.expect("egress")
        if not words.skip("mirror"):
            words.expect("redirect", "dev")
            target = words.match(TARGET, "a device")
            if target in mirror:
                raise words.fail(f"{target} gets the frame twice")
            return REDIRECT, None, target, None, tuple(mirror), police
        words.expect("dev")
        mirror.append(words.match(TARGET, "a device"))
        if len(mirror) > MOST_MIRRORS or len(set(mirror)) < len(mirror):
            raise words.fail("a copy too many")
        words.expect("action")
    if mirror:
        raise words.fail("a redirect should stand behind a mirror")
    if words.skip("goto"):
        words.expect("chain")
        return GOTO, None, None, words.number("a chain behind the rule's own", chain + 1, MOST_CHAIN), (), police
    if police is not None:
        raise words.fail("a redirect or a goto should stand behind a police")
    if words.skip("drop"):
        return DROP, None, None, None, (), None
    words.expect("skbedit", "queue_mapping")
    return QUEUE, words.number("a queue", 0, 65535), None, None, (), None


def _police(words: _Words) -> Police:
    words.expect("rate")
    text = words.match(_RATE, "a rate in bit")
    rate = int(text[:-3])
    if not 8 <= rate <= MOST_BITS or rate != shown_rate(rate):
        raise words.fail(f"{text} is no rate that tc could show again")
    words.expect("burst")
    burst = words.number("a burst", 1, MOST_BURST)
    words.expect("mtu", str(MTU), "conform-exceed", "drop/pipe", "action")
    return Police(rate, burst)


def _mac(words: _Words) -> MacMatch:
    text = words.peek()
    address, slash, mask = text.partition("/")
    if not _MAC.match(address) or (slash and not _MAC.match(mask)):
        raise words.fail("a MAC address in lower case, perhaps with a mask, should stand here")
    words.take("a MAC address")
    return MacMatch(address, mask if slash else EXACT)


def bound(text: str, names: Mapping[str, str]) -> str:
    """A batch in which symbolic devices have their names here: whole words, parsed before and after.

    Raises GrammarError, also for a name that nobody knows.
    """
    tc_batch(text)
    lines = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        words = line.split(" ")
        for word in words:
            if SYMBOLIC.match(word) and word not in names:
                raise GrammarError(number, line.index(word) + 1, f"there is no {word} here")
        lines.append(" ".join(names[word] if SYMBOLIC.match(word) else word for word in words) + "\n")
    result = "".join(lines)
    if any(SYMBOLIC.match(word) for word in result.split()):
        raise GrammarError(1, 1, "a name was bound to another symbolic one")
    tc_batch(result)
    return result


def ethtool_command(argv: Sequence[str]) -> Rule | int:
    """One `ethtool -N` command: the rule that it sets (its number is the location), or the location that it deletes."""
    words = _Words(" ".join(argv), 1)
    words.expect("ethtool", "-N")
    device = words.match(_DEVICE, "a device")
    if words.skip("delete"):
        location = words.number("a location", 0, 2**31 - 1)
        words.end()
        return location
    words.expect("flow-type", "ether")
    source = _masked(words) if words.skip("src") else None
    destination = _masked(words) if words.skip("dst") else None
    words.expect("proto")
    ethertype = words.number("an EtherType", 0x0600, 0xFFFF)
    vlan: int | None = None
    if words.skip("vlan"):
        vlan = words.number("a VLAN id", 0, 4095)
        words.expect("m", "0xf000")
    words.expect("action")
    drop = words.skip("-1")
    queue = None if drop else words.number("a queue", 0, 65535)
    words.expect("loc")
    location = words.number("a location", 0, 2**31 - 1)
    words.end()
    return Rule("rule", device, location, DROP if drop else QUEUE, ethertype, destination, source, vlan, queue)


def _masked(words: _Words) -> MacMatch:
    address = words.match(_MAC, "a MAC address in lower case")
    if not words.skip("m"):
        return MacMatch(address)
    ignored = words.match(_MAC, "a mask")
    return MacMatch(address, ":".join(f"{0xFF ^ int(part, 16):02x}" for part in ignored.split(":")))
