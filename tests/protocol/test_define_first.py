# SPDX-License-Identifier: Apache-2.0
"""Nothing about a flow leaves before its DEFINE, also while Flow 0 has no credit for it."""

from __future__ import annotations

import pytest

from tests.support.exchange import Exchange
from tether_hw.transport.protocol.header import Header


@pytest.mark.proves("T-DEF-5")
@pytest.mark.parametrize("implementation", ["core", "reference"])
def test_data_waits_for_a_define_that_waits_for_credit(implementation: str) -> None:
    meeting = Exchange({"steps": []}, (implementation, "reference"))
    meeting.run()
    party, channel, now = meeting.sides["a"].party, meeting.sides["a"].channels["b"], meeting._now("a")
    flows = []
    about = []

    def leave() -> None:
        while (sent := party.transmit(now)) is not None:
            header = Header.decode(sent[0])
            about.append((header.flow, header.length > 0))

    for _ in range(10):  # nobody answers: the pool of Flow 0 is soon used up
        flows.append(party.open_flow(now, channel, 1, 1000))
        leave()
    defines = about.count((0, True))
    assert 0 < defines < len(flows)
    party.write(now, channel, flows[-1], b"x" * 100)
    leave()
    now += 5_000_000_000  # no clock speaks of it either
    leave()
    assert all(flow == 0 for flow, _ in about)
    party.write(now, channel, flows[0], b"x" * 100)  # the ember is free, and for who is announced
    leave()
    assert about[-1] == (flows[0], True)
