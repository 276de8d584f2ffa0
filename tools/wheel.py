#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel into dist/ from the locked environment, with both bundles as data.

Usage: .venv/bin/python tools/wheel.py [FOLDER]       FOLDER instead of dist/
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tether_hw.fleet.bundle import ARCHITECTURES, find  # noqa: E402


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    for arch in ARCHITECTURES:
        find(arch)
    # The build back end and its helpers come from this environment, nothing is fetched.
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(target)]
    command += ["--config-settings", f"cmake.define.TETHER_BUNDLES={ROOT / 'build' / 'bundles'}", str(ROOT)]
    subprocess.run(command, check=True)
    newest = max(target.glob("tether_hw-*.whl"), key=lambda path: path.stat().st_mtime_ns)
    print(f"wheel: {newest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
