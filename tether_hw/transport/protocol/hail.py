# SPDX-License-Identifier: Apache-2.0
"""The Hail and its reply as whole frames (RFC 0001 section 10): header, sender_index, Noise message, mac1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tether_hw.transport.protocol import tags
from tether_hw.transport.protocol.cookie import MAC2_SIZE, mac2
from tether_hw.transport.protocol.frame import pad
from tether_hw.transport.protocol.header import AAD_SIZE, BLOCK_SIZE, HEADER_SIZE, LAMP, VERSION, Header
from tether_hw.transport.protocol.mac1 import has_mac1, mac1
from tether_hw.transport.protocol.noise import MESSAGE1_OVERHEAD, MESSAGE2_OVERHEAD, Handshake
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.serial import U48

if TYPE_CHECKING:
    from collections.abc import Callable

INDEX_SIZE = 4
HAIL_BLOCKS_MIN = 4  # 256 bytes of payload
HAIL_BLOCKS_MAX = 1023
HAIL_LENGTH = 180  # sender_index, Noise overhead, HAIL, MANIFEST; more when optional tags follow
REPLY_BLOCKS = 3
REPLY_LENGTH = 132  # sender_index, Noise overhead, HAIL, MANIFEST
LANE_MAX = 255
OK, STALE, GONE = 0, 1, 2


def write_hail(
    handshake: Handshake,
    ephemeral_secret: bytes,
    sender_index: int,
    timestamp: int,
    payload: list[tags.AnyTag],
    changes: dict[str, int] | None = None,
    blocks: int = HAIL_BLOCKS_MIN,
    cookie: bytes | None = None,
) -> bytes:
    """Return a Hail frame. `payload` is HAIL, MANIFEST and perhaps REKEY; HAIL's counter is also the header's sequence.

    `blocks` of payload probe the path; `cookie` is what the responder has sent. `changes` puts other values into
    header fields, for tests of what a responder refuses.
    """
    hail = payload[0]
    assert isinstance(hail, tags.Hail)
    assert handshake.remote_static is not None
    content = tags.encode(payload)
    length = INDEX_SIZE + MESSAGE1_OVERHEAD + len(content)
    blocks = max(HAIL_BLOCKS_MIN, blocks, -(-(length + MAC2_SIZE) // BLOCK_SIZE))
    header = Header(
        flags=LAMP, length=length, sequence=hail.counter & U48, GrantAmount=1 + blocks, Timestamp=timestamp & U48
    )
    header = replace(header, **cast("dict[str, Any]", changes or {}))
    index = sender_index.to_bytes(INDEX_SIZE, "little")
    context = header.encode()[:AAD_SIZE] + index
    message = handshake.write_message1(ephemeral_secret, context, content)
    content = pad(index + message, BLOCK_SIZE * blocks)
    if cookie is not None:
        content = content[:-MAC2_SIZE] + mac2(cookie, header.encode() + content)
    return _finish(header, content, handshake.remote_static)


def check_hail(static_public: bytes, frame: bytes) -> tuple[Header, bytes]:
    """What can be judged of a Hail by its bytes and our public key, up to mac1 (T-ORD-2): (header, whole blocks)."""
    header, frame = whole_blocks(frame)
    if not HAIL_BLOCKS_MIN <= len(frame) // BLOCK_SIZE - 1 <= HAIL_BLOCKS_MAX:
        raise Reject("length", f"a Hail of {len(frame)} bytes", 2)
    room = len(frame) - HEADER_SIZE - MAC2_SIZE
    if header.flags != LAMP or header.flow or header.channel or not HAIL_LENGTH <= header.length <= room:
        raise Reject("state", f"channel 0 carries only Hail: flags LAMP, flow 0, length {HAIL_LENGTH}-{room}", 1)
    if not has_mac1(static_public, frame):
        raise Reject("mac1", "its sender does not know our key", AAD_SIZE)
    return header, frame


def parse_offer(header: Header, frame: bytes, content: bytes) -> tuple[int, tags.Hail, tags.Manifest, int]:
    """The tags of a Hail that has verified: (initiator's index, HAIL, MANIFEST, what REKEY names or 0)."""
    index, hail, manifest, rekey = _parse(frame, content)
    if not index or hail.status or hail.lane > LANE_MAX or hail.counter & U48 != header.sequence:
        raise Reject("tags", "an offer has a sender_index, status 0, a lane and the counter that its header has")
    return index, hail, manifest, rekey


def check_funds(header: Header, frame: bytes) -> None:
    """A Lamp funds its reply, and no more than its own size (T-LMP-2)."""
    if not REPLY_BLOCKS + 1 <= header.GrantAmount <= len(frame) // BLOCK_SIZE:
        raise Reject("grant", f"GrantAmount {header.GrantAmount} does not fund the reply, or more than the Hail itself")


def read_hail(handshake: Handshake, frame: bytes) -> tuple[int, tags.Hail, tags.Manifest]:
    """Judge a Hail as its responder: (initiator's index, HAIL, MANIFEST). Roster, counter and mac2 are the caller's."""
    header, frame = check_hail(handshake.static_public, frame)
    check_padding(header, frame, MAC2_SIZE)
    index, hail, manifest, _rekey = parse_offer(header, frame, open_message(header, frame, handshake.read_message1))
    check_funds(header, frame)
    return index, hail, manifest


def write_reply(
    handshake: Handshake,
    ephemeral_secret: bytes,
    initiator_index: int,
    sender_index: int,
    timestamp: int,
    payload: list[tags.AnyTag],
    blocks: int = REPLY_BLOCKS,
) -> bytes:
    """Return the reply to the Hail that `handshake` has read, padded to `blocks` of payload."""
    assert handshake.remote_static is not None
    content = tags.encode(payload)
    header = Header(
        flags=LAMP,
        length=INDEX_SIZE + MESSAGE2_OVERHEAD + len(content),
        channel=initiator_index,
        Timestamp=timestamp & U48,
    )
    index = sender_index.to_bytes(INDEX_SIZE, "little")
    context = header.encode()[:AAD_SIZE] + index
    message = handshake.write_message2(ephemeral_secret, context, content)
    whole = BLOCK_SIZE * max(blocks, -(-(INDEX_SIZE + len(message)) // BLOCK_SIZE))
    return _finish(header, pad(index + message, whole), handshake.remote_static)


def check_reply(static_public: bytes, header: Header, frame: bytes, hail_blocks: int) -> None:
    """What can be judged of a reply's whole blocks by its bytes and our public key, up to its padding (T-ORD-4)."""
    if header.flags != LAMP or header.flow or header.sequence:
        raise Reject("state", "a reply has flags LAMP, flow 0 and sequence 0", 1)
    if header.length < REPLY_LENGTH or len(frame) // BLOCK_SIZE - 1 > hail_blocks:
        raise Reject("length", f"a reply of length {header.length}; its Hail has {hail_blocks} payload blocks", 2)
    if not has_mac1(static_public, frame):
        raise Reject("mac1", "its sender does not know our key", AAD_SIZE)
    check_padding(header, frame)


def parse_answer(frame: bytes, content: bytes, offered: int) -> tuple[int, tags.Hail, tags.Manifest]:
    """The tags of a reply that has verified: (responder's index, HAIL, MANIFEST)."""
    index, hail, manifest, rekey = _parse(frame, content)
    if rekey:
        raise Reject("tags", "REKEY in a reply")
    if hail.status == OK and (hail.ciphers & (hail.ciphers - 1) or not hail.ciphers & offered or not index):
        raise Reject("tags", f"a reply that chose ciphers {hail.ciphers:#x} of {offered:#x}, index {index:#x}")
    return index, hail, manifest


def read_reply(
    handshake: Handshake, frame: bytes, offered: int, hail_blocks: int = HAIL_BLOCKS_MIN
) -> tuple[int, tags.Hail, tags.Manifest]:
    """Judge a reply as the initiator of a Hail of `hail_blocks` payload blocks: (responder's index, HAIL, MANIFEST)."""
    header, frame = whole_blocks(frame)
    check_reply(handshake.static_public, header, frame, hail_blocks)
    return parse_answer(frame, open_message(header, frame, handshake.read_message2), offered)


# What Hail and reply have in common.


def whole_blocks(frame: bytes) -> tuple[Header, bytes]:
    """Header, and the frame without what follows its last whole block: all others belong to a Lamp."""
    header = Header.decode(frame)
    if header.version != VERSION:
        raise Reject("version", f"version {header.version}")
    frame = frame[: len(frame) - len(frame) % BLOCK_SIZE]
    if HEADER_SIZE + header.length > len(frame):
        raise Reject("short", f"{len(frame)} bytes, length {header.length}", 2)
    return header, frame


def check_padding(header: Header, frame: bytes, behind: int = 0) -> None:
    """All that follows `length` is zero (T-HAI-3), but for the last `behind` bytes."""
    if any(frame[HEADER_SIZE + header.length : len(frame) - behind]):
        raise Reject("padding", "a padding byte is not zero", HEADER_SIZE + header.length)


def open_message(header: Header, frame: bytes, read_message: Callable[[bytes, bytes], bytes]) -> bytes:
    """The Noise message: its payload, or Reject("auth")."""
    payload = frame[HEADER_SIZE : HEADER_SIZE + header.length]
    return read_message(frame[:AAD_SIZE] + payload[:INDEX_SIZE], payload[INDEX_SIZE:])


def _parse(frame: bytes, content: bytes) -> tuple[int, tags.Hail, tags.Manifest, int]:
    try:
        found = tags.parse(content)
    except tags.TagError as error:
        raise Reject("tags", str(error)) from None
    hails = [tag for tag in found if isinstance(tag, tags.Hail)]
    manifests = [tag for tag in found if isinstance(tag, tags.Manifest)]
    rekeys = [tag.channel for tag in found if isinstance(tag, tags.Rekey)]
    others = [tag for tag in found if not isinstance(tag, (tags.Hail, tags.Manifest, tags.Rekey, tags.Unknown))]
    if len(hails) != 1 or len(manifests) != 1 or others or manifests[0].lanes or len(rekeys) > 1 or 0 in rekeys:
        raise Reject("tags", "a handshake message carries one HAIL and one MANIFEST without lanes")
    index = int.from_bytes(frame[HEADER_SIZE : HEADER_SIZE + INDEX_SIZE], "little")
    return index, hails[0], manifests[0], sum(rekeys)


def _finish(header: Header, payload: bytes, receiver_public: bytes) -> bytes:
    frame = header.encode() + payload
    tag = mac1(receiver_public, frame)
    return frame[:AAD_SIZE] + tag + frame[HEADER_SIZE:]
