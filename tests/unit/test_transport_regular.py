# SPDX-License-Identifier: Apache-2.0
"""A path that is no regular file, or a text that no reader can hold, is a mistake in words: an engine serves on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tether_hw.transport.config import load_roster
from tether_hw.transport.errors import ConfigError, TransportError
from tether_hw.transport.identity import read
from tether_hw.transport.regular import read_regular


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "roster.json"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is no regular file"):
        load_roster(path)
    with pytest.raises(TransportError, match="cannot be read"):
        read(str(path))


@pytest.mark.parametrize(("place", "words"), [("/dev/zero", "is no regular file"), ("/", "is a directory")])
def test_what_is_no_file(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "roster.json").symlink_to(place)
    with pytest.raises(ConfigError, match=words):
        load_roster(tmp_path / "roster.json")


def test_a_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(1 << 20))
    assert read_regular(path, 1 << 20) == bytes(1 << 20)
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(OSError, match="is larger than 1 MiB"):
        read_regular(path, 1 << 20)


@pytest.mark.parametrize(("text", "words"), [("[" * 100_000, "nested too deeply"), ("1" * 5000, "not JSON")])
def test_texts_that_no_reader_holds(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_roster(path)
