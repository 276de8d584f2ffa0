# SPDX-License-Identifier: Apache-2.0
"""The warm Lamp and its answer (RFC 0001 section 9.4): early data to a peer with whom a channel has ended."""

from __future__ import annotations

import hashlib

from tether_hw.transport.protocol.frame import decrypt, encrypt, nonce, pad
from tether_hw.transport.protocol.header import AAD_SIZE, BLOCK_SIZE, HEADER_SIZE, LAMP, TAG_SIZE, Header
from tether_hw.transport.protocol.keys import CHACHA20_POLY1305
from tether_hw.transport.protocol.reject import Reject

SALT_SIZE = 16
HEAD_SIZE = 24  # salt and counter
ANSWER_BLOCKS = 2  # header counted: what a Lamp funds
TAKEN, REFUSED = 0, 1


def resume_key(initiator_key: bytes, responder_key: bytes) -> bytes:
    """What is kept of a channel, from the two keys of Split()."""
    return hashlib.blake2s(b"tether/1 resume" + responder_key, key=initiator_key).digest()


def lamp_key(resume: bytes, initiator: bool, counter: int, salt: bytes, answer: bool = False) -> bytes:
    """The key of one Lamp, or of its answer; `initiator` is the role of who sends that frame."""
    label = b"tether/1 warm answer" if answer else b"tether/1 warm"
    return hashlib.blake2s(label + bytes([initiator]) + counter.to_bytes(8, "little") + salt, key=resume).digest()


def write_lamp(resume: bytes, initiator: bool, channel: int, counter: int, salt: bytes, message: bytes) -> bytes:
    """A Lamp for the peer's index `channel`."""
    sealed = counter.to_bytes(8, "little") + message
    header = Header(
        flags=LAMP, length=SALT_SIZE + len(sealed), channel=channel, sequence=counter, GrantAmount=ANSWER_BLOCKS
    )
    whole = pad(salt + sealed, BLOCK_SIZE * header.blocks)
    return _seal(header, lamp_key(resume, initiator, counter, salt), salt, whole[SALT_SIZE:])


def read_lamp(resume: bytes, initiator: bool, frame: bytes) -> tuple[int, bytes]:
    """(counter, message) of a Lamp that the `initiator` (or the other end) has sent; Reject when it does not verify."""
    header = Header.decode(frame)
    salt = frame[HEADER_SIZE : HEADER_SIZE + SALT_SIZE]
    key = lamp_key(resume, initiator, header.sequence, salt)
    plain = _open(header, frame, key, SALT_SIZE)
    said = header.length - SALT_SIZE
    if any(plain[said:]):
        raise Reject("padding", "a padding byte is not zero", HEADER_SIZE + header.length)
    if int.from_bytes(plain[:8], "little") != header.sequence:
        raise Reject("tags", "the sealed counter is another than the sequence", HEADER_SIZE + SALT_SIZE)
    return header.sequence, plain[8:said]


def write_answer(resume: bytes, initiator: bool, channel: int, counter: int, salt: bytes, status: int) -> bytes:
    """The answer to the Lamp with this counter and salt."""
    header = Header(flags=LAMP, length=16, channel=channel, sequence=counter)
    content = counter.to_bytes(8, "little") + status.to_bytes(4, "little")
    key = lamp_key(resume, initiator, counter, salt, answer=True)
    return _seal(header, key, b"", pad(content, BLOCK_SIZE))


def read_answer(resume: bytes, initiator: bool, salt: bytes, frame: bytes) -> int:
    """The status in an answer."""
    header = Header.decode(frame)
    key = lamp_key(resume, initiator, header.sequence, salt, answer=True)
    plain = _open(header, frame, key, 0)
    if int.from_bytes(plain[:8], "little") != header.sequence:
        raise Reject("tags", "the sealed counter is another than the sequence", HEADER_SIZE)
    return int.from_bytes(plain[8:12], "little")


def _seal(header: Header, key: bytes, clear: bytes, plain: bytes) -> bytes:
    aad = header.encode()[:AAD_SIZE]
    sealed = encrypt(CHACHA20_POLY1305, key, nonce(header.sequence), plain, aad)
    return aad + sealed[:TAG_SIZE] + clear + sealed[TAG_SIZE:]


def _open(header: Header, frame: bytes, key: bytes, clear: int) -> bytes:
    sealed = frame[HEADER_SIZE + clear : HEADER_SIZE + BLOCK_SIZE * header.blocks]
    return decrypt(CHACHA20_POLY1305, key, nonce(header.sequence), sealed, frame[:AAD_SIZE], header.tag)
