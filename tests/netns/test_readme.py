# SPDX-License-Identifier: Apache-2.0
"""The README's tutorial, typed by a machine: every command, in order, in one shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.readme import ROOT, commands
from tether_hw.lab.names import cache_folder


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    lines = commands()
    assert sum("tether " in line for line in lines) > 15
    # A home of its own: the lab's state, keys and known_hosts go there; only the image cache is shared.
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(cache_folder().parent)}
    environment.pop("XDG_STATE_HOME", None)
    environment.pop("TETHER_INVENTORY", None)
    script = ["set -e", *(f"echo '$' {number}; {line}" for number, line in enumerate(lines))]
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert f"$ {len(lines) - 1}" in done.stdout
    finally:
        down = [str(ROOT / ".venv/bin/tether"), "lab", "down"]
        subprocess.run(down, env=environment, check=True, capture_output=True, timeout=60)
