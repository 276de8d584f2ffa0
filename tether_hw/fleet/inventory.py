# SPDX-License-Identifier: Apache-2.0
"""An inventory, loaded: every mistake of its files is reported at once, with file, line and column."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from tether_hw.errors import InputErrors, Problem
from tether_hw.fleet import source
from tether_hw.fleet.explain import explain
from tether_hw.fleet.inherit import inherit
from tether_hw.fleet.lanes import PlannedLane, lanes_of
from tether_hw.fleet.mend import mended
from tether_hw.fleet.models import Access, Apply, Drift, Host, KeysFile, Link, Top
from tether_hw.fleet.source import Tree
from tether_hw.nic.e810.model import E810Nic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tether_hw.fleet.cards import Card

M = TypeVar("M", bound=BaseModel)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")


@dataclass(frozen=True)
class Inventory:
    """Hosts with everything inherited, links with their members as (host, NIC), and the public keys."""

    path: Path
    hosts: Mapping[str, Host]
    links: Mapping[str, Link]
    members: Mapping[str, tuple[tuple[str, str], ...]]
    jumps: Mapping[str, Access]
    groups: Mapping[str, frozenset[str]]
    keys: Mapping[str, tuple[str, ...]]
    keys_file: Path
    known_hosts: Path
    state: Path | None
    apply: Apply = field(default_factory=Apply)
    drift: Drift = field(default_factory=Drift)
    operators: tuple[str, ...] = ()
    operator: str | None = None
    operator_passphrase: str | None = None
    cards: Mapping[str, Card] = field(default_factory=dict)
    packages_at: Mapping[tuple[str, str, str], source.Place] = field(default_factory=dict)

    def ddp_place(self, host: str, nic: str, name: str) -> str:
        """Where a field of a NIC's `ddp` stands, as mistakes say it."""
        path = f"hosts.{host}.nics.{nic}.ddp.{name}"
        place = self.packages_at.get((host, nic, name))
        return path if place is None else f"{place.file}:{place.line}:{place.col}: {path}"

    @cached_property
    def link_of(self) -> dict[str, dict[str, str]]:
        """Host -> NIC -> link."""
        result: dict[str, dict[str, str]] = {name: {} for name in self.hosts}
        for link, members in self.members.items():
            for host, nic in members:
                result[host][nic] = link
        return result

    @cached_property
    def lanes(self) -> dict[str, list[PlannedLane]]:
        """Host -> its lanes."""
        vlans = {name: link.vlan for name, link in self.links.items()}
        return {name: lanes_of(name, host, self.link_of[name], vlans) for name, host in self.hosts.items()}

    @cached_property
    def _hosts_on(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(sorted({host for host, _ in members})) for name, members in self.members.items()}

    def peers(self, name: str) -> list[tuple[str, str]]:
        """The (peer, link) pairs of a host: those who share a link, unless either side narrows it."""
        host = self.hosts[name]
        pairs = []
        for link in sorted(set(self.link_of[name].values())):
            for other in self._hosts_on[link]:
                if other == name or (host.peers is not None and other not in host.peers):
                    continue
                theirs = self.hosts[other].peers
                if theirs is None or name in theirs:
                    pairs.append((other, link))
        return pairs


