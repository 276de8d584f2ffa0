# SPDX-License-Identifier: Apache-2.0
"""From pydantic's errors to problems with a place, in plain words. A value is never shown: it may be a secret."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tether_hw.errors import Problem
from tether_hw.fleet.models import FAMILIES, Top
from tether_hw.fleet.source import BOOLEAN_WORDS, Tree

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_FORMS = {
    r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$": "expected a MAC address in lower case, like 02:74:00:00:00:01",
    r"^[^\x00-\x1f\x7f]+$": "expected a path without control characters",
    r"^[0-9a-f]{64}$": "expected 64 hexadecimal digits in lower case",
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+)$": "expected a reference, never the secret itself: "
    "env:NAME, file:PATH or keyring:SERVICE/USER",
    r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}(/[0-9a-f]{2}(:[0-9a-f]{2}){5})?$": "expected a MAC address in lower case, perhaps "
    "with /mask, like 02:74:00:00:00:00/ff:ff:00:00:00:00",
    r"^([0-9a-f]{16}|[0-9a-f]{2}(-[0-9a-f]{2}){7})$": "expected a serial number in lower case, like "
    "00-11-22-ff-ff-33-44-55",
    r"^[0-9A-Za-z]{4,32}$": "expected a serial number of 4 to 32 letters and digits, like MT2243X00123",
    r"^netdevsim/netdevsim(0|[1-9][0-9]{0,8})$": "expected a device of netdevsim, like netdevsim/netdevsim1",
    r"^[A-Z0-9_]{4,16}$": "expected a PSID in capitals, like MT_0000000838",
    r"^[A-Z][A-Z0-9_]{0,63}$": "expected the name of a setting in capitals, like NUM_OF_VFS",
    r"^[A-Za-z0-9_.:-]{1,64}$": "expected the value of a setting: a number, true, false, or one word",
    r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$": "expected a PCI address like 0000:3b:00.0",
    r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,14}$": "expected a device name of at most 15 characters",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$": "expected a name of letters, digits, _ and -",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$": "expected a name of letters, digits, . _ and -",
    r"^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( [^\x00-\x1f\x7f]{1,100})?$": "expected a public key "
    "of type ssh-ed25519, as `tether key operator` and ssh-keygen print it",
    r"^(file:[^\x00-\x1f\x7f]+|agent:SHA256:[A-Za-z0-9+/]{43})$": "expected file:PATH or agent:SHA256:FINGERPRINT",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": "expected a day like 2027-01-31",
    r"^([0-9.]{7,15}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5}$": "expected an IP address and port, like 127.0.0.1:9464",
}


def explain(error: ValidationError, tree: Tree, model: type[BaseModel], base: tuple[str, ...] = ()) -> list[Problem]:
    """The problems of a validation of `tree` against `model`; `base` is where the tree hangs in the file."""
    found: dict[tuple[str, ...], Problem] = {}
    for detail in error.errors(include_input=False, include_url=False):
        problem, key = _problem(detail, tree, model, base)
        found.setdefault(key, problem)  # the branches of a union complain one by one
    return list(found.values())


def _problem(
    detail: ErrorDetails, tree: Tree, model: type[BaseModel], base: tuple[str, ...]
) -> tuple[Problem, tuple[str, ...]]:
    path, here = real_path(detail, tree)
    text = ".".join([*base, *(str(part) for part in path)])
    kind = detail["type"]
    is_key = kind == "extra_forbidden" or detail["loc"][-1:] == ("[key]",)
    place = tree.find(tuple(path), key=is_key)
    message, hint = _words(detail, here, model, path, tree)
    return place.problem(text, message, hint), tuple(str(part) for part in path)


def real_path(detail: ErrorDetails, tree: Tree) -> tuple[list[str | int], Tree | None]:
    """The path in the file that an error is about, and what stands there."""
    path: list[str | int] = []
    here: Tree | None = tree
    last = len(detail["loc"]) - 1
    for number, part in enumerate(detail["loc"]):
        if detail["type"] in ("missing", "extra_forbidden") and number == last:
            path.append(part)
            break
        step = _step(here, part)
        if step is None:
            continue  # pydantic names the branch of a union, or "[key]", here
        path.append(part)
        here = step
    if detail["type"] == "union_tag_invalid":
        path.append("family")
        here = _step(here, "family")
    return path, here


def _step(tree: Tree | None, part: str | int) -> Tree | None:
    if tree is None:
        return None
    if isinstance(part, str):
        return tree.get(part)
    return tree.items[part] if tree.items is not None and part < len(tree.items) else None


def _words(
    detail: ErrorDetails, tree: Tree | None, model: type[BaseModel], path: list[str | int], whole: Tree
) -> tuple[str, str | None]:
    kind = detail["type"]
    context = detail.get("ctx") or {}
    if kind == "extra_forbidden":
        # What hosts inherit is taken out of the file before it is checked.
        inherited = ("defaults", "groups") if model is Top and len(path) == 1 else ()
        known = sorted([*field_names(model, path[:-1], whole), *inherited])
        near = nearest(str(path[-1]), known)
        return "unknown field", f"did you mean {near!r}?" if near else f"fields here: {', '.join(known)}"
    if kind == "missing":
        return "missing", None
    if kind in _EXPECTED:
        found = _found(tree)
        hint = None
        if kind == "bool_type" and tree is not None and tree.value in BOOLEAN_WORDS:
            hint = "say true or false"
        elif kind == "string_type" and found in ("a number", "true or false"):
            hint = "put it in quotes"
        return f"expected {_EXPECTED[kind]}, found {found}", hint
    if kind == "string_pattern_mismatch":
        return _FORMS.get(str(context.get("pattern")), f"does not fit {context.get('pattern')}"), None
    if kind == "literal_error":
        return f"expected {context.get('expected')}", None
    if kind == "union_tag_invalid":
        return "unknown family", f"NIC families of this version: {', '.join(sorted(FAMILIES))}"
    if kind == "too_long" and context.get("actual_length") is not None:
        return f"at most {context['max_length']} {path[-1]}, this has {context['actual_length']}", None
    if kind == "value_error":
        return str(context.get("error", detail["msg"])), None
    message = detail["msg"].removeprefix("Input ").removeprefix("Value ")
    return message[:1].lower() + message[1:], None


def _found(tree: Tree | None) -> str:
    if tree is None:
        return "nothing"
    if tree.fields is not None:
        return "a mapping"
    if tree.items is not None:
        return "a list"
    if tree.value is None:
        return "nothing"
    if isinstance(tree.value, bool):
        return "true or false"
    return "text" if isinstance(tree.value, str) else "a number"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant: swapped letters first, then the closest one, if any is close."""
    names = sorted(known)
    swapped = [name for name in names if sorted(name) == sorted(word)]
    near = swapped or difflib.get_close_matches(word, names, 1, 0.6)
    return near[0] if near else None


def field_names(model: type[BaseModel], path: list[str | int], tree: Tree | None = None) -> set[str]:
    """The fields of the model at a path below `model`; empty where there is no model. A NIC's family decides."""
    here: Any = model
    for part in path:
        tree = _step(tree, part)
        if isinstance(here, type) and issubclass(here, BaseModel):
            if str(part) not in here.model_fields:
                return set()
            here = _inner(here.model_fields[str(part)].annotation, tree)
        else:
            arguments = typing.get_args(here)
            here = _inner(arguments[-1], tree) if arguments else None
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return set()
    return {field.alias or name for name, field in here.model_fields.items()}


def _inner(annotation: Any, tree: Tree | None) -> Any:
    """The model or container inside Annotated and optional types; of the families the one that the tree names."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (typing.Union, types.UnionType):
            members = [member for member in typing.get_args(annotation) if member is not type(None)]
            models = [member for member in map(_bare, members) if member in FAMILIES.values()]
            annotation = FAMILIES.get(_family_of(tree), models[0]) if models else members[-1]
        else:
            return annotation


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _family_of(tree: Tree | None) -> str:
    said = tree.get("family") if tree is not None else None
    return str(said.value) if said is not None else "generic"
