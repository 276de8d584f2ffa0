# SPDX-License-Identifier: Apache-2.0
"""This host: where its things lie and which bundle this agent belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from tether_hw.agent.lock import HostLock
from tether_hw.agent.owned import Owned
from tether_hw.agent.run import Run
from tether_hw.plan.paths import HostPaths


class Host:
    def __init__(self, paths: HostPaths) -> None:
        self.paths = paths
        self.lock = HostLock(Path(paths.lock))
        self.owned = Owned(Path(paths.owned))
        #: Set by the boot check: services that wait for it must not be waited for.
        self.booting = False

    @property
    def runs(self) -> Path:
        return Path(self.paths.runs)

    def run(self, name: str) -> Run:
        return Run(self.runs, name)

    def all_runs(self) -> list[Run]:
        """The runs that this host knows, in the order in which they were staged here, oldest first.

        Their names start with a time of some controller's clock, so they do not say it.
        """
        try:
            names = sorted(entry.name for entry in os.scandir(self.runs) if entry.is_dir())
        except FileNotFoundError:
            return []
        return sorted((Run(self.runs, name) for name in names), key=Run.number)

    def make_state(self) -> None:
        """Make the state folder, which only we can read."""
        self.runs.mkdir(parents=True, exist_ok=True)
        Path(self.paths.state).chmod(0o755)
        self.runs.chmod(0o700)

    def program(self, name: str, bundle: Optional[str] = None) -> str:
        """The path of a program of a bundle; of this agent's own without a digest."""
        if bundle is None:
            folder = own_bundle()
            if folder is None:
                raise FileNotFoundError("this agent does not run from a bundle")
        else:
            folder = Path(self.paths.bundle(bundle))
        return str(folder / "bin" / name)


def own_bundle() -> Optional[Path]:
    """The folder of the bundle that this code was loaded from; None when it was loaded from elsewhere."""
    # <bundle>/lib/python/tether_hw/agent/host.py
    source = globals().get("__file__")
    if not source:
        return None
    folder = Path(os.path.realpath(source)).parents
    return folder[4] if len(folder) > 4 and (folder[4] / "manifest.json").is_file() else None


def own_digest() -> Optional[str]:
    """The digest of this agent's bundle: the name of its folder, given when the controller verified it."""
    folder = own_bundle()
    return None if folder is None else folder.name
