# SPDX-License-Identifier: Apache-2.0
"""Templates to text: sandboxed, undefined names are errors, and the result is read by its grammar before it is used."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.data import data_path
from tether_hw.errors import TetherError
from tether_hw.nic.generic.render import unit_values
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.unit import UnitError, parse_unit

if TYPE_CHECKING:
    from jinja2 import Environment

UNIT_TEMPLATE = "common/tether-engine.service.j2"
SYSUSERS_TEMPLATE = "common/tether-sysusers.conf.j2"


@lru_cache(maxsize=4)
def _environment(folder: Path) -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # units, no HTML: their grammar reads what comes out
        keep_trailing_newline=True,
    )


def render(template: str, values: dict[str, Any], folder: Path | None = None) -> str:
    """The text of a template of this suite. Raises TetherError where it cannot be rendered."""
    from jinja2 import TemplateError

    try:
        return str(_environment(folder or data_path("templates")).get_template(template).render(values))
    except TemplateError as error:
        raise TetherError(f"template {template}: {error}") from None


def engine_unit(paths: HostPaths, user: str, bundle: str, carriers: Iterable[str], folder: Path | None = None) -> str:
    """The systemd unit of an engine, read by its grammar. Raises TetherError."""
    values = {"user": user, "bundle": paths.bundle(bundle), "config": paths.engine_config, **unit_values(carriers)}
    text = render(UNIT_TEMPLATE, values, folder)
    try:
        parse_unit(text)
    except UnitError as error:
        raise TetherError(f"template {UNIT_TEMPLATE} does not make a unit of ours: {error}") from None
    return text
