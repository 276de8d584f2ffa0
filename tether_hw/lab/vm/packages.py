# SPDX-License-Identifier: Apache-2.0
"""Packages of Debian, fetched by apt with a state of our own: nothing is installed on the machine."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tether_hw.lab.errors import LabError
from tether_hw.lab.image import SUITE, apt_sources

FALLBACK = f"deb http://deb.debian.org/debian {SUITE} main"
FETCH_S = 900.0


def call(command: list[str], timeout_s: float = FETCH_S, cwd: Path | None = None) -> str:
    """Runs a program to its end. Raises LabError with its last words."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{command[0]}: not done after {timeout_s:.0f} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"{command[0]} ended with {done.returncode}: {'; '.join(words[-4:])}")
    return done.stdout


def with_backports(sources: list[str]) -> list[str]:
    """The sources and one more: the backports of the first mirror of the suite itself."""
    for line in sources:
        if f" {SUITE} " in line:
            return [*sources, line.replace(f" {SUITE} ", f" {SUITE}-backports ")]
    return sources


@dataclass(frozen=True)
class Packages:
    """``folder`` holds the state and what was fetched; who makes the image removes it."""

    folder: Path
    backports: bool

    def open(self) -> Packages:
        """Reads the lists of the sources."""
        for name in ("lists/partial", "cache/archives/partial", "debs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sources = apt_sources() or [FALLBACK]
        lines = with_backports(sources) if self.backports else sources
        (self.folder / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
        call(["apt-get", *self._options, "-qq", "update"])
        return self

    @property
    def _options(self) -> list[str]:
        options = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [*words, "-t", f"{SUITE}-backports"] if self.backports else words

    def depends(self, package: str) -> list[str]:
        """The names that a package's candidate depends on, the first of alternatives."""
        shown = call(["apt-cache", *self._options, "--no-all-versions", "show", package])
        found = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
        return [re.split(r"[ (|:]", part.strip())[0] for part in found[1].split(",")] if found else []

    def fetch(self, *names: str) -> list[Path]:
        """Brings packages here; returns their files."""
        before = set((self.folder / "debs").iterdir())
        call(["apt-get", *self._options, "-qq", "download", *names], cwd=self.folder / "debs")
        return sorted(set((self.folder / "debs").iterdir()) - before)


def unpack(packages: list[Path], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for package in packages:
        call(["dpkg-deb", "-x", str(package), str(into)])
