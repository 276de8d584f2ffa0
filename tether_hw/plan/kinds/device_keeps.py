# SPDX-License-Identifier: Apache-2.0
"""What a driver may set anew when its function changes, and has to be afterwards what it was."""

from __future__ import annotations

from typing import Any

from tether_hw.plan.effects import look_up

NIC = ("mtu", "queues", "ring")


def device_paths(config: dict[str, Any], function: str) -> tuple[tuple[str, ...], ...]:
    """The values of a function's device that outlive a change of its driver's inside; none for other drivers."""
    device = look_up(config, ("functions", function, "device"))
    if not isinstance(look_up(config, ("functions", function, "mlx5")), dict) or device not in config["nics"]:
        return ()
    return tuple(("nics", str(device), name) for name in NIC)
