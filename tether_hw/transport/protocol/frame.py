# SPDX-License-Identifier: Apache-2.0
"""Sealed frames (RFC 0001 sections 2 and 11): pad, seal, and the receiver's checks in the RFC's order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tether_hw.transport.protocol.header import AAD_SIZE, BLOCK_SIZE, HEADER_SIZE, LAMP, TAG_SIZE, VERSION, Header
from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305, KeyChain
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.replay import ReplayWindow
from tether_hw.transport.protocol.serial import U48

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


def nonce(sequence: int) -> bytes:
    """4 zero bytes, then the sequence as u64 little-endian."""
    return bytes(4) + sequence.to_bytes(8, "little")


def pad(payload: bytes, block: int = BLOCK_SIZE) -> bytes:
    """Fill up with zeros to whole blocks."""
    return payload + bytes(-len(payload) % block)


def seal(header: Header, payload: bytes, key: bytes, cipher: int) -> bytes:
    """Return the frame. `header.length` and `header.tag` are set here; the caller chose all else."""
    header = replace(header, length=len(payload))
    aad = header.encode()[:AAD_SIZE]
    return aad + encrypt(cipher, key, nonce(header.sequence), pad(payload), aad)


def unseal(frame: bytes, key: bytes, cipher: int) -> tuple[Header, bytes]:
    """Return (header, payload) of exactly one whole frame; Reject("auth") or Reject("padding")."""
    header = Header.decode(frame)
    plain = decrypt(cipher, key, nonce(header.sequence), frame[HEADER_SIZE:], frame[:AAD_SIZE], header.tag)
    if any(plain[header.length :]):
        raise Reject("padding", "a padding byte is not zero", HEADER_SIZE + header.length)
    return header, plain[: header.length]


def trim(frame: bytes) -> tuple[Header, bytes]:
    """Check what can be checked of any frame on a channel without knowing the channel, and cut off the trailer."""
    header = Header.decode(frame)
    if header.version != VERSION:
        raise Reject("version", f"version {header.version}, this is version {VERSION}", 0)
    end = HEADER_SIZE + BLOCK_SIZE * header.blocks
    if len(frame) < end:
        raise Reject("short", f"{len(frame)} bytes, length {header.length} needs {end}", 2)
    if len(frame) >= end + BLOCK_SIZE:
        raise Reject("length", f"{len(frame)} bytes, length {header.length} explains {end}", 2)
    return header, frame[:end]


class Inbound:
    """One direction of one channel at its receiver: keys and replay window.

    It holds the frame keys of the epochs [newest - 1, newest + epochs_ahead] and derives a new one only when a frame
    has verified (T-EPO-1).
    """

    def __init__(
        self, split_key: bytes, cipher: int, epochs_ahead: int = 2, newest_epoch: int = 0, window: int = 8192
    ) -> None:
        self.cipher = cipher
        self.epochs_ahead = epochs_ahead
        self.newest_epoch = newest_epoch
        self.replay = ReplayWindow(window)
        self._chain = KeyChain(split_key, cipher, max(0, newest_epoch - 1))
        self._keys: dict[int, bytes] = {}
        self._derive()

    def _derive(self) -> None:
        while self._chain.epoch <= self.newest_epoch + self.epochs_ahead:
            self._keys[self._chain.epoch] = self._chain.frame_key()
            self._chain.step()
        self._keys = {epoch: key for epoch, key in self._keys.items() if epoch >= self.newest_epoch - 1}

    def open(self, header: Header, frame: bytes) -> bytes:
        """Verify a trimmed frame and mark its sequence; return its payload blocks, padding and all (T-ORD-1)."""
        if not self.replay.is_fresh(header.sequence):
            raise Reject("replay", f"sequence {header.sequence} was seen or is too old", 8)
        key = self._keys.get(header.epoch)
        if key is None:
            raise Reject("epoch", f"epoch {header.epoch}, the newest verified is {self.newest_epoch}", 8)
        plain = decrypt(self.cipher, key, nonce(header.sequence), frame[HEADER_SIZE:], frame[:AAD_SIZE], header.tag)
        self.replay.mark(header.sequence)
        if header.epoch > self.newest_epoch:
            self.newest_epoch = header.epoch
            self._derive()
        return plain


class Outbound:
    """The other direction: sequences and the key of the present epoch."""

    def __init__(self, split_key: bytes, cipher: int) -> None:
        self.cipher = cipher
        self.sequence = 1  # 0 belongs to the reply (T-HDR-6)
        self._chain = KeyChain(split_key, cipher, 0)
        self._key = self._chain.frame_key()

    @property
    def exhausted(self) -> bool:
        """No sequence is left (T-HDR-7)."""
        return self.sequence >= U48

    def seal(self, header: Header, payload: bytes) -> bytes:
        """Give the frame its sequence, and seal it."""
        header.sequence = self.sequence
        self.sequence += 1
        while self._chain.epoch < header.epoch:
            self._chain.step()
            self._key = self._chain.frame_key()
        return seal(header, payload, self._key, self.cipher)


def receive(frame: bytes, channels: dict[int, Inbound], frame_blocks: int) -> tuple[Header, bytes]:
    """Judge a frame of an established channel as far as keys and windows reach; no flow is looked at.

    `channels` maps channel index -> Inbound. State changes only after the tag has verified.
    """
    header, frame = trim(frame)
    inbound = channels.get(header.channel)
    if inbound is None:
        raise Reject("stranger", f"no channel has index {header.channel:#x}", 4)
    if header.flags & LAMP:
        raise Reject("state", "LAMP on a channel that awaits no reply", 1)
    if header.blocks > frame_blocks:
        raise Reject("length", f"{header.blocks} payload blocks, at most {frame_blocks} are accepted", 2)
    plain = inbound.open(header, frame)
    if any(plain[header.length :]):
        raise Reject("padding", "a padding byte is not zero", HEADER_SIZE + header.length)
    return header, plain[: header.length]


def _aead(cipher: int, key: bytes) -> ChaCha20Poly1305 | AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    if cipher == AES_256_GCM:
        return AESGCM(key)
    assert cipher == CHACHA20_POLY1305
    return ChaCha20Poly1305(key)


def encrypt(cipher: int, key: bytes, nonce_bytes: bytes, plain: bytes, aad: bytes) -> bytes:
    """Return tag || ciphertext: the order in which they stand in a frame."""
    sealed = _aead(cipher, key).encrypt(nonce_bytes, plain, aad)
    return sealed[-TAG_SIZE:] + sealed[:-TAG_SIZE]


def decrypt(cipher: int, key: bytes, nonce_bytes: bytes, sealed: bytes, aad: bytes, tag: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return _aead(cipher, key).decrypt(nonce_bytes, sealed + tag, aad)
    except InvalidTag:
        raise Reject("auth", "the tag does not verify", AAD_SIZE) from None
