# SPDX-License-Identifier: Apache-2.0
"""The engine file and the roster file: read strictly, every mistake at once, written canonically.

Both are JSON. `tether` renders them and the engine reads them with the same code, so this module imports nothing heavy.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Optional

from .config_contact import contact
from .config_model import (
    ENGINE_SCHEMA,
    GRANT_POLICIES,
    ROSTER_SCHEMA,
    Address,
    EngineConfig,
    Lane,
    Limits,
    Link,
    Peer,
    Roster,
    dumps,
)
from .contact import Contact, RoundTrip, Window
from .errors import ConfigError, Problem
from .hot import changes
from .places import PLACE
from .regular import read_regular
from .strict import Checker, Fields, parse_text, word_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

#: A roster of a hundred thousand peers is smaller.
_MOST_BYTES = 64 << 20

#: The points of low order on Curve25519 (the highest bit of a key does not count): an agreement with one gives zero.
_LOW_ORDER = frozenset(
    [
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        *(first + "ff" * 30 + "7f" for first in ("ec", "ed", "ee")),
    ]
)

__all__ = [
    "ENGINE_SCHEMA",
    "ROSTER_SCHEMA",
    "Address",
    "ConfigError",
    "Contact",
    "EngineConfig",
    "Lane",
    "Limits",
    "Link",
    "Peer",
    "Problem",
    "Roster",
    "RoundTrip",
    "Window",
    "changes",
    "dumps",
    "load_engine",
    "load_roster",
    "parse_engine",
    "parse_roster",
    "split_udp",
]

CARRIERS = ("auto", "udp", "af_packet", "af_xdp")
DELIVERS = ("by-lane",)
MTU_MIN = 128  # the header and one block
MTU_MAX = 65535
LANES_MAX = 256
EARLY_BYTES_MAX = 65_472
UNIX_PATH_MAX = 107  # sun_path without its final zero

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DEVICE = re.compile(rf"[^\s/:]{{1,15}}|{PLACE.pattern}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_KEY = re.compile(r"[0-9a-f]{64}")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\$?")


def split_udp(text: str) -> tuple[str, int]:
    """(ip, port) of `ip:port` or `[ip6]:port`. Raises ValueError with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"must be ip:port with a port of 1 to 65535, is {text!r}")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    return str(ipaddress.IPv4Address(host)), int(port)


def _wrong_udp(text: str) -> Optional[str]:
    try:
        split_udp(text)
    except ValueError as error:
        return str(error)
    return None


def _matching(pattern: re.Pattern[str], words: str) -> Any:
    def check(value: str) -> Optional[str]:
        return None if pattern.fullmatch(value) else f"must be {words}, is {value!r}"

    return check


_wrong_name = _matching(_NAME, "a name of letters, digits, '.', '_' and '-'")
_wrong_device = _matching(_DEVICE, "a device name of at most 15 characters, or 0000:08:00.0/vf0")
_wrong_user = _matching(_USER, "a user name")


def wrong_mac(value: str) -> Optional[str]:
    """What is wrong with a MAC of a lane, or None."""
    if not _MAC.fullmatch(value):
        return f"must be a MAC in lower case like 02:74:00:00:00:01, is {value!r}"
    if int(value[:2], 16) & 1:
        return f"is a group address: {value}"
    return None


def _wrong_path(value: str) -> Optional[str]:
    return None if value.startswith("/") and "\0" not in value else f"must be an absolute path, is {value!r}"


def _wrong_socket(value: str) -> Optional[str]:
    if len(value.encode()) > UNIX_PATH_MAX:
        return f"is longer than {UNIX_PATH_MAX} bytes, the most that a socket may have"
    return _wrong_path(value)


