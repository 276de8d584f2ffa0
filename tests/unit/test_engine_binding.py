# SPDX-License-Identifier: Apache-2.0
"""The binding says of every exported function and struct what the public headers say."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from tether_hw.transport import binding, structs
from tether_hw.transport.errors import LibraryError
from tether_hw.transport.library import load

INCLUDE = Path(__file__).resolve().parents[2] / "tether_hw/transport/core/include"

PLAIN = {
    "uint8_t": ctypes.c_uint8,
    "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "int": ctypes.c_int,
    "size_t": ctypes.c_size_t,
    "double": ctypes.c_double,
    "char": ctypes.c_char,
}


def headers() -> str:
    """Both headers without comments and line continuations."""
    text = "".join((INCLUDE / name).read_text() for name in ("tether.h", "tether_engine.h"))
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", " ", text)


def macros(text: str) -> dict[str, int]:
    found = {}
    for name, value in re.findall(r"#define\s+(TETHER_\w+)\s+(0x[0-9a-fA-F]+|\d+)u?\b", text):
        found[name] = int(value, 0)
    return found


def enums(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for body in re.findall(r"enum\s+\w+\s*\{(.*?)\}", text, flags=re.DOTALL):
        value = -1
        for item in (part.strip() for part in body.split(",")):
            name, _, given = item.partition("=")
            value = int(given, 0) if given.strip() else value + 1
            found[name.strip()] = value
    return found


def functions(text: str) -> dict[str, tuple[str, list[str]]]:
    found = {}
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    for result, name, arguments in re.findall(
        r"TETHER_API\s+([\w\s\*]+?)\s*\b(tether_\w+)\s*\((.*?)\)\s*;", code, re.DOTALL
    ):
        words = [" ".join(part.split()) for part in arguments.split(",")]
        found[name] = (" ".join(result.split()), [] if words == ["void"] else words)
    return found


def struct_fields(text: str) -> dict[str, list[tuple[str, str]]]:
    """Struct -> (field, type with its array lengths) in order."""
    sizes = macros(text)
    found = {}
    for name, body in re.findall(r"struct\s+(tether_\w+)\s*\{(.*?)\n\};|\Z", text, flags=re.DOTALL):
        if not name:
            continue
        fields: list[tuple[str, str]] = []
        for statement in (" ".join(part.split()) for part in body.split(";")):
            if not statement:
                continue
            if "(*" in statement:
                match = re.search(r"\(\*(\w+)\)", statement)
                assert match
                fields.append((match.group(1), "function"))
                continue
            kind, names = re.match(r"((?:const\s+)?(?:struct\s+)?\w+)\s*(.*)", statement).groups()  # type: ignore[union-attr]
            for item in (part.strip() for part in names.split(",")):
                pointer = item.startswith("*")
                field = re.match(r"\**\s*(\w+)", item).group(1)  # type: ignore[union-attr]
                lengths = [str(sizes[n] if n in sizes else int(n)) for n in re.findall(r"\[(\w+)\]", item)]
                fields.append((field, f"{kind}{'*' if pointer else ''}{''.join(f'[{n}]' for n in lengths)}"))
        found[name] = fields
    return found


def words_of(kind: object) -> str:
    """A ctypes type in the words of struct_fields."""
    if kind is ctypes.c_char_p:
        return "const char*"
    if kind is ctypes.c_void_p:
        return "void*"
    if isinstance(kind, type) and "CFuncPtr" in (base.__name__ for base in kind.__mro__):
        return "function"
    if isinstance(kind, type) and issubclass(kind, ctypes.Array):
        lengths = ""
        while isinstance(kind, type) and issubclass(kind, ctypes.Array):
            lengths += f"[{kind._length_}]"
            kind = kind._type_
        return words_of(kind) + lengths
    if isinstance(kind, type) and issubclass(kind, ctypes._Pointer):
        return f"const struct {kind._type_.__name__}*"
    if isinstance(kind, type) and issubclass(kind, ctypes.Structure):
        return f"struct {kind.__name__}"
    for word, plain in PLAIN.items():
        if plain is kind:
            return word
    raise AssertionError(kind)


def fits(kind: object, word: str) -> bool:
    """Whether a ctypes argument or result type fits a C declaration without its name."""
    pointer = "*" in word or "[" in word
    base = re.sub(r"\b(const|struct)\b|[*\[\]]|\bTETHER_HEADER_BYTES\b|\b\d+\b", " ", word).split()
    name = base[0]
    if name == "void":
        return kind is ctypes.c_void_p if pointer else kind is None
    if name == "char" and pointer:
        return kind is ctypes.c_char_p
    if name in ("tether_endpoint", "tether_engine"):
        return (kind is ctypes.POINTER(ctypes.c_void_p)) if word.count("*") == 2 else kind is ctypes.c_void_p
    target = PLAIN.get(name) or getattr(structs, name)
    if not pointer:
        return kind is target
    return isinstance(kind, type) and issubclass(kind, ctypes._Pointer) and kind._type_ is target


def test_functions_are_those_of_the_headers() -> None:
    declared = functions(headers())
    assert len(declared) > 40
    assert set(declared) == set(binding.PROTOTYPES)
    wrong = []
    for name, (result, arguments) in declared.items():
        own_result, own_arguments = binding.PROTOTYPES[name]
        if not fits(own_result, result) or len(arguments) != len(own_arguments):
            wrong.append(f"{result} {name}({', '.join(arguments)})")
            continue
        for own, argument in zip(own_arguments, arguments):
            kind = re.sub(r"\b\w+(\s*\[\w*\])?$", r"\1", argument) if " " in argument or "*" in argument else argument
            if not fits(own, kind):
                wrong.append(f"{name}: {argument} is bound as {own}")
    assert wrong == []


def test_struct_layouts_are_those_of_the_headers() -> None:
    declared = struct_fields(headers())
    assert set(declared) == {struct.__name__ for struct in binding.STRUCTS}
    for struct in binding.STRUCTS:
        own = [(field[0], words_of(field[1])) for field in struct._fields_]
        assert own == declared[struct.__name__], struct.__name__


def test_constants_are_those_of_the_headers() -> None:
    text = headers()
    known = {**macros(text), **enums(text)}
    wrong = []
    for name, value in vars(binding).items():
        if not name.isupper() or not isinstance(value, int):
            continue
        candidates = [f"TETHER_{name}", f"TETHER_{name}_"]
        if name == "VLAN_NONE":
            continue
        if name == "REJECT_FIRST":
            candidates = ["TETHER_E_SHORT"]
        if name == "CHANNEL_UP":
            candidates = ["TETHER_CHANNEL_UP"]
        found = [known[candidate] for candidate in candidates if candidate in known]
        if found != [value]:
            wrong.append((name, value, found))
    assert wrong == []
    assert known["TETHER_REJECT_SLOTS"] == structs.REJECT_SLOTS
    assert known["TETHER_BENCH_ROUNDS_MAX"] == structs.BENCH_ROUNDS_MAX
    states = [name.lower().removeprefix("tether_channel_") for name in known if name.startswith("TETHER_CHANNEL_")]
    assert tuple(states) == binding.CHANNEL_STATES


def test_the_library_loads_and_agrees() -> None:
    library = load()
    assert library.tether_abi_version() == binding.ABI_VERSION
    assert library.tether_struct_size(b"tether_stats") == ctypes.sizeof(structs.tether_stats)
    assert library.tether_struct_size(b"nothing") == 0
    assert library.tether_endpoint_config_size() == ctypes.sizeof(structs.tether_endpoint_config)


class OtherLibrary:
    """Stands for a library of another ABI; ctypes functions have these attributes too."""

    class _Version:
        restype: object = None

        def __call__(self) -> int:
            return binding.ABI_VERSION + 1

    tether_abi_version = _Version()


def test_another_abi_is_refused() -> None:
    with pytest.raises(LibraryError, match="ABI version"):
        binding.bind(OtherLibrary(), "other.so")


def test_a_library_without_our_symbols_is_refused() -> None:
    with pytest.raises(LibraryError, match="is not a libtether"):
        binding.bind(ctypes.CDLL(None), "libc")
