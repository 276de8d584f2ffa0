# SPDX-License-Identifier: Apache-2.0
"""What a transfer leaves on disk: chunk maps, the durable record, places, the hash that follows."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tether_hw.transport.errors import TransferError
from tether_hw.transport.transfer.chunks import ChunkMap, runs
from tether_hw.transport.transfer.hashing import FollowingHash
from tether_hw.transport.transfer.offer import Offer, parse_offer, parse_ranges, safe_name
from tether_hw.transport.transfer.place import Place
from tether_hw.transport.transfer.record import Record

CHUNK = 4096


def offer(size: int = 10 * CHUNK, name: str = "f", fingerprint: str = "f" * 64) -> Offer:
    return Offer("a" * 32, name, size, CHUNK, fingerprint, 2, 0o644)


@given(st.integers(0, 40), st.lists(st.integers(0, 39)), st.integers(1, 50))
def test_a_chunk_map_is_a_set(count: int, added: list[int], limit: int) -> None:
    chunks = ChunkMap(max(0, count * 10 - 3), 10)
    there = {chunk for chunk in added if chunk < chunks.count}
    for chunk in added:
        if chunk < chunks.count:
            chunks.add(chunk)
    assert list(chunks.missing()) == [chunk for chunk in range(chunks.count) if chunk not in there]
    assert chunks.done == len(there)
    assert chunks.done_bytes == sum(chunks.extent(chunk)[1] for chunk in there)
    assert chunks.complete == (len(there) == chunks.count)
    assert chunks.ranges(limit) == runs(there)[:limit]
    frontier = next(chunks.missing(), chunks.count)
    assert chunks.frontier_bytes() == min(chunks.size, frontier * 10)


def test_ranges_outside_the_file_are_refused() -> None:
    with pytest.raises(ValueError, match="not in a file"):
        ChunkMap(100, 10).add_ranges([(9, 2)])
    with pytest.raises(ValueError, match="not in a file"):
        ChunkMap(100, 10).add_ranges([(-1, 1)])


class Files:
    """A part file and a record on disk."""

    def __init__(self, folder: Path) -> None:
        self.part = folder / "part"
        self.record = folder / "record"

    def open(self) -> tuple[Record, ChunkMap, int, int]:
        part_fd = os.open(self.part, os.O_RDWR | os.O_CREAT)
        record_fd = os.open(self.record, os.O_RDWR | os.O_CREAT)
        return Record(record_fd, part_fd), ChunkMap(10 * CHUNK, CHUNK), part_fd, record_fd


def fill(part_fd: int, chunks: list[int]) -> None:
    for chunk in chunks:
        os.pwrite(part_fd, bytes([chunk + 1]) * CHUNK, chunk * CHUNK)


def written(files: Files, ranges: list[tuple[int, int]]) -> None:
    record, chunks, part_fd, record_fd = files.open()
    record.begin("b", offer(), chunks)
    fill(part_fd, [chunk for first, count in ranges for chunk in range(first, first + count)])
    for item in ranges:
        record.note([item])
    os.close(part_fd)
    os.close(record_fd)


def taken_up(files: Files, **other: Any) -> tuple[bool, list[tuple[int, int]]]:
    record, chunks, part_fd, record_fd = files.open()
    peer = other.pop("peer", "b")
    try:
        return record.begin(peer, offer(**other), chunks), chunks.ranges(100)
    finally:
        os.close(part_fd)
        os.close(record_fd)


def test_a_record_is_taken_up(tmp_path: Path) -> None:
    files = Files(tmp_path)
    written(files, [(0, 2), (5, 1)])
    assert taken_up(files) == (True, [(0, 2), (5, 1)])


def test_a_record_grows_over_several_lives(tmp_path: Path) -> None:
    files = Files(tmp_path)
    written(files, [(0, 2)])
    written(files, [(7, 3)])
    assert taken_up(files) == (True, [(0, 2), (7, 3)])


@pytest.mark.parametrize("other", [{"size": 9 * CHUNK}, {"name": "g"}, {"fingerprint": "e" * 64}, {"peer": "c"}])
def test_the_record_of_another_file_starts_anew(tmp_path: Path, other: dict[str, Any]) -> None:
    files = Files(tmp_path)
    written(files, [(0, 2)])
    assert taken_up(files, **other) == (False, [])
    assert files.part.stat().st_size == 0


def test_a_torn_line_ends_the_record(tmp_path: Path) -> None:
    """At every length that a power cut could leave, only whole noted lines are believed."""
    files = Files(tmp_path)
    written(files, [(0, 2), (5, 1), (7, 1)])
    whole = files.record.read_bytes().rstrip(b"\0")
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    valid = [[], [(0, 2)], [(0, 2), (5, 1)], [(0, 2), (5, 1), (7, 1)]]
    for length in range(ends[0], len(whole) + 1):
        files.record.write_bytes(whole[:length])
        lines = sum(1 for end in ends if end <= length) - 1
        resumed, ranges = taken_up(files)
        assert resumed
        assert ranges == valid[lines]
    for position in range(ends[0], ends[1] - 1):
        broken = bytearray(whole)
        broken[position] ^= 1
        files.record.write_bytes(broken)
        assert taken_up(files) == (True, []), position


def test_a_cut_part_file_is_not_believed(tmp_path: Path) -> None:
    files = Files(tmp_path)
    written(files, [(0, 2), (5, 1)])
    os.truncate(files.part, 3 * CHUNK)
    assert taken_up(files) == (True, [(0, 2)])


def test_a_place_is_never_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    with pytest.raises(TransferError, match="exists already"):
        Place.choose("file", tmp_path, None, False).open()
    place = Place.choose("file", tmp_path, None, True)
    place.open()
    os.write(place.part_fd, b"new")
    place.finish(0o640)
    place.close()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_file_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    place = Place.choose("file", tmp_path, None, False)
    place.open()
    os.write(place.part_fd, b"new")
    os.write(place.record_fd, b"record")
    (tmp_path / "file").write_text("theirs")
    with pytest.raises(TransferError, match="made by somebody else"):
        place.finish(0o644)
    place.close()
    assert (tmp_path / "file").read_text() == "theirs"
    assert (tmp_path / ".file.tether-part").read_text() == "new"


def test_a_dangling_link_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TransferError, match="exists already"):
        Place.choose("file", tmp_path, None, False).open()


def test_two_transfers_do_not_write_one_file(tmp_path: Path) -> None:
    first = Place.choose("file", tmp_path, None, False)
    first.open()
    second = Place.choose("file", tmp_path, None, False)
    with pytest.raises(TransferError) as caught:
        second.open()
    assert caught.value.reason == "busy"
    first.close()
    assert list(tmp_path.iterdir()) == []  # nothing had been written: nothing is left


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\0b", "a\nb", "x" * 201, ".tether-x"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    assert safe_name(name) is None
    with pytest.raises(TransferError):
        Place.choose(name, tmp_path, None, False)
    with pytest.raises(TransferError):
        parse_offer({**offer().to_json(), "name": name})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2), ("id", "x"), ("id", None), ("size", -1), ("size", True), ("size", "1"), ("size", 1 << 62),
        ("chunk_bytes", 0), ("chunk_bytes", 1 << 31), ("stripes", 0), ("stripes", 1000), ("mode", -1),
        ("fingerprint", "zz"),
    ],
)  # fmt: skip
def test_malformed_offers_are_refused(key: str, value: Any) -> None:
    assert parse_offer(offer().to_json()) == offer()
    with pytest.raises(TransferError):
        parse_offer({**offer().to_json(), key: value})


@pytest.mark.parametrize("value", [None, [1], [[1]], [["a", 1]], [[True, 1]], [[0, 1]] * 20001])
def test_malformed_ranges_are_refused(value: Any) -> None:
    with pytest.raises(TransferError):
        parse_ranges(value)


def test_the_hash_follows_and_never_reads_ahead(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(300_000)
    path.write_bytes(content[:100_000])
    with path.open("r+b") as file:
        follower = FollowingHash(file.fileno(), len(content))
        follower.advance(100_000)
        os.pwrite(file.fileno(), content[100_000:], 100_000)
        follower.advance(len(content))
        assert follower.result() == hashlib.sha256(content).hexdigest()


def test_the_hash_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    with path.open("rb") as file:
        assert FollowingHash(file.fileno(), 0).result() == hashlib.sha256(b"").hexdigest()


def test_a_stopped_hash_gives_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        follower = FollowingHash(file.fileno(), 100)
        follower.stop()
        with pytest.raises(OSError, match="not read to its end"):
            follower.result()
    assert all(thread.name != "tether-sha256" for thread in threading.enumerate())
