# SPDX-License-Identifier: Apache-2.0
"""The key schedule (RFC 0001 section 11.1): one chain per direction, one frame key per epoch of 2^22 frames."""

from __future__ import annotations

import hashlib

CHACHA20_POLY1305 = 1  # bits of HAIL's `ciphers`
AES_256_GCM = 2
CIPHER_NAMES = {CHACHA20_POLY1305: "ChaCha20-Poly1305", AES_256_GCM: "AES-256-GCM"}
EPOCH_SHIFT = 22


def _derive(key: bytes, label: bytes) -> bytes:
    return hashlib.blake2s(label, key=key).digest()


def chain_key(split_key: bytes, cipher: int, epoch: int) -> bytes:
    """chain_epoch of a direction whose key from the Noise Split() is `split_key`."""
    chain = _derive(split_key, b"tether/1 chain" + CIPHER_NAMES[cipher].encode("ascii"))
    for _ in range(epoch):
        chain = next_chain(chain)
    return chain


def next_chain(chain: bytes) -> bytes:
    """chain_(e+1) from chain_e."""
    return _derive(chain, b"tether/1 next")


def frame_key_of_chain(chain: bytes) -> bytes:
    """frame_key_e from chain_e."""
    return _derive(chain, b"tether/1 frame")


def frame_key(split_key: bytes, cipher: int, epoch: int) -> bytes:
    """The AEAD key of every frame of this direction whose sequence >> 22 is `epoch`."""
    return frame_key_of_chain(chain_key(split_key, cipher, epoch))


class KeyChain:
    """The chain of one direction, one step after the other; what was stepped over is forgotten (T-KEY-2)."""

    def __init__(self, split_key: bytes, cipher: int, epoch: int) -> None:
        self.epoch = epoch
        self._chain = chain_key(split_key, cipher, epoch)

    def frame_key(self) -> bytes:
        """The frame key of the present epoch."""
        return _derive(self._chain, b"tether/1 frame")

    def step(self) -> None:
        """Go on to the next epoch."""
        self._chain = _derive(self._chain, b"tether/1 next")
        self.epoch += 1


def epochs_ahead(rate_bps: int, rtt_ns: int) -> int:
    """How many epochs beyond the newest verified one a receiver holds keys for: what can be in flight, 2..1024."""
    in_flight = rate_bps * rtt_ns // (8 * 10**9 * 64 << EPOCH_SHIFT)
    return min(1024, 2 + in_flight)
