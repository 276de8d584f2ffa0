#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks requirements of RFC 0001 in a copy of the core, one at a time, and asks the test that proves each to fail.

Usage: .venv/bin/python tools/mutants.py [--seed N] [--count 40] [--id T-GRT-2]... [--record]

The catalogue is tests/mutants/*.yaml: the id of a MUST, what the change does, the file of the core, the text to find
in it exactly once, what to put there, and the test program with the function that must fail. The seed chooses `count`
of the entries. A change that does not compile, a test that hangs and one that fails without the change are no proof.
`--record` writes docs/proof/mutants.md. Ends in 1 when a change survives.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CORE = Path("tether_hw/transport/core")
CATALOGUE = Path("tests/mutants")
RECORD = Path("docs/proof/mutants.md")
FIELDS = {"id", "breaks", "file", "find", "put", "test"}
TEST_SECONDS = 60
SKIPPED, NO_SUCH_TEST = 77, 2


class CatalogueError(ValueError):
    """An entry that cannot be used, with its file."""


@dataclass(frozen=True)
class Mutant:
    """One change that breaks one MUST. `file` is relative to the core's src."""

    id: str
    breaks: str
    file: str
    find: str
    put: str
    program: str
    function: str

    @property
    def test(self) -> str:
        return f"{self.program} {self.function}"


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    said: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.said.startswith("killed")


def load(folder: Path) -> list[Mutant]:
    """The catalogue, in the order of its files; each id once."""
    found: list[Mutant] = []
    for path in sorted(folder.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            if set(entry) != FIELDS or not all(isinstance(value, str) for value in entry.values()):
                raise CatalogueError(f"{path.name}: {entry.get('id')}: takes {', '.join(sorted(FIELDS))}, all as text")
            program, _, function = entry["test"].partition(" ")
            texts = {name: entry[name].rstrip("\n") for name in ("breaks", "file", "find", "put")}
            mutant = Mutant(id=entry["id"], program=program, function=function, **texts)
            if any(other.id == mutant.id for other in found):
                raise CatalogueError(f"{path.name}: {mutant.id} stands twice")
            found.append(mutant)
    return found


def changed(text: str, mutant: Mutant) -> str:
    """The file with the change in it; the text must be there exactly once."""
    times = text.count(mutant.find)
    if times != 1:
        raise CatalogueError(f"{mutant.id}: its text is {times} times in {mutant.file}: {mutant.find[:60]!r}")
    return text.replace(mutant.find, mutant.put)


def choose(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them, the same for the same seed, in the order of the catalogue."""
    chosen = set(random.Random(seed).sample(range(len(mutants)), min(count, len(mutants))))
    return [mutant for index, mutant in enumerate(mutants) if index in chosen]


def verdict(code: int | None) -> str:
    """What an exit code says about a change; None is a test that did not end."""
    if code is None:
        return "no verdict: the test hangs"
    if code == 0:
        return "survived"
    if code in (SKIPPED, NO_SUCH_TEST):
        return f"no verdict: the test ended with {code}"
    return "killed" if code > 0 else f"killed (signal {-code})"


class Workshop:
    """A copy of the core whose objects are compiled once; a change compiles what it touches."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.source = folder / "core"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copytree(root / CORE, self.source)
        self.compiler = os.environ.get("CC", "cc")
        self.flags = ["-std=c11", "-O1", "-w", "-D_GNU_SOURCE=", "-I", "include", "-I", "src"]
        self.flags += [f'-DTETHER_VECTORS="{root}/tests/protocol/vectors"']

    def sources(self) -> list[str]:
        src = self.source / "src"
        return sorted(str(path.relative_to(self.source)) for path in [*src.glob("*.c"), *src.glob("*/*.c")])

    def compile(self, files: list[str], suffix: str) -> str:
        """Objects of these files, two at a time; what the compiler says when it refuses, else nothing."""
        waiting, said = list(files), ""
        running: list[subprocess.Popen[str]] = []
        while waiting or running:
            while waiting and len(running) < 2:
                name = waiting.pop()
                target = self.object(name, suffix)
                command = [self.compiler, *self.flags, "-MMD", "-MF", f"{target}.d", "-c", name, "-o", target]
                running.append(subprocess.Popen(command, cwd=self.source, stderr=subprocess.PIPE, text=True))
            process = running.pop(0)
            error = process.communicate()[1]
            said += error if process.returncode else ""
        return said

    def object(self, name: str, suffix: str) -> str:
        return str(self.folder / (name.replace("/", "_") + suffix))

    def program(self, name: str, touched: list[str]) -> tuple[Path, str]:
        """The test program with the touched objects in it, and what the linker says."""
        test = f"tests/{name}.c"
        objects = [self.object(item, ".new.o" if item in touched else ".o") for item in [test, *self.sources()]]
        target = self.folder / (f"{name}.new" if touched else name)
        command = [self.compiler, *objects, "-o", str(target), "-lcrypto", "-lpthread", "-lm"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        return target, run.stderr if run.returncode else ""

    def base(self, names: set[str]) -> str:
        return self.compile([*self.sources(), *(f"tests/{name}.c" for name in sorted(names))], ".o")

    def run(self, program: Path, function: str) -> int | None:
        try:
            command = [str(program), *function.split()]
            run = subprocess.run(command, cwd=self.root, capture_output=True, timeout=TEST_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return None
        return run.returncode

    def touched(self, mutant: Mutant) -> list[str]:
        """What has to be compiled again: who includes the file, by what the compiler noted."""
        if not mutant.file.endswith(".h"):
            return [f"src/{mutant.file}"]
        name = re.compile(rf"(^|[/\s]){re.escape(mutant.file)}(\s|$)", re.MULTILINE)
        files = [*self.sources(), f"tests/{mutant.program}.c"]
        return [item for item in files if name.search(Path(self.object(item, ".o") + ".d").read_text(encoding="utf-8"))]

    def attempt(self, mutant: Mutant) -> Outcome:
        """One change: made, compiled, tested, taken back."""
        began = time.monotonic()
        path = self.source / "src" / mutant.file
        before = path.read_text(encoding="utf-8")
        path.write_text(changed(before, mutant), encoding="utf-8")
        try:
            touched = self.touched(mutant)
            said = self.compile(touched, ".new.o")
            if said:
                said = f"no verdict: does not compile: {said.splitlines()[0]}"
                return Outcome(mutant, said, time.monotonic() - began)
            program, said = self.program(mutant.program, touched)
            if said:
                return Outcome(mutant, "no verdict: does not link", time.monotonic() - began)
            return Outcome(mutant, verdict(self.run(program, mutant.function)), time.monotonic() - began)
        finally:
            path.write_text(before, encoding="utf-8")


def cell(text: str) -> str:
    """Code in one cell of a table."""
    one_line = re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
    return f"`{one_line}`" if len(one_line) <= 110 else f"`{one_line[:107]}...`"


def record(outcomes: list[Outcome], seed: int, commit: str, compiler: str, total: int) -> str:
    killed = sum(outcome.killed for outcome in outcomes)
    rows = [
        f"| {o.mutant.id} | {o.mutant.breaks} | {o.mutant.file}: {cell(o.mutant.find)} -> {cell(o.mutant.put)} "
        f"| `{o.mutant.test}` | {o.said} | {o.seconds:.1f} |"
        for o in outcomes
    ]
    return "\n".join([
        "# Broken requirements that the tests notice",
        "",
        f"`make mutants MUTANTS_SEED={seed}` at commit `{commit}`, {compiler}. The seed chose {len(outcomes)} of the",
        f"{total} changes in `tests/mutants`. Each breaks one MUST of [RFC 0001](../rfc/0001-tether.md) in a copy",
        "of the core; only the test that proves it was run, and it passes without the change.",
        "",
        f"{killed} of {len(outcomes)} killed.",
        "",
        "| MUST | the change | text | test | outcome | seconds |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description="Broken requirements that the tests must notice.")
    parser.add_argument("--seed", type=int, default=None, help="chooses the changes; default: a new one, printed")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--id", action="append", default=[], help="these only, whatever the seed")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD}")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    catalogue = load(ROOT / CATALOGUE)
    chosen = choose(catalogue, arguments.count, seed)
    if arguments.id:
        chosen = [mutant for mutant in catalogue if mutant.id in arguments.id]
    print(f"seed {seed}: {len(chosen)} of {len(catalogue)} changes", flush=True)
    workshop = Workshop(ROOT, ROOT / "build" / "mutants")
    said = workshop.base({mutant.program for mutant in chosen})
    if said:
        print(said)
        return 1
    for test in sorted({(mutant.program, mutant.function) for mutant in chosen}):
        program, said = workshop.program(test[0], [])
        if said or workshop.run(program, test[1]) != 0:
            print(f"{' '.join(test)} does not pass as things are: {said}")
            return 1
    outcomes = []
    for mutant in chosen:
        outcomes.append(workshop.attempt(mutant))
        print(f"{mutant.id:10} {outcomes[-1].said:30} {outcomes[-1].seconds:5.1f} s  {mutant.test}", flush=True)
    killed = sum(outcome.killed for outcome in outcomes)
    print(f"{killed} of {len(outcomes)} killed")
    if arguments.record:
        (ROOT / RECORD).parent.mkdir(parents=True, exist_ok=True)
        text = record(
            outcomes, seed, output("git", "rev-parse", "--short", "HEAD"),
            output(workshop.compiler, "--version").splitlines()[0], len(catalogue),
        )  # fmt: skip
        (ROOT / RECORD).write_text(text, encoding="utf-8")
    return 0 if killed == len(outcomes) and outcomes else 1


if __name__ == "__main__":
    sys.exit(main())
