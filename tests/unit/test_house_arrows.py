# SPDX-License-Identifier: Apache-2.0
"""Imports run one way, pure rooms do no I/O, and what runs on a host needs nothing that a host has not."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.hostcode import host_modules, nic_host_module

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tether_hw"

# What a room may import of the suite beside itself: a room, or one module of it. Longest prefix of the importer wins.
ARROWS: dict[str, tuple[str, ...]] = {
    "": (),
    "errors": (),
    "data": (),
    "cli": ("lab", "fleet", "nic", "plan", "agent", "transport", "trace", "sim", "errors", "data"),
    "sim": ("transport", "trace", "fleet.source", "fleet.explain", "errors"),
    "lab": ("fleet.inventory", "plan", "errors", "data"),
    "fleet": ("nic", "plan", "transport.config", "transport.config_model", "transport.errors", "errors", "data"),
    "nic": ("plan",),
    "plan": (),
    "agent": ("plan", "transport", "nic.*.read", "nic.functions.devlink", "nic.steering.grammar"),
    "trace": ("errors",),
    "transport": (),
    "transport.protocol": (),
}
# The reference never travels to a host and never meets the engine, or the two could not check each other.
NOT_FROM = {"transport": "transport.protocol", "transport.protocol": "transport"}

DOES_IO = {
    "asyncio", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
IO_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


@dataclass(frozen=True)
class Import:
    """One import statement: the importing module and what it names, without the package's own prefix."""

    importer: str
    target: str
    line: int
    own: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "core" not in path.relative_to(PACKAGE).parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def exists(name: str) -> bool:
    target = PACKAGE.joinpath(*name.split("."))
    return target.is_dir() or target.with_suffix(".py").is_file()


def imports(path: Path) -> list[Import]:
    importer = module_name(path)
    found: list[Import] = []

    def add(name: str, line: int) -> None:
        own = name == "tether_hw" or name.startswith("tether_hw.")
        found.append(Import(importer, name.removeprefix("tether_hw").lstrip(".") if own else name, line, own))

    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
                for _ in range(node.level - 1):
                    package = package.rpartition(".")[0]
                base = ".".join(part for part in ("tether_hw", package, base) if part)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                is_module = base.startswith("tether_hw") and exists(whole.removeprefix("tether_hw."))
                add(whole if is_module else base, node.lineno)
    return found


def room_of(module: str) -> str:
    fitting = [room for room in ARROWS if room == "" or module == room or module.startswith(room + ".")]
    return max(fitting, key=len)


def allows(pattern: str, target: str) -> bool:
    wanted, given = pattern.split("."), target.split(".")
    if pattern == "fleet.inventory":  # the loader and its models, fleet/inventory*.py
        return target.startswith(pattern)
    return len(given) >= len(wanted) and all(w in ("*", g) for w, g in zip(wanted, given))


def may(importer: str, target: str) -> bool:
    if target == "":
        return True
    room = room_of(importer)
    barred = NOT_FROM.get(room)
    if barred and room_of(target) == barred:
        return False
    if room and (target == room or target.startswith(room + ".")):
        return True
    return any(allows(pattern, target) for pattern in ARROWS[room])


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("cli.apply", "fleet.ssh", True),
        ("fleet.apply", "agent.run", False),
        ("fleet.ssh", "cli.output", False),
        ("fleet.push", "agent.main", False),
        ("fleet.planner", "transport.engine", False),
        ("fleet.planner", "transport.config", True),
        ("lab.up", "fleet.inventory_model", True),
        ("lab.up", "fleet.ssh", False),
        ("agent.facts", "nic.generic.read", True),
        ("agent.facts", "nic.generic.plan", False),
        ("plan.step", "nic.generic.model", False),
        ("nic.generic.plan", "plan.step", True),
        ("transport.engine", "plan.lane", False),
        ("transport.engine", "transport.protocol.frame", False),
        ("transport.protocol.frame", "transport.binding", False),
    ],
)
def test_the_rule_itself(importer: str, target: str, allowed: bool) -> None:
    assert may(importer, target) is allowed


def test_imports_run_one_way() -> None:
    wrong = [
        f"{found.importer}:{found.line} imports {found.target}"
        for path in modules()
        for found in imports(path)
        if found.own and not may(found.importer, found.target)
    ]
    assert wrong == []


def test_every_room_is_known() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert rooms - {"__init__"} <= set(ARROWS)


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in modules()}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_plan_and_nic_do_no_io() -> None:
    wrong = []
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0]
        if room not in ("plan", "nic") or nic_host_module(path):
            continue
        wrong += [
            f"{found.importer}:{found.line} imports {found.target}"
            for found in imports(path)
            if not found.own and found.target.split(".")[0] in DOES_IO
        ]
        wrong += [
            f"{module_name(path)}:{node.lineno} calls {node.func.id}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_CALLS
        ]
    assert wrong == []


def test_what_reads_a_nic_does_not_plan_for_it() -> None:
    on_host = [path for path in host_modules() if nic_host_module(path)]
    assert on_host
    assert [str(path) for path in on_host if path.name in ("plan.py", "render.py")] == []


def test_init_files_hold_no_logic() -> None:
    plain = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if path.name == "__init__.py"
        for node in tree(path).body
        if not isinstance(node, plain)
    ]
    assert wrong == []


def test_host_code_imports_the_standard_library_pyroute2_and_itself() -> None:
    on_host = {module_name(path) for path in host_modules()}
    packages = {name.rpartition(".")[0] for name in on_host} | on_host
    wrong = []
    for path in host_modules():
        for found in imports(path):
            if found.own:
                fine = found.target in packages
            else:
                fine = found.target.split(".")[0] in {*sys.stdlib_module_names, "pyroute2"}
            if not fine:
                wrong.append(f"{found.importer}:{found.line} imports {found.target}")
    assert wrong == []
