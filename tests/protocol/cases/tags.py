# SPDX-License-Identifier: Apache-2.0
"""Cases of the Flow 0 tags."""

from __future__ import annotations

from dataclasses import fields, replace

from tests.protocol.cases.common import MAC, MAC_VLAN, MANIFEST, UDP4, UDP6, Case
from tether_hw.transport.protocol import tags


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
        elif entry.name == "pairs":
            values["pairs"] = len(value)
            for index, (at, length) in enumerate(value):
                values |= {f"at{index}": at, f"value{index}": length}
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
        "define-expiring": [tags.Define(4, 1, 1, 1, 1, 1408, 0, 1 << 20, 50_000_000)],
        "define-max": [tags.Define(0xFFFF, 255, 255, 255, 255, u64, u64, u64, u64)],
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
        "windows": [tags.Windows(5_000_000_000, 77, [(6_000_000_000, 1_800_000_000_000), (1 << 60, 1)])],
        "windows-none": [tags.Windows(u64, 0xFFFFFFFFFFFF)],
        "windows-most": [tags.Windows(0, 0, [(i * 1000, 500) for i in range(16)])],
        "table": [tags.Table(1, 2, [(3, 2_640_000_000_000), (4, 5)])],
        "rekey": [tags.Rekey(0x00abc102)],
        "warm": [tags.Warm(1400)],
        "rekey-max": [tags.Rekey(0xFFFFFFFF)],
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
        "bad-windows-cut": tags.encode([tags.Windows(1, 2, [(3, 4)])])[:-16],
        "bad-windows-count": patched(tags.encode([tags.Windows(1, 2, [(3, 4)])]), 20, 2),
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
