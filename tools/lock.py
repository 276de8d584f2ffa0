#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes requirements.lock from pyproject.toml: every package of the environment with its version and the hashes of
all files of that release, so that the same lock serves another machine. No address of an index is written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESOLVER = "pip-tools>=7.4"
HEAD = "# Made by `make lock` from pyproject.toml: names, versions and the hashes of every file of each release.\n"


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    wanted += project["build-system"]["requires"]
    wanted += ["pip", "ninja; platform_system != 'Linux'"]
    with tempfile.TemporaryDirectory(prefix="tether-lock-") as work:
        folder = Path(work)
        print(f"lock: installing {RESOLVER} into a throw-away environment", flush=True)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        # Only a release's own files count: a folder of wheels on this machine would add or hide hashes.
        environment = {**os.environ, "PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([python, "-m", "pip", "install", "--quiet", RESOLVER], check=True, env=environment)
        (folder / "tether.in").write_text("\n".join(wanted) + "\n")
        print("lock: resolving and reading hashes", flush=True)
        options = ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
        options += ["--no-emit-options", "--no-header", "--no-annotate", "--strip-extras", "--allow-unsafe", "--quiet"]
        target = folder / "lock"
        command: list[str | Path] = [python, "-m", "piptools", "compile", *options, "--output-file", target]
        command.append(folder / "tether.in")
        subprocess.run(command, check=True, env=environment)
        lines = [line for line in target.read_text().splitlines(keepends=True) if not line.startswith("#")]
    text = HEAD + "".join(lines)
    if "://" in text:
        print("lock: the resolver wrote an address into the lock; not written", file=sys.stderr)
        return 1
    (ROOT / "requirements.lock").write_text(text)
    print(f"lock: requirements.lock has {sum('==' in line for line in lines)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
