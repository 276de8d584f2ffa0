# SPDX-License-Identifier: Apache-2.0
"""From a parser profile to the source of a DDP package, by the template."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from tether_hw.errors import InputErrors, Problem
from tether_hw.fleet import source
from tether_hw.fleet.explain import explain
from tether_hw.fleet.render import render
from tether_hw.nic.e810.profile import ParserProfile

TEMPLATES = {"full": "e810/parser.ddp.j2", "overlay": "e810/overlay.ddp.j2"}


def read_profile(path: Path) -> ParserProfile:
    """The profile in a file. Raises InputErrors with every mistake."""
    problems: list[Problem] = []
    tree = source.read(path, problems)
    if problems:
        raise InputErrors(problems)
    try:
        return ParserProfile.model_validate(tree.plain())
    except ValidationError as error:
        raise InputErrors(list(explain(error, tree, ParserProfile))) from None


def source_of(profile: ParserProfile, *, overlay: bool = False) -> str:
    """The source text: the whole parser, or only the Tether part to lay over a package of this parser's names."""
    return render(TEMPLATES["overlay" if overlay else "full"], profile.model_dump())
