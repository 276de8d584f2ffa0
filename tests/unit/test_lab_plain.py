# SPDX-License-Identifier: Apache-2.0
"""The parts of the lab that need neither root nor a running lab."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tether_hw.lab import image
from tether_hw.lab.bpf import R0, R1, R2, SIZE_U16, Assembler
from tether_hw.lab.control import inventory, state_folder, status, wanted
from tether_hw.lab.errors import LabError
from tether_hw.lab.inventory import inventory_text, lanes_of
from tether_hw.lab.names import MARK, LabNames, Ports, Slice, default_state, host_names
from tether_hw.lab.process import alive, descendants, kill_marked, marked
from tether_hw.lab.state import NETNS, USER, VM, LabState, StateFolder
from tether_hw.lab.steering import Entry, program, rotated
from tether_hw.lab.tools import need_tools
from tether_hw.plan.lane import lane_mac


@pytest.fixture(autouse=True)
def usual_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The XDG variables of whoever runs the tests must not matter."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("kind", "file"), [(NETNS, "lab.yaml"), (USER, "lab-user.yaml"), (VM, "lab-vm.yaml")])
def test_the_inventory_of_two_hosts_is_the_one_in_the_project(kind: str, file: str, root_folder: Path) -> None:
    names = LabNames(default_state().resolve())
    place = names.first_port if kind == USER else names.first_slice
    text = inventory_text(default_state(), LabState(names.lab_id, kind, ["a", "b"], 2, place))
    assert text == (root_folder / "inventory" / file).read_text(encoding="utf-8")


def test_inventory_without_a_lab_shows_what_would_be_made(tmp_path: Path) -> None:
    text = inventory(StateFolder(tmp_path / "none"), 3, 4, user=True)
    assert [f"  {name}:" in text for name in "abcd"] == [True, True, True, False]
    assert "queues: [0, 1, 2, 3]" in text and "members: [a.data0, b.data0, c.data0]" in text
    assert not (tmp_path / "none").exists()


def test_lanes_have_the_documented_addresses() -> None:
    assert lanes_of("b", 3) == [(lane_mac("b", "data0", lane), lane) for lane in range(3)]


def test_names_follow_from_the_state_folder_alone(tmp_path: Path) -> None:
    one, two = LabNames(tmp_path / "one"), LabNames(tmp_path / "two")
    assert one.lab_id == LabNames(tmp_path / "one").lab_id != two.lab_id
    assert len(one.uplink) <= 15
    assert one.mac("a", "data0") != two.mac("a", "data0") != two.mac("b", "data0")
    assert 1 <= one.first_slice <= 255
    assert LabNames(default_state().resolve()).first_slice == 0


def test_addresses_of_a_lab_do_not_collide() -> None:
    place = Slice(7)
    addresses = [place.machine, place.bastion_outer, place.bastion_inner, *(place.host(i) for i in range(26))]
    assert len(set(addresses)) == len(addresses)
    for index in range(26):
        last = int(place.host(index).rpartition(".")[2])
        assert (last >= 128) == Slice.is_inner(index) and last < 255


def test_ports_of_a_lab_do_not_collide() -> None:
    ports = Ports(27000)
    used = [ports.ssh(i) for i in range(8)] + [ports.metrics(i) for i in range(8)]
    used += [ports.udp(i) + lane for i in range(8) for lane in range(10)]
    assert len(set(used)) == len(used) and max(used) < 27100


def test_host_names_have_bounds() -> None:
    assert host_names(3) == ["a", "b", "c"] and len(host_names(26)) == 26
    for count in (0, 27):
        with pytest.raises(LabError):
            host_names(count)


def test_queues_have_bounds(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="1 to 32 queues"):
        wanted(StateFolder(tmp_path), 2, 33, user=True)


def test_xdg_folders_are_used_when_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert default_state() == Path("/somewhere/tether/lab")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_state() == Path.home() / ".local/state/tether/lab"


ONE_LINE = """\
# a comment
deb [signed-by=/k.gpg arch=amd64] http://one/debian bookworm main contrib # trailing
deb http://two/debian bookworm-updates main
deb-src http://two/debian bookworm main
deb http://three trixie main
"""
STANZA = """\
Types: deb deb-src
URIs: http://four/debian
Suites: bookworm bookworm-security
 trixie
