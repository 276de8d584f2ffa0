# SPDX-License-Identifier: Apache-2.0
"""Write tests/protocol/vectors/NAME.{json,txt} from the Python reference. Same input, same bytes, on every machine.

Each case is flat, so that a C program can read it: the .txt form has one `key = value` a line and a blank line
between cases. Integers are decimal, byte strings lower-case hex (`-` when empty), lists space-separated.
`python tests/protocol/generate_vectors.py` rewrites the files; a test fails when they differ from what it makes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tether_hw.transport.protocol import float16, hail, keys, serial, tags
from tether_hw.transport.protocol.frame import Inbound, pad, receive, seal
from tether_hw.transport.protocol.header import AAD_SIZE, FLAGS, HEADER_SIZE, LAYOUT, Header
from tether_hw.transport.protocol.mac1 import mac1, mac1_key
from tether_hw.transport.protocol.noise import PROTOCOL_NAME, Handshake, public_key
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.replay import ReplayWindow

Case = dict[str, Any]
FOLDER = Path(__file__).with_name("vectors")
CIPHERS = (keys.CHACHA20_POLY1305, keys.AES_256_GCM)


def material(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are always the same."""
    out = b""
    while len(out) < size:
        out += hashlib.blake2s(f"tether vectors {label} {len(out)}".encode()).digest()
    return out[:size]


# --- header -------------------------------------------------------------------------------------------------------


