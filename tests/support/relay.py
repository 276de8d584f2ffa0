# SPDX-License-Identifier: Apache-2.0
"""A UDP relay on loopback between two engines: it keeps what passes and can say it again."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType

LAMP = 0x01
HEADER = 64


def warm(frame: bytes) -> bool:
    """Whether a frame is a warm Lamp or its answer: LAMP on a channel, and no reply to a Hail."""
    return len(frame) >= HEADER and frame[1] == LAMP and frame[4:8] != bytes(4) and frame[8:14] != bytes(6)


class Relay:
    """`front` is where the first engine sends, everything goes on to `to` and back. Use as a context manager."""

    def __init__(self, to: str) -> None:
        host, _, port = to.rpartition(":")
        self._to = (host, int(port))
        self._front, self._back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self._front, self._back):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self._client: tuple[str, int] | None = None
        self.forth: list[bytes] = []
        self.back: list[bytes] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def front(self) -> str:
        """Where the first engine finds the second."""
        return f"127.0.0.1:{self._front.getsockname()[1]}"

    def say_again(self, frame: bytes) -> None:
        """Send a recorded frame to the second engine once more."""
        self._back.sendto(frame, self._to)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._front.close()
        self._back.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._front, selectors.EVENT_READ)
            selector.register(self._back, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.05):
                    with contextlib.suppress(OSError):
                        if key.fileobj is self._front:
                            frame, self._client = self._front.recvfrom(65536)
                            self.forth.append(frame)
                            self._back.sendto(frame, self._to)
                        else:
                            frame, _ = self._back.recvfrom(65536)
                            self.back.append(frame)
                            if self._client is not None:
                                self._front.sendto(frame, self._client)
