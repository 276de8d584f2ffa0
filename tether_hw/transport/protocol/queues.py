# SPDX-License-Identifier: Apache-2.0
"""What waits to be sent on a flow, and how it is cut into frames (RFC 0001 sections 6.2, 6.4, 12 and 13)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tether_hw.transport.protocol.config import NEVER
from tether_hw.transport.protocol.header import BLOCK_SIZE, END, FIRST


@dataclass(frozen=True)
class Shape:
    """How frames of one direction are cut: the receiver's floor, and the payload blocks that both ends can take."""

    floor: int  # slots of this flow (T-SCL-2)
    blocks: int  # N of T-MSG-6, cut to whole slots (T-SCL-3)
    slot: int = BLOCK_SIZE  # bytes of a slot: 64 * 2^scale

    @classmethod
    def of(cls, floor: int, blocks: int, scale: int = 0) -> Shape:
        """The shape of a flow of this scale between ends of this floor and N."""
        return cls(max(1, floor >> scale), (blocks >> scale) << scale, BLOCK_SIZE << scale)

    @property
    def full(self) -> int:
        """Payload bytes of a full frame."""
        return BLOCK_SIZE * self.blocks

    @property
    def full_slots(self) -> int:
        """Slots of a full frame."""
        return self.used(self.full)

    def used(self, size: int) -> int:
        """Slots of a frame of `size` payload bytes (T-SLT-1, T-SCL-3)."""
        return max(self.floor, -(-size // self.slot))

    def slots(self, size: int) -> int:
        """Slots of `size` bytes, cut into full frames and one last one."""
        full, tail = divmod(size, self.full)
        return full * self.used(self.full) + (self.used(tail) if tail else 0)


@dataclass(frozen=True)
class Cut:
    """The next frame of a flow: payload, FIRST and END, and whom to tell when it has a receipt."""

    payload: bytes
    flags: int = 0
    receipted: tuple[Callable[[], None], ...] = ()
    since_ns: int = 0  # when the application handed its message, or its first byte, over
    ordinal: int = 0  # of its message in the flow


@dataclass
class Message:
    """A message that waits, or stands half sent."""

    data: bytes
    since_ns: int
    ordinal: int  # of all that were written to the flow
    sent: int = 0

    @property
    def rest(self) -> int:
        """Bytes that no frame has carried yet."""
        return len(self.data) - self.sent


class MessageQueue:
    """Whole messages, in order; `bound` is the flow's."""

    def __init__(self, shape: Shape, bound: int) -> None:
        self.shape = shape
        self.bound = bound
        self.most = shape.slots(bound)  # S of T-MSG-1
        self.messages: deque[Message] = deque()
        self.written = 0

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(message.rest for message in self.messages)

    def put(self, data: bytes, now_ns: int) -> None:
        """One more message."""
        self.messages.append(Message(bytes(data), now_ns, self.written))
        self.written += 1

    def peek(self) -> Cut | None:
        """The next frame, None when nothing waits."""
        if not self.messages:
            return None
        message = self.messages[0]
        payload = message.data[message.sent : message.sent + self.shape.full]
        flags = 0 if message.sent else FIRST
        flags |= END if len(payload) == message.rest else 0
        return Cut(payload, flags, since_ns=message.since_ns, ordinal=message.ordinal)

    def take(self, cut: Cut) -> None:
        """That frame has its slots now."""
        message = self.messages[0]
        message.sent += len(cut.payload)
        if not message.rest:
            self.messages.popleft()

    def end(self, next_slot: int, limit: int) -> int:
        """The declared end: that of the last message which ends at most S slots beyond the limit (T-MSG-1)."""
        end = next_slot
        for message in self.messages:
            after = end + self.shape.slots(message.rest)
            if end > next_slot and after > limit + self.most:
                break
            end = after
        return end

    def expire(self, before_ns: int) -> int:
        """Forget messages that were handed over before then; the slots that they would have used (T-EXP-1)."""
        slots = 0
        while self.messages and self.messages[0].since_ns <= before_ns:
            slots += self.shape.slots(self.messages.popleft().rest)
        return slots

    @property
    def oldest_ns(self) -> int:
        """When the first one that waits was handed over."""
        return self.messages[0].since_ns if self.messages else NEVER

    def drop(self) -> tuple[bool, list[bytes]]:
        """Forget what waits: (whether a message stood half sent, the messages)."""
        half_sent = bool(self.messages and self.messages[0].sent)
        dropped = [message.data for message in self.messages]
        self.messages.clear()
        return half_sent, dropped


class ByteQueue:
    """A stream of bytes. What was written without `flush` waits until it fills a frame (T-FLW-3)."""

    def __init__(self, shape: Shape, whole_frames: bool = False) -> None:
        """`whole_frames`: the flow knows no flush (T-FLW-20)."""
        self.shape = shape
        self.whole_frames = whole_frames
        self.data = bytearray()
        self.flushed = 0  # bytes at the front that may leave in a frame that is not full
        self.ended = False  # nothing will be put any more
        self.end_sent = False  # a frame, or CLOSE, has said so
        self._since: deque[tuple[int, int]] = deque()  # (bytes, when they were handed over)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self.data)

    @property
    def sendable(self) -> int:
        """Bytes that may leave now: whole frames, and what was flushed."""
        if self.ended:
            return len(self.data)
        return max(len(self.data) - len(self.data) % self.shape.full, self.flushed)

    def put(self, data: bytes, flush: bool, now_ns: int) -> None:
        """More bytes."""
        self.data += data
        if data:
            self._since.append((len(data), now_ns))
        if flush and not self.whole_frames:
            self.flushed = len(self.data)

    def peek(self) -> Cut | None:
        """The next frame, None when nothing may leave."""
        payload = bytes(self.data[: min(self.sendable, self.shape.full)])
        if not payload:
            return None
        last = self.ended and len(payload) == len(self.data)
        return Cut(payload, END if last else 0, since_ns=self.oldest_ns)

    def take(self, cut: Cut) -> None:
        """That frame has its slots now."""
        self._forget(len(cut.payload))
        self.end_sent = self.end_sent or bool(cut.flags & END)

    def _forget(self, size: int) -> None:
        del self.data[:size]
        self.flushed = max(0, self.flushed - size)
        while size:
            count, since_ns = self._since.popleft()
            if count > size:
                self._since.appendleft((count - size, since_ns))
            size -= min(count, size)

    def end(self, next_slot: int, limit: int) -> int:
        """The declared end: all that may leave. The limit does not matter to bytes."""
        return next_slot + self.shape.slots(self.sendable)

    def expire(self, before_ns: int) -> int:
        """Forget whole frames whose first byte was handed over before then; their slots (T-EXP-1)."""
        slots = 0
        while self.oldest_ns <= before_ns and (cut := self.peek()) is not None:
            slots += self.shape.used(len(cut.payload))
            self._forget(len(cut.payload))
        return slots

    @property
    def oldest_ns(self) -> int:
        """When the first byte that waits was handed over."""
        return self._since[0][1] if self._since else NEVER

    def drop(self) -> tuple[bool, list[bytes]]:
        """Forget what waits. A byte flow that drops bytes is closed, so nothing stands half sent."""
        self._forget(len(self.data))
        return False, []


@dataclass
class TagQueue:
    """The tags of Flow 0: as many whole ones in a frame as fit."""

    shape: Shape
    tags: deque[tuple[bytes, Callable[[], None] | None, Callable[[], None] | None]] = field(default_factory=deque)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(len(tag) for tag, _, _ in self.tags)

    def put(
        self, tag: bytes, receipted: Callable[[], None] | None = None, left: Callable[[], None] | None = None
    ) -> None:
        """One encoded tag; `left` is called when it goes, `receipted` when the peer has it."""
        self.tags.append((tag, receipted, left))

    def _frames(self) -> list[list[tuple[bytes, Callable[[], None] | None]]]:
        frames: list[list[tuple[bytes, Callable[[], None] | None]]] = []
        room = 0
        for tag, receipted, _ in self.tags:
            if len(tag) > room:
                frames.append([])
                room = self.shape.full
            frames[-1].append((tag, receipted))
            room -= len(tag)
        return frames

    def peek(self) -> Cut | None:
        """The next frame, None when no tag waits."""
        if not self.tags:
            return None
        frame = self._frames()[0]
        return Cut(b"".join(tag for tag, _ in frame), 0, tuple(call for _, call in frame if call is not None))

    def take(self, cut: Cut) -> None:
        """That frame has its slots now."""
        left = len(cut.payload)
        while left:
            tag, _, gone = self.tags.popleft()
            left -= len(tag)
            if gone is not None:
                gone()

    def end(self, next_slot: int, limit: int) -> int:
        """The declared end: all tags."""
        return next_slot + sum(self.shape.used(sum(len(tag) for tag, _ in frame)) for frame in self._frames())

    def expire(self, before_ns: int) -> int:
        """No tag expires."""
        return 0

    @property
    def oldest_ns(self) -> int:
        """No tag expires."""
        return NEVER

    def drop(self) -> tuple[bool, list[bytes]]:
        """Forget what waits."""
        self.tags.clear()
        return False, []


Queue = MessageQueue | ByteQueue | TagQueue
