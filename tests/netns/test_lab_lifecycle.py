# SPDX-License-Identifier: Apache-2.0
"""`lab up` and `lab down`: nothing stays, whatever happened in between."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.labs import ROOT, Lab, tether
from tether_hw.lab.image import image_path
from tether_hw.lab.names import MARK, LabNames


def traces(state: Path) -> list[str]:
    """Everything on the machine that belongs to the lab of this state folder."""
    names = LabNames(state)
    found = [f"link {link.name}" for link in Path("/sys/class/net").iterdir() if names.lab_id in link.name]
    found += [f"netns {entry}" for entry in folder("/run/netns") if names.lab_id in entry]
    found += [f"pin {entry}" for entry in folder("/sys/fs/bpf") if names.lab_id in entry]
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    found += [f"mount {line}" for line in mounts.splitlines() if str(state) in line or names.lab_id in line]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid() and belongs(process, state, names):
            found.append(f"process {process.name}")
    return found + ([f"folder {state}"] if state.exists() else [])


def folder(path: str) -> list[str]:
    return os.listdir(path) if Path(path).is_dir() else []


def belongs(process: Path, state: Path, names: LabNames) -> bool:
    try:
        status = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        if status in "ZX":  # dead, and only not yet buried by the machine's first process
            return False
        if f"{MARK}={names.lab_id}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        if str(state) in (process / "mountinfo").read_text(encoding="utf-8"):
            return True
        return any(str(state) in os.readlink(process / name) for name in ("cwd", "exe"))
    except OSError:
        return False


def begin(state: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tether_hw.cli.main", "lab", "up", "--state", str(state)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def foreign() -> Iterator[str]:
    """Somebody else's network namespace with a process in it, a link and a bpf filesystem."""
    name = f"foreign-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    sleeper = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "600"])
    subprocess.run(["ip", "-n", name, "link", "add", "keep0", "type", "veth", "peer", "name", "keep1"], check=True)
    yield name
    sleeper.kill()
    sleeper.wait()
    subprocess.run(["ip", "netns", "delete", name], check=True)


def intact(name: str) -> bool:
    links = subprocess.run(["ip", "-n", name, "-br", "link"], capture_output=True, text=True, check=True).stdout
    pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout
    return "keep0" in links and len(pids.split()) == 1


def test_up_and_down_leave_nothing(tmp_path: Path, foreign: str) -> None:
    lab = Lab(tmp_path / "state")
    assert traces(lab.state) == []
    netns_before = folder("/run/netns")
    lab.up()
    kinds = {trace.split()[0] for trace in traces(lab.state)}
    assert kinds == {"link", "process", "folder"}
    assert folder("/run/netns") == netns_before
    assert lab.status()["state"] == "up"
    lab.down()
    assert traces(lab.state) == []
    assert lab.status()["state"] == "down"
    assert intact(foreign)
    lab.down()
    assert "no lab is up" in lab.run("down").stderr


def test_down_ends_what_was_started_on_the_hosts(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "state")
    lab.up()
    lab.ssh("a", "setsid env -i sleep 300 >/dev/null 2>&1 </dev/null & mount -t tmpfs none /opt && sleep 0.1")
    lab.ssh("b", "setsid sh -c 'trap \"\" TERM HUP; sleep 300' >/dev/null 2>&1 </dev/null & sleep 0.1")
    lab.down()
    assert traces(lab.state) == []