Components: main
Signed-By: /usr/share/k.gpg
"""


def test_deb822_stanzas_become_lines_of_this_suite() -> None:
    assert image.deb822_lines(STANZA) == [
        "deb [signed-by=/usr/share/k.gpg] http://four/debian bookworm main",
        "deb [signed-by=/usr/share/k.gpg] http://four/debian bookworm-security main",
    ]
    assert image.deb822_lines("Enabled: no\n" + STANZA) == []
    assert image.deb822_lines(STANZA.replace("deb deb-src", "deb-src")) == []


def test_one_line_sources_of_this_suite(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE, encoding="utf-8")
    (tmp_path / "sources.list.d/more.sources").write_text(f"{STANZA}\n{STANZA}", encoding="utf-8")
    found = image.apt_sources(tmp_path)
    assert found[:2] == [
        "deb [signed-by=/k.gpg arch=amd64] http://one/debian bookworm main contrib",
        "deb http://two/debian bookworm-updates main",
    ]
    assert len(found) == 6
    assert image.apt_sources(tmp_path / "absent") == []


def test_the_image_is_named_by_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.recipe_digest()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "tcpdump"))
    assert image.recipe_digest() != before


def test_assembler_encodes_instructions_and_jumps() -> None:
    code = Assembler()
    code.load(R2, R1, 4, SIZE_U16)
    code.jump_not(R2, 0x1234, "end")
    code.move(R0, -1)
    code.label("end")
    code.exit()
    assert code.assemble() == b"".join(
        [
            struct.pack("<BBhi", 0x69, 0x12, 4, 0),
            struct.pack("<BBhi", 0x56, 0x02, 1, 0x1234),
            struct.pack("<BBhi", 0xB7, 0x00, 0, -1),
            struct.pack("<BBhi", 0x95, 0x00, 0, 0),
        ]
    )


TABLE = [
    Entry(lane_mac(host, "data0", lane), host, port, lane) for host, port in (("a", 7), ("b", 8)) for lane in (0, 1, 2)
]


def steer(code: bytes, frame: bytes, port: int) -> tuple[int, int | None, int | None]:
    """Runs the program on a frame: (verdict, queue_mapping written last, port redirected to)."""
    registers: dict[int, int | tuple[str, int]] = {1: ("context", 0)}
    context: dict[int, int | tuple[str, int]] = {76: ("frame", 0), 80: ("frame", len(frame)), 40: port}
    mapping: int | None = None
    target: int | None = None
    at = 0
    while True:
        opcode, both, offset, immediate = struct.unpack_from("<BBhi", code, at * 8)
        to, source = both & 15, both >> 4
        at += 1
        if opcode == 0xB7:
            registers[to] = immediate
        elif opcode == 0xBF:
            registers[to] = registers[source]
        elif opcode == 0x07:
            kind, place = registers[to]  # type: ignore[misc]
            registers[to] = (kind, place + immediate)
        elif opcode in (0x61, 0x69):
            kind, place = registers[source]  # type: ignore[misc]
            size = 4 if opcode == 0x61 else 2
            if kind == "frame":
                assert place + offset + size <= len(frame), "reads past the frame"
                registers[to] = int.from_bytes(frame[place + offset : place + offset + size], "little")
            else:
                registers[to] = context[offset]
        elif opcode == 0x63:
            assert offset == 12
            mapping = registers[source]  # type: ignore[assignment]
        elif opcode == 0x2D:
            at += offset if registers[to][1] > registers[source][1] else 0  # type: ignore[index]
        elif opcode == 0x56:
            at += offset if registers[to] != immediate & 0xFFFFFFFF else 0
        elif opcode == 0x16:
            at += offset if registers[to] == immediate & 0xFFFFFFFF else 0
        elif opcode == 0x85:
            target = registers[1]  # type: ignore[assignment]
            registers[0] = 7
        else:
            assert opcode == 0x95, hex(opcode)
            return registers[0], mapping, target  # type: ignore[return-value]


def frame_to(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", "")) + bytes(60)


def test_the_program_steers_each_lane_and_leaves_the_rest_to_the_bridge() -> None:
    code = program(TABLE)
    for entry in TABLE:
        assert steer(code, frame_to(entry.mac), 99) == (7, entry.queue + 1, entry.port)
        assert steer(code, frame_to(entry.mac), entry.port)[0] == 2
    assert steer(code, frame_to("ff:ff:ff:ff:ff:ff"), 7) == (-1, 1, None)
    assert steer(code, b"\x02", 7) == (-1, 1, None)
    almost = TABLE[0].mac[:-1] + ("0" if TABLE[0].mac[-1] != "0" else "1")
    assert steer(code, frame_to(almost), 99)[0] == -1
    assert steer(program([]), frame_to(TABLE[0].mac), 7) == (-1, 1, None)


def test_rotated_moves_every_lane_of_one_host_only() -> None:
    wrong = rotated(TABLE, "b")
    assert [entry.queue for entry in wrong if entry.host == "a"] == [0, 1, 2]
    assert [entry.queue for entry in wrong if entry.host == "b"] == [1, 2, 0]
    assert [entry.mac for entry in wrong] == [entry.mac for entry in TABLE]


def test_state_round_trip_and_torn_records(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.read() is None
    state = LabState("abcd", NETNS, ["a"], 2, 3, faults={"a": ["cut-link"]})
    folder.write(state)
    assert folder.read() == state
    for text in ("{", "[]", json.dumps({"schema": "other/1"}), json.dumps({**state.to_dict(), "more": 1})):
        folder.record.write_text(text, encoding="utf-8")
        with pytest.raises(LabError):
            folder.read()


def test_removal_keeps_what_is_not_the_labs(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    with folder.locked(create=True) as there:
        assert there
        folder.write(LabState("abcd", NETNS, ["a"], 2, 3))
        (folder.path / "hosts/a/disk").mkdir(parents=True)
        (folder.path / "inventory.yaml.partial").touch()
        (folder.path / "notes.txt").touch()
        folder.check_ours()
        folder.remove()
    assert [entry.name for entry in folder.path.iterdir()] == ["notes.txt"]
    with pytest.raises(LabError, match=r"notes\.txt"):
        folder.check_ours()


def test_a_folder_that_is_not_there_is_not_locked(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "none").locked(create=False) as there:
        assert not there
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="not a folder"), StateFolder(tmp_path / "file").locked(create=False):
        pass


def test_status_of_nothing(tmp_path: Path) -> None:
    document = status(state_folder(tmp_path / "none"))
    assert document["schema"] == "tether.lab.status/1"
    assert (document["state"], document["hosts"], document["leftovers"]) == ("down", [], [])


def test_processes_are_found_by_their_mark() -> None:
    lab_id = f"unit{os.getpid()}"
    sleeper = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", sleeper], env={**os.environ, MARK: lab_id}, start_new_session=True
    )
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: lab_id + "0"})
    try:
        while len(marked(lab_id)) < 2:
            assert process.poll() is None
        assert set(marked(lab_id)) == {process.pid, *descendants(process.pid)}
        assert kill_marked(lab_id) >= 2
        assert marked(lab_id) == [] and not alive(process.pid) and alive(other.pid)
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
        process.wait()


def test_missing_programs_are_named_by_package() -> None:
    with pytest.raises(LabError, match="missing system packages: pack-a pack-b") as caught:
        need_tools({"no-such-program-b": "pack-b", "no-such-program-a": "pack-a", "sh": "dash"})
    assert caught.value.hint == "apt-get install pack-a pack-b"
    need_tools({"sh": "dash"})
