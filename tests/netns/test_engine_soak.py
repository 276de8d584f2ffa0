# SPDX-License-Identifier: Apache-2.0
"""A short soak over AF_XDP on two queues; `make soak` runs it for minutes, TETHER_SOAK_S sets the seconds."""

from __future__ import annotations

import os

import pytest

from tests.support.soak import soak


@pytest.mark.soak
def test_mixed_traffic_over_af_xdp() -> None:
    result = soak("af_xdp", float(os.environ.get("TETHER_SOAK_S", "30")))
    assert result["wrong"] == []
    assert result["messages"] > 20
    assert result["flows"] > 10
    assert result["cancelled"] > 0
    assert result["largest"] > 1 << 20
