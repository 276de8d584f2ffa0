# SPDX-License-Identifier: Apache-2.0
"""The sender's two numbers per flow (RFC 0001 section 6.1): the slots it has used, and the slots it may use."""

from __future__ import annotations

from tether_hw.transport.protocol.serial import SPAN, raise_limit


class Ledger:
    """`next` is the next unused slot, `limit` what the peer is known to have granted; the credit lies between.

    An implementation with threads makes debit() one compare-and-swap and grant() one compare-and-swap-maximum
    (T-LED-1, T-LED-2); here one caller at a time is the rule.
    """

    def __init__(self, limit: int = 0) -> None:
        self.next = 0
        self.limit = limit
        self.told = limit  # the highest that the peer itself said: a SKIP moves `limit`, not this (T-STA-3)

    @property
    def credit(self) -> int:
        """Slots that may be used now."""
        return max(0, self.limit - self.next)

    def debit(self, slots: int) -> int | None:
        """Take `slots` of the credit; the old `next` is the slot. None when the credit does not reach."""
        if self.next + slots > self.limit:
            return None
        slot = self.next
        self.next += slots
        return slot

    def ember(self, slots: int) -> int:
        """Use slots beyond the grant; the caller has seen that this is allowed (T-STA-2)."""
        slot = self.next
        self.next += slots
        return slot

    def grant(self, wire: int, first_unacknowledged: int) -> bool:
        """Take the GrantAmount of a frame; True when it raised the limit (T-SER-3, T-SER-7)."""
        granted = raise_limit(self.limit, wire)
        if granted - first_unacknowledged >= SPAN and first_unacknowledged < self.next:
            return False
        self.told = max(self.told, raise_limit(self.told, wire))
        raised = granted > self.limit
        self.limit = granted
        return raised

    def skip(self, end: int) -> tuple[int, int]:
        """Give back everything below `end` that was not used: (first, count) of the SKIP (T-RET-1)."""
        first = self.next
        self.next = end
        self.limit = max(self.limit, end)
        return first, end - first
