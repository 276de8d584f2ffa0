# SPDX-License-Identifier: Apache-2.0
"""mac1 (RFC 0001 section 10.2): whoever wrote this frame knows the receiver's static public key."""

from __future__ import annotations

import hashlib
import hmac

from tether_hw.transport.protocol.header import AAD_SIZE, HEADER_SIZE, TAG_SIZE

LABEL = b"tether/1 mac1"


def mac1_key(receiver_public: bytes) -> bytes:
    """BLAKE2s-256("tether/1 mac1" || receiver's static public key)."""
    return hashlib.blake2s(LABEL + receiver_public).digest()


def mac1(receiver_public: bytes, frame: bytes) -> bytes:
    """The tag of a Hail or of its reply: keyed BLAKE2s-128 over header bytes 0-47 and all payload blocks."""
    covered = frame[:AAD_SIZE] + frame[HEADER_SIZE:]
    return hashlib.blake2s(covered, key=mac1_key(receiver_public), digest_size=TAG_SIZE).digest()


def has_mac1(receiver_public: bytes, frame: bytes) -> bool:
    """Compare the frame's tag with its mac1, in constant time."""
    return hmac.compare_digest(mac1(receiver_public, frame), frame[AAD_SIZE:HEADER_SIZE])
