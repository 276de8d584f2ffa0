# SPDX-License-Identifier: Apache-2.0
"""What the sub-verbs of the engine do; their command lines are in commands.py."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Optional

from . import control
from .commands import ERROR, OK, emit, say
from .errors import ControlError, TransferError
from .progress import Progress, rate_words, sign_of_life, size_words
from .regular import open_regular
from .transfer.place import Place

TRANSFER_SCHEMA = "tether.engine.transfer/1"
RELOAD_SCHEMA = "tether.engine.reload/1"
LIFE_S = 1.0
IDENTITY_SCHEMA = "tether.engine.identity/1"


def serve(args: argparse.Namespace) -> int:
    """Run the daemon."""
    from .serve import run

    return run(args.config, args.trace, args.keylog)


def stats(args: argparse.Namespace) -> int:
    """Print the daemon's statistics."""
    with control.connect(args.socket) as connection:
        document = connection.ask({"op": "stats"}, timeout=10.0)["stats"]
    if args.json:
        emit(document)
    else:
        from .stats_text import text

        sys.stdout.write(text(document))
    return OK


def reload(args: argparse.Namespace) -> int:
    """Let the daemon read its files again."""
    with control.connect(args.socket) as connection:
        answer = connection.ask({"op": "reload"}, timeout=30.0)
    if args.json:
        emit({"schema": RELOAD_SCHEMA, **{name: answer[name] for name in ("peers", "contact", "moved", "restart")}})
    else:
        say(f"roster reloaded: {', '.join(answer['peers']) or 'no peers'}")
        for link in answer["contact"]:
            say(f"another contact plan for {link}")
        for lane in answer["moved"]:
            say(f"lane {lane} was moved")
        if answer["restart"]:
            say(f"waits for a restart: {', '.join(answer['restart'])}")
    return OK


def ping(args: argparse.Namespace) -> int:
    """Round trips to a peer."""
    request = {
        "op": "ping",
        "peer": args.peer,
        "count": args.count,
        "bytes": args.bytes,
        "interval_s": args.interval,
        "timeout_s": args.timeout,
        "lane": args.lane,
        "wait_s": args.wait,
    }
    with control.connect(args.socket) as connection:
        document = connection.ask(request)["ping"]
    if args.json:
        emit(document)
    else:
        sys.stdout.write(ping_text(document))
    return OK if document["lost"] == 0 else ERROR


def ping_text(document: dict[str, Any]) -> str:
    """A ping document for people."""
    lines = [f"{document['from']} -> {document['peer']}, messages of {document['bytes']} bytes"]
    for lane in document["lanes"]:
        times = "/".join(f"{lane[name] / 1e3:.1f}" for name in ("rtt_min_ns", "rtt_p50_ns", "rtt_p99_ns", "rtt_max_ns"))
        lines.append(
            f"  lane {lane['lane']} to {lane['remote_lane']}: {lane['received']} of {lane['sent']} answered, "
            f"rtt min/p50/p99/max {times} us"
        )
    return "\n".join(lines) + "\n"


def send(args: argparse.Namespace) -> int:
    """Send one file."""
    peer, colon, name = args.peer.partition(":")
    path = Path(args.file)
    name = name if colon and name else path.name
    try:
        fd = open_regular(path)
    except OSError as error:
        raise TransferError("file", f"{path} cannot be read: {error.strerror}") from None
    progress = Progress(f"{name} -> {peer}", lines=args.lines)
    try:
        with control.connect(args.socket) as connection:
            connection.say({"op": "send", "peer": peer, "name": name, "wait_s": args.wait}, [fd])
            while True:
                answer = _hear(connection, args.lines)
                if answer.get("event") == "progress":
                    progress.update(answer["done"], answer["size"])
                    continue
                progress.finish()
                transfer = control.checked(answer)["transfer"]
                break
    finally:
        progress.finish()
        os.close(fd)
    say(transfer_text(transfer, f"sent to {peer}"))
    if args.json or args.lines:
        emit({"schema": TRANSFER_SCHEMA, "direction": "send", "transfers": [transfer]}, args.lines)
    return OK


def _hear(connection: control.Connection, lines: bool, timeout: Optional[float] = None) -> dict[str, Any]:
    """The daemon's next line; who follows our lines hears of us every second meanwhile."""
    limit = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if limit is None else max(0.01, limit - time.monotonic())
        try:
            return connection.hear(min(LIFE_S, left or LIFE_S) if lines else left)[0]
        except ControlError as error:
            if error.reason != "timeout" or not lines or (limit is not None and time.monotonic() >= limit):
                raise
            sign_of_life({"waiting": True})


