# SPDX-License-Identifier: Apache-2.0
"""What runs on a host is Python 3.9: parsed as such, free of later names, imported by a real 3.9 where there is one."""

from __future__ import annotations

import ast
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.hostcode import ROOT, host_modules
from tether_hw.fleet import bundle

# Names of the standard library that came after 3.9.
LATER_MODULES = {"tomllib", "asyncio.taskgroups", "asyncio.timeouts"}
LATER_NAMES = {
    "asyncio": {"TaskGroup", "timeout", "timeout_at", "Runner", "Barrier"},
    "contextlib": {"aclosing", "chdir"},
    "dataclasses": {"KW_ONLY"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify", "member", "nonmember"},
    "hashlib": {"file_digest"},
    "inspect": {"get_annotations", "getmembers_static"},
    "itertools": {"pairwise", "batched"},
    "operator": {"call"},
    "os": {"EFD_CLOEXEC", "eventfd", "splice", "setns", "unshare"},
    "typing": {
        "Concatenate", "LiteralString", "Never", "NotRequired", "ParamSpec", "Required", "Self", "TypeAlias",
        "TypeAliasType", "TypeGuard", "TypeVarTuple", "Unpack", "assert_never", "assert_type", "override",
        "reveal_type",
    },
}  # fmt: skip
LATER_BUILTINS = {"aiter", "anext", "ExceptionGroup", "BaseExceptionGroup", "EncodingWarning"}
LATER_KEYWORDS = {"dataclass": {"slots", "kw_only", "weakref_slot"}, "zip": {"strict"}, "entry_points": {"group"}}
LATER_METHODS = {"bit_count", "add_note"}


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def later_than_39(source: str) -> list[str]:
    """What of `source` Python 3.9 does not have, as "line: what"."""
    tree = ast.parse(source, feature_version=(3, 9))
    found = []
    lazy = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module in LATER_MODULES:
                found.append(f"{node.lineno}: {node.module}")
            later = LATER_NAMES.get(node.module, set())
            found += [f"{node.lineno}: {node.module}.{alias.name}" for alias in node.names if alias.name in later]
        elif isinstance(node, ast.Import):
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in LATER_MODULES]
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.attr in LATER_NAMES.get(node.value.id, set()):
                found.append(f"{node.lineno}: {node.value.id}.{node.attr}")
            elif node.attr in LATER_METHODS:
                found.append(f"{node.lineno}: .{node.attr}")
        elif isinstance(node, ast.Name) and node.id in LATER_BUILTINS:
            found.append(f"{node.lineno}: {node.id}")
        elif isinstance(node, ast.Call):
            name = last_name(node.func)
            later = LATER_KEYWORDS.get(name, set())
            found += [f"{node.lineno}: {name}({word.arg}=)" for word in node.keywords if word.arg in later]
            if name in ("isinstance", "issubclass") and len(node.args) == 2 and isinstance(node.args[1], ast.BinOp):
                found.append(f"{node.lineno}: {name} with X | Y")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not lazy:
            annotations = [argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
            for annotation in [*annotations, node.returns]:
                if isinstance(annotation, ast.BinOp):
                    found.append(f"{annotation.lineno}: X | Y is evaluated")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "match a:\n    case 1: pass",
        "try:\n    pass\nexcept* OSError:\n    pass",
        "from itertools import pairwise",
        "import tomllib",
        "import enum\nclass A(enum.StrEnum): pass",
        "zip(a, b, strict=True)",
        "@dataclass(slots=True)\nclass A: pass",
        "isinstance(a, int | str)",
        "def f(a: int | None): pass",
        "n.bit_count()",
    ],
)
def test_the_check_sees_later_python(source: str) -> None:
    try:
        found = later_than_39(source)
    except SyntaxError:
        return
    assert found


def test_host_code_is_python_39() -> None:
    assert len(host_modules()) > 10
    found = {}
    for path in host_modules():
        later = later_than_39(path.read_text())
        if later:
            found[str(path.relative_to(ROOT))] = later
    assert found == {}


def python39() -> str | None:
    """A Python 3.9 that works: on the path, or among pyenv's versions."""
    candidates = [shutil.which("python3.9")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(pyenv.glob("versions/3.9*/bin/python3.9"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, timeout=30).returncode == 0:
            return candidate
    return None


IMPORT_ALL = """
import pathlib, sys
root = pathlib.Path(sys.argv[1]) / "lib" / "python"
sys.path.insert(0, str(root))
names = []
for path in sorted((root / "tether_hw").rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
for name in names:
    __import__(name)
import pyroute2
foreign = sorted(m for m, v in sys.modules.items() if "site-packages" in (getattr(v, "__file__", None) or ""))
print(len(names), "modules", sys.version_info[:2], foreign)
assert not foreign, foreign
"""


@pytest.mark.skipif(platform.machine() not in bundle.ARCHITECTURES, reason="no bundle for this machine's architecture")
def test_a_real_python_39_imports_the_whole_bundle(tmp_path: Path) -> None:
    python = python39()
    if python is None:
        pytest.skip("no python3.9 on this machine; its syntax and names are checked all the same")
    subprocess.run(["tar", "-xf", bundle.find(platform.machine()).path, "-C", tmp_path], check=True)
    result = subprocess.run(
        [python, "-I", "-B", "-S", "-c", IMPORT_ALL, tmp_path], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "(3, 9)" in result.stdout