def test_up_when_up_says_so(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    pids = [host["pid"] for host in lab.status()["hosts"]]
    assert "up already" in lab.run("up").stderr
    assert [host["pid"] for host in lab.status()["hosts"]] == pids
    other = lab.run("up", "--hosts", "3", check=False)
    assert other.returncode == 1 and "2 hosts" in other.stderr


POINTS: dict[str, Callable[[Path, LabNames], bool]] = {
    "record": lambda state, names: (state / "lab.json").exists(),
    "switch": lambda state, names: (state / "hosts/switch.pid").exists(),
    "uplink": lambda state, names: Path("/sys/class/net", names.uplink).exists(),
    "client key": lambda state, names: (state / "id_ed25519").exists(),
    "host key": lambda state, names: (state / "hosts/a/ssh_host_ed25519_key").exists(),
    "known hosts": lambda state, names: (state / "known_hosts").exists(),
    "bastion's disk": lambda state, names: (state / "hosts/jump/disk/etc").exists(),
    "first process": lambda state, names: (state / "hosts/jump/pid").exists(),
    "second process": lambda state, names: (state / "hosts/a/pid").exists(),
    "last process": lambda state, names: (state / "hosts/b/pid").exists(),
    "last disk": lambda state, names: (state / "hosts/b/disk/usr/local").exists(),
    "inventory": lambda state, names: (state / "inventory.yaml").exists(),
}


@pytest.mark.parametrize("point", POINTS)
def test_down_after_up_was_killed_at(point: str, tmp_path: Path, foreign: str) -> None:
    state = tmp_path / "state"
    names = LabNames(state)
    process = begin(state)
    reached = POINTS[point]
    while not reached(state, names):
        assert process.poll() is None, f"lab up ended before {point}"
    process.send_signal(signal.SIGKILL)
    process.wait()
    tether("lab", "down", "--state", str(state))
    assert traces(state) == []
    assert intact(foreign)


def test_making_the_image_ends_with_the_up_that_makes_it(tmp_path: Path) -> None:
    state, cache = tmp_path / "state", tmp_path / "cache"
    process = begin(state, XDG_CACHE_HOME=str(cache))
    deadline = time.monotonic() + 60
    while not any((cache / "tether").glob("lab-root-*.partial/etc")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while (left := working_in(cache)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
    assert not image_path(cache / "tether").exists()
    tether("lab", "down", "--state", str(state), XDG_CACHE_HOME=str(cache))
    assert traces(state) == []


def working_in(folder: Path) -> list[str]:
    """Command lines of processes that name this folder or have it mounted."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace")
                if str(folder) in words or str(folder) in (process / "mountinfo").read_text(encoding="utf-8"):
                    found.append(words)
            except OSError:
                continue
    return found


def test_up_cleans_what_a_killed_up_left(tmp_path: Path) -> None:
    state = tmp_path / "state"
    seed = random.randrange(1 << 32)
    delays = random.Random(seed)
    print(f"seed {seed}")
    lab = Lab(state)
    try:
        for _ in range(6):
            process = begin(state)
            time.sleep(delays.uniform(0.1, 0.7))
            process.send_signal(signal.SIGKILL)
            process.wait()
        lab.up()
        status = lab.status()
        assert status["state"] == "up" and status["leftovers"] == []
        assert lab.ssh("b", "hostname").stdout == "b\n"
        assert [process for process in traces(state) if process.startswith("link")] == [
            f"link {LabNames(state).uplink}"
        ]
    finally:
        lab.down()
    assert traces(state) == []


def test_a_host_that_died_makes_the_lab_broken_and_up_mends_it(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    os.kill(lab.host("a")["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while lab.status()["state"] == "up" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lab.status()["state"] == "broken"
    assert "incomplete" in lab.run("up").stderr
    assert lab.status()["state"] == "up"


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_spoilt_record_stops_neither_up_nor_down(tmp_path: Path, verb: str) -> None:
    lab = Lab(tmp_path / "state")
    lab.up()
    (lab.state / "lab.json").write_text("{", encoding="utf-8")
    assert lab.run("status", check=False).returncode == 1
    lab.run(verb)
    if verb == "up":
        assert lab.ssh("b", "hostname").stdout == "b\n"
        lab.down()
    assert traces(lab.state) == []


def test_roots_path_may_lack_the_system_folders(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    tether("lab", "up", "--state", state, PATH="/usr/bin:/bin")
    tether("lab", "down", "--state", state, PATH="/usr/bin:/bin")
    assert traces(tmp_path / "state") == []


def test_two_labs_at_once_do_not_meet(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    states = [tmp_path / f"side{number}" for number in range(2)]
    running = [begin(state) for state in states]
    assert [process.wait(60) for process in running] == [0, 0]
    labs = [Lab(state) for state in states]
    try:
        addresses = [{host["address"] for host in lab.status()["hosts"]} for lab in labs]
        assert not addresses[0] & addresses[1]
        for lab in labs:
            assert lab.ssh("b", "hostname").stdout == "b\n"
        labs[0].down()
        assert labs[1].ssh("a", "hostname").stdout == "a\n"
    finally:
        for lab in labs:
            lab.down()
    assert [trace for state in states for trace in traces(state)] == []


def test_somebody_elses_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    for verb in ("up", "down"):
        done = tether("lab", verb, "--state", str(tmp_path), check=False)
        assert done.returncode == 1 and "thesis.txt" in done.stderr
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_verbs_without_a_lab_say_how_to_get_one(tmp_path: Path) -> None:
    for words in (("fault", "cut-link", "a"), ("heal", "a"), ("reboot", "a")):
        done = tether("lab", *words, "--state", str(tmp_path / "none"), check=False)
        assert done.returncode == 1 and "tether lab up" in done.stderr
    document = json.loads(tether("lab", "status", "--json", "--state", str(tmp_path / "none")).stdout)
    assert document["schema"] == "tether.lab.status/1" and document["state"] == "down" and document["hosts"] == []
    assert not (tmp_path / "none").exists()


def test_usage_errors_end_in_64() -> None:
    for words in (("up", "--hosts", "0"), ("fault", "no-such-fault", "a"), ("frobnicate",), (), ("up", "--nonsense")):
        assert tether("lab", *words, check=False).returncode == 64, words


def test_impossible_counts_are_refused(tmp_path: Path) -> None:
    for words in (("--hosts", "27"), ("--queues", "33")):
        done = tether("lab", "up", "--state", str(tmp_path / "none"), *words, check=False)
        assert done.returncode == 1 and "1 to " in done.stderr
    assert not (tmp_path / "none").exists()