def _address(checker: Checker, value: Any, name: str) -> Address:
    if isinstance(value, dict) and "udp" in value:
        return Address(udp=checker.object(value, name, ["udp"]).text("udp", _wrong_udp, "127.0.0.1:1"))
    fields = checker.object(value, name, ["mac"], ["vlan"])
    return Address(
        mac=fields.text("mac", wrong_mac, "02:00:00:00:00:00"), vlan=fields.integer("vlan", 1, 4094, nullable=True)
    )


def _schema(fields: Fields, expected: str) -> None:
    if fields.has("schema") and fields.raw("schema") != expected:
        fields.checker.problem("schema", f"must be {expected!r}, is {fields.raw('schema')!r}")


def _link(checker: Checker, value: Any, name: str) -> Link:
    fields = checker.object(value, name, ["mtu", "rate_bps", "rtt_ns"], ["vlan", "silence_ns", "delivers", "contact"])
    delivers = None if fields.raw("delivers") is None else fields.choice("delivers", DELIVERS, DELIVERS[0])
    return Link(
        mtu=fields.number("mtu", MTU_MIN, MTU_MAX, 1500),
        rate_bps=fields.number("rate_bps", 1, 1 << 50, 1),
        rtt_ns=fields.number("rtt_ns", 1, 1 << 46, 1),
        vlan=fields.integer("vlan", 1, 4094, nullable=True),
        silence_ns=fields.number("silence_ns", 1, 1 << 46, 1_000_000),
        delivers=delivers,
        contact=contact(checker, fields.raw("contact"), f"{name}.contact") if fields.has("contact") else None,
    )


def _lane(checker: Checker, value: Any, name: str) -> Lane:
    fields = checker.object(value, name, ["lane", "nic", "device", "queue", "link", "carrier", "address"], ["cpu"])
    return Lane(
        lane=fields.number("lane", 0, LANES_MAX - 1, -1),
        nic=fields.text("nic", _wrong_name),
        device=fields.text("device", _wrong_device),
        queue=fields.number("queue", 0, 65535, -1),
        link=fields.text("link", _wrong_name),
        carrier=fields.choice("carrier", CARRIERS, "auto"),
        address=_address(checker, fields.raw("address"), f"{name}.address") if fields.has("address") else Address(),
        cpu=fields.integer("cpu", 0, 4095, nullable=True),
    )


def _limits(checker: Checker, value: Any) -> Limits:
    standard = Limits()
    fields = checker.object(value, "limits", [], list(vars(standard)))
    return Limits(
        max_message_bytes=fields.number("max_message_bytes", 1, 1 << 32, standard.max_message_bytes),
        rx_cells=fields.number("rx_cells", 64, 1 << 24, standard.rx_cells),
        tx_cells=fields.number("tx_cells", 64, 1 << 24, standard.tx_cells),
        max_channels=fields.number("max_channels", 1, 65536, standard.max_channels),
        max_flows=fields.number("max_flows", 1, 4096, standard.max_flows),
        lamp_per_s=fields.number("lamp_per_s", 1, 100_000_000, standard.lamp_per_s),
        lamp_source_per_s=fields.number("lamp_source_per_s", 1, 100_000_000, standard.lamp_source_per_s),
        agreement_per_s=fields.number("agreement_per_s", 1, 1_000_000, standard.agreement_per_s),
        rekey_s=fields.number("rekey_s", 1, 31_536_000, standard.rekey_s),
        grant_policy=fields.choice("grant_policy", GRANT_POLICIES, standard.grant_policy),
        early_bytes=fields.number("early_bytes", 0, EARLY_BYTES_MAX, standard.early_bytes),
    )


