# SPDX-License-Identifier: Apache-2.0
"""What a boot leaves of a host's config: one table of the fields that it wipes, one of those that outlive it."""

from __future__ import annotations

import copy
from typing import Any, Iterable, Iterator, Mapping

from tether_hw.plan.effects import MISSING, look_up


class _Mark:
    """A rule of VOLATILE that is no value."""

    def __init__(self, words: str) -> None:
        self.words = words


#: What it was before we first changed it, by the owned record; as it is now where we never did: whoever sets it, sets
#: it at every boot.
AS_BEFORE = _Mark("as before us")
#: The value that firmware keeps for the next boot, beside it.
NEXT = _Mark("next becomes current")
#: Legacy; but the system on a card that has the card's switch comes up with it as ever.
SWITCH = _Mark("legacy, but on a card as before")
#: A service that nothing starts by itself.
NOT_RUNNING = _Mark("stopped where it runs")

ANY = "*"
#: Path of config -> what a boot makes of it.
VOLATILE: dict[tuple[str, ...], Any] = {
    ("nics", ANY, "mtu"): AS_BEFORE,
    ("nics", ANY, "queues"): AS_BEFORE,
    ("nics", ANY, "ring"): AS_BEFORE,
    ("functions", ANY, "driver"): AS_BEFORE,
    ("functions", ANY, "eswitch"): SWITCH,
    ("functions", ANY, "vfs"): 0,
    ("functions", ANY, "ntuple", "on"): AS_BEFORE,
    ("functions", ANY, "ntuple", "rules"): {},
    ("functions", ANY, "flower", "hook"): False,
    ("functions", ANY, "flower", "offload"): AS_BEFORE,
    ("functions", ANY, "flower", "rules"): {},
    ("functions", ANY, "mlx5", "steering_mode"): AS_BEFORE,
    ("functions", ANY, "mlx5", "inline"): AS_BEFORE,
    ("functions", ANY, "mlx5", "encap"): AS_BEFORE,
    ("functions", ANY, "mlx5", "autoprobe"): AS_BEFORE,
    ("functions", ANY, "mlx5", "params"): AS_BEFORE,
    ("functions", ANY, "mlx5", "vfs"): {},
    ("functions", ANY, "mlx5", "sfs"): {},
    ("functions", ANY, "mlx5", "reps"): {},
    ("functions", ANY, "mlx5", "nv", ANY, "current"): NEXT,
    ("engine", "service"): NOT_RUNNING,
}
#: What lies on a disk or in a card's flash, or is no setting at all.
PERSISTENT: tuple[tuple[str, ...], ...] = (
    ("nics", ANY, "driver"),
    ("nics", ANY, "mac"),
    ("nics", ANY, "xdp"),
    ("functions", ANY, "card"),
    ("functions", ANY, "device"),
    ("functions", ANY, "mlx5", "nv", ANY, "next"),
    ("cards", ANY),
    ("engine", "config_sha256"),
    ("engine", "config"),
    ("engine", "roster_sha256"),
    ("engine", "roster"),
    ("engine", "unit_sha256"),
    ("engine", "bundle"),
    ("keys", "node"),
)

Owned = Iterable[Mapping[str, Any]]


def cold(config: Mapping[str, Any], owned: Owned = ()) -> dict[str, Any]:
    """The config after a boot at which nobody of ours does anything; `owned`: entries of the owned record."""
    result = copy.deepcopy(dict(config))
    # What somebody else changed since is theirs.
    ours = [entry for entry in owned if look_up(dict(config), entry["path"]) == entry["set"]]
    former = {tuple(entry["path"]): entry["before"] for entry in ours}
    for pattern, rule in VOLATILE.items():
        for path in _paths(config, pattern):
            place = look_up(result, path[:-1])
            now = place[path[-1]]
            place[path[-1]] = copy.deepcopy(_afterwards(rule, path, now, former, config))
    return result


def wiped(config: Mapping[str, Any], owned: Owned = ()) -> dict[tuple[str, ...], Any]:
    """What a boot changes: path -> value afterwards."""
    after = cold(config, owned)
    found = {}
    for pattern in VOLATILE:
        for path in _paths(config, pattern):
            value = look_up(after, path)
            if value != look_up(dict(config), path):
                found[path] = value
    return found


def volatile(path: tuple[str, ...]) -> bool:
    """Whether all that lies at and below a path of config is gone after a boot."""
    if any(_begins(path, pattern) for pattern in VOLATILE):
        return True
    holds_volatile = any(_begins(pattern, path) for pattern in VOLATILE)
    return holds_volatile and not any(_begins(pattern, path) for pattern in PERSISTENT)


def _begins(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path starts with a pattern; ANY stands for everything on either side."""
    if len(pattern) > len(path):
        return False
    return all(ANY in pair or pair[0] == pair[1] for pair in zip(path, pattern))


def _paths(config: Mapping[str, Any], pattern: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The places of config that a pattern names; a table that a driver does not have (null) has none."""
    found: list[tuple[tuple[str, ...], Any]] = [((), config)]
    for part in pattern:
        found = [
            ((*path, name), value[name])
            for path, value in found
            if isinstance(value, Mapping)
            for name in (sorted(value) if part == ANY else [part])
            if name in value
        ]
    yield from (path for path, _value in found)


def _afterwards(
    rule: Any, path: tuple[str, ...], now: Any, former: Mapping[tuple[str, ...], Any], config: Mapping[str, Any]
) -> Any:
    if rule is SWITCH:
        rule = AS_BEFORE if _on_card(config, path[1]) else "legacy"
    if now is None:
        return None if rule is not AS_BEFORE else _former(path, now, former)
    if rule is AS_BEFORE:
        return _former(path, now, former)
    if rule is NEXT:
        return look_up(dict(config), (*path[:-1], "next"))
    if rule is NOT_RUNNING:
        return "stopped" if now == "running" else now
    return rule


def _on_card(config: Mapping[str, Any], function: str) -> bool:
    """Whether a function of mlx5 is seen by the Arm on its card: it makes no virtual functions there, the host does."""
    facts = config["functions"][function]
    return facts["driver"] == "mlx5_core" and facts["mlx5"] is not None and facts["mlx5"]["autoprobe"] is None


def _former(path: tuple[str, ...], now: Any, former: Mapping[tuple[str, ...], Any]) -> Any:
    """What was there before us: the owned record lists the place itself, one above it, or some below it."""
    for length in range(len(path), 1, -1):
        if path[:length] in former:
            found: Any = former[path[:length]]
            for part in path[length:]:
                found = found.get(part, MISSING) if isinstance(found, dict) else MISSING
            return now if found is MISSING else found
    below = {entry[len(path)]: value for entry, value in former.items() if _is_child(entry, path)}
    return {**now, **below} if below and isinstance(now, dict) else now


def _is_child(entry: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(entry) == len(path) + 1 and entry[: len(path)] == path


def unlisted(config: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Places of config that neither table names; for the test that keeps them complete."""
    return [path for path in _leaves(config, ()) if not any(_begins(path, p) for p in (*VOLATILE, *PERSISTENT))]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping) and value and not any(_begins(path, p) for p in (*VOLATILE, *PERSISTENT)):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif path and (value or not isinstance(value, Mapping)) and not _no_table(value, path):
        yield path


def _no_table(value: Any, path: tuple[str, ...]) -> bool:
    """Whether it is null where a table would be: there is nothing that a boot could wipe."""
    return value is None and any(_begins(p, path) for p in (*VOLATILE, *PERSISTENT))


__all__ = ["PERSISTENT", "VOLATILE", "cold", "unlisted", "volatile", "wiped"]
