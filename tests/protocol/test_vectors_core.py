# SPDX-License-Identifier: Apache-2.0
"""The C core on the same vectors: every case that the Python reference passes, by name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.protocol.cases.common import MANIFEST, material
from tether_hw.transport.protocol import hail, tags
from tether_hw.transport.protocol.header import Header
from tether_hw.transport.protocol.noise import Handshake, public_key

HERE = Path(__file__).parent
RUNNER = HERE.parents[1] / "build" / "native" / "tests" / "test_vectors"
NAMES = sorted(path.stem for path in (HERE / "vectors").glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_core_passes_every_case(name: str) -> None:
    assert RUNNER.exists(), f"{RUNNER} is not there: make build"
    run = subprocess.run(
        [str(RUNNER), str(HERE / "vectors" / f"{name}.txt")], capture_output=True, text=True, timeout=120, check=False
    )
    cases = json.loads((HERE / "vectors" / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    expected = [f"ok {name} {case['case']}" for case in cases]
    assert [line for line in run.stdout.splitlines() if line.startswith(("ok ", "FAIL "))] == expected, run.stderr
    assert run.returncode == 0


def test_reference_reads_the_reply_of_the_core() -> None:
    """The core answers the vectors' good Hail; the reference, which wrote it, gets both ends' keys from the reply."""
    run = subprocess.run(
        [str(RUNNER), str(HERE / "vectors" / "bad_hails.txt")], capture_output=True, text=True, timeout=120, check=True
    )
    replies = dict(line.split()[1:] for line in run.stdout.splitlines() if line.startswith("reply "))
    initiator = Handshake(material("hail initiator"), public_key(material("hail responder")))
    offer: list[tags.AnyTag] = [tags.Hail(5, 0, 0, 1, 0), MANIFEST]
    sent = hail.write_hail(initiator, material("hail e"), 0x100, 1, offer)
    reply = bytes.fromhex(replies["good"])
    index, found, manifest = hail.read_reply(initiator, reply, offered=1)
    assert len(reply) <= len(sent)
    assert Header.decode(reply).channel == 0x100
    assert index
    assert index & 0xFF == 0  # the core's lane
    assert found == tags.Hail(5, 0, 0, 1, 0)
    assert (manifest.floor, manifest.frame_blocks, manifest.lanes) == (22, 22, [])
    assert manifest.pool_slots in range(22, 177, 22)  # as its ring allows (T-GRT-9)
