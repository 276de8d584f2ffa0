# SPDX-License-Identifier: Apache-2.0
"""What a probe found out about a function: whether its driver takes rules of tc into hardware, on this very kernel.

A table cannot know it: kernels are built whose driver has switchdev and representors, and says no to every rule.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from tether_hw.plan.shape import Fields

#: The pref that a probe uses, and nothing else of ours.
PREF = 0x4B4
#: hardware: taken, and shown to be there. refused: the driver says no. lies: taken, and shown to be nowhere.
HARDWARE, REFUSED, LIES = "hardware", "refused", "lies"
VERDICTS = (HARDWARE, REFUSED, LIES)
MODES = ("legacy", "switchdev", "none")
#: Drivers that say no in either mode of the e-switch where they say it in one: their flower is built, or is not.
_SAME_IN_BOTH = ("mlx5_core", "netdevsim")
_FUNCTION = re.compile(r"[0-9A-Za-z:._-]{1,64}\Z")


def parse(value: Any, where: str) -> dict[str, Any]:
    """status' "probed": function -> mode of the e-switch -> {"flower", "u32", "at"}. Raises ShapeError."""
    return Fields({"probed": value}, where).table("probed", _modes, _FUNCTION)


def _modes(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    found = {mode: _entry(fields.take(mode), fields.at(mode)) for mode in MODES if fields.has(mode)}
    fields.done()
    return found


def _entry(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    entry: dict[str, Any] = {name: _verdict(fields.take(name), fields.at(name)) for name in ("flower", "u32")}
    entry["at"] = fields.text("at", limit=64)
    fields.done()
    return entry


def _verdict(value: Any, where: str) -> dict[str, Any]:
    fields = Fields(value, where)
    verdict = {"verdict": fields.one_of("verdict", VERDICTS), "words": fields.text("words")}
    fields.done()
    return verdict


def offloads(status: Mapping[str, Any], function: str, driver: str | None, mode: str) -> tuple[Optional[bool], str]:
    """Whether rules of tc flower go to hardware on this function in this mode, and in which words; None: unknown."""
    modes: Mapping[str, Any] = status.get("probed", {}).get(function, {})
    entry = modes.get(mode)
    if entry is not None:
        return _told(entry, "")
    if driver in _SAME_IN_BOTH:
        for other in MODES:
            if other in modes and modes[other]["flower"]["verdict"] != HARDWARE:
                return _told(modes[other], " (probed in %s)" % other)
    return None, "unknown whether hardware takes rules of tc here: tether facts --probe finds out"


def _told(entry: Mapping[str, Any], where: str) -> tuple[bool, str]:
    verdict, words = entry["flower"]["verdict"], entry["flower"]["words"]
    if verdict == HARDWARE:
        return True, "hardware takes rules of tc, as the probe of %s found" % entry["at"]
    what = "hardware takes no rule of tc" if verdict == REFUSED else "rules of tc are taken and run nowhere"
    return False, "%s, as the probe of %s found%s%s" % (what, entry["at"], where, ": " + words if words else "")
