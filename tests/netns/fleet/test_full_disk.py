# SPDX-License-Identifier: Apache-2.0
"""A host whose disk is full or may not be written: told with path, need and next step, and nothing is left."""

from __future__ import annotations

from tests.netns.fleet.conftest import Say
from tests.netns.fleet.test_verbs import by_host
from tests.support.fleets import Background, Fleet, new_run
from tether_hw.errors import Exit

#: The next byte of the file needs a new page, and there is none.
FILL = """
size=$(stat -c %s "$1")
head -c $((4096 - size % 4096)) /dev/zero | tr '\\0' '\\n' >> "$1"
dd if=/dev/zero of="$2" bs=4096 2>/dev/null || true
"""
RUNS = "/var/lib/tether/runs"


def test_a_full_disk_at_stage(fleet: Fleet, say: Say) -> None:
    code, _ = say(fleet.inventory_file, "key", "enroll", "--limit", "a")  # the bundle is there
    assert code == 0
    fleet.run("a", "mount", "-t", "tmpfs", "-o", "size=8k", "none", RUNS)
    try:
        code, document = say(fleet.inventory_file, "apply", "--yes", "--limit", "a")
        left = fleet.run("a", "ls", RUNS).split()
    finally:
        fleet.run("a", "umount", RUNS)
    assert (code, by_host(document)) == (Exit.FAILED, {"a": "failed"}), document
    message = document["hosts"][0]["message"]
    assert message.startswith(RUNS + "/r"), message
    assert "No space left on device" in message
    assert "1.0 MiB needed; make room" in message
    assert left == []
    assert fleet.facts("a").status["pending"] is None


def test_a_disk_that_fills_up_while_the_host_stages(fleet: Fleet) -> None:
    plan, run = fleet.plan({"a": fleet.facts("a")}), new_run()
    fleet.run("a", "mount", "-t", "tmpfs", "-o", "size=512k", "none", RUNS)
    try:
        fleet.gate("a", "lock.end")
        background = Background(fleet, plan, "a", run)
        pid = fleet.paused("a")
        fleet.run("a", "sh", "-c", FILL, "sh", f"{RUNS}/{run}/journal.jsonl", f"{RUNS}/fill")
        fleet.signal("a", pid, "CONT")
        result = background.join()
        left = fleet.run("a", "ls", RUNS).split()
    finally:
        fleet.run("a", "umount", RUNS)
    assert (result["result"], result["exit"]) == ("failed", Exit.FAILED), result
    assert result["message"].startswith(f"{RUNS}/{run}/journal.jsonl: No space left on device: "), result
    assert left == ["fill"]
    assert fleet.facts("a").status["pending"] is None


def test_no_place_for_the_bundle(fleet: Fleet, say: Say) -> None:
    for options, words in (("size=1m", "No space left on device"), ("ro", "Read-only file system")):
        fleet.run("a", "mount", "-t", "tmpfs", "-o", options, "none", "/opt")
        try:
            code, document = say(fleet.inventory_file, "key", "enroll", "--limit", "a")
            left = fleet.run("a", "ls", "-A", "/opt").split()
        finally:
            fleet.run("a", "umount", "/opt")
        assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused"}), document
        message = document["hosts"][0]["message"]
        assert message.startswith("the bundle could not be placed: /opt/tether"), message
        assert words in message
        assert " MiB needed; " in message
        assert left == []


def test_a_host_without_python_is_named_before_anything_is_planned(fleet: Fleet, say: Say) -> None:
    fleet.run("a", "sh", "-c", "for f in /usr/bin/python3*; do mount --bind /dev/null $f; done; true")
    try:
        code, document = say(fleet.inventory_file, "plan", "--limit", "a")
    finally:
        fleet.run("a", "sh", "-c", "for f in /usr/bin/python3*; do umount $f; done; true")
    assert code == Exit.FAILED
    assert [(failed["host"], failed["result"]) for failed in document["failed"]] == [("a", "refused")]
    assert "no python3" in document["failed"][0]["message"]
