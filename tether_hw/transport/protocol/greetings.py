# SPDX-License-Identifier: Apache-2.0
"""Early data (RFC 0001 section 9.4): channels that have ended, the Lamps to them and from them, the strike register."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tether_hw.transport.protocol import warm
from tether_hw.transport.protocol.config import NEVER, SECOND, Address, Happened
from tether_hw.transport.protocol.flood import can_answer
from tether_hw.transport.protocol.header import BLOCK_SIZE, HEADER_SIZE, LAMP, Header
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.replay import ReplayWindow
from tether_hw.transport.protocol.serial import U48

if TYPE_CHECKING:
    from tether_hw.transport.protocol.node import Node

LIFE_NS = 3600 * SECOND
REGISTER = 1024  # counters that the strike register knows (T-WRM-6)
MESSAGES_MOST = 16  # that wait for the application
TRIES = 5  # T-WRM-7
RETRY_CAP_NS = 2 * SECOND
LAMP_FRAMES = 2  # what a Lamp costs the purse: itself, and the answer that it funds (T-PRS-3)
ANSWER_LENGTH = 16


@dataclass
class Greeting:
    """A Lamp of ours that is out."""

    frame: bytes
    counter: int
    salt: bytes
    due_ns: int
    tries: int = 0


@dataclass
class Ended:
    """What is kept of a channel for an hour (T-WRM-3)."""

    index: int  # what the peer writes into `channel`
    peer_index: int
    peer_id: int
    peer_key: bytes
    remote_lane: int
    initiator: bool  # of the channel's first Hail, whoever hailed for its newest keys
    resume: bytes
    address: Address
    most: int  # bytes of early data that the peer takes
    until_ns: int
    silence_ns: int
    strikes: ReplayWindow = field(default_factory=lambda: ReplayWindow(REGISTER))
    lamp: Greeting | None = None


class Greetings:
    """The early data of one endpoint. `known`: the keys of the roster."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.known: set[bytes] = set()
        self.ended: dict[int, Ended] = {}  # by our index
        self.waiting: deque[tuple[int, bytes]] = deque()  # (peer, message) for the application

    def keep(self, ended: Ended) -> None:
        """A channel that was up has ended."""
        if not self.node.config.early_bytes:
            return
        if len(self.ended) >= self.node.config.max_channels:
            oldest = min((each for each in self.ended.values() if each.lamp is None), default=None, key=_until)
            if oldest is None:
                return
            del self.ended[oldest.index]
        self.ended[ended.index] = ended

    def _find(self, index: int, now_ns: int) -> Ended | None:
        found = self.ended.get(index)
        return found if found and now_ns < found.until_ns and found.peer_key in self.known else None

    # ours

    def send(self, now_ns: int, peer_id: int, lane: int, data: bytes, take_counter: Callable[[], int | None]) -> None:
        """Greet a lane of a peer with one message; EARLY_DONE follows. Errors as tether.h has them."""
        kept = [found for index in list(self.ended) if (found := self._find(index, now_ns))]
        kept = [found for found in kept if (found.peer_id, found.remote_lane) == (peer_id, lane)]
        newest = max(kept, default=None, key=_until)
        if newest is None or not newest.most:
            raise OSError(errno.ENOENT, "no channel of that lane pair has ended that takes early data")
        if not data:
            raise OSError(errno.EINVAL, "early data is a byte or more")
        if len(data) > newest.most:
            raise OSError(errno.EMSGSIZE, f"{len(data)} bytes, the peer takes {newest.most}")
        if newest.lamp is not None:
            raise OSError(errno.EBUSY, "one Lamp for each channel that has ended")
        counter = take_counter()
        if counter is None:
            raise OSError(errno.EAGAIN, "no Hail counter")
        if counter > U48:
            raise OSError(errno.ENOENT, "the header has no room for this counter")
        salt = self.node.config.entropy(warm.SALT_SIZE)
        frame = warm.write_lamp(newest.resume, newest.initiator, newest.peer_index, counter, salt, data)
        newest.lamp = Greeting(frame, counter, salt, now_ns)

    def next_lamp(self, now_ns: int) -> tuple[bytes, Address] | None:
        """A Lamp that is due, for the first time or again, byte for byte (T-WRM-7)."""
        for ended in self.ended.values():
            lamp = ended.lamp
            if lamp is None or now_ns < lamp.due_ns:
                continue
            if lamp.tries == TRIES or self._find(ended.index, now_ns) is None:
                self._done(ended, -errno.ETIMEDOUT)  # whether it has arrived is not known
            elif self.node.purse.take(now_ns, LAMP_FRAMES):
                wait_ns = min(ended.silence_ns << lamp.tries, max(RETRY_CAP_NS, ended.silence_ns))
                lamp.due_ns = now_ns + wait_ns
                lamp.tries += 1
                self.node.stats.lamps_sent += 1
                self.node.stats.frames_sent += 1
                return lamp.frame, ended.address
        return None

    def deadline_ns(self) -> int:
        """When next_lamp() is worth a call."""
        ready_ns = self.node.purse.ready_ns(LAMP_FRAMES)
        return min((max(each.lamp.due_ns, ready_ns) for each in self.ended.values() if each.lamp), default=NEVER)

    def _done(self, ended: Ended, status: int) -> None:
        assert ended.lamp is not None
        self.node.tell(Happened.EARLY_DONE, 0, status=status, value=ended.lamp.counter, peer=ended.peer_id)
        ended.lamp = None

    # theirs

    def receive(self, header: Header, frame: bytes, source: Address, now_ns: int) -> bytes | None:
        """A frame on the index of a channel that has ended, judged as T-WRM-5 says; the answer to a Lamp."""
        ended = self._find(header.channel, now_ns)
        if ended is None:
            raise Reject("stranger", f"no channel has index {header.channel:#x}")
        if header.flags != LAMP or header.flow:
            raise Reject("state", "neither a warm Lamp nor its answer")
        if header.length == ANSWER_LENGTH:
            self._read_answer(ended, header, frame)
            return None
        blocks = header.blocks
        whole = HEADER_SIZE + BLOCK_SIZE * blocks
        if header.length <= warm.HEAD_SIZE or blocks > self.node.config.frame_blocks:
            raise Reject("length", f"a warm Lamp of {header.length} bytes")
        if len(frame) >= whole + BLOCK_SIZE:
            raise Reject("length", f"{len(frame) - whole} bytes beyond the frame")
        if not can_answer(source):
            raise Reject("address", "a source that cannot be answered")
        if not warm.ANSWER_BLOCKS <= header.GrantAmount <= blocks + 1:
            raise Reject("grant", f"a Lamp of {blocks + 1} blocks that funds {header.GrantAmount}")
        if not self.node.guard.pay(source, now_ns):
            raise Reject("flood", "Lamps beyond a bucket")
        counter, message = warm.read_lamp(ended.resume, not ended.initiator, frame[:whole])
        self.node.stats.lamps_received += 1
        status = self._strike(ended, counter, message)
        salt = frame[HEADER_SIZE : HEADER_SIZE + warm.SALT_SIZE]
        return warm.write_answer(ended.resume, ended.initiator, ended.peer_index, counter, salt, status)

    def _strike(self, ended: Ended, counter: int, message: bytes) -> int:
        """Deliver it unless it was, or may have been (T-WRM-6)."""
        strikes = ended.strikes
        if not strikes.is_fresh(counter):
            return warm.REFUSED if strikes.highest - counter >= REGISTER else warm.TAKEN
        if len(message) > self.node.config.early_bytes or len(self.waiting) >= MESSAGES_MOST:
            return warm.REFUSED  # and not entered: it was not delivered
        strikes.mark(counter)
        self.waiting.append((ended.peer_id, message))
        self.node.tell(Happened.EARLY, 0, value=len(message), peer=ended.peer_id)
        return warm.TAKEN

    def _read_answer(self, ended: Ended, header: Header, frame: bytes) -> None:
        lamp = ended.lamp
        if lamp is None or header.sequence != lamp.counter:
            raise Reject("state", "the answer to no Lamp that is out")
        if len(frame) != BLOCK_SIZE * warm.ANSWER_BLOCKS:
            raise Reject("length", f"an answer of {len(frame)} bytes")
        status = warm.read_answer(ended.resume, not ended.initiator, lamp.salt, frame)
        self._done(ended, 0 if status == warm.TAKEN else -errno.ECONNREFUSED)


def _until(ended: Ended) -> int:
    return ended.until_ns
