# SPDX-License-Identifier: Apache-2.0
"""How many hosts of one link may be away at a time."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tether_hw.errors import HostFailed, HostUnreachable
from tether_hw.plan.step import DISRUPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.plan.plan import HostPlan

_GATED = DISRUPTIONS[DISRUPTIONS.index("function-reset") :]


class Blocked(HostFailed):
    """A host that was not begun, because others of its link are lost."""


class Gate:
    """Lets at most `max_unavailable` hosts of each link run steps of class function-reset or worse.

    Hosts that a card joins count as one.

    A host that was lost in them stays away for the rest of the run: as long as nobody knows how it is, no other host of
    its links goes after it.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._links = {host: frozenset(links.values()) for host, links in inventory.link_of.items()}
        self._most = inventory.apply.max_unavailable
        self._away: Counter[str] = Counter()
        self._lost: dict[str, set[str]] = {}
        self._changed = threading.Condition()

    @contextmanager
    def away(self, *plans: HostPlan) -> Iterator[None]:
        """Wait until the hosts of these plans may be away, and be away until the block ends. Free for milder plans.

        Raises Blocked, before the block, where hosts that were lost take up all the room.
        """
        if all(plan.disruption not in _GATED for plan in plans):
            yield
            return
        names = ", ".join(plan.host for plan in plans)
        links = frozenset[str]().union(*(self._links.get(plan.host, frozenset()) for plan in plans))
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(links) or self._blocked(links) is not None)
            blocked = self._blocked(links)
            if blocked is not None:
                lost = ", ".join(sorted(self._lost[blocked]))
                raise Blocked(names, f"not begun: {lost} of link {blocked} did not come back")
            self._away.update(links)
        try:
            yield
        except HostUnreachable:
            with self._changed:
                for link in links:
                    self._lost.setdefault(link, set()).add(names)
            raise
        finally:
            with self._changed:
                self._away.subtract(links)
                self._changed.notify_all()

    def _has_room(self, links: frozenset[str]) -> bool:
        return all(self._away[link] + len(self._lost.get(link, ())) < self._most for link in links)

    def _blocked(self, links: frozenset[str]) -> str | None:
        """A link on which so many hosts were lost that no other may go away."""
        return next((link for link in sorted(links) if len(self._lost.get(link, ())) >= self._most), None)
