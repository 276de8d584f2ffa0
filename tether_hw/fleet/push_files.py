# SPDX-License-Identifier: Apache-2.0
"""The user's own files that a plan names by digest: looked for on the host, sent when missing, checked there."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostFailed, HostRefused
from tether_hw.fleet import bare, packages
from tether_hw.plan.kinds.ddp_package import DdpPackage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.ssh import Session
    from tether_hw.plan.step import Step

LOOK_S = 30.0
SEND_S = 120.0
_MODULE = "tether_hw.agent.store"


def named(steps: Iterable[Step]) -> set[str]:
    """The digests of the files that steps put in place."""
    return {str(step.data["sha256"]) for step in steps if step.kind == DdpPackage.kind and step.data["sha256"]}


class Files:
    """The files that an inventory refers to, read when the first host lacks one."""

    def __init__(self, inventory: Inventory, time_scale: float = 1.0) -> None:
        self._inventory = inventory
        self._time_scale = time_scale
        self._content: Mapping[str, bytes] | None = None
        self._lock = threading.Lock()

    def _read(self) -> Mapping[str, bytes]:
        with self._lock:
            if self._content is None:
                self._content = packages.load(self._inventory).content
            return self._content

    def place(self, agent: Agent, steps: Iterable[Step]) -> int:
        """Make sure that the host has the files of these steps; gives how many were sent. Raises HostError."""
        wanted = sorted(named(steps))
        if not wanted:
            return 0
        host, session, root = agent.host, agent.session, agent.root
        if agent.helper:
            missing = agent.call("files", {"wanted": wanted}, LOOK_S)["missing"]
        else:
            asked: dict[str, Any] = {"root": root, "wanted": wanted}
            missing = bare.run(session, _MODULE, asked, LOOK_S * self._time_scale)["missing"]
        for sha256 in missing:
            content = self._read().get(sha256)
            if content is None:
                raise HostRefused(
                    host,
                    f"the plan places a package of digest {sha256[:12]}, to which no NIC of the inventory refers",
                    hint="plan again: tether plan",
                )
            if agent.helper:
                body = {"sha256": sha256, "size_bytes": len(content)}
                agent.call("file", body, SEND_S, io.BytesIO(content))
            else:
                self._send(session, root, sha256, content)
        return len(missing)

    def _send(self, session: Session, root: str, sha256: str, content: bytes) -> None:
        host = session.target.name
        request = {"root": root, "sha256": sha256, "size_bytes": len(content)}
        try:
            answer = bare.run(session, _MODULE, request, SEND_S * self._time_scale, payload=io.BytesIO(content))
        except HostFailed as error:
            raise HostFailed(host, f"a package could not be placed: {error.reason}") from None
        if "trouble" in answer:
            raise HostRefused(host, f"a package could not be placed: {answer['trouble']}")