def _check_lanes(checker: Checker, lanes: list[Lane], links: Mapping[str, Link]) -> None:
    seen: dict[tuple[str, Any], int] = {}
    for index, lane in enumerate(lanes):
        name = f"lanes[{index}]"
        keys: list[tuple[str, Any]] = [("lane", lane.lane), ("address", str(lane.address))]
        if lane.address.udp is None:
            keys.append(("queue", (lane.device, lane.queue)))  # UDP lanes have no hardware queue
        for what, key in keys:
            first = seen.setdefault((what, key), index)
            if first != index and key not in (-1, "None"):
                checker.problem(f"{name}.{what}", f"is that of lanes[{first}] too", "every lane has its own")
        if lane.link and lane.link not in links:
            checker.problem(f"{name}.link", f"no link is named {lane.link!r}", "declare it under links")
        elif lane.link and lane.address.mac is not None and lane.address.vlan != links[lane.link].vlan:
            checker.problem(f"{name}.address.vlan", f"is {lane.address.vlan}, the link's is {links[lane.link].vlan}")
        if lane.carrier == "udp" and lane.address.mac is not None:
            checker.problem(f"{name}.address", "the carrier udp needs a UDP address", 'write {"udp": "ip:port"}')
        if lane.carrier in ("af_packet", "af_xdp") and lane.address.udp is not None:
            hint = 'write {"mac": ..., "vlan": ...}'
            checker.problem(f"{name}.address", f"the carrier {lane.carrier} needs a MAC", hint)
    known = sorted({lane.lane for lane in lanes})
    if lanes and not checker.problems and known != list(range(len(lanes))):
        checker.problem("lanes", f"numbers must be 0 to {len(lanes) - 1} without a gap, are {known}")


def parse_engine(document: Any, file: str) -> EngineConfig:
    """The engine file from its JSON value. Raises ConfigError with every mistake; `file` is named in it."""
    checker = Checker(file)
    required = ["schema", "node", "user", "identity", "counter", "roster", "socket", "links", "lanes"]
    fields = checker.object(document, "", required, ["metrics", "limits"])
    _schema(fields, ENGINE_SCHEMA)
    links: dict[str, Link] = {}
    raw_links = fields.raw("links")
    if isinstance(raw_links, dict):
        for name, value in raw_links.items():
            if _wrong_name(name):
                checker.problem(f"links.{name}", _wrong_name(name))
            links[name] = _link(checker, value, f"links.{name}")
    elif fields.has("links"):
        checker.problem("links", f"must be an object, is {word_of(raw_links)}")
    lanes = (
        [_lane(checker, value, name) for name, value in checker.array(fields.raw("lanes"), "lanes")]
        if fields.has("lanes")
        else []
    )
    if len(lanes) > LANES_MAX:
        checker.problem("lanes", f"at most {LANES_MAX} are possible, {len(lanes)} are listed")
    _check_lanes(checker, lanes, links)
    metrics: Optional[str] = None
    if fields.raw("metrics") is not None:
        metrics = checker.object(fields.raw("metrics"), "metrics", ["listen"]).text("listen", _wrong_udp)
    config = EngineConfig(
        node=fields.text("node", _wrong_name),
        user=fields.string("user", _wrong_user, nullable=True),
        identity=fields.text("identity", _wrong_path),
        counter=fields.text("counter", _wrong_path),
        roster=fields.text("roster", _wrong_path),
        socket=fields.text("socket", _wrong_socket),
        links=links,
        lanes=tuple(sorted(lanes, key=lambda lane: lane.lane)),
        limits=_limits(checker, fields.raw("limits")) if fields.has("limits") else Limits(),
        metrics_listen=metrics,
    )
    checker.finish()
    return config


