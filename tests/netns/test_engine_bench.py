# SPDX-License-Identifier: Apache-2.0
"""`bench --carrier af_xdp`: between namespaces of its own and between two that are there."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.engines import COMMAND, ROOT
from tests.support.wires import wired


def namespaces() -> set[str]:
    return set(subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("between", [False, True])
def test_bench_over_af_xdp(between: bool) -> None:
    with wired("bench", 2) as wire:
        before = namespaces()
        words = ["--between", ",".join(wire.names.values())] if between else []
        argv = [*COMMAND, "bench", "--carrier", "af_xdp", "--queues", "2", "--mebibytes", "8", "--json", *words]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert namespaces() == before
    document = json.loads(done.stdout)
    assert (document["schema"], document["carrier"], document["queues"]) == ("tether.engine.bench/1", "af_xdp", 2)
    for name in ("frames_per_s", "goodput_bps", "aead_limit_bps", "xdp_ceiling_bps", "rtt_p50_ns", "rtt_p99_ns"):
        assert document[name] > 0
    assert document["share_of_aead_limit"] > 0
    assert document["share_of_xdp_ceiling"] > 0
    assert len(document["per_round"]) == 5
    for entry in document["per_round"]:
        assert entry["overruns"] == 0
        assert min(entry["frames_per_queue"]) > 0


def test_a_namespace_that_is_not_there_is_named() -> None:
    argv = [*COMMAND, "bench", "--carrier", "af_xdp", "--between", "tether-no-such,tether-no-such", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 1
    assert "there is no namespace tether-no-such" in done.stderr
