# SPDX-License-Identifier: Apache-2.0
"""The daemon's side of `recv`: sessions that wait for files, and the transfers that run for them."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from .control import Connection
from .errors import ControlError, EngineError, TransferError
from .flow import Flow
from .transfer.offer import STRIPE_HEAD, STRIPE_MAGIC, Offer, error_message, parse_offer, say
from .transfer.receive import FileReceiver

ANSWER_S = 60.0
PROGRESS_EVERY_S = 0.2
HEAD_S = 10.0


def progress_events(connection: Connection, transfer: str) -> Callable[[int, int], None]:
    """A progress function that tells a client a few times per second; a client that is gone is not told."""
    lock = threading.Lock()
    last = 0.0

    def progress(done: int, size: int) -> None:
        nonlocal last
        now = time.monotonic()
        with lock:
            if now - last < PROGRESS_EVERY_S and done != size:
                return
            last = now
        try:
            connection.say({"event": "progress", "id": transfer, "done": done, "size": size})
        except ControlError:
            last = now + 3600.0

    return progress


class Reception:
    """One client of `recv`: it opens the files, we fill them. `peer` and `name` narrow what it takes."""

    def __init__(self, connection: Connection, peer: Optional[str], name: Optional[str], once: bool) -> None:
        self.connection = connection
        self.peer = peer
        self.name = name
        self.once = once
        self.taken = False
        self._answers: dict[str, queue.SimpleQueue[Optional[tuple[dict[str, Any], list[int]]]]] = {}
        self._lock = threading.Lock()
        self._gone = False

    def fits(self, peer: str, name: str) -> bool:
        """Whether this client takes such an offer."""
        return self.peer in (None, peer) and self.name in (None, name) and not (self.once and self.taken)

    def answer(self, document: dict[str, Any], fds: list[int]) -> None:
        """A line of the client about one offer."""
        with self._lock:
            waiting = self._answers.get(str(document.get("id")))
        if waiting is not None:
            waiting.put((document, fds))
        else:
            for fd in fds:
                os.close(fd)

    def gone(self) -> None:
        """The client went away."""
        with self._lock:
            self._gone = True
            waiting = list(self._answers.values())
        for answers in waiting:
            answers.put(None)

    def ask(self, event: dict[str, Any], identity: str) -> tuple[dict[str, Any], list[int]]:
        """Tell the client and wait for its line about `identity`. Raises TransferError when it refuses or is gone."""
        answers: queue.SimpleQueue[Optional[tuple[dict[str, Any], list[int]]]] = queue.SimpleQueue()
        with self._lock:
            if self._gone:
                raise TransferError("receiver-gone", "the receiving program has ended")
            self._answers[identity] = answers
        try:
            self.connection.say(event)
            got = answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise TransferError("receiver-gone", "the receiving program does not answer") from None
        except ControlError as error:
            raise TransferError("receiver-gone", str(error)) from None
        finally:
            with self._lock:
                self._answers.pop(identity, None)
        if got is None:
            raise TransferError("receiver-gone", "the receiving program has ended")
        document, fds = got
        refusal = document.get("error")
        if isinstance(refusal, dict):
            for fd in fds:
                os.close(fd)
            raise TransferError(str(refusal.get("reason")), str(refusal.get("message")), str(refusal.get("hint", "")))
        return document, fds


class Receptions:
    """All clients that wait, and the files that are coming."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._waiting: list[Reception] = []
        self._running: dict[bytes, tuple[str, FileReceiver]] = {}

    @property
    def running(self) -> int:
        """Files that are coming now."""
        with self._lock:
            return len(self._running)

    def abort_all(self, error: TransferError) -> None:
        """End every transfer."""
        with self._lock:
            receivers = [receiver for _, receiver in self._running.values()]
        for receiver in receivers:
            receiver.abort(error)

    def serve_client(self, connection: Connection, request: dict[str, Any]) -> None:
        """Run one `recv` client until it goes away."""
        reception = Reception(connection, request.get("peer"), request.get("name"), bool(request.get("once")))
        with self._lock:
            self._waiting.append(reception)
        try:
            connection.say({"event": "waiting"})
            while True:
                document, fds = connection.hear()
                reception.answer(document, fds)
        except ControlError:
            pass
        finally:
            with self._lock:
                self._waiting.remove(reception)
            reception.gone()

    def offered(self, control: Flow, peer: str, document: dict[str, Any]) -> None:
        """Answer an offer that a peer made, and take the file. Blocks until the transfer has ended."""
        try:
            offer = parse_offer(document)
            reception = self._choose(peer, offer.name)
        except TransferError as error:
            self._refuse(control, error)
            return
        try:
            self._take(control, peer, offer, reception)
        finally:
            with self._lock:
                reception.taken = reception.once

    def stripe(self, flow: Flow, peer: str) -> None:
        """A peer opened a byte flow: it belongs to a running transfer, or is closed."""
        head = bytearray(STRIPE_HEAD.size)
        try:
            flow.readexactly(head, HEAD_S)
        except EngineError:
            flow.close()
            return
        magic, identity, _, zero = STRIPE_HEAD.unpack(head)
        with self._lock:
            owner, receiver = self._running.get(identity, ("", None))
        if magic != STRIPE_MAGIC or zero != 0 or receiver is None or owner != peer:
            flow.close()
            return
        receiver.stripe(flow)

    def _choose(self, peer: str, name: str) -> Reception:
        with self._lock:
            for reception in self._waiting:
                if reception.fits(peer, name):
                    reception.taken = True
                    return reception
        message = f"nobody receives {name} at {self._node}"
        raise TransferError("nobody-receives", message, f"start `tether-engine recv` at {self._node}")

    def _take(self, control: Flow, peer: str, offer: Offer, reception: Reception) -> None:
        fds: list[int] = []
        key = bytes.fromhex(offer.id)
        event = {"peer": peer, "id": offer.id, "name": offer.name, "size": offer.size, "mode": offer.mode}
        try:
            _, fds = reception.ask({"event": "offer", **event}, offer.id)
            if len(fds) != 2:
                raise TransferError("protocol", "the receiving program gave no files")

            def place(sha256: str) -> str:
                answer, extra = reception.ask({"event": "place", "sha256": sha256, **event}, offer.id)
                for fd in extra:
                    os.close(fd)
                return str(answer.get("path"))

            receiver = FileReceiver(
                control, peer, offer, fds[0], fds[1], place, progress_events(reception.connection, offer.id)
            )
            with self._lock:
                if key in self._running:
                    raise TransferError("protocol", "this transfer runs already")
                self._running[key] = (peer, receiver)
            try:
                received = receiver.run()
            finally:
                with self._lock:
                    self._running.pop(key, None)
            self._tell(reception, {"event": "done", **asdict(received), "goodput_bps": received.goodput_bps})
        except TransferError as error:
            self._refuse(control, error)
            self._tell(reception, {"event": "failed", **event, **error_message(error)})
        except EngineError as error:
            control.close()
            self._tell(reception, {"event": "failed", **event, **error_message(TransferError("channel", str(error)))})
        finally:
            for fd in fds:
                os.close(fd)

    @staticmethod
    def _tell(reception: Reception, event: dict[str, Any]) -> None:
        try:
            reception.connection.say(event)
        except ControlError:
            return

    @staticmethod
    def _refuse(control: Flow, error: TransferError) -> None:
        try:
            say(control, error_message(error), 2.0)
            control.drain(2.0)
        except EngineError:
            pass
        control.close()
