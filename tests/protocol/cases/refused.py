# SPDX-License-Identifier: Apache-2.0
"""Cases of frames and Hails that must be refused, with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.protocol.cases.common import CIPHERS, MAC, MANIFEST, Case, material
from tether_hw.transport.protocol import hail, keys, tags
from tether_hw.transport.protocol.frame import Inbound, encrypt, nonce, pad, receive, seal
from tether_hw.transport.protocol.header import AAD_SIZE, LAYOUT, Header
from tether_hw.transport.protocol.mac1 import mac1
from tether_hw.transport.protocol.noise import Handshake, public_key
from tether_hw.transport.protocol.reject import Reject


def bad_frames_cases() -> list[Case]:
    """Frames for a receiver that knows one channel (index, key, what it has seen), with the reason of the drop."""
    cases: list[Case] = []
    index, split = 0x0000_0501, material("bad split key")
    for cipher in CIPHERS:
        key = keys.frame_key(split, cipher, 0)
        header = Header(channel=index, sequence=10, flow=2, slot=22, GrantAmount=44, Timestamp=5)
        good = seal(header, b"hello", key, cipher)

        def dirty(offset: int, header: Header = header, key: bytes = key, cipher: int = cipher) -> bytes:
            """A frame that verifies and whose padding is not zero: seal it as if padding were payload."""
            plain = bytearray(pad(b"hello"))
            plain[offset] = 1
            return _seal_raw(replace(header, length=5), bytes(plain), key, cipher)

        def with_(header: Header = header, cipher: int = cipher, **changes: Any) -> bytes:
            changed = replace(header, **changes)
            return seal(changed, b"hello", keys.frame_key(split, cipher, changed.sequence >> 22), cipher)

        def flipped(offset: int, bit: int = 1, good: bytes = good) -> bytes:
            return good[:offset] + bytes([good[offset] ^ bit]) + good[offset + 1 :]

        frames: list[tuple[str, bytes, list[int], int]] = [
            ("good", good, [], 0),
            ("good-with-trailer", good + b"\x55" * 7, [], 0),
            ("whole-block-of-trailer", good + b"\x55" * 64, [], 0),
            ("good-header-only", seal(header, b"", key, cipher), [], 0),
            ("good-next-epoch", with_(sequence=1 << 22), [9], 0),
            ("good-last-epoch-ahead", with_(sequence=(3 << 22) - 1), [9], 0),
            ("good-previous-epoch", with_(sequence=(1 << 22) - 1), [(1 << 22) + 1], 1),
            ("empty", b"", [], 0),
            ("short", good[:63], [], 0),
            ("version-0", b"\x00" + good[1:], [], 0),
            ("version-2", b"\x02" + good[1:], [], 0),
            ("cut-in-payload", good[:127], [], 0),
            ("cut-to-header", good[:64], [], 0),
            ("too-many-blocks", seal(header, bytes(23 * 64), key, cipher), [], 0),
            ("length-max", good[:2] + b"\xff\xff" + good[4:], [], 0),
            ("other-channel", with_(channel=0x0000_0601), [], 0),
            ("other-generation", with_(channel=0x0100_0501), [], 0),
            ("other-lane", with_(channel=0x0000_0502), [], 0),
            ("lamp-on-channel", with_(flags=1), [], 0),
            ("epoch-too-far", with_(sequence=3 << 22), [9], 0),
            ("epoch-absurd", with_(sequence=9 << 22)[:8] + b"\xff" * 6 + good[14:], [9], 0),
            ("old-epoch-is-a-replay", with_(sequence=5), [(2 << 22) + 1], 2),
            ("sequence-zero", with_(sequence=0), [], 0),
            ("replayed", good, [10], 0),
            ("too-old", good, [10 + 8192], 0),
            ("oldest-in-window", good, [9 + 8192], 0),
            ("wrong-key", seal(header, b"hello", material("other key"), cipher), [], 0),
            ("wrong-cipher", seal(header, b"hello", key, 3 - cipher), [], 0),
            ("padding-first", dirty(5), [], 0),
            ("padding-last", dirty(63), [], 0),
        ]
        for name, offset, _size in LAYOUT:
            if name not in ("version", "length", "channel", "sequence"):
                frames.append((f"changed-{name}", flipped(offset, 0x80), [], 0))
        frames += [("changed-payload", flipped(64), [], 0), ("changed-last", flipped(127), [], 0)]
        for label, frame, seen, newest in frames:
            inbound = Inbound(split, cipher, epochs_ahead=2, newest_epoch=newest)
            for sequence in seen:
                inbound.replay.mark(sequence)
            try:
                opened, payload = receive(frame, {index: inbound}, frame_blocks=22)
                result: Case = {"reason": "ok", "payload": payload}
                assert opened.length == len(payload)
            except Reject as reject:
                result = {"reason": reject.reason}
            cases.append({"case": f"{keys.CIPHER_NAMES[cipher]}-{label}", "cipher": cipher, "split_key": split,
                          "channel": index, "window": 8192, "epochs_ahead": 2, "newest_epoch": newest, "seen": seen,
                          "frame_blocks": 22, "frame": frame, **result})  # fmt: skip
    return cases


def _seal_raw(header: Header, plain: bytes, key: bytes, cipher: int) -> bytes:
    """Seal blocks whose padding the caller chose. seal() would count them as payload, so put `length` back first."""
    aad = header.encode()[:AAD_SIZE]
    return aad + encrypt(cipher, key, nonce(header.sequence), plain, aad)


def bad_hails_cases() -> list[Case]:
    """Hails for one responder, with the reason of the drop; roster and counter are not looked at here."""
    initiator_secret, responder_secret = material("hail initiator"), material("hail responder")
    responder_public = public_key(responder_secret)

    def made(payload: list[tags.AnyTag] | None = None, index: int = 0x100) -> bytes:
        offer = payload or [tags.Hail(5, 0, 0, 1, 0), MANIFEST]
        return hail.write_hail(Handshake(initiator_secret, responder_public), material("hail e"), index, 1, offer)

    def altered(**changes: int) -> bytes:
        """A Hail whose header says something else and which verifies all the same."""
        offer: list[tags.AnyTag] = [tags.Hail(5, 0, 0, 1, 0), MANIFEST]
        return hail.write_hail(
            Handshake(initiator_secret, responder_public), material("hail e"), 0x100, 1, offer, changes
        )

    def patched(frame: bytes, offset: int, value: int, renew: bool = True) -> bytes:
        frame = frame[:offset] + bytes([value]) + frame[offset + 1 :]
        return frame[:48] + mac1(responder_public, frame) + frame[64:] if renew else frame

    good = made()
    length = Header.decode(good).length
    longer = good + bytes(64 * 18)
    small_order = good[:68] + bytes(32) + good[100:]
    frames = [
        ("good", good),
        ("good-with-trailer", good + b"\x55" * 9),
        ("good-padded-to-the-path-mtu", longer[:48] + mac1(responder_public, longer) + longer[64:]),
        ("short", good[:60]),
        ("version", patched(good, 0, 2)),
        ("block-missing", good[:-64]),
        ("block-added", good + bytes(64)),
        ("length-beyond", patched(good, 3, 0x40)),
        ("flag-missing", patched(good, 1, 0)),
        ("flag-added", patched(good, 1, 0x03)),
        ("flow-not-zero", patched(good, 16, 2)),
        ("mac1-forged", patched(good, 48, good[48] ^ 1, renew=False)),
        ("mac1-payload-changed", patched(good, 100, good[100] ^ 1, renew=False)),
        ("mac1-for-another", made()[:48] + mac1(public_key(material("someone")), made()) + made()[64:]),
        ("padding", patched(good, len(good) - 17, 1)),
        ("mac2-of-an-unknown-cookie", patched(good, len(good) - 1, 1)),
        ("padding-first", patched(good, 64 + length, 1)),
        ("header-changed", patched(good, 36, good[36] ^ 1)),
        ("index-changed", patched(good, 65, good[65] ^ 1)),
        ("ephemeral-changed", patched(good, 68, good[68] ^ 1)),
        ("ephemeral-of-small-order", patched(small_order, 68, 0)),
        ("static-changed", patched(good, 110, good[110] ^ 1)),
        ("payload-changed", patched(good, 64 + length - 1, good[64 + length - 1] ^ 1)),
        ("length-too-small", patched(good, 2, 60)),
        ("index-zero", made(index=0)),
        ("aes-only", made([tags.Hail(5, 0, 0, 2, 0), MANIFEST])),
        ("optional-tag-after", made([tags.Hail(5, 0, 0, 1, 0), MANIFEST, tags.Unknown(0x90, b"later")])),
        ("lane-too-large", made([tags.Hail(5, 256, 0, 1, 0), MANIFEST])),
        ("counter-is-not-the-sequence", altered(sequence=6)),
        ("grant-too-small", altered(GrantAmount=3)),
        ("grant-of-the-reply", altered(GrantAmount=4)),
        ("grant-larger-than-itself", altered(GrantAmount=6)),
        ("status-in-offer", made([tags.Hail(5, 0, 0, 1, 1), MANIFEST])),
        ("manifest-missing", made([tags.Hail(5, 0, 0, 1, 0)])),
        ("manifest-with-lanes", made([tags.Hail(5, 0, 0, 1, 0), replace(MANIFEST, lanes=[MAC])])),
        ("rekey-of-nothing", made([tags.Hail(5, 0, 0, 1, 0), MANIFEST, tags.Rekey(0)])),
        ("rekey-twice", made([tags.Hail(5, 0, 0, 1, 0), MANIFEST, tags.Rekey(0x12300), tags.Rekey(0x12300)])),
        ("length-over-mac2", patched(good, 2, 241)),
        ("extra-tag", made([tags.Hail(5, 0, 0, 1, 0), MANIFEST, tags.Bye(0)])),
    ]
    cases: list[Case] = []
    for label, frame in frames:
        try:
            index, found, _manifest = hail.read_hail(Handshake(responder_secret, None), frame)
            result: Case = {"reason": "ok", "sender_index": index, "counter": found.counter}
        except Reject as reject:
            result = {"reason": reject.reason}
        cases.append({"case": label, "responder_secret": responder_secret,
                      "initiator_public": public_key(initiator_secret), "frame": frame, **result})  # fmt: skip
    return cases
