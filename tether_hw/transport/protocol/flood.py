# SPDX-License-Identifier: Apache-2.0
"""What stands between Lamps and their cost (RFC 0001 section 9.3): buckets of lane and source, and the cookie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tether_hw.transport.protocol import cookie
from tether_hw.transport.protocol.config import Address
from tether_hw.transport.protocol.purse import Bucket
from tether_hw.transport.protocol.reject import Reject
from tether_hw.transport.protocol.tags import ADDRESS_MAX, ADDRESS_SIZES

SOURCES = 1024
PROVEN_SHARE = 8  # of the lane's rate, for Hails with a good mac2 when the lane's bucket is empty


class NeedsCookie(Reject):
    """A Hail that is answered with a cookie instead of a reply."""

    def __init__(self) -> None:
        super().__init__("flood", "under load a Hail needs a good mac2")


@dataclass
class Source:
    """What one source may still cost: as anybody, and with a good mac2."""

    plain: Bucket
    proven: Bucket


def source_of(address: Address) -> bytes:
    """Who counts as one source: a MAC with its VLAN, an IPv4 address, an IPv6 /64; the port does not (T-FLD-2)."""
    lengths = {2: 4, 3: 8}
    return bytes([address.kind]) + address.data[: lengths.get(address.kind, len(address.data))]


def can_answer(address: Address) -> bool:
    """It is an address of a known kind, of that kind's length."""
    smallest, largest = ADDRESS_SIZES.get(address.kind, (0, ADDRESS_MAX))
    return 1 <= address.kind <= 4 and smallest <= len(address.data) <= largest


class Guard:
    """The buckets of one lane. `entropy` makes the secrets of its cookies."""

    def __init__(
        self, lamp_per_s: int, source_per_s: int, agreement_per_s: int, entropy: Callable[[int], bytes]
    ) -> None:
        self.lamps = Bucket(lamp_per_s // 16 + 64, lamp_per_s)
        self.proven = Bucket(lamp_per_s // 64 + 16, lamp_per_s // PROVEN_SHARE + 1)
        self.agreements = Bucket(agreement_per_s // 2 + 16, agreement_per_s)
        self.source_per_s = source_per_s
        self.sources: dict[bytes, Source] = {}
        self._entropy = entropy
        self._secrets: list[tuple[int, bytes]] = []  # (since, secret), the newest first

    def judge(self, frame: bytes, address: Address, now_ns: int) -> None:
        """A Hail with a good mac1: pay for its key agreement, or Reject it; NeedsCookie: with a cookie."""
        source = self._source(source_of(address), now_ns)
        paid = self.lamps.take(now_ns)
        loaded = not paid or self.lamps.low(now_ns) or self.agreements.low(now_ns) or not source.plain.has(now_ns)
        proven = loaded and self._has_mac2(frame, address, now_ns)
        if loaded and not proven:
            raise NeedsCookie if paid else Reject("flood", "Lamps beyond the bucket of the lane")
        if not paid and not self.proven.take(now_ns):
            raise Reject("flood", "Lamps beyond the bucket of the lane")
        if not (source.proven if proven else source.plain).take(now_ns):
            raise Reject("flood", "Lamps beyond the bucket of their source")
        if not self.agreements.take(now_ns):
            raise Reject("flood", "Hails beyond the bucket of key agreements")

    def pay(self, address: Address, now_ns: int) -> bool:
        """For a warm Lamp: from the buckets of the lane and of its source; a cookie says nothing about it."""
        return self.lamps.take(now_ns) and self._source(source_of(address), now_ns).plain.take(now_ns)

    def _source(self, name: bytes, now_ns: int) -> Source:
        found = self.sources.get(name)
        if found is None:
            burst = self.source_per_s // 4 + 8
            found = Source(Bucket(burst, self.source_per_s), Bucket(burst, self.source_per_s))
            if len(self.sources) >= SOURCES:  # a new name brings no new tokens (T-FLD-3)
                fullest = max(self.sources, key=lambda each: self.sources[each].plain.filled(now_ns))
                found = self.sources.pop(fullest)
            self.sources[name] = found
        return found

    def cookie(self, address: Address, now_ns: int) -> bytes:
        """The cookie of an address under the newest secret."""
        return cookie.cookie_of(self._fresh(now_ns)[0][1], address.kind, address.data)

    def _has_mac2(self, frame: bytes, address: Address, now_ns: int) -> bool:
        secrets = self._fresh(now_ns)
        made = [cookie.cookie_of(secret, address.kind, address.data) for _, secret in secrets]
        return any(cookie.has_mac2(each, frame) for each in made)

    def _fresh(self, now_ns: int) -> list[tuple[int, bytes]]:
        """The secrets that are valid: one changes every 120 s, the one before it holds as long again (T-CKE-4)."""
        if not self._secrets or now_ns - self._secrets[0][0] >= cookie.LIFE_NS:
            self._secrets.insert(0, (now_ns, self._entropy(32)))
        self._secrets = [entry for entry in self._secrets[:2] if now_ns - entry[0] < 2 * cookie.LIFE_NS]
        return self._secrets
