# SPDX-License-Identifier: Apache-2.0
"""Reaching the agents of an inventory's hosts: session, first look, bundle, agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tether_hw.fleet import bundle, operator, push
from tether_hw.fleet.client import Agent
from tether_hw.fleet.progress import Progress
from tether_hw.fleet.ssh import CONNECT_TIMEOUT_S, Session
from tether_hw.fleet.target import target

if TYPE_CHECKING:
    from collections.abc import Callable

    from tether_hw.fleet.bundle import Bundle
    from tether_hw.fleet.inventory import Inventory
    from tether_hw.fleet.operator import Signer
    from tether_hw.fleet.push import Machine


@dataclass(frozen=True)
class Reach:
    """How the hosts of one inventory are reached in one command."""

    inventory: Inventory
    timeout_s: float = CONNECT_TIMEOUT_S
    bundles: Callable[[str], Bundle] = bundle.find
    progress: Progress = field(default_factory=Progress)

    @property
    def time_scale(self) -> float:
        return self.inventory.apply.time_scale

    @cached_property
    def signer(self) -> Signer | None:
        """Who signs what this command asks of hosts; None where nobody is named."""
        return operator.signer(self.inventory)

    def session(self, host: str) -> Session:
        """A new connection to a host, for the caller to close."""
        return Session.connect(target(self.inventory, host), self.timeout_s)

    def look(self, session: Session) -> Machine:
        root = self.inventory.hosts[session.target.name].root
        return push.look(session, root, self.bundles, self.time_scale)

    def agent(self, session: Session) -> Agent:
        """The agent on the other end of a session; its bundle is placed when it is missing."""
        return self.agent_on(session, self.look(session))

    def agent_there(self, session: Session) -> Agent | None:
        """The agent of this suite's bundle where the bundle is on the host; nothing is placed."""
        machine = self.look(session)
        if not machine.placed or machine.digest is None:
            return None
        return Agent(session, machine.root, machine.digest, self.time_scale, self.signer)

    def reader(self, session: Session, machine: Machine) -> Agent | None:
        """Who answers what only reads, nothing being placed: our bundle, or the helper's own; None: nobody yet."""
        if machine.placed and machine.digest is not None:
            return Agent(session, machine.root, machine.digest, self.time_scale, self.signer)
        return Agent(session, machine.root, None, self.time_scale, self.signer) if session.target.helper else None

    def agent_on(self, session: Session, machine: Machine) -> Agent:
        host = session.target.name

        def sent(done: int, size: int) -> None:
            self.progress.tell(host, "sends the bundle", min(1.0, done / size))

        if session.target.helper:
            helper = Agent(session, machine.root, None, self.time_scale, self.signer)
            digest = push.place_by_helper(helper, machine, self.bundles, sent)
        else:
            digest = push.place(session, machine, self.bundles, self.time_scale, sent)
        return Agent(session, machine.root, digest, self.time_scale, self.signer)
