# SPDX-License-Identifier: Apache-2.0
"""Ordinary users that tests create and remove."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.labs import ROOT


@dataclass(frozen=True)
class User:
    """An account with a copy of the package in its home: the checkout may lie where only root can read."""

    name: str
    home: Path
    python: str = "/usr/bin/python3"

    def argv(self, *command: str) -> list[str]:
        change = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--clear-groups"]
        return [*change, "env", "-i", f"HOME={self.home}", "PATH=/usr/bin:/bin", *command]

    def place(self, *folders: str) -> None:
        """Copies folders of the checkout to `src` in the home."""
        for folder in folders:
            shutil.copytree(ROOT / folder, self.home / "src" / folder, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["chown", "-R", f"{self.name}:", str(self.home / "src")], check=True)

    def run(
        self, *command: str, before: tuple[str, ...] = (), timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *self.argv(*command)],
            cwd=self.home / "src",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def lab(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.python, "-m", "tether_hw.cli.main", "lab", *words)

    def processes(self) -> list[str]:
        """Command lines of what runs as this user."""
        uid = pwd.getpwnam(self.name).pw_uid
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and process.stat().st_uid == uid:
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if words:  # the dead that nobody buried yet have none
                        found.append(words)
            except OSError:
                continue
        return found

    def ssh(self, port: int, command: str) -> subprocess.CompletedProcess[str]:
        state = self.home / ".local/state/tether/lab"
        options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
        options += ["-o", f"UserKnownHostsFile={state}/known_hosts", "-i", f"{state}/id_ed25519", "-p", str(port)]
        return self.run("ssh", "-F", "none", *options, f"{self.name}@127.0.0.1", command)


@contextlib.contextmanager
def account(prefix: str) -> Iterator[User]:
    """A new account, removed with its home at the end."""
    name = f"{prefix}{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        yield User(name, Path(pwd.getpwnam(name).pw_dir))
    finally:
        for _ in range(50):
            if subprocess.run(["userdel", "--remove", name], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
