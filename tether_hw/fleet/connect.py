# SPDX-License-Identifier: Apache-2.0
"""Making one verified, authenticated connection, through jump hosts, within a deadline."""

from __future__ import annotations

import random
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostUnreachable
from tether_hw.fleet import secrets
from tether_hw.fleet.host_keys import HostKeys
from tether_hw.fleet.ssh_errors import AuthenticationRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

HANDSHAKES_PER_BASTION = 6  # below sshd's MaxStartups of 10, which drops at random above it


@dataclass(frozen=True)
class Target:
    """Where a host's sshd is and who we are there. Secrets are references."""

    name: str
    address: str
    port: int = 22
    user: str = "root"
    identity_file: str | None = None
    passphrase: str | None = None
    sudo_password: str | None = None
    sudo: bool = False
    helper: bool = False
    jump: Target | None = None
    known_hosts: Path | None = None


class Attempt:
    """The work of making one connection, in a thread that the caller does not wait for longer than its deadline."""

    def __init__(self, target: Target, limit: float) -> None:
        self.target = target
        self.limit = limit
        self.transports: list[paramiko.Transport] = []
        self.sockets: list[Any] = []
        self.error: BaseException | None = None
        self.abandoned = False

    def run(self, timeout_s: float) -> list[paramiko.Transport]:
        thread = threading.Thread(target=self._work, name=f"ssh {self.target.name}", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            self.abandoned = True
            self._drop()
            raise HostUnreachable(self.target.name, f"{_where(self.target)}: no session within {timeout_s:g} s")
        if self.error is not None:
            self._drop()
            raise self.error
        return self.transports

    def _left(self) -> float:
        left = self.limit - time.monotonic()
        if left <= 0 or self.abandoned:
            raise TimeoutError("deadline passed")
        return left

    def _drop(self) -> None:
        for sock in self.sockets:
            try:
                sock.close()
            except OSError:
                pass
        close_all(self.transports)

    def _work(self) -> None:
        try:
            self._open(self.target)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error
        if self.abandoned:
            self._drop()

    def _open(self, target: Target) -> paramiko.Transport:
        """The transport to `target`, through its jump hosts."""
        import paramiko

        through = self._open(target.jump) if target.jump is not None else None
        pause = 0.1
        while True:
            try:
                with _limiter(target.jump or target):
                    return self._handshake(target, through)
            except HostError:
                raise
            except (OSError, EOFError, paramiko.SSHException) as error:
                # A bastion over its MaxStartups hangs up before its banner: worth another try; a refused port is not.
                hung_up = isinstance(error, EOFError | ConnectionResetError) or "banner" in str(error)
                if not hung_up or self.limit - time.monotonic() < 2 * pause or self.abandoned:
                    raise HostUnreachable(self.target.name, f"{_where(target)}: {reason(error)}") from None
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, no secret
                pause = min(2.0, pause * 2)

    def _handshake(self, target: Target, through: paramiko.Transport | None) -> paramiko.Transport:
        import paramiko

        keys = HostKeys.load(target.known_hosts)
        sock: Any
        if through is None:
            sock = socket.create_connection((target.address, target.port), timeout=self._left())
        else:
            sock = _Tunnel(
                through.open_channel(
                    "direct-tcpip", (target.address, target.port), ("127.0.0.1", 0), timeout=self._left()
                )
            )
        self.sockets.append(sock)
        transport = paramiko.Transport(sock)
        self.transports.append(transport)
        try:
            left = self._left()
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = left
            transport.set_keepalive(15)
            options = transport.get_security_options()
            options.key_types = keys.preferred(target.address, target.port, tuple(options.key_types))
            transport.start_client(timeout=left)
            keys.check(target.name, target.address, target.port, transport.get_remote_server_key())
            self._authenticate(target, transport)
        except BaseException:
            self.transports.remove(transport)
            close_all([transport])
            raise
        return transport

    def _authenticate(self, target: Target, transport: paramiko.Transport) -> None:
        import paramiko

        tried: list[str] = []
        for label, key in _keys(target):
            tried.append(label)
            transport.auth_timeout = self._left()
            try:
                transport.auth_publickey(target.user, key)
            except paramiko.BadAuthenticationType:
                break
            except paramiko.AuthenticationException as error:
                if not transport.is_active():
                    raise EOFError(str(error)) from None
                continue
            if transport.is_authenticated():
                return
        offered = ", ".join(tried) or "no key"
        raise AuthenticationRefused(
            self.target.name,
            f"{_where(target)}: {target.user} was not let in with {offered}",
            hint="name a key with identity_file, or load it into ssh-agent",
        )


class _Tunnel:
    """A channel through a jump host as the socket of a transport; closing it after the jump host went is no error."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        try:
            self._channel.close()
        except (OSError, EOFError):
            pass


def _keys(target: Target) -> Iterator[tuple[str, paramiko.PKey]]:
    """The keys to offer: the named file alone, or the agent's and the usual files."""
    import paramiko

    # paramiko wants bytes here, whatever its type stubs say.
    passphrase: Any = secrets.resolve(target.passphrase).encode() if target.passphrase else None
    if target.identity_file is not None:
        path = Path(target.identity_file.removeprefix("file:")).expanduser()
        try:
            yield str(path), paramiko.PKey.from_path(path, passphrase)
        except (OSError, paramiko.SSHException, ValueError, TypeError) as error:
            raise AuthenticationRefused(
                target.name, f"cannot use the key {path}: {reason(error)}", hint="check identity_file and passphrase"
            ) from None
        return
    agent = paramiko.Agent()
    try:
        for key in agent.get_keys():
            yield f"agent key {key.get_name()}", key
    finally:
        agent.close()
    for name in ("id_ed25519", "id_ecdsa", "id_rsa"):
        path = Path("~/.ssh").expanduser() / name
        if path.is_file():
            try:
                yield str(path), paramiko.PKey.from_path(path, passphrase)
            except (OSError, paramiko.SSHException, ValueError, TypeError):
                continue  # one of the usual files with a passphrase: not meant for us


_limiters: dict[tuple[str, int], threading.BoundedSemaphore] = {}
_limiters_lock = threading.Lock()


def _limiter(target: Target) -> threading.BoundedSemaphore:
    """The limit of simultaneous handshakes that one machine (a host, or a bastion for all behind it) has to stand."""
    with _limiters_lock:
        return _limiters.setdefault((target.address, target.port), threading.BoundedSemaphore(HANDSHAKES_PER_BASTION))


def close_all(transports: list[paramiko.Transport]) -> None:
    """Close from the inside out, without waiting for paramiko's own threads to agree."""
    waiting = list(reversed(transports))
    if waiting:
        threading.Thread(target=_close, args=(waiting,), name="ssh close", daemon=True).start()


def _close(transports: list[paramiko.Transport]) -> None:
    import paramiko

    for transport in transports:
        try:
            transport.close()
        except (OSError, EOFError, paramiko.SSHException):
            continue  # it was gone already


def _where(target: Target) -> str:
    return f"{target.address} port {target.port}"


def reason(error: BaseException) -> str:
    """Why, in words of one line."""
    import paramiko

    if isinstance(error, paramiko.ChannelException):
        return f"the jump host opened no connection to it: {error.text}"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return secrets.redact(str(error)) or type(error).__name__