def transfer_text(transfer: dict[str, Any], how: str) -> str:
    """One finished transfer for people."""
    resumed = f", {size_words(transfer['resumed_bytes'])} were there already" if transfer["resumed_bytes"] else ""
    return (
        f"{transfer['name']}: {size_words(transfer['size'])} {how} in {transfer['seconds']:.2f} s, "
        f"{rate_words(transfer['goodput_bps'])}{resumed}\nsha256 {transfer['sha256']}"
    )


class Receiver:
    """The client side of `recv`: it opens and places the files, the daemon fills them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.into = Path(args.into) if args.into else None
        self.to = Path(args.to) if args.to else None
        self.overwrite = bool(args.overwrite)
        self.once = bool(args.once or args.to)
        self.lines = bool(args.lines)
        self.transfers: list[dict[str, Any]] = []
        self.failed: Optional[TransferError] = None
        self._places: dict[str, Place] = {}
        self._progress: dict[str, Progress] = {}

    def event(self, connection: control.Connection, event: dict[str, Any]) -> bool:
        """Take one event of the daemon; False when this was the last."""
        kind, identity = event.get("event"), str(event.get("id", ""))
        if kind == "offer":
            self._offer(connection, event, identity)
        elif kind == "progress" and identity in self._progress:
            self._progress[identity].update(event["done"], event["size"])
        elif kind == "place":
            self._place(connection, event, identity)
        elif kind == "done":
            self._end(identity)
            event.pop("event")
            self.transfers.append(event)
            say(transfer_text(event, f"received from {event['peer']}"))
            return not self.once
        elif kind == "failed":
            self._end(identity)
            error = event.get("error") or {}
            self.failed = TransferError(
                str(error.get("reason")), f"{event.get('name')}: {error.get('message')}", str(error.get("hint", ""))
            )
            if not self.once:
                say(f"error: {self.failed}")
            return not self.once
        return True

    def close(self) -> None:
        """Close what is open; part files stay for the next time."""
        for identity in list(self._places):
            self._end(identity)

    def _offer(self, connection: control.Connection, event: dict[str, Any], identity: str) -> None:
        place: Optional[Place] = None
        try:
            place = Place.choose(str(event["name"]), self.into, self.to, self.overwrite)
            place.open()
        except TransferError as error:
            connection.say({"id": identity, **control.error_answer(error.reason, error.message, error.hint)})
            return
        self._places[identity] = place
        self._progress[identity] = Progress(f"{event['name']} <- {event['peer']}", lines=self.lines)
        connection.say({"id": identity, "accept": True}, [place.part_fd, place.record_fd])

    def _place(self, connection: control.Connection, event: dict[str, Any], identity: str) -> None:
        try:
            place = self._places[identity]
            place.finish(int(event["mode"]))
            connection.say({"id": identity, "path": str(place.path.absolute())})
        except TransferError as error:
            connection.say({"id": identity, **control.error_answer(error.reason, error.message, error.hint)})

    def _end(self, identity: str) -> None:
        progress = self._progress.pop(identity, None)
        if progress is not None:
            progress.finish()
        place = self._places.pop(identity, None)
        if place is not None:
            place.close()


def recv(args: argparse.Namespace) -> int:
    """Receive files until interrupted, or one."""
    receiver = Receiver(args)
    if receiver.into is not None and not receiver.into.is_dir():
        raise TransferError("into", f"{receiver.into} is not a folder", "make it first")
    try:
        with control.connect(args.socket) as connection:
            connection.say({"op": "recv", "peer": args.peer, "name": args.name, "once": receiver.once})
            deadline = None if args.timeout is None else time.monotonic() + args.timeout
            going = True
            while going:
                left = None if deadline is None else max(0.01, deadline - time.monotonic())
                event = _hear(connection, args.lines, left)
                if "error" in event and "event" not in event:
                    control.checked(event)
                if event.get("event") == "waiting":
                    say(f"waiting for {'one file' if receiver.once else 'files'}")
                elif event.get("event") == "offer":
                    deadline = None
                going = receiver.event(connection, event)
    except ControlError as error:
        if error.reason == "gone":
            hint = "what has come is on disk: receive and send it again when the engine is back"
            raise TransferError("engine-gone", "the engine ended", hint) from None
        raise
    except KeyboardInterrupt:
        if receiver.once or not receiver.transfers:
            raise
    finally:
        receiver.close()
    if receiver.failed is not None and not receiver.transfers:
        raise receiver.failed
    if args.json or args.lines:
        emit({"schema": TRANSFER_SCHEMA, "direction": "recv", "transfers": receiver.transfers}, args.lines)
    return OK


def identity(args: argparse.Namespace) -> int:
    """Make an identity, or print its public key."""
    from . import identity as keys

    path = args.make or args.public
    public = keys.make(path) if args.make else keys.public_key(keys.read(path))
    if args.json:
        emit({"schema": IDENTITY_SCHEMA, "file": path, "public": public})
    else:
        sys.stdout.write(public + "\n")
    return OK
