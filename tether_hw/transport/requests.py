# SPDX-License-Identifier: Apache-2.0
"""What clients may ask the daemon on its control socket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from . import ping
from .channel import Channel
from .control import Connection, error_answer
from .engine import Engine
from .errors import ConfigError, ControlError, TransferError, TransportError
from .keeper import Keeper
from .receptions import Receptions, progress_events
from .transfer.send import FileSender

POLL_S = 0.2
PING_MOST = 100_000
PING_BYTES_MOST = 1 << 20


class Requests:
    """Serves one connection after the other, each in its own thread."""

    def __init__(
        self,
        engine: Engine,
        node: str,
        keeper: Keeper,
        receptions: Receptions,
        stats: Callable[[], dict[str, Any]],
        reload: Callable[[], dict[str, Any]],
    ) -> None:
        self._engine = engine
        self._node = node
        self._keeper = keeper
        self._receptions = receptions
        self._stats = stats
        self._reload = reload
        self._lock = threading.Lock()
        self._sending: set[FileSender] = set()

    @property
    def sending(self) -> int:
        """Files on their way out."""
        with self._lock:
            return len(self._sending)

    def abort_all(self, error: TransferError) -> None:
        """End every outgoing transfer."""
        with self._lock:
            senders = list(self._sending)
        for sender in senders:
            sender.abort(error)

    def serve(self, connection: Connection) -> None:
        """Answer one request; `recv` and `send` stay until they end."""
        request, fds = connection.hear(30.0)
        try:
            operation = request.get("op")
            handler = {
                "stats": self._do_stats,
                "ping": self._do_ping,
                "reload": self._do_reload,
                "send": self._do_send,
                "recv": self._do_recv,
            }.get(str(operation))
            if handler is None:
                connection.say(error_answer("request", f"unknown request {operation!r}"))
                return
            handler(connection, request, fds)
        except TransferError as error:
            connection.say(error_answer(error.reason, error.message, error.hint))
        except ConfigError as error:
            connection.say(error_answer("config", str(error)))
        except ControlError:
            raise
        except TransportError as error:
            connection.say(error_answer("engine", error.message, error.hint))
        except (TypeError, ValueError) as error:
            connection.say(error_answer("request", f"malformed request: {error}"))
        finally:
            for fd in fds:
                os.close(fd)

    def _do_stats(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        connection.say({"ok": True, "stats": self._stats()})

    def _do_reload(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        connection.say({"ok": True, **self._reload()})

    def _do_ping(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        peer = self._known(request)
        self._channels(peer, float(request.get("wait_s", 0.0)))
        lane = request.get("lane")
        document = ping.ping(
            self._engine,
            self._node,
            peer,
            count=min(max(1, int(request.get("count", 10))), PING_MOST),
            size=min(max(8, int(request.get("bytes", 56))), PING_BYTES_MOST),
            interval_s=min(max(0.0, float(request.get("interval_s", 0.0))), 60.0),
            timeout_s=min(max(0.01, float(request.get("timeout_s", 2.0))), 600.0),
            lane=None if lane is None else int(lane),
        )
        connection.say({"ok": True, "ping": document})

    def _do_recv(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        self._receptions.serve_client(connection, request)

    def _do_send(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        if len(fds) != 1:
            raise ValueError("one open file is needed")
        peer = self._known(request)
        name = str(request.get("name", ""))
        deadline = time.monotonic() + float(request.get("wait_s", 0.0))
        while True:
            channels = self._channels(peer, max(0.0, deadline - time.monotonic()))
            sender = FileSender(channels, fds[0], name, progress_events(connection, name))
            try:
                sent = self._run(sender, connection)
                break
            except TransferError as error:
                # The receiver may be about to start: `recv` on the other host is a second command.
                if error.reason != "nobody-receives" or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
        connection.say(
            {
                "ok": True,
                "transfer": {**asdict(sent), "peer": peer, "from": self._node, "goodput_bps": sent.goodput_bps},
            }
        )

    def _run(self, sender: FileSender, connection: Connection) -> Any:
        with self._lock:
            self._sending.add(sender)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(sender, connection, ended), daemon=True)
        watcher.start()
        try:
            return sender.run()
        finally:
            ended.set()
            with self._lock:
                self._sending.discard(sender)
            watcher.join()

    @staticmethod
    def _watch(sender: FileSender, connection: Connection, ended: threading.Event) -> None:
        """A client that goes away (Ctrl-C) takes its transfer back."""
        while not ended.is_set():
            try:
                connection.hear(POLL_S)
            except ControlError as error:
                if error.reason == "timeout":
                    continue
                sender.abort(TransferError("interrupted", "the sending program was interrupted"))
                return

    def _known(self, request: dict[str, Any]) -> str:
        peer = str(request.get("peer", ""))
        names = sorted({entry["name"] for entry in self._stats()["peers"]})
        if peer not in names:
            words = ", ".join(names) or "nobody"
            raise TransferError("unknown-peer", f"{peer!r} is not in the roster of {self._node}", f"there is {words}")
        return peer

    def _channels(self, peer: str, wait_s: float) -> list[Channel]:
        """The channels to a peer, one per lane of ours; waits for the first, then shortly for the others."""
        deadline = time.monotonic() + wait_s
        complete: Optional[float] = None
        while True:
            channels = [channel for channel in self._engine.channels(peer) if channel.down is None]
            wanted = sum(1 for pair in self._keeper.wanted() if pair.peer == peer)
            now = time.monotonic()
            if channels and complete is None:
                complete = now + 1.0
            if channels and (len(channels) >= wanted or now > (complete or 0.0)):
                return channels
            if not channels and now >= deadline:
                raise TransferError("channel", f"no channel to {peer} is up", "is the engine of the peer running?")
            time.sleep(0.02)
