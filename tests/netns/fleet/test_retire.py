# SPDX-License-Identifier: Apache-2.0
"""A host leaves: its peers first, then nothing of ours is on it; one that is away; and no way back brings its key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.netns.fleet.conftest import Say, own_inventory
from tests.netns.fleet.test_verbs import by_host
from tests.support.labs import Lab
from tether_hw.errors import Exit
from tether_hw.fleet.inventory import load

#: Every name on the host's own disk; sshd's log of logins and the copies that useradd keeps of its files are not ours.
NAMES = "find /etc /opt /var /root /home /srv /usr/local -xdev -path /var/log -prune -o -print | sort | grep -v -- '-$'"


def roster(lab: Lab, host: str) -> list[str]:
    return [peer["name"] for peer in json.loads(lab.ssh(host, "cat /etc/tether/roster.json").stdout)["peers"]]


def test_two_hosts_leave_one_of_them_while_it_is_away(new_lab: Callable[..., Lab], say: Say, tmp_path: Path) -> None:
    lab = new_lab(hosts=3)
    inventory = own_inventory(lab, tmp_path)
    names = {host: lab.ssh(host, NAMES).stdout for host in ("b", "c")}
    link = lab.ssh("c", "ip -o link show data0").stdout
    code, document = say(inventory, "apply", "--yes")
    assert code == 0, document
    first = document["run"]
    key = load(inventory).keys["c"][0]

    lab.ssh("b", "ip link set data0 mtu 2900")  # what the plan of b would change must not be part of it
    code, document = say(inventory, "retire", "c", "--yes")
    assert (code, document["schema"]) == (0, "tether.retire/1"), document
    assert by_host(document) == {"a": "confirmed", "b": "confirmed", "c": "retired"}
    assert document["key_removed"]
    assert (roster(lab, "a"), roster(lab, "b")) == (["b"], ["a"])
    assert "mtu 2900" in lab.ssh("b", "ip -o link show data0").stdout
    lab.ssh("b", "ip link set data0 mtu 3000")
    assert lab.ssh("c", NAMES).stdout == names["c"]
    assert lab.ssh("c", "ip -o link show data0").stdout.split("qdisc")[0] == link.split("qdisc")[0]
    assert "tether" not in lab.ssh("c", "cat /etc/passwd; ps -e -o args").stdout
    assert set(load(inventory).keys) == {"a", "b"}

    code, document = say(inventory, "retire", "c", "--yes")
    assert (code, by_host(document)) == (0, {"a": "unchanged", "b": "unchanged", "c": "retired"})

    # The runs go back past the one that took c away, and c's key does not come with them.
    peers = document["runs"]
    assert peers == []
    code, document = say(inventory, "runs", "--limit", "a")
    second = document["hosts"][0]["runs"][-1]["run"]
    assert second != first
    code, document = say(inventory, "rollback", second, "--yes", "--limit", "a")
    assert (code, roster(lab, "a")) == (0, ["b"]), document
    assert key not in lab.ssh("a", "cat /etc/tether/roster.json").stdout

    lab.fault("b", "cut-ssh")
    try:
        code, document = say(inventory, "retire", "b", "--yes", "--timeout", "5", "--without", "c")
    finally:
        lab.heal("b")
    assert code == Exit.UNREACHABLE, document
    assert by_host(document) == {"a": "confirmed", "b": "unreachable"}
    assert document["key_removed"]
    assert roster(lab, "a") == []
    assert any("tether retire b" in line for line in document["next"])
    code, document = say(inventory, "retire", "b", "--yes", "--without", "c")
    assert (code, by_host(document)["b"]) == (0, "retired")
    assert lab.ssh("b", NAMES).stdout == names["b"]

    code, document = say(inventory, "rollback", "--to", first, "--yes", "--limit", "a")
    assert code == 0, document
    assert "No such file" in lab.ssh("a", "cat /etc/tether/roster.json", check=False).stderr


def test_a_peer_that_is_away_stops_it_before_the_host_is_touched(
    new_lab: Callable[..., Lab], say: Say, tmp_path: Path
) -> None:
    lab = new_lab(hosts=2)
    inventory = own_inventory(lab, tmp_path)
    code, document = say(inventory, "apply", "--yes")
    assert code == 0, document
    lab.fault("a", "cut-ssh")
    try:
        code, document = say(inventory, "retire", "b", "--yes", "--timeout", "5")
        assert (code, by_host(document)) == (Exit.UNREACHABLE, {"a": "unreachable"})
        assert "--without a" in document["next"][0]
        assert set(load(inventory).keys) == {"a", "b"}
        assert roster(lab, "b") == ["a"]
        code, document = say(inventory, "retire", "b", "--yes", "--timeout", "5", "--without", "a")
        assert (code, by_host(document), document["key_removed"]) == (0, {"b": "retired"}, True)
    finally:
        lab.heal("a")
    code, document = say(inventory, "retire", "nobody", "--yes")
    assert (code, document["schema"]) == (Exit.ERROR, "tether.error/1")
    code, document = say(inventory, "retire", "a", "--yes", "--without", "x")
    assert (code, document["schema"]) == (Exit.ERROR, "tether.error/1")
