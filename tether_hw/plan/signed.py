# SPDX-License-Identifier: Apache-2.0
"""A request that an operator signed: for one host, once, for a while. One line of JSON; a file may follow it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tether_hw.plan.canonical import canonical
from tether_hw.plan.shape import HEX64, NAME, Fields

SCHEMA = "tether.signed/1"
HEX128 = re.compile(r"[0-9a-f]{128}\Z")
MOST_S = 3600  # a signature is good for an hour at most, whatever it says
_DOMAIN = b"tether/1 operator\0"


@dataclass(frozen=True)
class Signed:
    """`request`: the text of the request. `counter` only rises for each key; `expires`: seconds since 1970."""

    key: str
    host: str
    counter: int
    expires: int
    request: str
    signature: str = ""

    def message(self) -> bytes:
        """The bytes that are signed."""
        document = self.to_dict()
        del document["signature"]
        return _DOMAIN + canonical(document).encode("ascii")

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "key": self.key,
            "host": self.host,
            "counter": self.counter,
            "expires": self.expires,
            "request": self.request,
            "signature": self.signature,
        }

    @classmethod
    def parse(cls, value: Any) -> Signed:
        fields = Fields(value, "signed")
        fields.schema(SCHEMA)
        signed = cls(
            fields.text("key", HEX64),
            fields.text("host", NAME),
            fields.integer("counter", 1),
            fields.integer("expires", 1),
            fields.text("request", limit=16 * 1024 * 1024),
            fields.text("signature", HEX128),
        )
        fields.done()
        return signed


def is_signed(value: Any) -> bool:
    """True for a document that says it is one of these."""
    return isinstance(value, dict) and value.get("schema") == SCHEMA
