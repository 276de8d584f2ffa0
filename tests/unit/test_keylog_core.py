# SPDX-License-Identifier: Apache-2.0
"""The core's own frames, opened by the key log that it wrote: by the reference and by the dissector, new keys too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import captures, exchange_base
from tests.support import exchange as exchanges
from tests.support.core_party import CoreParty
from tests.unit.test_wireshark import dissect
from tether_hw.transport.protocol import keylog, tags
from tether_hw.transport.protocol.capture import Capture
from tether_hw.transport.protocol.header import LAMP, Header
from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305

# New keys are asked for when the old ones have opened or sealed 64 frames.
STEPS: list[list[object]] = [
    ["flow", "a", "f", "messages", 65536], ["send", "a", "f", 1, 60000, 60000], ["get", "b", "f", 3], ["idle", 2500],
    ["send", "b", "f", 60000, 60000, 5], ["get", "a", "f", 3], ["idle", 2500], ["send", "a", "f", 7],
    ["get", "b", "f"], ["quiet"],
]  # fmt: skip


class Rekeying(CoreParty):
    """Takes new keys every second."""

    rekey_s = 1


def overheard(monkeypatch: pytest.MonkeyPatch, cipher: int) -> tuple[list[tuple[bytes, bytes]], str]:
    """(sender, frame) of all that was sent, and the key log of one end."""
    monkeypatch.setitem(exchange_base.IMPLEMENTATIONS, "core", Rekeying)
    case = {"steps": STEPS, "proves": [], "config": {"both": {"prefer_cipher": cipher}}}
    exchange = exchanges.Exchange(case, ("core", "core"))
    exchange.run()
    logs = [exchange.sides[name].party.keys for name in "ab"]
    assert len(logs[0]) >= 6  # two lines for each of three sets of keys
    assert set(logs[0]) == set(logs[1])
    return exchange.wire.seen, "\n".join(logs[0]) + "\n"


@pytest.mark.parametrize("cipher", [AES_256_GCM, CHACHA20_POLY1305])
def test_the_reference_opens_every_frame(monkeypatch: pytest.MonkeyPatch, cipher: int) -> None:
    seen, text = overheard(monkeypatch, cipher)
    log = keylog.parse(text)
    assert {secret.cipher for secrets in log.secrets.values() for secret in secrets} == {cipher}
    sealed = [(name, frame) for name, frame in seen if not Header.decode(frame).flags & LAMP]
    assert len(sealed) > 20 and len({Header.decode(frame).channel for _name, frame in sealed}) >= 6
    assert all(not Capture.decode(frame).trailer and not Capture.decode(frame).missing for _name, frame in seen)
    control = []
    for _name, frame in sealed:
        opened = log.open(frame)
        assert opened is not None, Header.decode(frame)
        header = Header.decode(frame)
        assert len(opened[1]) == header.length
        if header.flow == 0 and header.length:
            control += tags.parse(opened[1])
    assert any(isinstance(tag, tags.Define) for tag in control)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_the_dissector_opens_every_frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen, text = overheard(monkeypatch, AES_256_GCM)
    packets = [captures.ethernet(captures.Sent("", name == b"a", frame, None)) for name, frame in seen]
    shown = dissect(tmp_path, packets, text, "-V", "-O", "tether")
    sealed = [frame for _name, frame in seen if not Header.decode(frame).flags & LAMP]
    assert shown.count("[Sealed by: ") == len(sealed)
    assert "Group: " not in shown  # nothing to complain about
    assert "DEFINE" in shown and "MANIFEST" in shown
