# SPDX-License-Identifier: Apache-2.0
"""Where the data of this package lies: inside an installed wheel, or at the root of a checkout.

A wheel carries the folders below `tether_hw/_data/`; in a checkout they stand at its root, bundles below `build/`.
"""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("profiles", "templates", "inventory", "bundles")

_PACKAGE = Path(__file__).resolve().parent


def installed() -> bool:
    """True when this package came from a wheel."""
    return (_PACKAGE / "_data").is_dir()


def data_path(name: str) -> Path:
    """The folder of one kind of data, one of FOLDERS. It may be absent: a checkout has no bundles before `make bundle`.

    Raises ValueError for any other name.
    """
    if name not in FOLDERS:
        raise ValueError(f"no data folder is named {name!r}; there are {', '.join(FOLDERS)}")
    if installed():
        return _PACKAGE / "_data" / name
    root = _PACKAGE.parent
    return root / "build" / name if name == "bundles" else root / name