def header_cases() -> list[Case]:
    """Every field at both ends of its range and with a pattern that shows byte order; every flag alone and all."""
    headers = {"zero": Header(version=0), "defaults": Header(), "ascending": Header.decode(bytes(range(64)))}
    for name, _offset, size in LAYOUT[:-1]:
        top = (1 << (8 * size)) - 1
        for label, value in (("max", top), ("one", 1), ("order", 0x0102030405060708 & top), ("top-bit", top // 2 + 1)):
            header = headers[f"{name}-{label}"] = Header()
            setattr(header, name, value)
    headers["tag-max"] = replace(Header(), tag=b"\xff" * 16)
    for name, bit in FLAGS.items():
        headers[f"flag-{name}"] = Header(flags=bit)
    headers["all-flags"] = Header(flags=0xFF)
    headers["all-max"] = Header.decode(b"\xff" * 64)
    for index in range(8):
        headers[f"random-{index}"] = Header.decode(material(f"header {index}", 64))
    cases = []
    for label, header in headers.items():
        values = {name: getattr(header, name) for name, _offset, _size in LAYOUT[:-1]}
        cases.append({"case": label, **values, "tag": header.tag.hex(), "frame": header.encode().hex()})
    return cases


# --- numbers ------------------------------------------------------------------------------------------------------


def float16_cases() -> list[Case]:
    """`encode`: value -> wire; `decode`: wire -> value, non-canonical and saturating forms too."""
    values = {0, 1, 2, 511, 512, 1022, 1023, 1024, 1025, 1026, 1535, 2046, 2047, 2048, 2049, 4092, 4095, 4096}
    for shift in (16, 20, 31, 32, 33, 40, 47, 48, 53, 54, 62, 63):
        values |= {(1 << shift) - 1, 1 << shift, (1 << shift) + 1}
    values |= {(1 << 64) - 1, 1023 << 54, (1023 << 54) - 1, 1_000_000_007, 10_000_000_000}
    cases: list[Case] = []
    for value in sorted(values):
        wire = float16.encode(value)
        cases.append({"case": f"encode-{value}", "op": "encode", "value": value, "wire": wire})
    wires = {0, 1, 1023, 1 << 10, 1 << 10 | 1, 1 << 10 | 511, 1 << 10 | 512, 1 << 10 | 1023, 53 << 10 | 1023}
    wires |= {54 << 10 | 512, 54 << 10 | 1023, 55 << 10 | 511, 55 << 10 | 512, 63 << 10, 63 << 10 | 1, 63 << 10 | 2}
    wires |= {0xFFFF, 0x8000, 0x7FFF, 0x0400, 0x0401}
    for wire in sorted(wires):
        cases.append({"case": f"decode-{wire:#06x}", "op": "decode", "wire": wire, "value": float16.decode(wire)})
    return cases


def serial_cases() -> list[Case]:
    """Expansion of slot (receiver), NackSlot (sender) and GrantAmount (sender) around every edge."""
    cases: list[Case] = []
    half, full, top48 = 1 << 31, 1 << 32, 1 << 48

    def slot(label: str, wire: int, first_missing: int) -> None:
        found = serial.expand_slot(wire & serial.U32, first_missing)
        cases.append({"case": f"slot-{label}", "op": "slot", "wire": wire & serial.U32, "reference": first_missing,
                      "valid": int(found is not None), "result": found or 0})  # fmt: skip

    def nack(label: str, wire: int, sent: int, acked: int) -> None:
        found = serial.expand_nack_slot(wire & serial.U32, sent, acked)
        cases.append({"case": f"nack-{label}", "op": "nack", "wire": wire & serial.U32, "reference": sent,
                      "acknowledged": acked, "valid": int(found is not None), "result": found or 0})  # fmt: skip

    def grant(label: str, wire: int, limit: int) -> None:
        result = serial.raise_limit(limit, wire & serial.U48)
        cases.append({"case": f"grant-{label}", "op": "grant", "wire": wire & serial.U48, "reference": limit,
                      "valid": 1, "result": result})  # fmt: skip

    for base_name, base in (("zero", 0), ("small", 100), ("half", half), ("wrap", full), ("far", 5 * full + 17),
                            ("before-wrap", 7 * full - 1), ("beyond-48", 3 * top48 + 5)):  # fmt: skip
        for off_name, offset in (("same", 0), ("next", 1), ("previous", -1), ("window-end", half - 1),
                                 ("window-start", -half), ("frame", 22), ("frame-back", -22)):  # fmt: skip
            slot(f"{base_name}-{off_name}", base + offset, base)
    slot("half-is-behind", half, 0)
    slot("half-at-reference", full + half + half, full + half)
    for base_name, base in (("zero", 0), ("small", 100), ("wrap", full), ("far", 5 * full + 17), ("edge", full - 1)):
        for off_name, offset in (("same", 0), ("previous", -1), ("frame-back", -22), ("half-back", -half)):
            nack(f"{base_name}-{off_name}", base + offset, base, max(0, base - 22))
        nack(f"{base_name}-above", base + 1, base, max(0, base - 22))
    nack("oldest-useful", 10 * full - half + 1, 10 * full, 10 * full)
    nack("too-old", 10 * full - half, 10 * full, 10 * full)
    nack("long-pipe", 10 * full - half, 10 * full, 10 * full - half)
    for base_name, base in (("zero", 0), ("small", 100), ("wrap-32", full), ("edge", top48 - 1), ("wrap", top48),
                            ("far", 3 * top48 + 5)):  # fmt: skip
        for off_name, offset in (("same", 0), ("next", 1), ("lower", -1), ("frame", 22), ("span", half - 1),
                                 ("serial-max", top48 // 2 - 1), ("serial-half", top48 // 2)):  # fmt: skip
            grant(f"{base_name}-{off_name}", base + offset, base)
    return cases


def replay_cases() -> list[Case]:
    """Labelled runs of sequences: 1 accepted, 0 refused. Window sizes 64, 128, 8192 and 65536."""
    top = (1 << 48) - 1
    runs: list[tuple[str, int, list[int]]] = [
        ("zero-belongs-to-the-reply", 64, [0]),
        ("first", 64, [1]),
        ("first-twice", 64, [1, 1]),
        ("zero-after-first", 64, [1, 0]),
        ("in-order", 64, [1, 2, 3, 4, 5]),
        ("in-order-twice", 64, [1, 2, 3, 3, 2, 1]),
        ("reverse", 64, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("reverse-twice", 64, [3, 2, 1, 3, 2, 1]),
        ("hole-filled-late", 64, [1, 3, 2, 2]),
        ("oldest-in-window", 64, [64, 1]),
        ("just-out-of-window", 64, [65, 1]),
        ("oldest-in-window-twice", 64, [64, 1, 1]),
        ("edge-moves-with-highest", 64, [64, 65, 1, 2, 2]),
        ("old-is-no-longer-fresh", 64, [1, 100, 1, 36, 37]),
        ("jump-of-window-minus-one", 64, [10, 73, 10, 11, 9]),
        ("jump-of-window", 64, [10, 74, 10, 11]),
        ("jump-of-window-plus-one", 64, [10, 75, 11, 12]),
        ("jump-of-many-windows", 64, [10, 10_010, 10, 9_946, 9_947]),
        ("jump-clears-old-marks", 64, [10, 74, 75, 138, 138, 75, 76]),
        ("word-border-63-64", 128, [63, 64, 63, 64, 65]),
        ("word-border-jump", 128, [1, 64, 128, 65, 1, 2]),
        ("word-border-jump-twice", 128, [128, 64, 64, 63, 129, 1, 2]),
        ("ring-wraps", 128, [127, 128, 255, 256, 129, 128, 255, 130]),
        ("same-bit-one-lap-later", 128, [5, 133, 133, 5, 6]),
        ("same-bit-two-laps-later", 128, [5, 261, 261, 133, 134]),
        ("alternating", 64, [2, 4, 6, 1, 3, 5, 1, 2, 3, 4, 5, 6]),
        ("far-jump-2^32", 64, [1, 1 << 32, (1 << 32) - 63, (1 << 32) - 64, 1]),
        ("32-bit-alias-is-another-frame", 64, [7, (1 << 32) + 7, 7, (1 << 32) + 7]),
        ("epoch-border", 64, [(1 << 22) - 1, 1 << 22, (1 << 22) - 1, (1 << 22) + 1, (1 << 22) - 2]),
        ("last-sequence", 64, [top, top, top - 63, top - 64]),
        ("default-window-edge", 8192, [8192, 1, 1]),
        ("default-window-out", 8192, [8193, 1, 2]),
        ("default-window-jump", 8192, [1, 20_000, 11_808, 11_809, 11_809]),
        ("largest-window-edge", 65536, [65536, 1, 1, 0]),
        ("largest-window-out", 65536, [65537, 1, 2]),
        ("refused-changes-nothing", 64, [100, 36, 36, 37, 37, 100]),
        ("forged-high-never-marked", 64, [1, 2, 3, 4]),
    ]
    cases: list[Case] = []
    for label, size, sequences in runs:
        window = ReplayWindow(size)
        accepted = [int(window.accept(sequence)) for sequence in sequences]
        cases.append({"case": label, "window": size, "sequences": sequences, "accepted": accepted})
    sweep = ReplayWindow(256)
    state, sequences = 1, []
    for _ in range(400):  # a walk with jitter: neighbours, repeats and old ones
        state = (state * 6364136223846793005 + 1442695040888963407) & ((1 << 64) - 1)
        sequences.append(max(0, sweep.highest + (state >> 33) % 320 - 290))
        sweep.accept(sequences[-1])
    fresh = ReplayWindow(256)
    cases.append({"case": "sweep", "window": 256, "sequences": sequences,
                  "accepted": [int(fresh.accept(sequence)) for sequence in sequences]})  # fmt: skip
    return cases


# --- tags ---------------------------------------------------------------------------------------------------------

MANIFEST = tags.Manifest(
    floor=22, frame_blocks=22, pool_slots=176, ring_frames=2048, ember_frames=1, max_message=64 << 20,
    rtt_ns=40_000, rate_bps=10_000_000_000, silence_ns=1_000_000,
)  # fmt: skip
MAC = tags.LaneAddress(0, 1, bytes.fromhex("02aabbccddee") + b"\xff\xff")
MAC_VLAN = tags.LaneAddress(1, 1, bytes.fromhex("02aabbccddef") + (100).to_bytes(2, "little"))
UDP4 = tags.LaneAddress(2, 2, bytes([192, 0, 2, 1]) + (47001).to_bytes(2, "big"))
UDP6 = tags.LaneAddress(255, 3, bytes.fromhex("20010db8" + "0" * 23 + "1") + (47001).to_bytes(2, "big"))


def _tag_fields(tag: tags.AnyTag) -> Case:
    """One tag's fields as flat keys."""
    if isinstance(tag, tags.Unknown):
        return {"type": tag.type, "content": tag.content}
    values: Case = {"type": tag.TYPE}
    for entry in fields(tag):
        value = getattr(tag, entry.name)
        if entry.name == "lanes":
            values["lanes"] = len(value)
            for index, lane in enumerate(value):
                values |= {f"lane{index}": lane.lane, f"kind{index}": lane.kind, f"address{index}": lane.address}
        else:
            values[entry.name] = value
    return values


def tags_cases() -> list[Case]:
    """Each tag alone with its fields, several together, and payloads that must be refused, with the position."""
    u64 = (1 << 64) - 1
    good: dict[str, list[tags.AnyTag]] = {
        "empty": [],
        "hail": [tags.Hail(1 << 20, 0, 1, 3, 0)],
        "hail-max": [tags.Hail(u64, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)],
        "hail-stale": [tags.Hail(77, 1, 0, 0, 1)],
        "define-bytes": [tags.Define(2, 0)],
        "define-message": [tags.Define(3, 1, 0, 0, 0, 64 << 20, 1_000_000)],
        "define-max": [tags.Define(0xFFFF, 255, 255, 255, 255, u64, u64)],
        "manifest-handshake": [MANIFEST],
        "manifest-lanes": [replace(MANIFEST, lanes=[MAC, MAC_VLAN, UDP4, UDP6])],
        "manifest-in-memory": [replace(MANIFEST, lanes=[tags.LaneAddress(3, 4, b""), tags.LaneAddress(4, 4, b"pipe")])],
        "manifest-largest": [tags.Manifest(1023, 1023, 1 << 24, (1 << 32) - 1, 0xFFFF, u64, u64, u64, u64)],
        "manifest-floor-above-frame": [replace(MANIFEST, floor=23)],
        "manifest-unknown-address": [replace(MANIFEST, lanes=[tags.LaneAddress(7, 99, bytes(range(28)))])],
        "manifest-smallest": [tags.Manifest(1, 1, 1, 0, 1, 0, 0, 0, 0)],
        "skip": [tags.Skip(2, 44, 22)],
        "skip-max": [tags.Skip(0xFFFF, u64, u64)],
        "close": [tags.Close(2, 0, 1000)],
        "close-max": [tags.Close(0xFFFF, 0xFFFFFFFF, u64)],
        "bye": [tags.Bye(1)],
        "optional": [tags.Unknown(0x80, b"")],
        "optional-content": [tags.Unknown(0xFF, b"later")],
        "several": [tags.Define(2, 1, bound=1 << 20), tags.Unknown(0x90, b"12345678"), tags.Skip(2, 0, 22),
                    tags.Close(2, 0, 22)],
        "handshake": [tags.Hail(1 << 20, 0, 1, 3, 0), MANIFEST],
    }  # fmt: skip
    cases: list[Case] = []
    for label, found in good.items():
        payload = tags.encode(found)
        case: Case = {"case": label, "payload": payload, "result": "ok", "tags": len(found)}
        cases.append(case | (_tag_fields(found[0]) if len(found) == 1 else {}))
    bye = tags.encode([tags.Bye(0)])
    manifest, mac = tags.encode([MANIFEST]), tags.encode([replace(MANIFEST, lanes=[MAC])])
    for label, payload, count in (
        ("end-of-tags-alone", bytes(8), 0),
        ("end-of-tags-one-byte", bytes(1), 0),
        ("end-of-tags-after-bye", bye + bytes(40), 1),
    ):
        cases.append({"case": label, "payload": payload, "result": "ok", "tags": count})

    def patched(data: bytes, offset: int, value: int) -> bytes:
        return data[:offset] + bytes([value]) + data[offset + 1 :]

    skip = tags.encode([tags.Skip(2, 44, 22)])
    define, close = tags.encode([tags.Define(2, 0)]), tags.encode([tags.Close(2, 0, 0)])
    for label, payload in (
        ("define-reserved-set", patched(define, 10, 1)),
        ("skip-reserved-set", patched(skip, 6, 1)),
        ("close-reserved-set", patched(close, 6, 1)),
        ("bye-reserved-set", patched(bye, 8, 1)),
        ("bye-of-a-later-version", bytes([6, 0, 12, 0, 1]) + bytes(7) + b"\xff" * 4),
        ("hail-of-a-later-version", bytes([1, 0, 20, 0]) + bytes(range(20))),
    ):
        case = {"case": label, "payload": payload, "result": "ok", "tags": 1}
        cases.append(case | _tag_fields(tags.parse(payload)[0]))
    bad = {
        "bad-head-cut": bye[:3],
        "bad-value-cut": bye[:12],
        "bad-padding-cut": bye[:-1],
        "bad-second-cut": bye + skip[:-8],
        "bad-reserved-byte": patched(bye, 1, 1),
        "bad-padding": patched(bye, 15, 1),
        "bad-optional-reserved": patched(tags.encode([tags.Unknown(0x80, b"abc")]), 1, 1),
        "bad-optional-padding": patched(tags.encode([tags.Unknown(0x80, b"abc")]), 7, 1),
        "bad-hail-length": bytes([1, 0, 12, 0]) + bytes(12),
        "bad-unknown-required": patched(bye, 0, 0x07),
        "bad-unknown-last-required": patched(bye, 0, 0x7F),
        "bad-unknown-after-good": bye + patched(bye, 0, 0x20),
        "bad-after-end": bytes(8) + bye,
        "bad-end-not-zero": bytes(7) + b"\x01",
        "bad-length-zero": bytes([6, 0, 0, 0]) + bytes(4),
        "bad-length-short": bytes([6, 0, 4, 0]) + bytes(4),
        "bad-length-max": bytes([0x80, 0, 0xFF, 0xFF]) + bytes(60),
        "bad-manifest-cut": bytes([3, 0, 44, 0]) + manifest[4:48] + bytes(0),
        "bad-manifest-floor-zero": patched(manifest, 4, 0),
        "bad-manifest-floor-too-large": patched(manifest, 5, 4),
        "bad-manifest-no-blocks": patched(manifest, 6, 0),
        "bad-manifest-pool-too-large": patched(patched(manifest, 11, 1), 8, 1),
        "bad-manifest-frame-too-large": patched(manifest, 7, 4),
        "bad-manifest-pool-below-floor": patched(manifest, 8, 21),
        "bad-manifest-no-ember": patched(manifest, 16, 0),
        "bad-manifest-lane-missing": patched(manifest, 18, 1),
        "bad-manifest-lane-left": patched(mac, 18, 0),
        "bad-manifest-lane-number": patched(mac, 53, 1),
        "bad-manifest-address-length": patched(mac, 55, 6),
        "bad-manifest-address-of-udp4": patched(mac, 54, 2),
        "bad-manifest-address-of-udp6": patched(mac, 54, 3),
        "bad-manifest-address-too-long": bytes([3, 0, 88, 0])
        + mac[4:18]
        + b"\x01\x00"
        + mac[20:52]
        + bytes([0, 0, 99, 32])
        + bytes(32 + 4 + 4),
        "bad-manifest-address-padding": patched(mac, len(mac) - 1, 1),
        "bad-manifest-address-beyond": patched(mac, 55, 200),
    }
    for label, payload in bad.items():
        try:
            tags.parse(payload)
        except tags.TagError as error:
            cases.append({"case": label, "payload": payload, "result": "error", "position": error.position})
        else:
            raise AssertionError(label)
    return cases


# --- cryptography -------------------------------------------------------------------------------------------------


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


# --- what must be refused -----------------------------------------------------------------------------------------


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
    from tether_hw.transport.protocol.frame import _encrypt, nonce

    aad = header.encode()[:AAD_SIZE]
    return aad + _encrypt(cipher, key, nonce(header.sequence), plain, aad)


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
        ("padding", patched(good, len(good) - 1, 1)),
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


GROUPS = {
    "header": header_cases, "float16": float16_cases, "serial": serial_cases, "replay": replay_cases,
    "tags": tags_cases, "mac1": mac1_cases, "noise": noise_cases, "keys": keys_cases, "frames": frames_cases,
    "bad_frames": bad_frames_cases, "bad_hails": bad_hails_cases,
}  # fmt: skip


def plain(value: object) -> object:
    """A value as JSON has it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value


def flat(value: object) -> str:
    """A value as the text form has it."""
    if isinstance(value, list):
        return " ".join(str(item) for item in value) or "-"
    return str(plain(value)) or "-"


def render(name: str) -> dict[str, str]:
    """Return {file name: content} of one group."""
    doc = (GROUPS[name].__doc__ or "").split("\n")[0]
    cases = [{key: plain(value) for key, value in case.items()} for case in GROUPS[name]()]
    assert len({case["case"] for case in cases}) == len(cases), f"{name}: two cases of one name"
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = "".join("\n" + "".join(f"{key} = {flat(value)}\n" for key, value in case.items()) for case in cases)
    return {
        f"{name}.json": f'{{"schema": "tether.vectors/1", "name": "{name}", "about": {json.dumps(doc)}, "cases": [\n'
        f"{lines}\n]}}\n",
        f"{name}.txt": f"# {doc}\n{text}",
    }


def main() -> int:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name in GROUPS:
        for file, content in render(name).items():
            (FOLDER / file).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
