# SPDX-License-Identifier: Apache-2.0
"""The tree itself: no path of a machine, no unfinished code, a licence in every source, files of a readable size."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

from tether_hw import __version__
from tether_hw.data import FOLDERS, data_path

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400
# One list of prototypes with their comments: splitting it would cost its reader more than its length.
LONG = {"tether_hw/transport/core/include/tether.h"}
# Written with a class of one letter so that this file does not find itself.
MACHINE_PATH = re.compile(r"/wor[k]/|/far[m]/|/tmp/pytes[t]-|\.librar[y]/|/root/\.pyen[v]")
UNFINISHED = re.compile(r"NotImplementedErro[r]|\bTOD[O]\b|\bFIXM[E]\b|pragma: no cove[r]")
LICENCE = "SPDX-License-Identifier: Apache-2.0"


@cache
def tracked() -> tuple[Path, ...]:
    """The files that git has, or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (ROOT / name for name in result.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@cache
def text(path: Path) -> str:
    data = path.read_bytes()
    seed = "fuzz" in path.parts and "protocol" in path.parts  # bytes without a meaning
    return "" if seed or b"\0" in data else data.decode()


def hits(pattern: re.Pattern[str], *, suffixes: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if not suffixes or path.suffix in suffixes
        for number, line in enumerate(text(path).splitlines(), 1)
        if pattern.search(line)
    ]


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix in (".py", ".c", ".h") or path.name in ("setup", "run")]


def test_no_path_of_a_machine() -> None:
    assert hits(MACHINE_PATH) == []
    assert hits(re.compile(re.escape(str(ROOT) + "/"))) == []


def test_the_lock_names_no_address_and_hashes_everything() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    packages = re.findall(r"^([a-z0-9.-]+)==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", lock, re.MULTILINE)
    assert len(packages) == len(re.findall("==", lock)) > 20
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    assert {re.split("[><=]", name)[0] for name in wanted} <= set(packages)


def test_nothing_is_unfinished() -> None:
    assert hits(UNFINISHED, suffixes=(".py", ".c", ".h", ".sh")) == []


def test_every_source_names_its_licence() -> None:
    assert len(sources()) > 40
    wrong = [path for path in sources() if text(path) and LICENCE not in "\n".join(text(path).splitlines()[:2])]
    assert [str(path.relative_to(ROOT)) for path in wrong] == []


def test_files_have_a_readable_size() -> None:
    shipped = [path for path in sources() if "tether_hw" in path.parts and "tests" not in path.parts]
    long = {str(path.relative_to(ROOT)): len(text(path).splitlines()) for path in shipped}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES and name not in LONG} == {}


def test_no_binary_is_tracked() -> None:
    built = (".so", ".o", ".a", ".ko", ".pkg", ".pcap", ".qcow2", ".whl", ".deb", ".tar", ".pyc")
    assert [str(path) for path in tracked() if path.suffix in built] == []


def test_the_data_folders_are_found() -> None:
    assert data_path("bundles").is_dir()
    try:
        data_path("elsewhere")
    except ValueError as error:
        assert all(name in str(error) for name in FOLDERS)
    else:
        raise AssertionError("a folder that does not exist was found")


def test_one_version_everywhere() -> None:
    header = (ROOT / "tether_hw" / "transport" / "core" / "src").rglob("*.[ch]")
    named = {match[1] for path in header for match in re.finditer(r'"(\d+\.\d+\.\d+)"', text(path))}
    assert named <= {__version__}
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
