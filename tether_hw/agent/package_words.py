# SPDX-License-Identifier: Apache-2.0
"""What became of a package when ice loaded: its lines in the kernel's log, in words that say what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Optional


@dataclass(frozen=True)
class Result:
    """One way in which loading ends. `good`: the driver works with a package afterwards."""

    name: str
    line: re.Pattern[str]
    good: bool
    words: str


def _result(name: str, line: str, good: bool, words: str) -> Result:
    return Result(name, re.compile(line, re.IGNORECASE), good, words)


#: Newest wording of the driver; older ones differ in blanks and capitals only. The first that fits a line is meant.
RESULTS = (
    _result("loaded", r"DDP package was successfully loaded", True, "the package was loaded"),
    _result("same", r"DDP package already present on device", True, "the card had this package already"),
    _result(
        "other",
        r"because a compatible DDP package is already present",
        True,
        "the card kept another package: a function of it, or another system on it, had loaded that one; "
        "it goes when no function has a driver any more, or with the card's power",
    ),
    _result(
        "unsupported",
        r"device has a DDP package that is not supported by the driver",
        False,
        "the card holds another package that this driver does not support; a power cycle clears it",
    ),
    _result(
        "firmware",
        r"firmware loaded on the device is not compatible with the DDP package",
        False,
        "the card's firmware (NVM) does not go with this package: update the NVM, or take an older package",
    ),
    _result("invalid", r"DDP package file is invalid", False, "the file is no package that this driver can read"),
    _result(
        "too-new",
        r"DDP package file version is higher than the driver supports",
        False,
        "the package is too new for this driver: update the driver, or take an older package",
    ),
    _result(
        "too-old",
        r"DDP package file version is lower than the driver supports",
        False,
        "the package is too old for this driver: take a newer one",
    ),
    _result(
        "signature",
        r"DDP package could not be loaded because its signature is not valid",
        False,
        "the card's firmware found no signature or not a good one: production firmware takes only packages that the "
        "vendor signed, unmodified",
    ),
    _result(
        "security-revision",
        r"DDP package could not be loaded because its security revision is too low",
        False,
        "the card's firmware bars this security revision: take a newer package",
    ),
    _result(
        "device-error",
        r"error occurred on the device while loading the DDP package",
        False,
        "the card stopped while it loaded: a buffer or the manifest does not agree with the signed hashes, so the file "
        "is damaged or was changed; the card was reset",
    ),
    _result(
        "no-file",
        r"DDP package file was not found or could not be read|DDP package file failed to load",
        False,
        "the driver found no package file",
    ),
    _result("unknown", r"unknown error(?: \([^)]*\))? occurred when loading the DDP package", False, "nobody says why"),
)


def results(lines: Iterable[str]) -> list[tuple[Result, str]]:
    """What the lines tell of packages, oldest first, each with its line."""
    found = []
    for line in lines:
        for result in RESULTS:
            if result.line.search(line):
                found.append((result, line))
                break
    return found


def _named(package: Optional[dict[str, Any]]) -> str:
    return "no package" if package is None else "package %s %s" % (package["name"], package["version"])


def explain(
    card: str, wanted: Optional[dict[str, Any]], safe_mode: bool, now: dict[str, Any], lines: Iterable[str]
) -> str:
    """Why a card is not with the package that it should have. now: its entry of config; lines: the kernel's, new."""
    state = "in safe mode" if now["safe_mode"] else "with %s" % _named(now["package"])
    should = "safe mode" if safe_mode else _named(wanted)
    text = "card %s is %s, planned was %s" % (card, state, should)
    found = results(lines)
    # Where one function fails, the others say less: the first reason counts.
    told = next(((result, line) for result, line in found if not result.good), found[-1] if found else None)
    if told is None:
        return text + ": the kernel's log does not say why"
    return "%s: %s (%s; the driver: %s)" % (text, told[0].words, told[0].name, told[1])
