# SPDX-License-Identifier: Apache-2.0
"""What this machine is, beside its devices: which boot it is in, and how its kernel was built."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Optional

#: Without the first two, mlx5 takes no rule of tc into hardware; without the third, it has no subfunctions.
OPTIONS = ("MLX5_CLS_ACT", "NET_TC_SKB_EXT", "MLX5_SF", "NET_SWITCHDEV")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SET = re.compile(r"^CONFIG_(%s)=(\S+)$" % "|".join(OPTIONS), re.MULTILINE)  # one search: such a file has 10000 lines


def boot_id() -> Optional[str]:
    """A name of this boot; None where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def kernel_config(release: str) -> dict[str, Optional[str]]:
    """Option -> its value, "n" where it is not set, None where nobody knows."""
    text = _config(release)
    found: dict[str, Optional[str]] = dict.fromkeys(OPTIONS, None if text is None else "n")
    found.update(_SET.findall(text or ""))
    return found


def _config(release: str) -> Optional[str]:
    for path in (Path("/proc/config.gz"), Path("/boot") / ("config-%s" % release)):
        try:
            content = path.read_bytes()
            return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")
        except (OSError, EOFError, ValueError):
            continue
    return None
