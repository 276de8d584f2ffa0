# SPDX-License-Identifier: Apache-2.0
"""Who may change this host: where it has keys of operators, only what one of them signed, for it, once, and in time.

What only reads needs no signature. A host without such keys asks for none: root's login is what it trusts then.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

from tether_hw.agent import durable
from tether_hw.agent.errors import AgentError, NotAdmitted
from tether_hw.plan.canonical import load
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.signed import MOST_S, Signed, is_signed
from tether_hw.plan.verbs import UNSIGNED, Request

SCHEMA = "tether.operators/1"
ADMITTED = "TETHER_ADMITTED"  # set by the helper, which runs us with an environment of its own


@dataclass(frozen=True)
class Operators:
    """`host`: the name by which requests mean this host; None until the first signed one says it."""

    host: Optional[str]
    keys: Mapping[str, str]


def operators(paths: HostPaths) -> Optional[Operators]:
    """The keys that this host trusts; None where it has none."""
    document = durable.read_json(Path(paths.operators))
    if document is None:
        return None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not document.get("keys"):
        raise AgentError("%s is not a list of operators" % paths.operators)
    return Operators(document["host"], dict(document["keys"]))


def write_operators(paths: HostPaths, host: Optional[str], keys: Mapping[str, str]) -> None:
    """Trust these keys and no others."""
    document = {"schema": SCHEMA, "host": host, "keys": dict(keys)}
    durable.write_json(Path(paths.operators), document, 0o644)


def admit(text: bytes, root: Optional[str] = None) -> Request:
    """The request in `text`, which may be carried out. Raises NotAdmitted, ShapeError or DocumentError.

    root: the only one that a request may name; any when left out.
    """
    document = load(text)
    signed = Signed.parse(document) if is_signed(document) else None
    request = Request.parse(document if signed is None else load(signed.request))
    if root is not None and request.root != root:
        raise NotAdmitted("the request is for root %s" % request.root, reason="root")
    paths = HostPaths(request.root)
    trusted = operators(paths)
    if trusted is None or os.environ.get(ADMITTED):
        return request
    if signed is not None:
        _check(paths, trusted, signed)
    elif request.verb not in UNSIGNED:
        raise NotAdmitted("%s is only done when an operator signed it" % request.verb, reason="unsigned")
    return request


def _check(paths: HostPaths, trusted: Operators, signed: Signed) -> None:
    from tether_hw.transport.signature import signed_by

    if signed.key not in trusted.keys:
        raise NotAdmitted("%s is no key of an operator of this host" % signed.key[:16], reason="unknown")
    if not signed_by(bytes.fromhex(signed.key), signed.message(), bytes.fromhex(signed.signature)):
        raise NotAdmitted("the signature is not one of %s over this request" % signed.key[:16], reason="signature")
    now = time.time()
    clock = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now >= signed.expires:
        raise NotAdmitted("the signature has expired; it is %s here" % clock, reason="expired")
    if signed.expires > now + MOST_S:
        raise NotAdmitted("the signature is good for too long; it is %s here" % clock, reason="too-long")
    with _counters(paths) as record:
        name = trusted.host or record.get("host") or signed.host
        if signed.host != name:
            raise NotAdmitted("the request is for host %s, this is %s" % (signed.host, name), reason="host")
        last = int(record["last"].get(signed.key, 0))
        if signed.counter <= last:
            words = "the request was made before one that was carried out (counter %d, last %d)"
            raise NotAdmitted(words % (signed.counter, last), reason="replayed", last=last)
        record["host"] = name
        record["last"][signed.key] = signed.counter


@contextmanager
def _counters(paths: HostPaths) -> Iterator[dict[str, Any]]:
    """The record of used counters, on disk before anything is done; left as it is when the block raises."""
    place = Path(paths.counters)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(str(place) + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = durable.read_json(place) or {"host": None, "last": {}}
        yield record
        durable.write_json(place, record, 0o600)
    finally:
        os.close(lock)
