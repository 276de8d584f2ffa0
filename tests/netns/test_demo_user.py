# SPDX-License-Identifier: Apache-2.0
"""The demo as an ordinary user runs it: hosts as processes, udp on loopback, no privilege anywhere."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from tests.support.users import account

# What the demo does not import, and what weighs most.
LEFT_OUT = shutil.ignore_patterns("mypy", "mypyc", "ruff", "pip", "hypothesis", "__pycache__")


def test_the_demo_holds_without_root() -> None:
    with account("tdemo") as user:
        user.place("tether_hw", "inventory", "profiles", "templates", "demo", "tools", "build/bundles", "build/native")
        packages = user.home / "packages"
        shutil.copytree(Path(sysconfig.get_path("purelib")), packages, ignore=LEFT_OUT)
        packages.chmod(0o755)
        command = ["env", f"PYTHONPATH={packages}:{user.home / 'src'}", user.python, "demo/run.py", "--mebibytes", "64"]
        done = user.run(*command, timeout=300)
        left = user.processes()
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert "every lane runs over udp" in done.stdout
        assert "everything held" in done.stdout
        assert left == []
