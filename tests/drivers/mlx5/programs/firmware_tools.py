# SPDX-License-Identifier: Apache-2.0
"""mlxconfig and mlxfwreset, which are mstconfig and mstfwreset too."""

from __future__ import annotations

import errno
from typing import Any

from tests.drivers.common.machine import Done
from tests.drivers.common.rules import Refused
from tests.drivers.mlx5.card import Card
from tests.drivers.mlx5.firmware import KINDS

HEAD = """
Device #1:
----------

Device type:        ConnectX7
Name:               MCX75510AAS-NEA_Ax
Description:        NVIDIA ConnectX-7 adapter card; single-port OSFP
Device:             {device}

"""
LEVELS = {
    0: 'Driver, PCI link, network link will remain up ("live-Patch")',
    3: "Driver restart and PCI reset",
    4: "Warm Reboot",
    5: "Cold Reboot",
}


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
        unknown = [key for key in keys if key not in KINDS]
        if unknown:
            return Done(3, HEAD.format(device=name), f"-E- The Device doesn't support {unknown[0]} parameter\n")
        return Done(0, _table(card, name, keys or list(KINDS), "-e" in words))
    if verb not in (["s"], ["set"]) or not keys or "-y" not in words:
        return Done(1, "", "-E- Invalid command\n")
    kept = dict(card.firmware.next)
    try:
        for word in keys:
            key, _, value = word.partition("=")
            card.firmware.set(key, value)
    except Refused as refused:
        card.firmware.next = kept  # all or nothing
        return Done(3, HEAD.format(device=name), f"{refused.words}\n")
    text = "\n Apply new Configuration? (y/n) [n] : y\nApplying... Done!\n"
    text += "-I- Please reboot machine to load new configurations.\n"
    return Done(0, HEAD.format(device=name) + text)


def _table(card: Card, name: str, keys: list[str], whole: bool) -> str:
    columns = ("Default", "Current", "Next Boot") if whole else ("Next Boot",)
    text = HEAD.format(device=name) + f"{'Configurations:':<48}" + "".join(f"{column:<20}" for column in columns) + "\n"
    changed = False
    for key in keys:
        kind = KINDS[key]
        values = [kind.default, card.firmware.current[key], card.firmware.next[key]]
        star = "*" if whole and len(set(values)) > 1 else " "
        changed = changed or star == "*"
        shown = [kind.shown(value) for value in (values if whole else values[2:])]
        text += f"{star:<9}{key:<39}" + "".join(f"{value:<20}" for value in shown) + "\n"
    return text + (
        "The '*' shows parameters with next value different from default/current value.\n" if changed else ""
    )


def reset(machine: Any, words: list[str], stdin: str) -> Done:
    """mlxfwreset -d X q; mlxfwreset -d X -y -l N reset."""
    level = int(words[words.index("-l") + 1]) if "-l" in words[:-1] else None
    card, name, rest = _card(machine, [word for at, word in enumerate(words) if at == 0 or words[at - 1] != "-l"])
    if card is None:
        return Done(1, "", f"-E- Failed to open the device: {name}\n")
    firmware = card.firmware
    if rest in (["q"], ["query"]):
        lines = [
            f"{number}: {text:<62}-{'Supported' if number in firmware.levels else 'Not Supported'}"
            for number, text in LEVELS.items()
        ]
        return Done(
            0,
            "Reset-levels:\n"
            + "\n".join(lines)
            + "\n\nReset-types (relevant only for reset-levels 3,4):\n0: Full chip reset -Supported\n",
        )
    if rest not in (["r"], ["reset"]):
        return Done(1, "", "-E- Invalid command\n")
    try:
        if level is not None and level not in firmware.levels:
            words_ = f"-E- Requested reset level ({level}) is not supported"
            raise Refused("reset-level", errno.EOPNOTSUPP, words_)
        if any(function.vfs for function in card.functions):
            raise Refused(
                "reset-with-vfs", errno.EBUSY, "-E- Can't reset the device while VFs are enabled, disable SR-IOV"
            )
    except Refused as refused:
        return Done(1, "", f"{refused.words}\n")
    if (level or min(firmware.levels)) == 3:
        for function in card.functions:
            function.end()
        firmware.start()
        for function in card.functions:
            function.begin()
        return Done(0, "-I- Sending Reset Command To Fw             -Done\n-I- FW was loaded successfully.\n")
    return Done(0, "-I- Sending Reset Command To Fw             -Done\n-I- A reboot is required.\n")
