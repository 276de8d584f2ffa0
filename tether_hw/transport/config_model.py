# SPDX-License-Identifier: Apache-2.0
"""What the engine file and the roster file hold, as data, and their canonical text. Read by config.py.

Units are in the names: `_bps` bits per second, `_ns` nanoseconds, `_bytes` bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .contact import Contact

ENGINE_SCHEMA = "tether.engine/1"
ROSTER_SCHEMA = "tether.roster/1"


@dataclass(frozen=True)
class Address:
    """Where a lane is reached: a MAC with an optional VLAN, or UDP as `ip:port` or `[ip6]:port`."""

    mac: Optional[str] = None
    vlan: Optional[int] = None
    udp: Optional[str] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this address."""
        return {"udp": self.udp} if self.udp is not None else {"mac": self.mac, "vlan": self.vlan}

    def __str__(self) -> str:
        if self.udp is not None:
            return self.udp
        return f"{self.mac}" if self.vlan is None else f"{self.mac} vlan {self.vlan}"


@dataclass(frozen=True)
class Link:
    """Constants of one link. `delivers` is "by-lane" when the fabric picks the queue by lane address.

    `contact`: when the link can be used and how its round trip changes; None: always, and it does not.
    """

    mtu: int = 1500
    rate_bps: int = 10_000_000_000
    rtt_ns: int = 40_000
    vlan: Optional[int] = None
    silence_ns: int = 1_000_000
    delivers: Optional[str] = None
    contact: Optional[Contact] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this link; `contact` only where there is a plan."""
        document = {
            "mtu": self.mtu,
            "rate_bps": self.rate_bps,
            "rtt_ns": self.rtt_ns,
            "vlan": self.vlan,
            "silence_ns": self.silence_ns,
            "delivers": self.delivers,
        }
        return document if self.contact is None else {**document, "contact": self.contact.to_json()}


@dataclass(frozen=True)
class Lane:
    """One hardware queue and the address that reaches it. `cpu` pins the lane's thread."""

    lane: int
    nic: str
    device: str
    queue: int
    link: str
    carrier: str
    address: Address
    cpu: Optional[int] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this lane."""
        return {
            "lane": self.lane,
            "nic": self.nic,
            "device": self.device,
            "queue": self.queue,
            "link": self.link,
            "carrier": self.carrier,
            "address": self.address.to_json(),
            "cpu": self.cpu,
        }


# Whom the receive buffer is granted to first; the places are the numbers of tether.h's TETHER_POLICY_*.
GRANT_POLICIES = ("fair", "srpt", "reserved")


@dataclass(frozen=True)
class Limits:
    """Sizes that the engine allocates at its start. Cells are frames, per lane.

    The default message fits the default send buffer at MTU 1500 (16,384 frames of 1,408 bytes are 22 MiB): what a node
    accepts, its peers can send. Larger things are byte flows.
    """

    max_message_bytes: int = 16_777_216
    rx_cells: int = 65_536
    tx_cells: int = 16_384
    max_channels: int = 64
    max_flows: int = 64
    lamp_per_s: int = 10_000  # Lamps with a good mac1 that a lane looks at
    lamp_source_per_s: int = 100  # the same of one source address
    agreement_per_s: int = 500  # key agreements that Hails may cost a lane
    rekey_s: int = 120  # age at which a channel gets new keys, or 10 RTT
    grant_policy: str = "fair"
    early_bytes: int = 0  # of a message of early data, sent or taken; 0: none is

    def to_json(self) -> dict[str, Any]:
        """The JSON object of these limits; policy and early data only where they are not the usual ones."""
        usual = {"grant_policy": "fair", "early_bytes": 0}
        return {name: value for name, value in vars(self).items() if usual.get(name, ...) != value}


@dataclass(frozen=True)
class EngineConfig:
    """The engine file. `user` None = run as whoever starts it; `metrics_listen` None = no endpoint."""

    node: str
    user: Optional[str]
    identity: str
    counter: str
    roster: str
    socket: str
    links: Mapping[str, Link]
    lanes: tuple[Lane, ...]
    limits: Limits = field(default_factory=Limits)
    metrics_listen: Optional[str] = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the engine file."""
        return {
            "schema": ENGINE_SCHEMA,
            "node": self.node,
            "user": self.user,
            "identity": self.identity,
            "counter": self.counter,
            "roster": self.roster,
            "socket": self.socket,
            "metrics": None if self.metrics_listen is None else {"listen": self.metrics_listen},
            "links": {name: link.to_json() for name, link in self.links.items()},
            "lanes": [lane.to_json() for lane in self.lanes],
            "limits": self.limits.to_json(),
        }

    def lanes_on(self, link: str) -> list[Lane]:
        """The lanes of one link, by number."""
        return sorted((lane for lane in self.lanes if lane.link == link), key=lambda lane: lane.lane)


@dataclass(frozen=True)
class Peer:
    """A node that may speak with this one over one link: its keys (hex), address and lane for Hail."""

    name: str
    keys: tuple[str, ...]
    link: str
    hail: Address
    lane: int = 0

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this peer; lane 0 goes without saying."""
        document = {"name": self.name, "keys": list(self.keys), "link": self.link, "hail": self.hail.to_json()}
        return {**document, "lane": self.lane} if self.lane else document


@dataclass(frozen=True)
class Roster:
    """Who may speak with this node. A peer on two links stands in it twice, with the same keys."""

    peers: tuple[Peer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the roster file."""
        return {"schema": ROSTER_SCHEMA, "peers": [peer.to_json() for peer in self.peers]}


def dumps(document: Mapping[str, Any]) -> str:
    """The canonical text of either file: equal documents are equal bytes."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
