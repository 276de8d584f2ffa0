# SPDX-License-Identifier: Apache-2.0
"""What sender and receiver of a file say to each other: JSON messages on a control flow, chunks on byte flows.

Control flow (messages), S = sender, R = receiver:
    S  {"service": "transfer", "version": 1, "id", "name", "size", "chunk_bytes", "fingerprint", "stripes", "mode"}
    R  {"accept": true, "have": [[first chunk, count], ...]}            or {"error": {"reason", "message", "hint"}}
    S  {"finished": true, "sha256"}      when every chunk is written    or {"error": ...}
    R  {"complete": true, "sha256", "path"}                             or {"error": ...}, which may come at any time
Byte flow of a stripe: a stripe head, then chunks, each behind a chunk head, then END.
"""

from __future__ import annotations

import json
import os
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any, Optional

from ..errors import TransferError
from ..flow import Flow

SERVICE = "transfer"
VERSION = 1
STRIPE_HEAD = struct.Struct("<8s16sII")  # magic, transfer id, stripe, zero
STRIPE_MAGIC = b"TTSTRIPE"
CHUNK_HEAD = struct.Struct("<QII")  # chunk number, bytes, zero
CONTROL_BOUND = 1 << 20
RANGES_MAX = 20_000
STRIPES_MAX = 256
SIZE_MAX = 1 << 62

_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Offer:
    """A file that a sender wants to bring. `fingerprint` tells one version of the file from another."""

    id: str
    name: str
    size: int
    chunk_bytes: int
    fingerprint: str
    stripes: int
    mode: int

    def to_json(self) -> dict[str, Any]:
        """The first message of the control flow."""
        return {"service": SERVICE, "version": VERSION, **asdict(self)}


def parse_offer(document: dict[str, Any]) -> Offer:
    """An offer from the peer's message. Raises TransferError when it is not one."""

    def take(key: str, kind: type, low: int = 0, high: int = SIZE_MAX) -> Any:
        value = document.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TransferError("protocol", f"the offer's {key} is not of the right kind")
        if isinstance(value, int) and not low <= value <= high:
            raise TransferError("protocol", f"the offer's {key} is {value}, outside {low} to {high}")
        return value

    if document.get("version") != VERSION:
        raise TransferError("protocol", f"the sender speaks version {document.get('version')}, this is {VERSION}")
    offer = Offer(
        id=take("id", str),
        name=take("name", str),
        size=take("size", int),
        chunk_bytes=take("chunk_bytes", int, 4096, 1 << 30),
        fingerprint=take("fingerprint", str),
        stripes=take("stripes", int, 1, STRIPES_MAX),
        mode=take("mode", int, 0, 0o7777),
    )
    if not _ID.fullmatch(offer.id) or not _HASH.fullmatch(offer.fingerprint):
        raise TransferError("protocol", "the offer's id or fingerprint is malformed")
    if offer.size // offer.chunk_bytes > 1 << 26:
        raise TransferError("protocol", "the offer has too many chunks")
    if safe_name(offer.name) is None:
        raise TransferError("name", f"the offered name {offer.name!r} is not a plain file name")
    return offer


def safe_name(name: str) -> Optional[str]:
    """The name when it is one plain file name that may be made in a folder, else None."""
    if not name or name in (".", "..") or "/" in name or "\0" in name or len(os.fsencode(name)) > 200:
        return None
    return name if name.isprintable() and not name.startswith(".tether-") else None


def say(flow: Flow, document: dict[str, Any], timeout: float) -> None:
    """Send one control message."""
    flow.send(json.dumps(document, separators=(",", ":")).encode(), timeout)


def hear(flow: Flow, timeout: Optional[float]) -> dict[str, Any]:
    """The next control message. Raises TransferError for one that is no JSON object or reports an error."""
    document = parse_message(flow.recv(timeout))
    error = document.get("error")
    if isinstance(error, dict):
        raise TransferError(
            str(error.get("reason", "peer"))[:40], str(error.get("message", ""))[:500], str(error.get("hint", ""))[:500]
        )
    return document


def parse_message(message: bytes) -> dict[str, Any]:
    """The JSON object of a message. Raises TransferError."""
    try:
        document = json.loads(message.decode("utf-8"))
    except ValueError:
        raise TransferError("protocol", "the peer sent a control message that is no JSON") from None
    if not isinstance(document, dict):
        raise TransferError("protocol", "the peer sent a control message that is no JSON object")
    return document


def error_message(error: TransferError) -> dict[str, Any]:
    """The control message for an error."""
    return {"error": {"reason": error.reason, "message": error.message, "hint": error.hint}}


def parse_ranges(value: Any) -> list[tuple[int, int]]:
    """Chunk ranges from a message. Raises TransferError."""
    if not isinstance(value, list) or len(value) > RANGES_MAX:
        raise TransferError("protocol", "the receiver's list of chunks is malformed")
    found: list[tuple[int, int]] = []
    for item in value:
        if not (isinstance(item, list) and len(item) == 2 and all(type(number) is int for number in item)):
            raise TransferError("protocol", "the receiver's list of chunks is malformed")
        found.append((item[0], item[1]))
    return found
