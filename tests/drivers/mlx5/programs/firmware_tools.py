# SPDX-License-Identifier: Apache-2.0
"""mlxconfig and mlxfwreset, which are mstconfig and mstfwreset too."""

from __future__ import annotations

from typing import Any

from tests.drivers.common.machine import Done
from tests.drivers.common.rules import Refused
from tests.drivers.mlx5.card import Card
from tests.drivers.mlx5.firmware import Firmware

PCI, WARM = 3, 4
HEAD = """
Device #1:
----------

Device type:        {type}
Name:               {name}
Description:        {description}
Device:             {device}

"""
LEVELS = {
    0: 'Driver, PCI link, network link will remain up ("live-Patch")',
    1: 'Only ARM side will not remain up ("Immediate reset").',
    3: "Driver restart and PCI reset",
    4: "Warm Reboot",
}
TYPES = {
    0: "Full chip reset",
    1: "Phy-less reset (keep network port active during reset)",
    2: "NIC only reset (for SoC devices)",
    3: "ARM only reset",
    4: "ARM OS shut down",
}
SYNCS = {0: "Tool is the owner", 1: "Driver is the owner"}


def _head(card: Card, device: str) -> str:
    kind, name, description = card.about
    return HEAD.format(type=kind, name=name, description=description, device=device)


def _card(machine: Any, words: list[str]) -> tuple[Card | None, str, list[str]]:
    """The card of -d, its name, and the words without options."""
    name = words[words.index("-d") + 1] if "-d" in words[:-1] else ""
    rest = [word for word in words if word != name and not word.startswith("-")]
    function = machine.function(name)
    return (None if function is None else function.card), name, rest


def config(machine: Any, words: list[str], stdin: str) -> Done:
    """mlxconfig -d X [-e] q [KEY...]; mlxconfig -d X -y set KEY=VALUE..."""
    card, name, rest = _card(machine, words)
    if card is None:
        return Done(3, "", f"-E- Failed to open the device: {name}\n")
    verb, keys = rest[:1], rest[1:]
    if verb in (["q"], ["query"]):
        kinds = card.firmware.kinds
        unknown = [key for key in keys if key not in kinds]
        if unknown:
            return Done(3, _head(card, name), f"-E- The Device doesn't support {unknown[0]} parameter\n")
        return Done(0, _table(card, name, machine.function(name).port, keys or list(kinds), "-e" in words))
    if verb not in (["s"], ["set"]) or not keys or "-y" not in words:
        return Done(1, "", "-E- Invalid command\n")
    kept = dict(card.firmware.next)
    try:
        card.may_set()
        for word in keys:
            key, _, value = word.partition("=")
            card.firmware.set(key, value, machine.function(name).port)
    except Refused as refused:
        card.firmware.next = kept  # all or nothing
        return Done(3, _head(card, name), f"{refused.words}\n")
    text = "\n Apply new Configuration? (y/n) [n] : y\nApplying... Done!\n"
    text += "-I- Please reboot machine to load new configurations.\n"
    return Done(0, _head(card, name) + text)


def _table(card: Card, name: str, port: int, keys: list[str], whole: bool) -> str:
    columns = ("Default", "Current", "Next Boot") if whole else ("Next Boot",)
    text = _head(card, name) + f"{'Configurations:':<48}" + "".join(f"{column:<20}" for column in columns) + "\n"
    changed = False
    for key in keys:
        kind = card.firmware.kinds[key]
        place = card.firmware.place(key, port)
        values = [kind.default, card.firmware.current[place], card.firmware.next[place]]
        star = "*" if whole and len(set(values)) > 1 else " "
        changed = changed or star == "*"
        shown = [kind.shown(value) for value in (values if whole else values[2:])]
        text += f"{star:<9}{key:<39}" + "".join(f"{value:<20}" for value in shown) + "\n"
    return text + (
        "The '*' shows parameters with next value different from default/current value.\n" if changed else ""
    )


def reset(machine: Any, words: list[str], stdin: str) -> Done:
    """mlxfwreset -d X q; mlxfwreset -d X -y [-l N] [--sync N] reset."""
    level, sync = _option(words, "-l", "--level"), _option(words, "--sync")
    plain = [word for at, word in enumerate(words) if at == 0 or words[at - 1] not in ("-l", "--level", "--sync")]
    card, name, rest = _card(machine, plain)
    if card is None:
        return Done(1, "", f"-E- Failed to open the device: {name}\n")
    if rest in (["q"], ["query"]):
        return Done(0, query(card.firmware))
    if rest not in (["r"], ["reset"]) or not {"-y", "--yes"} & set(words):
        return Done(1, "", "-E- Invalid command\n")
    level = min(card.firmware.levels) if level is None else level
    try:
        card.check_reset(level, sync)
    except Refused as refused:
        return Done(1, "", f"{refused.words}\n")
    head = f"The reset level for device, {name} is:\n\n{level}: {LEVELS[level]}\n"
    if level == PCI:
        card.reset()
        return Done(0, f"{head}-I- Sending Reset Command To Fw             -Done\n-I- FW was loaded successfully.\n")
    card.at_reboot()
    machine.leave()
    return Done(0, f"{head}-I- Sending reboot command to machine       -Done\n")


def _option(words: list[str], *names: str) -> int | None:
    return next((int(words[at + 1]) for at, word in enumerate(words[:-1]) if word in names), None)


def query(firmware: Firmware) -> str:
    """What the firmware offers, as the tool prints it."""
    first = min(firmware.levels, default=None)
    text = "Reset-levels:\n" + "".join(_offer(at, LEVELS[at], firmware.levels, first) for at in LEVELS)
    text += "\nReset-types (relevant only for reset-levels 1,3,4):\n"
    text += "".join(_offer(at, TYPES[at], (0,), 0) for at in TYPES)
    text += "\nReset-sync (relevant only for reset-level 3):\n"
    return text + "".join(_offer(at, SYNCS[at], firmware.syncs, firmware.sync, "Not supported") for at in SYNCS)


def _offer(at: int, words: str, offered: tuple[int, ...], default: int | None, none: str = "Not Supported") -> str:
    return f"{at}: {words:<62}-{'Supported' if at in offered else none:<14}{'(default)' if at == default else ''}\n"
