# SPDX-License-Identifier: Apache-2.0
"""Receipts (RFC 0001 section 7.1): leave to send one header-only frame, earned by frames of the peer."""

from __future__ import annotations

KEPT_MOST = 256  # T-RCT-3: a bound of our choice


class Receipts:
    """The receipts of one channel, and when the last one was spent."""

    def __init__(self) -> None:
        self.count = 0
        self.spent_ns: int | None = None

    def earn(self) -> None:
        """A data frame or a BLOCKED frame was accepted."""
        self.count = min(KEPT_MOST, self.count + 1)

    def spend(self, now_ns: int) -> None:
        """A header-only frame leaves, paid by one of them."""
        assert self.count > 0
        self.count -= 1
        self.spent_ns = now_ns

    def allows(self, unmet: bool, for_grant: bool) -> bool:
        """Whether one may be spent (T-RCT-4).

        `unmet`: some flow of the peer has demand that is not granted; then the last receipt waits for the grant.
        `for_grant`: this frame brings a raised grant, or answers BLOCKED.
        """
        return self.count > 1 or (self.count == 1 and (for_grant or not unmet))
