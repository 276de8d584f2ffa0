# SPDX-License-Identifier: Apache-2.0
"""Inheritance: a host's own fields, then its groups in their order, then the defaults. Places stay with the values."""

from __future__ import annotations

from tether_hw.errors import Problem
from tether_hw.fleet.source import Tree


def merged(over: Tree, under: Tree) -> Tree:
    """Mappings are merged field by field; everything else of `over` stands."""
    if over.fields is None or under.fields is None:
        return over
    fields = dict(over.fields)
    for name, (place, tree) in under.fields.items():
        fields[name] = (fields[name][0], merged(fields[name][1], tree)) if name in fields else (place, tree)
    return Tree(over.place, fields=fields)


def inherit(top: Tree, problems: list[Problem]) -> dict[str, Tree]:
    """The merged tree of every host. What is wrong with the inheritance itself goes to `problems`."""
    hosts, groups, defaults = top.get("hosts"), top.get("groups"), top.get("defaults")
    for name, tree in (("groups", groups), ("defaults", defaults)):
        if tree is not None and tree.fields is None and tree.value is not None:
            problems.append(tree.place.problem(name, "expected a mapping"))
    for base, tree in [("defaults", defaults)] + [
        (f"groups.{name}", tree) for name, _, tree in (groups.children() if groups else ())
    ]:
        if tree is not None and tree.get("groups") is not None:
            problems.append(tree.find(("groups",), key=True).problem(f"{base}.groups", "only hosts are in groups"))
    result: dict[str, Tree] = {}
    for name, _, tree in hosts.children() if hosts else ():
        whole = Tree(tree.place, fields={}) if tree.fields is None and tree.value is None and not tree.items else tree
        own_groups = tree.get("groups")
        for group in own_groups.items or [] if own_groups else ():
            found = groups.get(str(group.value)) if groups else None
            if found is None:
                known = sorted(groups.fields or {}) if groups else []
                hint = f"groups: {', '.join(known)}" if known else "there are no groups"
                problems.append(group.place.problem(f"hosts.{name}.groups", f"unknown group {group.value!r}", hint))
            else:
                whole = merged(whole, without_groups(found))
        if defaults is not None:
            whole = merged(whole, without_groups(defaults))
        result[name] = whole
    return result


def without_groups(tree: Tree) -> Tree:
    """The tree without its field `groups`."""
    if tree.fields is None or "groups" not in tree.fields:
        return tree
    return Tree(tree.place, fields={name: entry for name, entry in tree.fields.items() if name != "groups"})
