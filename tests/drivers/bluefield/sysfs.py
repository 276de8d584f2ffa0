# SPDX-License-Identifier: Apache-2.0
"""The part of /sys that shows a BlueField's functions."""

from __future__ import annotations

from tests.drivers.mlx5 import sysfs


class SysFs(sysfs.SysFs):
    """The same tree; the id is another."""

    pf_id = "0xa2dc"
