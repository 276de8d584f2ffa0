# SPDX-License-Identifier: Apache-2.0
"""Finds and loads libtether once per process."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any, Optional

from .binding import bind
from .errors import LibraryError

NAME = "libtether.so"
VARIABLE = "TETHER_LIBRARY"

_lock = threading.Lock()
_loaded: Optional[Any] = None


def candidates() -> list[Path]:
    """Where the library may lie, best first: the environment's word alone, or package, bundle (lib/), build folder."""
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(named)]
    package = Path(__file__).resolve().parent
    root = package.parent.parent
    # In a bundle the package lies in lib/python and the library beside that folder.
    beside = [root.parent / NAME] if root.name == "python" else []
    return [package / NAME, *beside, root / "build" / "native" / NAME]


def find() -> Path:
    """The library's file. Raises LibraryError when there is none."""
    places = candidates()
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise LibraryError(f"{NAME} was not found (looked at {looked})", f"build it, or name it in {VARIABLE}")


def load() -> Any:
    """The library with every prototype declared; loaded once. Raises LibraryError."""
    global _loaded
    with _lock:
        if _loaded is None:
            path = find()
            try:
                library = ctypes.CDLL(str(path))
            except OSError as error:
                raise LibraryError(f"{path} cannot be loaded: {error}") from None
            bind(library, str(path))
            _loaded = library
        return _loaded
