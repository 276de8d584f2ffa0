# SPDX-License-Identifier: Apache-2.0
"""Placing the bundle on a host: looked for by its digest, sent when it is missing, checked there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostFailed, HostRefused
from tether_hw.fleet import bare
from tether_hw.fleet.bundle import BundleError, find

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_hw.fleet.bundle import Bundle
    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.ssh import Session

LOOK_S = 30.0
SEND_S = 600.0


@dataclass(frozen=True)
class Machine:
    """What the first look at a host showed: `root` is absolute, `digest` names our bundle, `placed`: it is there."""

    arch: str
    python: str
    root: str
    user: str
    is_root: bool
    digest: str | None
    placed: bool


_arch_of: dict[tuple[str, int], str] = {}
_arch_lock = threading.Lock()


def look(session: Session, root: str, bundles: Callable[[str], Bundle] = find, time_scale: float = 1.0) -> Machine:
    """The first look: architecture, Python, root, and whether the bundle of this suite is there, unharmed."""
    key = (session.target.address, session.target.port)
    with _arch_lock:
        arch = _arch_of.get(key, "x86_64")
    answer = _probe(session, root, arch, bundles, time_scale)
    if answer["arch"] != arch:
        with _arch_lock:
            _arch_of[key] = answer["arch"]
        answer = _probe(session, root, answer["arch"], bundles, time_scale)
    digest = _digest(answer["arch"], bundles)
    return Machine(
        arch=answer["arch"],
        python=answer["python"],
        root=answer["root"],
        user=answer["user"],
        is_root=answer["is_root"],
        digest=digest,
        placed=digest is not None and answer["bundle"] == digest,
    )


def _digest(arch: str, bundles: Callable[[str], Bundle]) -> str | None:
    try:
        return bundles(arch).digest
    except BundleError:
        return None


def _probe(
    session: Session, root: str, arch: str, bundles: Callable[[str], Bundle], time_scale: float
) -> dict[str, Any]:
    request = {"root": root, "digest": _digest(arch, bundles)}
    answer: dict[str, Any] = bare.run(session, "tether_hw.agent.probe", request, LOOK_S * time_scale)
    return answer


def place(
    session: Session,
    machine: Machine,
    bundles: Callable[[str], Bundle] = find,
    time_scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Make sure that the bundle is on the host; gives its digest. `progress` hears (bytes sent, bytes in all)."""
    try:
        bundle = bundles(machine.arch)
    except BundleError as error:
        raise HostRefused(session.target.name, str(error)) from None
    if machine.placed:
        return bundle.digest
    with bundle.path.open("rb") as tar:
        session_progress = None if progress is None else (lambda done: progress(done, bundle.size_bytes))
        request = {"root": machine.root, "digest": bundle.digest, "size_bytes": bundle.size_bytes}
        try:
            answer = bare.run(
                session, "tether_hw.agent.unpack", request, SEND_S * time_scale, payload=tar, progress=session_progress
            )
        except HostFailed as error:
            raise HostFailed(session.target.name, f"the bundle could not be placed: {error.reason}") from None
        if "trouble" in answer:
            raise HostRefused(session.target.name, f"the bundle could not be placed: {answer['trouble']}")
    return bundle.digest


def place_by_helper(
    helper: Agent,
    machine: Machine,
    bundles: Callable[[str], Bundle] = find,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """The same where the login is not root: an operator signs the digest, and the helper takes no other bytes."""
    try:
        bundle = bundles(machine.arch)
    except BundleError as error:
        raise HostRefused(helper.host, str(error)) from None
    if not machine.placed:
        session_progress = None if progress is None else (lambda done: progress(done, bundle.size_bytes))
        with bundle.path.open("rb") as tar:
            helper.call("bundle", {"digest": bundle.digest}, SEND_S, tar, session_progress)
    return bundle.digest
