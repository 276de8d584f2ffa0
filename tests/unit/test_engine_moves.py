# SPDX-License-Identifier: Apache-2.0
"""Daemons whose lanes move and whose peers leave, hot: transfers go on, and who leaves is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import Node, finish, free_port, introduce, random_file, running, udp_lanes
from tether_hw.transport.config import Address, EngineConfig, Lane, Limits, Link
from tether_hw.transport.hot import changes

LINK = Link(rtt_ns=100_000)
SLOW = Link(rtt_ns=100_000, rate_bps=100_000_000)  # what is paced is not over before the test has had its way
MIB = 1 << 20
LIMIT_S = 20.0


def wait_for(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def grown(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size >= size


def elsewhere(node: Node) -> None:
    """Other ports for all lanes of a node, in its file."""
    lanes = tuple(replace(lane, address=Address(udp=f"127.0.0.1:{free_port()}")) for lane in node.config.lanes)
    node.config = replace(node.config, lanes=lanes)
    node.write()


def addresses(node: Node, peer: str) -> dict[int, str]:
    """Where a node sends on each of its lanes to a peer."""
    return {entry["lane"]: entry["address"] for entry in node.stats()["peers"] if entry["name"] == peer}


@pytest.mark.proves("T-ENC-8")
def test_a_transfer_goes_on_while_both_ends_move(tmp_path: Path) -> None:
    """First the receiver's lanes get other ports, then the sender's; each file is reloaded hot, rosters too."""
    a, b = (Node(tmp_path, name, udp_lanes(2), SLOW) for name in "ab")
    introduce(a, b)
    source, target = random_file(tmp_path / "source", 120 * MIB), tmp_path / "target"
    part = tmp_path / ".target.tether-part"
    with running(a, b):
        a.wait_up("b", channels=2)
        b.wait_up("a", channels=2)
        receiving = b.begin("recv", "--to", str(target))
        sending = a.begin("send", str(source), "b", "--json")
        wait_for(lambda: grown(part, 5 * MIB))
        for mover, other in ((b, a), (a, b)):
            before = addresses(other, mover.name)
            elsewhere(mover)
            other.allow(mover)  # its new address for Hail
            answer = mover.document("reload")
            assert (answer["moved"], answer["restart"]) == ([0, 1], [])
            assert other.document("reload")["peers"] == [mover.name]
            want = {lane.lane: str(lane.address) for lane in mover.config.lanes}
            assert want != before
            wait_for(lambda other=other, mover=mover, want=want: addresses(other, mover.name) == want)  # type: ignore[misc]
            assert {lane["lane"]: lane["address"] for lane in mover.stats()["lanes"]} == want
        assert sending.poll() is None, "the transfer was over before both had moved"
        code, out, err = finish(sending, 120)
        assert code == 0, err
        assert json.loads(out)["transfers"][0]["resumed_bytes"] == 0
        assert finish(receiving)[0] == 0
        assert target.read_bytes() == source.read_bytes()
        for node, peer in ((a, "b"), (b, "a")):
            stats = node.stats()
            assert [entry["state"] for entry in stats["peers"]] == ["up", "up"]
            assert sum(lane["byes_sent"] + lane["byes_received"] for lane in stats["lanes"]) == 0, "a channel ended"
            assert node.document("ping", peer, "-c", "2")["lost"] == 0


def test_a_peer_that_moved_while_it_was_down_is_found_by_the_roster(tmp_path: Path) -> None:
    a, b = (Node(tmp_path, name, udp_lanes(1), LINK) for name in "ab")
    introduce(a, b)
    with running(a, b):
        a.wait_up("b")
        b.kill()
        elsewhere(b)
        a.allow(b)
        assert a.document("reload")["peers"] == ["b"]
        b.start()
        wait_for(lambda: addresses(a, "b") == {0: str(b.config.lanes[0].address)})
        assert a.document("ping", "b", "-c", "2", "--wait", "20")["lost"] == 0


def test_a_port_that_is_taken_is_refused_and_nothing_moves(tmp_path: Path) -> None:
    a, b = (Node(tmp_path, name, udp_lanes(1), LINK) for name in "ab")
    introduce(a, b)
    with running(a, b):
        a.wait_up("b")
        stays = b.config
        b.config = replace(b.config, lanes=(replace(b.config.lanes[0], address=a.config.lanes[0].address),))
        b.write()
        done = b.run("reload")
        assert done.returncode == 1
        assert "cannot bind" in done.stderr
        assert a.document("ping", "b", "-c", "2")["lost"] == 0
        assert b.stats()["lanes"][0]["address"] == str(stays.lanes[0].address)


def test_what_cannot_be_taken_over_waits_for_a_restart(tmp_path: Path) -> None:
    a = Node(tmp_path, "a", udp_lanes(2), LINK)
    with running(a):
        a.config = replace(
            a.config, limits=replace(a.config.limits, max_flows=8), links={"fabric0": replace(LINK, mtu=1400)}
        )
        a.write()
        assert a.document("reload")["restart"] == ["limits", "links.fabric0"]
        assert "waits for a restart: limits, links.fabric0" in a.run("reload").stderr
        (a.folder / "engine.json").write_text("{")
        assert a.document("reload")["restart"] == ["unreadable"]  # the roster was read all the same


@pytest.mark.proves("T-IDN-2")
def test_a_peer_that_leaves_the_roster_is_told(tmp_path: Path) -> None:
    """b leaves a's roster in the middle of a transfer: its channels end by BYE on both sides, c's are not touched."""
    a, b, c = (Node(tmp_path, name, udp_lanes(2), SLOW) for name in "abc")
    introduce(a, b, c)
    source = random_file(tmp_path / "source", 200 * MIB)
    with running(a, b, c):
        a.wait_up("b", "c", channels=2)
        b.wait_up("a", channels=2)
        c.wait_up("a", channels=2)
        receiving = b.begin("recv", "--to", str(tmp_path / "target"))
        sending = a.begin("send", str(source), "b")
        wait_for(lambda: grown(tmp_path / ".target.tether-part", 5 * MIB))
        rejected = a.rejects()
        del a.peers["b"]
        a.write()
        assert a.document("reload")["peers"] == ["c"]
        assert finish(sending)[0] == 1
        assert finish(receiving)[0] == 1
        wait_for(lambda: sum(lane["byes_received"] for lane in b.stats()["lanes"]) == 2)
        assert sum(lane["byes_sent"] for lane in a.stats()["lanes"]) == 2
        wait_for(lambda: [entry["state"] for entry in b.stats()["peers"] if entry["name"] == "a"] == ["down"])
        assert {entry["name"] for entry in a.stats()["peers"]} == {"c"}
        # it goes on to hail, and is a stranger
        wait_for(lambda: a.rejects()["stranger"] > rejected.get("stranger", 0))
        assert a.document("ping", "c", "-c", "2")["lost"] == 0
        assert sum(lane["byes_received"] for lane in c.stats()["lanes"] if lane["lane"] == 0) == 0


# -- what a running engine can take over


def config(**fields: Any) -> EngineConfig:
    lanes = tuple(Lane(n, "n", "lo", n, "l", "udp", Address(udp=f"127.0.0.1:{4000 + n}")) for n in range(2))
    standing: dict[str, Any] = {
        "node": "a",
        "user": None,
        "identity": "/i",
        "counter": "/c",
        "roster": "/r",
        "socket": "/s",
        "links": {"l": LINK},
        "lanes": lanes,
    }
    return EngineConfig(**{**standing, **fields})


def test_nothing_changed() -> None:
    assert changes(config(), config()).restart == ()
    assert changes(config(), config()).after == config()


@pytest.mark.parametrize(
    ("fields", "restart"),
    [
        ({"node": "b"}, ("node",)),
        ({"limits": Limits(max_flows=1)}, ("limits",)),
        ({"links": {"l": LINK, "m": LINK}}, ("links",)),
        ({"links": {"l": Link(mtu=1400)}}, ("links.l",)),
        ({"lanes": config().lanes[:1]}, ("lanes",)),
        ({"lanes": (config().lanes[0], replace(config().lanes[1], cpu=1))}, ("lanes[1]",)),
        (
            {"lanes": (replace(config().lanes[0], address=Address(mac="02:00:00:00:00:01")), config().lanes[1])},
            ("lanes[0]",),
        ),
        ({"metrics_listen": "127.0.0.1:1"}, ("metrics_listen",)),
    ],
)
def test_what_waits(fields: dict[str, Any], restart: tuple[str, ...]) -> None:
    found = changes(config(), config(**fields))
    assert found.restart == restart
    assert (found.moves, found.contact, found.after) == ((), (), config())