class Loader:
    """Loads one inventory and collects what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.top = source.empty(str(path))
        self.host_trees: dict[str, Tree] = {}

    def load(self) -> Inventory:
        from tether_hw.fleet.inventory_checks import check

        self.top = source.read(self.path, self.problems)
        if self.top.fields is None:
            raise InputErrors([self.top.place.problem("", "expected a mapping", "tether init makes an example")])
        self.host_trees = inherit(self.top, self.problems)
        hosts = self._hosts()
        self._unused_groups()
        rest = Tree(
            self.top.place,
            fields={
                name: entry for name, entry in self.top.fields.items() if name not in ("hosts", "groups", "defaults")
            },
        )
        top = self._validate(Top, rest, ()) or Top(tether=1)
        group_tree = self.top.get("groups")
        groups: dict[str, set[str]] = {name: set() for name, _, _ in (group_tree.children() if group_tree else ())}
        for name, host in hosts.items():
            for group in host.groups:
                groups.setdefault(group, set()).add(name)
        keys_file = self._beside(top.keys_file, self.path.with_name(self.path.stem + ".keys.yaml"))
        inventory = Inventory(
            path=self.path,
            hosts=hosts,
            links=top.links,
            members={},
            jumps=top.jumps,
            groups={name: frozenset(members) for name, members in groups.items()},
            keys=self._keys(keys_file),
            keys_file=keys_file,
            known_hosts=self._beside(top.known_hosts, Path("~/.ssh/known_hosts").expanduser()),
            state=None if top.state is None else self._beside(top.state, Path()),
            apply=top.apply,
            drift=top.drift,
            operators=tuple(top.operators),
            operator=top.operator,
            operator_passphrase=top.operator_passphrase,
            cards=top.cards,
            packages_at={
                (name, nic, part): self.place("hosts", name, "nics", nic, "ddp", part)
                for name, host in hosts.items()
                for nic, model in host.nics.items()
                if isinstance(model, E810Nic) and model.ddp is not None
                for part in ("package", "sha256")
            },
        )
        inventory = check(inventory, self)
        if self.problems:
            raise InputErrors(once(self.problems))
        return inventory

    def place(self, *path: str | int, key: bool = False) -> source.Place:
        """Where a path of the inventory stands; values of hosts stand where they were inherited from."""
        if len(path) > 1 and path[0] == "hosts" and path[1] in self.host_trees:
            if len(path) == 2 and key:
                return self.top.find(path, key=True)
            return self.host_trees[str(path[1])].find(path[2:], key=key)
        return self.top.find(path, key=key)

    def problem(self, path: tuple[str | int, ...], message: str, hint: str | None = None, *, key: bool = False) -> None:
        """Note a mistake at a path."""
        text = ".".join(str(part) for part in path)
        self.problems.append(self.place(*path, key=key).problem(text, message, hint))

    def _beside(self, value: str | None, default: Path) -> Path:
        return default if value is None else self.path.parent / Path(value).expanduser()

    def _validate(self, model: type[M], tree: Tree, base: tuple[str, ...]) -> M | None:
        """The model of a tree. Its mistakes are noted, and what is left without them is checked further."""
        try:
            return model.model_validate(tree.plain())
        except ValidationError as error:
            self.problems.extend(explain(error, tree, model, base))
            return mended(model, tree, error)

    def _hosts(self) -> dict[str, Host]:
        tree = self.top.get("hosts")
        if tree is None or (tree.fields is None and tree.value is None and tree.items is None):
            self.problem(("hosts",), "there are no hosts", "tether init makes an example")
        elif tree.fields is None:
            self.problem(("hosts",), "expected a mapping of host names")
        hosts = {}
        for name, merged in self.host_trees.items():
            if not source_name(name):
                self.problem(("hosts", name), "expected a name of letters, digits, _ and -", key=True)
            host = self._validate(Host, merged, ("hosts", name))
            if host is not None:
                hosts[name] = host
        return hosts

    def _unused_groups(self) -> None:
        """Groups that no host is in, and defaults without hosts, are read all the same."""
        used: set[str] = set()
        for tree in self.host_trees.values():
            own = tree.get("groups")
            used |= {str(item.value) for item in (own.items or [])} if own else set()
        groups = self.top.get("groups")
        for name, place, tree in groups.children() if groups else ():
            if not source_name(name):
                self.problems.append(place.problem(f"groups.{name}", "expected a name of letters, digits, _ and -"))
            if name not in used:
                self._validate_partial(tree, ("groups", name))
        defaults = self.top.get("defaults")
        if defaults is not None and not self.host_trees:
            self._validate_partial(defaults, ("defaults",))

    def _validate_partial(self, tree: Tree, base: tuple[str, ...]) -> None:
        try:
            Host.model_validate(tree.plain())
        except ValidationError as error:
            problems = explain(error, tree, Host, base)
            self.problems.extend(problem for problem in problems if problem.message != "missing")

    def _keys(self, path: Path) -> dict[str, tuple[str, ...]]:
        if not path.exists():
            return {}
        try:
            tree = source.read(path, self.problems)
        except InputErrors as errors:
            self.problems.extend(errors.problems)
            return {}
        keys_file = self._validate(KeysFile, tree, ())
        if keys_file is None:
            return {}
        owner: dict[str, str] = {}
        for name, entry in keys_file.hosts.items():
            for number, key in enumerate(entry.keys):
                if owner.setdefault(key, name) != name or entry.keys.index(key) != number:
                    place = tree.find(("hosts", name, "keys", number))
                    message = f"is the key of {owner[key]} too" if owner[key] != name else "is there twice"
                    self.problems.append(
                        place.problem(f"hosts.{name}.keys.{number}", message, "every node has its own")
                    )
        return {name: tuple(entry.keys) for name, entry in keys_file.hosts.items()}


def source_name(name: str) -> bool:
    """True for a name that a host, group, NIC or link may have."""
    return _NAME.match(name) is not None


def once(problems: list[Problem]) -> list[Problem]:
    """Problems without repetitions: what many hosts inherit is one mistake at one place."""
    seen: set[tuple[object, ...]] = set()
    result = []
    for problem in problems:
        leaf = problem.path.rsplit(".", 1)[-1]
        mark = (problem.file, problem.line, problem.col, leaf, problem.message)
        if mark not in seen:
            seen.add(mark)
            result.append(problem)
    return result


def load(path: Path | str) -> Inventory:
    """The inventory of a file. Raises InputErrors with every mistake, TetherError where it cannot be read."""
    return Loader(Path(path)).load()
