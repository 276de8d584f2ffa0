# SPDX-License-Identifier: Apache-2.0
"""A plan that a running engine takes over, end to end: a contact plan and other UDP ports, by apply and by rollback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.users import User, account

# What the verbs do not import, and what weighs most.
LEFT_OUT = shutil.ignore_patterns("mypy", "mypyc", "ruff", "pip", "hypothesis", "__pycache__")
CONTACT = """    contact:
      windows:
        - {start: 2020-01-01T00:00:00Z, length: 50min, every: 1h}
        - {start: 2020-01-01T00:30:00Z, length: 50min, every: 1h}
      latency:
        - {from: 2020-01-01T00:00:00Z, latency: 50us}
"""


class Bench:
    """The user's lab and the verbs in it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.packages = user.home / "packages"
        shutil.copytree(Path(sysconfig.get_path("purelib")), self.packages, ignore=LEFT_OUT)
        self.packages.chmod(0o755)
        self.inventory = user.home / "src/inventory/lab-user.yaml"

    def tether(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        path = f"PYTHONPATH={self.packages}:{self.user.home / 'src'}"
        argv = ["env", path, self.user.python, "-m", "tether_hw.cli.main", *words]
        done = self.user.run(*argv, timeout=240)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def steps(self) -> list[tuple[str, str]]:
        plan = json.loads(self.tether("plan", "-i", str(self.inventory), "--json").stdout)
        return [(step["host"], step["kind"]) for step in plan["steps"]]

    def apply(self) -> None:
        self.tether("apply", "-i", str(self.inventory), "--yes")
        assert self.steps() == []

    def stats(self, host: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(
            self.tether("engine", "stats", host, "-i", str(self.inventory), "--json").stdout
        )
        return document


@pytest.fixture
def bench() -> Iterator[Bench]:
    with account("thot") as user:
        user.place("tether_hw", "inventory", "profiles", "templates", "tools", "build/bundles", "build/native")
        made = Bench(user)
        made.tether("lab", "up", "--user", "--hosts", "2")
        try:
            yield made
        finally:
            made.tether("lab", "down")


def test_a_running_engine_takes_its_new_plan_over(bench: Bench) -> None:
    bench.apply()
    first = {host: bench.stats(host) for host in "ab"}
    assert first["a"]["lanes"][0]["contact"] is None
    text = bench.inventory.read_text(encoding="utf-8")
    bench.inventory.write_text(text.rstrip("\n") + "\n" + CONTACT, encoding="utf-8")
    assert bench.steps() == [("a", "engine_config"), ("b", "engine_config")]
    bench.apply()
    now = {host: bench.stats(host) for host in "ab"}
    for host in "ab":
        assert now[host]["lanes"][0]["contact"]["open"] is True
        assert now[host]["uptime_s"] > first[host]["uptime_s"], "the engine was started anew"
        assert sum(lane["byes_received"] for lane in now[host]["lanes"]) == 0
    bench.tether("verify", "-i", str(bench.inventory))
    # other ports for b: its engine moves, a's roster follows
    bench.inventory.write_text(text.replace("port: 27021", "port: 27031"), encoding="utf-8")
    assert sorted(bench.steps()) == [("a", "engine_config"), ("a", "engine_roster"), ("b", "engine_config")]
    bench.apply()
    after = {host: bench.stats(host) for host in "ab"}
    assert [lane["address"] for lane in after["b"]["lanes"]] == ["127.0.0.1:27031", "127.0.0.1:27032"]
    assert {peer["address"] for peer in after["a"]["peers"]} == {"127.0.0.1:27031", "127.0.0.1:27032"}
    for host in "ab":
        assert after[host]["uptime_s"] > now[host]["uptime_s"], "the engine was started anew"
        assert after[host]["lanes"][0]["contact"] is None
    bench.tether("verify", "-i", str(bench.inventory))
    # and back, by the run's own undo
    bench.tether("rollback", "last", "-i", str(bench.inventory), "--yes")
    back = {host: bench.stats(host) for host in "ab"}
    assert [lane["address"] for lane in back["b"]["lanes"]] == ["127.0.0.1:27021", "127.0.0.1:27022"]
    assert back["a"]["lanes"][0]["contact"]["open"] is True
    assert all(back[host]["uptime_s"] > after[host]["uptime_s"] for host in "ab")
