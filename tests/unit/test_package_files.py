# SPDX-License-Identifier: Apache-2.0
"""Package files that an inventory names: devices, pipes, loops and odd names end in words, never in a full memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tether_hw.errors import InputErrors
from tether_hw.fleet import packages
from tether_hw.fleet.inventory import load
from tether_hw.nic.e810.model import E810Nic

pytestmark = pytest.mark.unit


def inventory(folder: Path, package: str, rule: str = "{}") -> Any:
    path = folder / "inventory.yaml"
    path.write_text(
        f"""tether: 1
hosts:
  a:
    address: 192.0.2.1
    nics:
      data0:
        family: e810
        device: {{pci: "0000:17:00.0"}}
        ddp: {{package: {package}, sha256: "{"0" * 64}"}}
        steering: {{rules: [{{name: one, match: {rule}, action: drop}}]}}
""",
        encoding="utf-8",
    )
    return load(path)


@pytest.mark.pain(17)
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("/dev/zero", "is no regular file"),
        ("pipe", "is no regular file"),
        (".", "is no regular file"),
        ("loop", "symbolic links"),
        ("none", "No such file"),
        ("large", "is larger than 64 MiB"),
        ("empty", "its SHA-256 is e3b0c442"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, package: str, words: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").touch()
    with (tmp_path / "large").open("wb") as file:
        file.truncate((64 << 20) + 1)
    loaded = inventory(tmp_path, package)
    nic = loaded.hosts["a"].nics["data0"]
    assert isinstance(nic, E810Nic) and nic.ddp is not None
    found = packages.load(loaded)
    assert words in found.of(nic.ddp).refusals[0]
    assert not found.content


@pytest.mark.parametrize("package", [r'"a\0b"', r'"a\nb.pkg"', r'"\e[31m"'])
def test_control_characters_in_a_path_are_a_mistake(tmp_path: Path, package: str) -> None:
    with pytest.raises(InputErrors, match="control characters"):
        inventory(tmp_path, package)


@pytest.mark.parametrize("ethertype", ["0x8100", "0x88a8"])
def test_a_tag_is_no_ethertype(tmp_path: Path, ethertype: str) -> None:
    with pytest.raises(InputErrors, match="behind the tag"):
        inventory(tmp_path, "own.pkg", f"{{ethertype: {ethertype}}}")
