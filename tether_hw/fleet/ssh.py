# SPDX-License-Identifier: Apache-2.0
"""SSH sessions with verified host keys, jump hosts and a deadline on every wait.

One `Session` is one TCP connection from this process to the host (through its jump hosts, each verified alike). Nothing
is shared between sessions: a second session to a host is evidence that the host can be reached anew.
"""

from __future__ import annotations

import logging
import shlex
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from tether_hw.fleet import secrets
from tether_hw.fleet.connect import Attempt, Target, close_all, reason
from tether_hw.fleet.ssh_errors import AuthenticationRefused, Stopped
from tether_hw.fleet.watchdog import WATCHDOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import paramiko

CONNECT_TIMEOUT_S = 20.0
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Completed:
    """How a remote program ended."""

    code: int
    stdout: bytes
    stderr: bytes


class Session:
    """One authenticated connection. Used by one thread at a time; any thread may close it."""

    def __init__(self, target: Target, transports: list[paramiko.Transport]) -> None:
        self.target = target
        self._transports = transports
        self._sudo_password: str | None = None

    @classmethod
    def connect(cls, target: Target, timeout_s: float = CONNECT_TIMEOUT_S) -> Session:
        """A new connection; raises HostUnreachable at the deadline at the latest, or a refusal before it."""
        # paramiko tells its log about every lost connection; we tell people ourselves.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        attempt = Attempt(target, time.monotonic() + timeout_s)
        session = cls(target, attempt.run(timeout_s))
        if target.sudo:
            try:
                session._prepare_sudo(timeout_s)
            except BaseException:
                session.close()
                raise
        return session

    @property
    def alive(self) -> bool:
        return bool(self._transports[-1].is_active())

    def close(self) -> None:
        """End the connection; safe at any time and from any thread."""
        close_all(self._transports)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        argv: Sequence[str],
        stdin: bytes | BinaryIO = b"",
        timeout_s: float = 60.0,
        progress: Callable[[int], None] | None = None,
    ) -> Completed:
        """Run a program to its end. Raises Stopped when it does not end in time or the connection is lost in it."""
        with self._executing(argv, timeout_s) as channel:
            self._feed(channel, stdin, progress)
            stdout = _read(channel.recv)
            stderr = _read(channel.recv_stderr)
            code = self._exit_code(channel)
        return Completed(code, stdout, stderr)

    def lines(self, argv: Sequence[str], stdin: bytes, silence_s: float) -> Iterator[bytes]:
        """The lines that a program prints, as they come. Raises Stopped after `silence_s` without any."""
        rest = b""
        with self._executing(argv, silence_s) as channel:
            self._feed(channel, stdin, None)
        while True:
            with self._bounded(argv, silence_s):
                part = channel.recv(_CHUNK)
                if not part:
                    self._exit_code(channel)
            if not part:
                break
            *whole, rest = (rest + part).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def _exit_code(self, channel: paramiko.Channel) -> int:
        code: int = channel.recv_exit_status()
        if code < 0:
            raise EOFError("ended by a signal" if self.alive else "the connection was lost")
        return code

    @contextmanager
    def _bounded(self, argv: Sequence[str], timeout_s: float) -> Iterator[None]:
        import paramiko

        with WATCHDOG.guard(timeout_s, self.close) as deadline:
            try:
                yield
            except (OSError, EOFError, paramiko.SSHException) as error:
                what = f"no answer within {timeout_s:g} s" if deadline.passed else reason(error)
                raise Stopped(self.target.name, f"{argv[0]}: {what}") from None
        if deadline.passed:
            raise Stopped(self.target.name, f"{argv[0]}: no answer within {timeout_s:g} s")

    @contextmanager
    def _executing(self, argv: Sequence[str], timeout_s: float) -> Iterator[paramiko.Channel]:
        with self._bounded(argv, timeout_s):
            channel = self._transports[-1].open_session(timeout=timeout_s)
            prefix, secret = self._privilege()
            channel.exec_command(shlex.join([*prefix, *argv]))
            if secret:
                channel.sendall(secret)
            yield channel

    def _feed(self, channel: paramiko.Channel, stdin: bytes | BinaryIO, progress: Callable[[int], None] | None) -> None:
        done = 0
        try:
            if isinstance(stdin, bytes):
                channel.sendall(stdin)
            else:
                while part := stdin.read(_CHUNK):
                    channel.sendall(part)
                    done += len(part)
                    if progress is not None:
                        progress(done)
            channel.shutdown_write()
        except OSError:
            # The program ended before it read everything; its exit status and words say why.
            if not self.alive:
                raise

    # Privilege: root needs nothing; others run through sudo, whose password never shows in an argv.

    def _prepare_sudo(self, timeout_s: float) -> None:
        with self._bounded(["sudo"], timeout_s):
            channel = self._transports[-1].open_session(timeout=timeout_s)
            channel.exec_command("sudo -n true")
            channel.shutdown_write()
            _read(channel.recv)
            free = channel.recv_exit_status() == 0
        if free:
            return
        if self.target.sudo_password is None:
            raise AuthenticationRefused(
                self.target.name,
                f"sudo asks {self.target.user} for a password",
                hint="set sudo_password to a reference (env:, file:, keyring:), or log in as root",
            )
        self._sudo_password = secrets.resolve(self.target.sudo_password)

    def _privilege(self) -> tuple[list[str], bytes]:
        if not self.target.sudo:
            return [], b""
        if self._sudo_password is None:
            return ["sudo", "-n", "--"], b""
        # -k: ask each time, so that the line below is always read by sudo and never by the program.
        return ["sudo", "-k", "-S", "-p", "", "--"], self._sudo_password.encode() + b"\n"


def _read(receive: Callable[[int], bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := receive(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_OUTPUT_BYTES:
            raise EOFError(f"more than {MAX_OUTPUT_BYTES} bytes of output")
    return b"".join(parts)
