# SPDX-License-Identifier: Apache-2.0
"""Cases of mac1, Noise, key schedule and sealed frames."""

from __future__ import annotations

from dataclasses import replace

from tests.protocol.cases.common import CIPHERS, MANIFEST, Case, material
from tether_hw.transport.protocol import hail, keys, tags, warm
from tether_hw.transport.protocol.cookie import MAC2_SIZE, cookie_of, mac2, write_cookie
from tether_hw.transport.protocol.frame import pad, seal
from tether_hw.transport.protocol.header import AAD_SIZE, HEADER_SIZE, Header
from tether_hw.transport.protocol.mac1 import mac1, mac1_key
from tether_hw.transport.protocol.noise import PROTOCOL_NAME, Handshake, public_key


def mac1_cases() -> list[Case]:
    """A tag over header bytes 0-47 and payloads of 0 to 22 blocks, and one bit changed in each part."""
    cases: list[Case] = []
    for index, blocks in enumerate((0, 1, 2, 4, 22)):
        public = public_key(material(f"mac1 secret {index}"))
        frame = material(f"mac1 frame {index}", HEADER_SIZE + 64 * blocks)
        tag = mac1(public, frame)
        frame = frame[:AAD_SIZE] + tag + frame[HEADER_SIZE:]
        cases.append({"case": f"blocks-{blocks}", "public": public, "key": mac1_key(public), "frame": frame,
                      "tag": tag, "valid": 1})  # fmt: skip
        places = {"header": 2, "last-header-byte": 47, "tag": 48} | ({"payload": len(frame) - 1} if blocks else {})
        for place, offset in places.items():
            forged = frame[:offset] + bytes([frame[offset] ^ 0x80]) + frame[offset + 1 :]
            cases.append({"case": f"blocks-{blocks}-forged-{place}", "public": public, "key": mac1_key(public),
                          "frame": forged, "tag": forged[48:64], "valid": 0})  # fmt: skip
    return cases


def cookie_cases() -> list[Case]:
    """Cookies of several addresses, a Hail with its mac2, the frame that answers it, and forgeries of both."""
    cases: list[Case] = []
    responder = public_key(material("cookie responder"))
    for kind, address in ((1, bytes(range(8))), (2, bytes(range(6))), (3, bytes(range(18))), (4, b"")):
        secret = material(f"cookie secret {kind}")
        cookie = cookie_of(secret, kind, address)
        plain = material(f"cookie hail {kind}", HEADER_SIZE + 64 * (4 if kind != 3 else 22))
        signed = plain[:-MAC2_SIZE] + mac2(cookie, plain)
        frame = write_cookie(responder, plain, cookie)
        forged = {
            "mac2": (signed[:-1] + bytes([signed[-1] ^ 1]), frame),
            "hail": (plain[:9] + b"x" + signed[10:], frame),
            "cookie": (signed, frame[:70] + bytes([frame[70] ^ 1]) + frame[71:]),
        }
        for label, (hail_frame, answer) in {"good": (signed, frame), **forged}.items():
            cases.append({"case": f"kind-{kind}-{label}", "secret": secret, "kind": kind, "address": address,
                          "responder_public": responder, "cookie": cookie, "hail": plain, "signed": hail_frame,
                          "valid": int(label in ("good", "cookie")), "frame": answer,
                          "frame_valid": int(label != "cookie")})  # fmt: skip
    return cases


def warm_cases() -> list[Case]:
    """Warm Lamps and their answers from fixed keys, in both roles, and forgeries."""
    cases: list[Case] = []
    for index, (initiator, message) in enumerate(((True, b"x"), (False, bytes(range(200))), (True, bytes(40)))):
        split = material(f"warm forth {index}"), material(f"warm back {index}")
        resume, salt, counter = warm.resume_key(*split), material(f"warm salt {index}", 16), (index + 1) << (20 + index)
        lamp = warm.write_lamp(resume, initiator, 0x0ABC_D100 + index, counter, salt, message)
        answer = warm.write_answer(resume, not initiator, 0x0123_4500, counter, salt, index % 2)
        assert warm.read_lamp(resume, initiator, lamp) == (counter, message)
        assert warm.read_answer(resume, not initiator, salt, answer) == index % 2
        forged = lamp[:70] + bytes([lamp[70] ^ 4]) + lamp[71:]
        for label, frame, valid in (("good", lamp, 1), ("forged-salt", forged, 0)):
            cases.append({"case": f"{label}-{index}", "forth": split[0], "back": split[1], "resume": resume,
                          "initiator": int(initiator), "counter": counter, "salt": salt, "message": message,
                          "lamp_key": warm.lamp_key(resume, initiator, counter, salt), "frame": frame,
                          "answer_key": warm.lamp_key(resume, not initiator, counter, salt, answer=True),
                          "answer": answer, "status": index % 2, "valid": valid})  # fmt: skip
    return cases


