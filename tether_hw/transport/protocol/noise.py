# SPDX-License-Identifier: Apache-2.0
"""Noise_IK_25519_ChaChaPoly_BLAKE2s (Noise revision 34) as RFC 0001 section 10.3 uses it.

    <- s
    -> e, es, s, ss
    <- e, ee, se

Before each message both ends mix the frame's header bytes 0-47 and its sender_index into the hash: `context`.
"""

from __future__ import annotations

import hashlib
import hmac

from tether_hw.transport.protocol.reject import Reject

PROTOCOL_NAME = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
PROLOGUE = b"tether/1"
KEY_SIZE = 32
TAG_SIZE = 16
MESSAGE1_OVERHEAD = 2 * KEY_SIZE + 2 * TAG_SIZE  # e, sealed s, tag of the payload
MESSAGE2_OVERHEAD = KEY_SIZE + TAG_SIZE


def public_key(secret: bytes) -> bytes:
    """The X25519 public key of a 32-byte secret."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _dh(secret: bytes, public: bytes) -> bytes:
    """X25519; Reject("auth") for a point of small order, whose result is all zeros."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Reject("auth", "a public key of small order") from None


def _hash(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Noise's HKDF with two outputs: HMAC-BLAKE2s, 64-byte blocks."""
    temporary = hmac.new(chaining_key, material, hashlib.blake2s).digest()
    first = hmac.new(temporary, b"\x01", hashlib.blake2s).digest()
    return first, hmac.new(temporary, first + b"\x02", hashlib.blake2s).digest()


class Handshake:
    """One side of one handshake. The caller supplies the ephemeral secret: this file has no randomness."""

    def __init__(self, static_secret: bytes, remote_static: bytes | None, prologue: bytes = PROLOGUE) -> None:
        """An initiator knows `remote_static`; a responder gives None and learns it from message 1."""
        self.static_secret = static_secret
        self.static_public = public_key(static_secret)
        self.remote_static = remote_static
        self.remote_ephemeral = b""
        self.ephemeral_secret = b""
        self.hash = _hash(PROTOCOL_NAME)  # 33 bytes: longer than a hash, so hashed
        self.chaining_key = self.hash
        self.key = b""
        self.nonce = 0
        self.mix_hash(prologue)
        self.mix_hash(self.static_public if remote_static is None else remote_static)

    def write_message1(self, ephemeral_secret: bytes, context: bytes, payload: bytes) -> bytes:
        """-> e, es, s, ss"""
        assert self.remote_static is not None
        self.mix_hash(context)
        self.ephemeral_secret = ephemeral_secret
        message = public_key(ephemeral_secret)
        self.mix_hash(message)
        self._mix_key(_dh(ephemeral_secret, self.remote_static))
        message += self._encrypt(self.static_public)
        self._mix_key(_dh(self.static_secret, self.remote_static))
        return message + self._encrypt(payload)

    def read_message1(self, context: bytes, message: bytes) -> bytes:
        """Return the payload; afterwards `remote_static` says who hails. Reject("auth") if anything is wrong."""
        if len(message) < MESSAGE1_OVERHEAD:
            raise Reject("auth", f"message 1 of {len(message)} bytes")
        self.mix_hash(context)
        self.remote_ephemeral, sealed_static, sealed_payload = message[:32], message[32:80], message[80:]
        self.mix_hash(self.remote_ephemeral)
        self._mix_key(_dh(self.static_secret, self.remote_ephemeral))
        self.remote_static = self._decrypt(sealed_static)
        self._mix_key(_dh(self.static_secret, self.remote_static))
        return self._decrypt(sealed_payload)

    def write_message2(self, ephemeral_secret: bytes, context: bytes, payload: bytes) -> bytes:
        """<- e, ee, se"""
        assert self.remote_static is not None
        self.mix_hash(context)
        self.ephemeral_secret = ephemeral_secret
        message = public_key(ephemeral_secret)
        self.mix_hash(message)
        self._mix_key(_dh(ephemeral_secret, self.remote_ephemeral))
        self._mix_key(_dh(ephemeral_secret, self.remote_static))
        return message + self._encrypt(payload)

    def read_message2(self, context: bytes, message: bytes) -> bytes:
        """Return the payload; Reject("auth") if anything is wrong."""
        if len(message) < MESSAGE2_OVERHEAD:
            raise Reject("auth", f"message 2 of {len(message)} bytes")
        self.mix_hash(context)
        self.remote_ephemeral = message[:32]
        self.mix_hash(self.remote_ephemeral)
        self._mix_key(_dh(self.ephemeral_secret, self.remote_ephemeral))
        self._mix_key(_dh(self.static_secret, self.remote_ephemeral))
        return self._decrypt(message[32:])

    def split(self) -> tuple[bytes, bytes]:
        """After message 2: (key initiator -> responder, key responder -> initiator)."""
        return _hkdf(self.chaining_key, b"")

    def mix_hash(self, data: bytes) -> None:
        """h = HASH(h || data)"""
        self.hash = _hash(self.hash + data)

    def _mix_key(self, material: bytes) -> None:
        self.chaining_key, self.key = _hkdf(self.chaining_key, material)
        self.nonce = 0

    def _encrypt(self, plain: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        sealed = ChaCha20Poly1305(self.key).encrypt(bytes(4) + self.nonce.to_bytes(8, "little"), plain, self.hash)
        self.nonce += 1
        self.mix_hash(sealed)
        return sealed

    def _decrypt(self, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        nonce = bytes(4) + self.nonce.to_bytes(8, "little")
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(nonce, sealed, self.hash)
        except InvalidTag:
            raise Reject("auth", "a handshake message does not verify") from None
        self.nonce += 1
        self.mix_hash(sealed)
        return plain
