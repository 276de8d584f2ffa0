# SPDX-License-Identifier: Apache-2.0
"""The keys of a channel, and how it goes over to new ones (RFC 0001 section 10.10)."""

from __future__ import annotations

from tether_hw.transport.protocol.frame import Inbound, Outbound
from tether_hw.transport.protocol.header import Header
from tether_hw.transport.protocol.warm import resume_key

AGE_RTTS = 10  # T-RKY-7
FRAMES_LEAST = 64
ORDER_SHIFT = 48


class KeySet:
    """One pair of keys with the two indices that go with it."""

    def __init__(
        self, index: int, peer_index: int, keys: tuple[bytes, bytes], hailed_here: bool, cipher: int,
        epochs_ahead: int, window: int, now_ns: int,
    ) -> None:  # fmt: skip
        """`keys` as Split() gives them: initiator's first. `index` is what the peer writes into `channel`."""
        sending, receiving = keys if hailed_here else keys[::-1]
        self.index = index
        self.peer_index = peer_index
        self.cipher = cipher
        self.resume = resume_key(*keys)
        self.outbound = Outbound(sending, cipher)
        self.inbound = Inbound(receiving, cipher, epochs_ahead, window=window)
        self.made_ns = now_ns
        self.generation = 0
        self.verified = False  # a frame under them has verified
        self.opened = 0

    def order(self, header: Header) -> int:
        """Frames of one channel by their age: newer keys first, then the sequence (T-RKY-6)."""
        return self.generation << ORDER_SHIFT | header.sequence

    @property
    def frames(self) -> int:
        """Sealed and opened so far."""
        return self.outbound.sequence - 1 + self.opened


class Keys:
    """The key sets of one channel: those in use, those of an answer that waits, and the old ones while they drain."""

    def __init__(self, first: KeySet) -> None:
        self.now = first
        self.answered: KeySet | None = None
        self.old: KeySet | None = None
        self.drained_ns: int | None = None  # when the old ones are forgotten
        self.retired: list[int] = []  # indices that name nothing any more

    def of(self, index: int) -> KeySet | None:
        """The set whose frames carry this index."""
        for found in (self.now, self.answered, self.old):
            if found is not None and found.index == index:
                return found
        return None

    def answer(self, fresh: KeySet) -> None:
        """A Hail with REKEY was answered: these wait for their first frame (T-RKY-3)."""
        if self.answered is not None:
            self.retired.append(self.answered.index)
        self.answered = fresh

    def go_over(self, fresh: KeySet) -> None:
        """Seal with these from now on; what comes under the old ones is still read (T-RKY-5)."""
        self._forget_old()
        if self.answered is not None and self.answered is not fresh:
            self.retired.append(self.answered.index)
        fresh.generation = self.now.generation + 1
        self.now, self.old, self.answered, self.drained_ns = fresh, self.now, None, None

    def verified(self, found: KeySet, now_ns: int, rtt_ns: int) -> bool:
        """A frame under this set has verified; True when that made the channel go over to it."""
        found.opened += 1
        over = found is self.answered
        if over:
            self.go_over(found)
        if found is self.now and not found.verified and self.old is not None:
            self.drained_ns = now_ns + 2 * rtt_ns
        found.verified = True
        return over

    def expire(self, now_ns: int) -> None:
        """Forget the old keys when their time is over (T-RKY-8)."""
        if self.drained_ns is not None and now_ns >= self.drained_ns:
            self._forget_old()

    def _forget_old(self) -> None:
        if self.old is not None:
            self.retired.append(self.old.index)
        self.old, self.drained_ns = None, None

    def due_ns(self, age_ns: int, rtt_ns: int, hailed_here: bool) -> int:
        """When new keys should be asked for; the end that did not hail for the channel waits twice as long."""
        age_ns = max(age_ns, AGE_RTTS * rtt_ns)
        return self.now.made_ns + (age_ns if hailed_here else 2 * age_ns)

    @property
    def used(self) -> bool:
        """They have sealed or opened enough to be worth new ones: an idle channel stays silent."""
        return self.now.frames >= FRAMES_LEAST
