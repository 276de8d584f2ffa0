# SPDX-License-Identifier: Apache-2.0
"""The daemon's unix socket: JSON lines both ways, open files by SCM_RIGHTS.

A request is {"op": ...}. Answers are events ({"event": ...}) and, last, {"ok": true, ...} or {"error": {...}}. A line
that says "fds": n has n descriptors with it, in order. The socket is 0660 of the engine's user; root and that user and
group may speak on it.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from .errors import ControlError

DEFAULT_SOCKET = "/run/tether/engine.sock"
LINE_BYTES_MAX = 16 << 20
FDS_MAX = 8
CONNECTIONS_MAX = 64
_CREDENTIALS = struct.Struct("iII")


class Connection:
    """One end of the socket. Any thread may say; one thread hears. Descriptors that nobody takes are closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""
        self._fds: deque[int] = deque()
        self._lock = threading.Lock()

    def say(self, document: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one line. Raises ControlError (gone) when the other end went away."""
        if fds:
            document = {**document, "fds": len(fds)}
        data = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            with self._lock:
                sent = self._sock.sendmsg([data], ancillary)
                if sent < len(data):
                    self._sock.sendall(memoryview(data)[sent:])
        except OSError as error:
            raise ControlError("gone", f"the other end of the control socket is gone: {error.strerror}") from None

    def hear(self, timeout: Optional[float] = None) -> tuple[dict[str, Any], list[int]]:
        """The next line and its descriptors, the caller's to close. ControlError: gone, timeout, protocol."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise ControlError("protocol", "a line on the control socket is too long")
            self._receive(timeout)
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            document = json.loads(line)
        except ValueError:
            raise ControlError("protocol", "a line on the control socket is not JSON") from None
        if not isinstance(document, dict):
            raise ControlError("protocol", "a line on the control socket is not a JSON object")
        count = document.pop("fds", 0)
        if type(count) is not int or not 0 <= count <= len(self._fds):
            raise ControlError("protocol", "descriptors are missing on the control socket")
        return document, [self._fds.popleft() for _ in range(count)]

    def ask(self, document: dict[str, Any], fds: Sequence[int] = (), timeout: Optional[float] = None) -> dict[str, Any]:
        """One request and its last answer; events on the way are passed over. Raises ControlError of the daemon."""
        self.say(document, fds)
        while True:
            answer, _ = self.hear(timeout)
            if "event" not in answer:
                return checked(answer)

    def peer_credentials(self) -> tuple[int, int, int]:
        """(pid, uid, gid) of the other end."""
        raw = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, gid = _CREDENTIALS.unpack(raw)
        return pid, uid, gid

    def shut(self) -> None:
        """Wake a thread that hears, and end the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket and every descriptor that nobody took."""
        while self._fds:
            os.close(self._fds.popleft())
        self._sock.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _receive(self, timeout: Optional[float]) -> None:
        self._sock.settimeout(timeout)
        try:
            data, fds, flags, _ = socket.recv_fds(self._sock, 65536, FDS_MAX)
        except socket.timeout:
            raise ControlError("timeout", "no answer on the control socket in time") from None
        except OSError as error:
            raise ControlError("gone", f"the other end of the control socket is gone: {error.strerror}") from None
        finally:
            with contextlib.suppress(OSError):
                self._sock.settimeout(None)
        for fd in fds:
            os.set_inheritable(fd, False)
            self._fds.append(fd)
        if flags & socket.MSG_CTRUNC or len(self._fds) > FDS_MAX:
            raise ControlError("protocol", "too many descriptors on the control socket")
        if not data:
            raise ControlError("gone", "the other end of the control socket is gone")
        self._buffer += data


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer when it is no error. Raises the daemon's ControlError."""
    error = answer.get("error")
    if isinstance(error, dict):
        raise ControlError(str(error.get("reason")), str(error.get("message")), str(error.get("hint", "")))
    return answer


def error_answer(reason: str, message: str, hint: str = "") -> dict[str, Any]:
    """The last answer of a request that failed."""
    return {"error": {"reason": reason, "message": message, "hint": hint}}


def connect(path: str) -> Connection:
    """Connect to a daemon. Raises ControlError (down, denied)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        if isinstance(error, PermissionError):
            raise ControlError("denied", f"{path}: permission denied", "run it as root or the engine's user") from None
        raise ControlError("down", f"no engine answers at {path}: {error.strerror}", "is it running?") from None
    return Connection(sock)


class Server:
    """Accepts connections and runs `handler(connection)` in a thread for each."""

    def __init__(self, path: str, handler: Callable[[Connection], None]) -> None:
        self.path = path
        self._handler = handler
        self._closing = threading.Event()
        self._open: set[Connection] = set()
        self._lock = threading.Lock()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._bind()
        except BaseException:
            self._sock.close()
            raise
        self._thread = threading.Thread(target=self._run, name="tether-control", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def close(self) -> None:
        """Stop accepting, end every connection, remove the socket."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            Path(self.path).unlink()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.shut()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._sock.close()

    def _bind(self) -> None:
        if Path(self.path).exists():
            try:
                connect(self.path).close()
            except ControlError as error:
                if error.reason == "denied":
                    raise
                Path(self.path).unlink()  # left by an engine that was killed
            else:
                raise ControlError("running", f"an engine runs already at {self.path}", "stop it first")
        mask = os.umask(0o117)
        try:
            self._sock.bind(self.path)
        except OSError as error:
            raise ControlError(
                "socket", f"cannot make {self.path}: {error.strerror}", "does its folder exist?"
            ) from None
        finally:
            os.umask(mask)
        self._sock.listen(16)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._sock.accept()
            except OSError:
                if self._closing.is_set():
                    return
                continue
            connection = Connection(sock)
            with self._lock:
                full = len(self._open) >= CONNECTIONS_MAX
                if not full:
                    self._open.add(connection)
            if full:
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="tether-request", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            _, uid, gid = connection.peer_credentials()
            if uid not in (0, os.getuid()) and gid != os.getgid():
                connection.say(error_answer("denied", "only root and the engine's user may speak here"))
                return
            self._handler(connection)
        except ControlError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()
