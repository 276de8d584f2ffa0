# SPDX-License-Identifier: Apache-2.0
"""A simulated card that takes rules of tc: required in hardware, read back so; frames prove nothing there."""

from __future__ import annotations

import json

import pytest

from tests.support.guests import guests


def test_rules_that_the_card_shows_in_hardware_are_proved_and_frames_are_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with guests(tmp_path_factory.mktemp("flower"), 1, "--flower", stopping=False) as lab:
        required = lab.variant("required", offload__preferred="offload: required")
        start = lab.config()
        code, applied = lab.say("apply", "--yes", inventory=required)
        assert code == 0, applied
        told = {one["id"]: (one["result"], one["evidence"]) for one in applied["checks"]}
        assert told["counters-sim0"][0] == "not provable now"
        assert "not provable on this device" in told["counters-sim0"][1]
        shown = json.loads(lab.ssh("a", "tc -j filter show dev sim0 ingress").stdout)
        rules = [one["options"] for one in shown if "handle" in one.get("options", {})]
        assert len(rules) == 2
        assert all(rule.get("in_hw") and not rule.get("not_in_hw") for rule in rules)
        code, verified = lab.say("verify", inventory=required)
        assert code == 0, verified
        assert ("rules-flower-sim0", "proved") in {(one["id"], one["result"]) for one in verified["checks"]}
        code, back = lab.say("rollback", "last", "--yes", inventory=required)
        assert code == 0, back
        assert lab.config() == start
