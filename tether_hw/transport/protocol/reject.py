# SPDX-License-Identifier: Apache-2.0
"""Why a frame is dropped (RFC 0001 section 14.1). Each reason is a counter; none is ever answered."""

from __future__ import annotations

REASONS = (
    "short", "version", "length", "stranger", "mac1", "auth", "replay", "epoch",
    "padding", "flow", "grant", "cells", "tags", "counter", "address", "state", "flood",
)  # fmt: skip


class Reject(Exception):
    """A frame that must be dropped. `reason` is one of REASONS; `detail` is for people; `position` a byte offset."""

    def __init__(self, reason: str, detail: str, position: int = 0) -> None:
        assert reason in REASONS
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.position = position
