# SPDX-License-Identifier: Apache-2.0
"""Cases of the header, float16, serial arithmetic and the replay window."""

from __future__ import annotations

from dataclasses import replace

from tests.protocol.cases.common import Case, material
from tether_hw.transport.protocol import float16, serial
from tether_hw.transport.protocol.header import FLAGS, LAYOUT, Header
from tether_hw.transport.protocol.replay import ReplayWindow


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
