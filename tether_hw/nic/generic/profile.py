# SPDX-License-Identifier: Apache-2.0
"""What a driver of the family `generic` may be asked for: data of `profiles/generic`, read by `fleet`, handed in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tether_hw.nic.model import Model


class Xdp(Model):
    """Limits of XDP on this driver."""

    mtu_max: int = Field(
        ge=0, le=65535, description="largest MTU with a program attached, one buffer a frame; 0: no XDP"
    )


class Profile(Model):
    """One driver."""

    profile: Literal[1] = Field(description="version of this format")
    family: Literal["generic"]
    driver: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")] | None = Field(
        description="the driver's name as ethtool says it; null: drivers without a file"
    )
    queues: Literal["settable", "none"] = Field(description="whether the queue count can be set")
    ring: Literal["settable", "none"] = Field(description="whether the ring depths can be set")
    xdp: Xdp
