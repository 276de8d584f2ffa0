# SPDX-License-Identifier: Apache-2.0
"""Bytes that people write in hexadecimal."""

from __future__ import annotations

from tether_hw.errors import InputErrors, Problem

SEPARATORS = " \t\r\n:-"


def read_hex(source: str, text: str) -> tuple[bytes, list[tuple[int, int]]]:
    """Hexadecimal with any usual separators -> bytes, and the (line, column) of each of them. Raises InputErrors."""
    digits: list[str] = []
    columns: list[tuple[int, int]] = []
    line, start = 1, 0
    skip = 2 if text.lstrip(SEPARATORS).lower().startswith("0x") else 0
    for position, char in enumerate(text):
        if char == "\n":
            line, start = line + 1, position + 1
        if char in SEPARATORS:
            continue
        if skip:
            skip -= 1
            continue
        if char not in "0123456789abcdefABCDEF":
            raise InputErrors([Problem(source, line, position - start + 1, "", f"{char!r} is no hexadecimal digit")])
        if len(digits) % 2 == 0:
            columns.append((line, position - start + 1))
        digits.append(char)
    if len(digits) % 2:
        raise InputErrors(
            [Problem(source, *columns[-1], f"byte {len(columns) - 1}", "half a byte: an odd digit count")]
        )
    return bytes.fromhex("".join(digits)), columns
