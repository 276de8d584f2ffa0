# SPDX-License-Identifier: Apache-2.0
"""Operators: their public keys as hosts get them, and the one key that signs what this command asks of hosts."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tether_hw.errors import TetherError
from tether_hw.fleet import secrets
from tether_hw.plan.canonical import canonical
from tether_hw.plan.signed import Signed

if TYPE_CHECKING:
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.plan.verbs import Request

VARIABLE = "TETHER_OPERATOR"
VALID_S = 600
_MOST_BYTES = 64 * 1024  # of a file with a private key
_HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"  # before the 32 bytes of a public key


def public_bytes(line: str) -> bytes:
    """The 32 bytes of a public key as ssh-keygen writes it. Raises ValueError."""
    words = line.split(" ")
    blob = base64.b64decode(words[1], validate=True)
    if words[0] != "ssh-ed25519" or not blob.startswith(_HEAD) or len(blob) != len(_HEAD) + 32:
        raise ValueError("no key of type ssh-ed25519")
    return blob[len(_HEAD) :]


def line_of(public: bytes, comment: str = "") -> str:
    """A public key as ssh-keygen writes it."""
    text = "ssh-ed25519 " + base64.b64encode(_HEAD + public).decode()
    return f"{text} {comment}" if comment else text


def print_of(public: bytes) -> str:
    """Its fingerprint as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(_HEAD + public).digest()).decode().rstrip("=")


def trusted(inventory: Inventory) -> dict[str, str]:
    """What hosts are told: key in hex -> comment."""
    found = {}
    for line in inventory.operators:
        found[public_bytes(line).hex()] = " ".join(line.split(" ")[2:])
    return found


class Key(Protocol):
    """A private key, wherever it is."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""


class FileKey:
    """A private key in a file of OpenSSH's format."""

    def __init__(self, path: Path, passphrase: str | None) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

        hint = "tether key operator --make FILE makes one"
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise TetherError(f"the operator's key {path} is no file that holds a key", hint=hint)
            if status.st_mode & 0o077:
                raise TetherError(f"others may read the operator's key {path}", hint=f"chmod 600 {path}")
            text = path.read_bytes()
        except OSError as error:
            raise TetherError(f"the operator's key {path}: {error.strerror}", hint=hint) from None
        secret = None if passphrase is None else secrets.resolve(passphrase).encode()
        try:
            key = load_ssh_private_key(text, secret)
        except (ValueError, TypeError) as error:
            words = "it has a passphrase" if isinstance(error, TypeError) and secret is None else "not understood"
            hint = "operator_passphrase refers to it (env:, file:, keyring:)"
            raise TetherError(f"the operator's key {path}: {words}", hint=hint) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise TetherError(f"the operator's key {path} is not of type ed25519", hint=hint)
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)


class AgentKey:
    """A private key that ssh-agent holds."""

    def __init__(self, fingerprint: str) -> None:
        import paramiko

        self._lock = threading.Lock()
        self._agent = paramiko.Agent()
        for key in self._agent.get_keys():
            blob = key.asbytes()
            if blob.startswith(_HEAD) and print_of(blob[len(_HEAD) :]) == fingerprint:
                self._key = key
                self.public = blob[len(_HEAD) :]
                return
        self._agent.close()
        raise TetherError(f"ssh-agent has no ed25519 key {fingerprint}", hint="ssh-add -l lists what it has")

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature, at the end of what the agent answers."""
        with self._lock:
            answer: bytes = bytes(self._key.sign_ssh_data(message))
            return answer[-64:]

    def close(self) -> None:
        """Let go of the agent; the key signs no more."""
        self._agent.close()


class Signer:
    """Signs requests with rising counters, from any thread."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self._last = 0
        self._lock = threading.Lock()

    def above(self, counter: int) -> None:
        """Sign the next request with a higher counter than this."""
        with self._lock:
            self._last = max(self._last, counter)

    def line(self, host: str, request: Request) -> bytes:
        """The request signed for a host, as one line."""
        with self._lock:
            self._last = counter = max(self._last + 1, time.time_ns())
        expires = int(time.time()) + VALID_S
        unsigned = Signed(self.key.public.hex(), host, counter, expires, canonical(request.to_dict()))
        signature = self.key.sign(unsigned.message()).hex()
        return canonical({**unsigned.to_dict(), "signature": signature}).encode("ascii") + b"\n"


def signer(inventory: Inventory) -> Signer | None:
    """Who signs here: TETHER_OPERATOR, else the inventory's `operator`; None where neither says. Raises TetherError."""
    reference = os.environ.get(VARIABLE) or inventory.operator
    if reference is None:
        return None
    kind, _, rest = reference.partition(":")
    if kind == "agent" and rest:
        return Signer(AgentKey(rest))
    if kind == "file" and rest:
        path = Path(rest).expanduser()
        return Signer(FileKey(inventory.path.parent / path, inventory.operator_passphrase))
    raise TetherError(f"{reference!r} names no key", hint="file:PATH, or agent:SHA256:FINGERPRINT")


def make(path: Path, comment: str, passphrase: str | None) -> str:
    """Make a private key, 0600, never over another file; its public line. Raises TetherError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    how: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        how = BestAvailableEncryption(secrets.resolve(passphrase).encode())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, how)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    except FileExistsError:
        raise TetherError(f"{path} is there already, and is never overwritten") from None
    except OSError as error:
        raise TetherError(f"{path}: {error.strerror}") from None
    return line_of(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), comment)
