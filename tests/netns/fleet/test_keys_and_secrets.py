# SPDX-License-Identifier: Apache-2.0
"""Identity keys stay on their hosts and are recognised; secrets show up nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.fleets import ROOT, Background, Fleet, new_run
from tether_hw.errors import Exit
from tether_hw.fleet import enroll, runs
from tether_hw.fleet.fingerprint import fingerprint
from tether_hw.fleet.target import target

CANARY = "canary-4f1d-passphrase"


def test_enrolling_again_makes_nothing_and_the_secret_is_the_engines_alone(fleet: Fleet) -> None:
    results = enroll.enroll(fleet.reach(), ["a", "b"])
    assert [(result["exit"], result["made"]) for result in results] == [(0, False), (0, False)]
    keys = {result["key"] for result in results}
    assert len(keys) == 2
    assert {key for known in fleet.inventory.keys.values() for key in known} == keys
    shown = fleet.run("a", "stat", "-c", "%a %U", "/etc/tether/identity.key").split()
    assert shown == ["600", "tether"]
    secret = fleet.run("a", "cat", "/etc/tether/identity.key").strip()
    assert secret not in fleet.inventory.keys_file.read_text()


def test_a_changed_identity_key_is_refused_with_both_fingerprints(fleet: Fleet) -> None:
    (old,) = fleet.inventory.keys["a"]
    fleet.run("a", "mv", "/etc/tether/identity.key", "/etc/tether/identity.old")
    try:
        result = enroll.enroll(fleet.reach(), ["a"])[0]
        assert result["result"] == "refused"
        assert result["exit"] == Exit.FAILED
        new = fleet.facts("a").config["keys"]["node"]
        assert new != old
        assert fingerprint(old) in result["message"]
        assert fingerprint(new) in result["message"]
        assert fleet.inventory.keys["a"] == (old,)
        plan = fleet.plan({"a": fleet.facts("a")})
        (refusal,) = plan.refusals
        assert fingerprint(old) in refusal["reason"]
        assert fingerprint(new) in refusal["reason"]
    finally:
        fleet.run("a", "mv", "/etc/tether/identity.old", "/etc/tether/identity.key")
    assert fleet.facts("a").config["keys"]["node"] == old


def test_facts_of_a_host_without_our_bundle_leave_nothing_behind(fleet: Fleet) -> None:
    from tether_hw.fleet import bundle, facts
    from tether_hw.fleet.reach import Reach

    def nowhere(arch: str) -> bundle.Bundle:
        raise bundle.BundleError("there is none")

    listing = ["find", "/etc", "/opt", "/var", "/run", "/home", "/root", "/tmp", "-xdev", "-not", "-name", "*.log"]
    before = fleet.run("a", *listing)
    reach = Reach(fleet.inventory, bundles=nowhere)
    with reach.session("a") as session:
        found = facts.read(reach, session)
    assert fleet.run("a", *listing) == before
    assert found.config == fleet.facts("a").config


def test_canary_secrets_appear_nowhere(fleet: Fleet, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    key.write_bytes(Path(str(target(fleet.inventory, "a").identity_file)).read_bytes())
    key.chmod(0o600)
    argv = ["ssh-keygen", "-q", "-p", "-P", "", "-N", CANARY, "-f", str(key)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    text = re.sub(r"identity_file: [^,}\n]+", f"identity_file: {key}", fleet.inventory_file.read_text())
    text = text.replace("hosts:\n", "hosts:\n", 1).replace(
        "defaults:\n", "defaults:\n  passphrase: env:TETHER_CANARY\n"
    )
    text = re.sub(r"(jump: \{[^}]*)\}", r"\1, passphrase: 'env:TETHER_CANARY'}", text)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(text)
    (tmp_path / "inventory.keys.yaml").write_text(fleet.inventory.keys_file.read_text())
    os.environ["TETHER_CANARY"] = CANARY
    try:
        other = Fleet(inventory, fleet.bundle, fleet.reboot, fleet.fault, fleet.heal)
        plan = other.plan({"a": other.facts("a")})
        run = new_run()
        fleet.gate("a", "step.begin 02-nic_mtu-data0")
        background = Background(other, plan, "a", run)
        pid = fleet.paused("a")
        while_running = fleet.run("a", "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true")
        own = Path("/proc/self/cmdline").read_text()
        fleet.signal("a", pid, "CONT")
        result = background.join()
        assert result["result"] == "confirmed", result
        results = runs.rollback(other.reach(), ["a"], run)
        # A command line that fails, with all its words.
        environment = {**os.environ, "TETHER_STATE": str(tmp_path / "state")}
        words = ["facts", "-i", str(inventory), "--limit", "a", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "tether_hw.cli.main", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        key.write_text("no key any more")
        broken = subprocess.run(
            [sys.executable, "-m", "tether_hw.cli.main", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert broken.returncode == Exit.FAILED
    finally:
        del os.environ["TETHER_CANARY"]
        other.close()
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    on_host = fleet.run("a", "sh", "-c", f"grep -rl {CANARY} /etc /opt /var /run /root /home /tmp 2>/dev/null; true")
    assert CANARY not in plan.text()
    assert CANARY not in while_running
    assert CANARY not in own
    assert CANARY not in str(result) + str(results)
    assert CANARY not in done.stdout + done.stderr + broken.stdout + broken.stderr
    assert CANARY not in written
    assert on_host == ""
