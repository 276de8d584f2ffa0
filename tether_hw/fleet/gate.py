# SPDX-License-Identifier: Apache-2.0
"""How many hosts of one link may be away at a time."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tether_hw.plan.step import DISRUPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tether_hw.fleet.inventory import Inventory
    from tether_hw.plan.plan import HostPlan

_GATED = DISRUPTIONS[DISRUPTIONS.index("function-reset") :]


class Gate:
    """Lets at most `max_unavailable` hosts of each link run steps of class function-reset or worse."""

    def __init__(self, inventory: Inventory) -> None:
        self._links = {host: frozenset(links.values()) for host, links in inventory.link_of.items()}
        self._most = inventory.apply.max_unavailable
        self._away: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def away(self, plan: HostPlan) -> Iterator[None]:
        """Wait until this host may be away, and be away until the block ends. Free for milder plans."""
        if plan.disruption not in _GATED:
            yield
            return
        links = self._links.get(plan.host, frozenset())
        with self._changed:
            self._changed.wait_for(lambda: all(self._away[link] < self._most for link in links))
            self._away.update(links)
        try:
            yield
        finally:
            with self._changed:
                self._away.subtract(links)
                self._changed.notify_all()
