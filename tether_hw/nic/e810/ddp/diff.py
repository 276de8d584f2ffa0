# SPDX-License-Identifier: Apache-2.0
"""Two packages compared by meaning: what is only in one, what changed, whatever buffers and places it lies in."""

from __future__ import annotations

from dataclasses import dataclass

from tether_hw.nic.e810.ddp.container import Package, version_text
from tether_hw.nic.e810.ddp.source.decompile import Describer
from tether_hw.nic.e810.ddp.tables import Tables


@dataclass(frozen=True)
class Difference:
    """One thing: `before` or `after` is empty when it is only in the other package."""

    what: str
    name: str
    before: str
    after: str

    def to_dict(self) -> dict[str, str]:
        return {"what": self.what, "name": self.name, "before": self.before, "after": self.after}


def differences(before: Package, after: Package) -> list[Difference]:
    """In the order of the tables; empty when both mean the same."""
    left, right = _things(before), _things(after)
    found = []
    for what, name in [*left, *(key for key in right if key not in left)]:
        a, b = left.get((what, name), ""), right.get((what, name), "")
        if a != b:
            found.append(Difference(what, name, a, b))
    return found


def _things(package: Package) -> dict[tuple[str, str], str]:
    identity = Tables.read(package).identity
    things = {
        ("package", "name"): identity.name,
        ("package", "version"): version_text(identity.version),
        ("package", "track id"): f"{identity.track_id:#x}",
        ("package", "signing segments"): str(len(package.signing_segments)),
    }
    for what, name, text in Describer(package).things():
        key, number = (what, name), 1
        while key in things:
            number += 1
            key = (what, f"{name} ({number})")
        things[key] = text
    return things
