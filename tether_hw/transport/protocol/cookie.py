# SPDX-License-Identifier: Apache-2.0
"""Cookie and mac2 (RFC 0001 section 9.3): whoever sent this Hail receives at the address that it came from."""

from __future__ import annotations

import hashlib
import hmac

from tether_hw.transport.protocol.header import AAD_SIZE, BLOCK_SIZE, HEADER_SIZE, LAMP, TAG_SIZE, Header
from tether_hw.transport.protocol.reject import Reject

LABEL = b"tether/1 cookie"
COOKIE_SIZE = 32
MAC2_SIZE = 16
LIFE_NS = 120 * 10**9
TAG_TYPE = 0x08
_TAG = bytes([TAG_TYPE, 0]) + COOKIE_SIZE.to_bytes(2, "little")
TAG_LENGTH = len(_TAG) + COOKIE_SIZE + 4  # with its padding
FRAME_SIZE = HEADER_SIZE + BLOCK_SIZE


def cookie_of(secret: bytes, kind: int, address: bytes) -> bytes:
    """The cookie of a source address under one secret of the responder."""
    return hashlib.blake2s(LABEL + bytes([kind, len(address)]) + address, key=secret).digest()


def mac2(cookie: bytes, frame: bytes) -> bytes:
    """The last 16 bytes of a Hail's payload, over header bytes 0-47 and the payload before them."""
    covered = frame[:AAD_SIZE] + frame[HEADER_SIZE:-MAC2_SIZE]
    return hashlib.blake2s(covered, key=cookie, digest_size=MAC2_SIZE).digest()


def has_mac2(cookie: bytes, frame: bytes) -> bool:
    """Compare a Hail's last 16 bytes with its mac2, in constant time."""
    return hmac.compare_digest(mac2(cookie, frame), frame[-MAC2_SIZE:])


def write_cookie(responder_public: bytes, hail: bytes, cookie: bytes) -> bytes:
    """The frame that answers this Hail with a cookie."""
    index = int.from_bytes(hail[HEADER_SIZE : HEADER_SIZE + 4], "little")
    header = Header(flags=LAMP, length=TAG_LENGTH, channel=index).encode()
    payload = (_TAG + cookie).ljust(BLOCK_SIZE, b"\0")
    return header[:AAD_SIZE] + _sign(responder_public, hail[AAD_SIZE:HEADER_SIZE], header, payload) + payload


def read_cookie(responder_public: bytes, hail_mac1: bytes, frame: bytes) -> bytes:
    """The cookie in an answer to the Hail with this mac1."""
    payload = frame[HEADER_SIZE:FRAME_SIZE]
    if not hmac.compare_digest(_sign(responder_public, hail_mac1, frame, payload), frame[AAD_SIZE:HEADER_SIZE]):
        raise Reject("mac1", "its sender has not seen our Hail", AAD_SIZE)
    start = len(_TAG)
    if payload[:start] != _TAG or any(payload[start + COOKIE_SIZE :]):
        raise Reject("tags", "not one COOKIE and nothing else", HEADER_SIZE)
    return payload[start : start + COOKIE_SIZE]


def _sign(responder_public: bytes, hail_mac1: bytes, header: bytes, payload: bytes) -> bytes:
    key = hashlib.blake2s(LABEL + responder_public + hail_mac1).digest()
    return hashlib.blake2s(header[:AAD_SIZE] + payload, key=key, digest_size=TAG_SIZE).digest()
