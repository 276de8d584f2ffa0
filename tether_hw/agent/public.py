# SPDX-License-Identifier: Apache-2.0
"""The public half of this host's identity key. The secret is read where it lies and goes nowhere."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tether_hw.agent import command
from tether_hw.agent.errors import AgentError
from tether_hw.agent.host import own_bundle
from tether_hw.plan.shape import HEX64

if TYPE_CHECKING:
    from tether_hw.agent.host import Host

_ENGINE_S = 30.0


def key(host: Host, serving: Optional[str]) -> Optional[str]:
    """The public key in hex, computed by the engine's library; None where no bundle is there to compute it."""
    status = os.stat(host.paths.identity)
    if own_bundle() is not None:
        return _computed(host.paths.identity, status.st_ino, status.st_mtime_ns)
    trouble: Optional[AgentError] = None
    for program in _engines(host, serving):
        try:
            text = command.run([str(program), "identity", "--public", host.paths.identity], _ENGINE_S).strip()
        except AgentError as error:
            trouble = error
            continue
        if HEX64.match(text):
            return text
        trouble = AgentError("%s did not print a public key" % program)
    if trouble is not None:
        raise trouble
    return None


@lru_cache(maxsize=1)
def _computed(path: str, _inode: int, _changed_ns: int) -> str:
    from tether_hw.transport import identity

    return identity.public_key(identity.read(path))


def _engines(host: Host, serving: Optional[str]) -> list[Path]:
    """Engines of bundles on this host, that of the service first, then the newest."""
    programs = Path(host.paths.bundles).glob("*/bin/tether-engine")
    found = sorted(programs, key=lambda path: path.parents[1].stat().st_mtime_ns, reverse=True)
    first = [] if serving is None else [Path(host.program("tether-engine", serving))]
    return [path for path in (*first, *found) if path.is_file()]