def noise_cases() -> list[Case]:
    """Whole handshakes with fixed ephemerals: both frames byte by byte, the hash after each message, split keys."""
    cases: list[Case] = []
    for index, (cipher, manifest) in enumerate(((1, MANIFEST), (2, replace(MANIFEST, rtt_ns=2_640 * 10**9)))):
        secrets = {name: material(f"noise {name} {index}") for name in ("initiator", "responder", "ei", "er")}
        initiator = Handshake(secrets["initiator"], public_key(secrets["responder"]))
        responder = Handshake(secrets["responder"], None)
        start_hash = initiator.hash
        counter = (1 << 20) + index if index == 0 else (1 << 63) + (1 << 50) + 5
        offer: list[tags.AnyTag] = [tags.Hail(counter, 0, 1, 3, 0), manifest]
        answer: list[tags.AnyTag] = [tags.Hail(counter, 1, 0, cipher, 0), MANIFEST]
        hail_frame = hail.write_hail(initiator, secrets["ei"], 0x0000_0100 + (index << 8), 123_456_789, offer)
        hash1 = initiator.hash
        assert hail.read_hail(responder, hail_frame)[1] == offer[0]
        assert responder.hash == hash1
        assert responder.remote_static == public_key(secrets["initiator"])
        reply = hail.write_reply(responder, secrets["er"], 0x100 + (index << 8), 0x0000_0201, 987_654_321, answer)
        assert hail.read_reply(initiator, reply, 3)[1] == answer[0]
        assert initiator.hash == responder.hash
        assert initiator.split() == responder.split()
        first, second = initiator.split()
        cases.append({
            "case": f"handshake-{index}", "protocol": PROTOCOL_NAME.decode(),
            "initiator_secret": secrets["initiator"], "initiator_public": public_key(secrets["initiator"]),
            "responder_secret": secrets["responder"], "responder_public": public_key(secrets["responder"]),
            "initiator_ephemeral": secrets["ei"], "responder_ephemeral": secrets["er"],
            "payload1": tags.encode(offer), "payload2": tags.encode(answer),
            "context1": hail_frame[:48] + hail_frame[64:68], "context2": reply[:48] + reply[64:68],
            "message1": hail_frame[68 : 64 + Header.decode(hail_frame).length],
            "message2": reply[68 : 64 + Header.decode(reply).length],
            "hail": hail_frame, "reply": reply, "start_hash": start_hash, "hash1": hash1, "hash2": initiator.hash,
            "key_initiator_to_responder": first, "key_responder_to_initiator": second,
        })  # fmt: skip
    return cases


def keys_cases() -> list[Case]:
    """chain_e and frame_key_e of epochs 0..3 for both ciphers, and one far epoch."""
    return [
        {"case": f"{keys.CIPHER_NAMES[cipher]}-epoch-{epoch}", "split_key": material("split key"), "cipher": cipher,
         "epoch": epoch, "chain_key": keys.chain_key(material("split key"), cipher, epoch),
         "frame_key": keys.frame_key(material("split key"), cipher, epoch)}
        for cipher in CIPHERS
        for epoch in (0, 1, 2, 3, 1024)
    ]  # fmt: skip


def frames_cases() -> list[Case]:
    """Sealed frames: both ciphers, header-only to full, padded and not, first and later epochs."""
    cases: list[Case] = []
    for cipher in CIPHERS:
        for length in (0, 1, 63, 64, 65, 127, 128, 1000, 1407, 1408):
            for sequence in (1, (1 << 22) + length, 3 << 22):
                header = Header.decode(material(f"frame {cipher} {length} {sequence}", 64))
                header = replace(header, version=1, flags=header.flags & 0xFE, length=length, channel=0x0000_0501,
                                 sequence=sequence)  # fmt: skip
                payload = material(f"payload {length}", length)
                key = keys.frame_key(material("split key"), cipher, sequence >> 22)
                frame = seal(header, payload, key, cipher)
                cases.append({"case": f"{keys.CIPHER_NAMES[cipher]}-{length}-bytes-sequence-{sequence}",
                              "cipher": cipher, "split_key": material("split key"), "frame_key": key,
                              "sequence": sequence, "aad": frame[:48], "payload": payload, "plain": pad(payload),
                              "frame": frame})  # fmt: skip
    return cases
