# SPDX-License-Identifier: Apache-2.0
"""The reference against answers that others published, so that a mistake shared by both of our sides shows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tether_hw.transport.protocol.frame import decrypt, encrypt
from tether_hw.transport.protocol.keys import AES_256_GCM, CHACHA20_POLY1305
from tether_hw.transport.protocol.noise import Handshake

HERE = Path(__file__).parent


class PlainHandshake(Handshake):
    """Noise without RFC 0001's addition: an empty context is not mixed in."""

    def mix_hash(self, data: bytes) -> None:
        if data:
            super().mix_hash(data)


def test_noise_ik_as_published() -> None:
    published = json.loads((HERE / "third_party" / "noise_ik.json").read_text(encoding="utf-8"))
    raw = {name: bytes.fromhex(value) for name, value in published.items() if name.startswith(("init_", "resp_", "h"))}
    messages = [{name: bytes.fromhex(value) for name, value in message.items()} for message in published["messages"]]
    initiator = PlainHandshake(raw["init_static"], raw["init_remote_static"], raw["init_prologue"])
    responder = PlainHandshake(raw["resp_static"], None, raw["resp_prologue"])
    first, second, third, fourth = messages
    assert initiator.write_message1(raw["init_ephemeral"], b"", first["payload"]) == first["ciphertext"]
    assert responder.read_message1(b"", first["ciphertext"]) == first["payload"]
    assert responder.write_message2(raw["resp_ephemeral"], b"", second["payload"]) == second["ciphertext"]
    assert initiator.read_message2(b"", second["ciphertext"]) == second["payload"]
    assert initiator.hash == responder.hash == raw["handshake_hash"]
    to_responder, to_initiator = initiator.split()
    assert responder.split() == (to_responder, to_initiator)
    for key, message in ((to_responder, third), (to_initiator, fourth)):
        sealed = message["ciphertext"]
        assert decrypt(CHACHA20_POLY1305, key, bytes(12), sealed[:-16], b"", sealed[-16:]) == message["payload"]


def test_chacha20_poly1305_of_rfc_8439() -> None:
    """Section 2.8.2."""
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = encrypt(CHACHA20_POLY1305, key, nonce, plain, aad)
    assert sealed[:16] == bytes.fromhex("1ae10b594f09e26a7e902ecbd0600691")
    assert sealed[16:32] == bytes.fromhex("d31a8d34648e60db7b86afbc53ef7ec2")
    assert decrypt(CHACHA20_POLY1305, key, nonce, sealed[16:], aad, sealed[:16]) == plain


def test_aes_256_gcm_as_published() -> None:
    """Test case 16 of McGrew and Viega's GCM specification."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = encrypt(AES_256_GCM, key, bytes.fromhex("cafebabefacedbaddecaf888"), plain, aad)
    assert sealed[:16] == bytes.fromhex("76fc6ece0f4e1768cddf8853bb2d551b")
    assert sealed[16:32] == bytes.fromhex("522dc1f099567d07f47f37a32a84427d")


def test_blake2s_as_published() -> None:
    """RFC 7693 appendix B, and the reference implementation's keyed vector for the bytes 00 01 02."""
    assert hashlib.blake2s(b"abc").hexdigest() == "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
    keyed = hashlib.blake2s(bytes(range(3)), key=bytes(range(32))).hexdigest()
    assert keyed == "1d220dbe2ee134661fdf6d9e74b41704710556f2f6e5a091b227697445dbea6b"