def _peer(checker: Checker, value: Any, name: str) -> Peer:
    fields = checker.object(value, name, ["name", "keys", "link", "hail"], ["lane"])
    keys: list[str] = []
    for key_name, key in checker.array(fields.raw("keys"), f"{name}.keys") if fields.has("keys") else []:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            hint = "`tether-engine identity --public FILE` prints it"
            checker.problem(key_name, "must be 64 hex digits in lower case", hint)
        elif f"{key[:-2]}{int(key[-2:], 16) & 0x7F:02x}" in _LOW_ORDER:
            hint = "`tether-engine identity --public FILE` on that node prints its own"
            checker.problem(key_name, "is a point of low order, which is no node's key", hint)
        else:
            keys.append(key)
    if isinstance(fields.raw("keys"), list) and not 1 <= len(fields.raw("keys")) <= 2:
        checker.problem(f"{name}.keys", f"holds one key, or two while it is replaced, not {len(fields.raw('keys'))}")
    return Peer(
        name=fields.text("name", _wrong_name),
        keys=tuple(keys),
        link=fields.text("link", _wrong_name),
        hail=_address(checker, fields.raw("hail"), f"{name}.hail") if fields.has("hail") else Address(),
        lane=fields.number("lane", 0, LANES_MAX - 1, 0),
    )


def parse_roster(document: Any, file: str, config: Optional[EngineConfig] = None, own: Collection[str] = ()) -> Roster:
    """The roster file from its JSON value, checked against the engine file when one is given. Raises ConfigError.

    `own`: the keys of the node whose roster it is, where they are known; the engine refuses its own in any case.
    """
    checker = Checker(file)
    fields = checker.object(document, "", ["schema", "peers"])
    _schema(fields, ROSTER_SCHEMA)
    peers = (
        [_peer(checker, item, name) for name, item in checker.array(fields.raw("peers"), "peers")]
        if fields.has("peers")
        else []
    )
    owner: dict[str, str] = {}
    keys_of: dict[str, tuple[str, ...]] = {}
    seen: dict[tuple[str, str], int] = {}
    hails: dict[tuple[str, str], int] = {}
    for index, peer in enumerate(peers):
        name = f"peers[{index}]"
        if not peer.name:
            continue
        first = seen.setdefault((peer.name, peer.link), index)
        if first != index:
            checker.problem(f"{name}.name", f"{peer.name} on {peer.link} is peers[{first}] too", "remove one")
        if keys_of.setdefault(peer.name, peer.keys) != peer.keys:
            checker.problem(f"{name}.keys", f"differ from the other entry of {peer.name}", "one node has one identity")
        for key in peer.keys:
            if key in own:
                hint = "every node has its own; an identity that was copied from another host is made anew"
                checker.problem(f"{name}.keys", f"{key[:16]}... is this node's own key", hint)
            if owner.setdefault(key, peer.name) != peer.name:
                message = f"{key[:16]}... is also the key of {owner[key]}"
                checker.problem(f"{name}.keys", message, "every node has its own")
        first = hails.setdefault((peer.link, str(peer.hail)), index)
        if first != index and seen[(peer.name, peer.link)] == index:
            checker.problem(f"{name}.hail", f"is the address of peers[{first}] too")
        if config is not None:
            _check_peer(checker, name, peer, config)
    checker.finish()
    return Roster(tuple(peers))


def _check_peer(checker: Checker, name: str, peer: Peer, config: EngineConfig) -> None:
    if peer.name == config.node:
        checker.problem(f"{name}.name", "is this node itself", "remove it")
    if peer.link not in config.links:
        checker.problem(f"{name}.link", f"no link is named {peer.link!r} in the engine file")
    for lane in config.lanes_on(peer.link)[:1]:
        if (lane.address.udp is None) != (peer.hail.udp is None):
            checker.problem(f"{name}.hail", f"is not of the kind of this node's lanes on {peer.link}")


def _read(path: str | Path, what: str) -> Any:
    try:
        text = read_regular(path, _MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot read the {what}: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), "", f"the {what} is not UTF-8 text")]) from None
    return parse_text(text, str(path))


def load_engine(path: str | Path) -> EngineConfig:
    """The engine file at `path`. Raises ConfigError with every mistake in it."""
    return parse_engine(_read(path, "engine file"), str(path))


def load_roster(path: str | Path, config: Optional[EngineConfig] = None) -> Roster:
    """The roster file at `path`. Raises ConfigError with every mistake in it."""
    return parse_roster(_read(path, "roster file"), str(path), config)
