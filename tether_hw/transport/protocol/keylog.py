# SPDX-License-Identifier: Apache-2.0
"""Key logs (RFC 0001 section 19): read them, and open captured frames with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tether_hw.transport.protocol.frame import unseal
from tether_hw.transport.protocol.header import LAMP, Header
from tether_hw.transport.protocol.keys import CIPHER_NAMES, frame_key_of_chain, next_chain
from tether_hw.transport.protocol.reject import Reject

SEALERS = ("initiator", "responder")
EPOCHS_AHEAD = 1024  # beyond the newest epoch that opened: as far as any receiver looks
_CIPHERS = {name: cipher for cipher, name in CIPHER_NAMES.items()}
_LINE = re.compile(r"TETHER ([0-9a-f]{8}) (\S+) (\S+) ([0-9a-f]{64})")


class KeylogError(ValueError):
    """A line that is none of a key log. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class Secret:
    """One direction of one channel: who seals, with what; `chains` are the chain keys of the epochs so far."""

    channel: int
    sealer: str
    cipher: int
    chains: list[bytes]
    newest: int = 0

    def key(self, epoch: int) -> bytes | None:
        """The frame key of an epoch that a receiver could have accepted."""
        if epoch > self.newest + EPOCHS_AHEAD:
            return None
        while len(self.chains) <= epoch:
            self.chains.append(next_chain(self.chains[-1]))
        return frame_key_of_chain(self.chains[epoch])


@dataclass
class KeyLog:
    """All secrets of a key log by the index that stands in the frames."""

    secrets: dict[int, list[Secret]] = field(default_factory=dict)

    def open(self, frame: bytes) -> tuple[Secret, bytes] | None:
        """Who sealed a frame, and its payload; None when no secret opens it. `frame` is exactly one whole frame."""
        header = Header.decode(frame)
        if header.flags & LAMP:
            return None
        for secret in self.secrets.get(header.channel, ()):
            key = secret.key(header.epoch)
            if key is None:
                continue
            try:
                _header, payload = unseal(frame, key, secret.cipher)
            except Reject:
                continue
            secret.newest = max(secret.newest, header.epoch)
            return secret, payload
        return None


def parse(text: str) -> KeyLog:
    """Read a key log; KeylogError names the first line that is wrong. The same line twice counts once."""
    log = KeyLog()
    seen = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#") or line in seen:
            continue
        seen.add(line)
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise KeylogError(number, "is not TETHER <channel> <initiator|responder> <cipher> <chain_0>")
        channel, sealer, cipher, chain = match.groups()
        if sealer not in SEALERS:
            raise KeylogError(number, f"{sealer!r} is neither initiator nor responder")
        if cipher not in _CIPHERS:
            raise KeylogError(number, f"{cipher!r} is none of {', '.join(_CIPHERS)}")
        secret = Secret(int(channel, 16), sealer, _CIPHERS[cipher], [bytes.fromhex(chain)])
        log.secrets.setdefault(secret.channel, []).append(secret)
    return log
