# SPDX-License-Identifier: Apache-2.0
"""The part of an inventory that a NIC of the family `e810` is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tether_hw.nic.model import Model
from tether_hw.nic.nic import Device, Nic
from tether_hw.nic.steering.model import Steering

MOST_VFS = 256


def _serial(value: str) -> str:
    return value.replace("-", "")


Serial = Annotated[str, Field(pattern=r"^([0-9a-f]{16}|[0-9a-f]{2}(-[0-9a-f]{2}){7})$"), AfterValidator(_serial)]


class E810Device(Device):
    """How the function is found on its host: by name, mac or pci, or by the card's serial and the port on it."""

    serial: Serial | None = Field(None, description="the card's serial number, as `devlink dev info` shows it")
    port: int | None = Field(None, ge=0, le=7, description="the port of the card, which goes with serial")

    @model_validator(mode="after")
    def _one(self) -> E810Device:
        if sum(value is not None for value in (self.name, self.mac, self.pci, self.serial)) != 1:
            raise ValueError("expected exactly one of name, mac, pci, serial")
        if (self.serial is None) != (self.port is None):
            raise ValueError("serial and port go together: the card, and which of its ports")
        return self


class Ddp(Model):
    """The parser package of the card: a file of the user's own, which travels to the host and is checked there."""

    package: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="path of the package, beside the inventory"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="its SHA-256, which must hold")
    signature: Literal["required", "none"] = Field(
        "required", description="none: a test bed whose firmware takes packages that Intel did not sign"
    )
    extend: bool = Field(
        False, description="lay this suite's Tether part over the package; never possible with a signed one"
    )


class E810Nic(Nic):
    """A port of an Intel E800 card: its package, e-switch, virtual functions and steering rules."""

    family: Literal["e810"]
    device: E810Device
    mode: Literal["kernel", "dpdk"] = Field("kernel", description="who drives it: the kernel's ice, or DPDK's PMD")
    eswitch: Literal["legacy", "switchdev"] | None = Field(None, description="left as it is when left out")
    vfs: int | None = Field(None, ge=0, le=MOST_VFS, description="virtual functions; left as they are when left out")
    ddp: Ddp | None = Field(None, description="the card's package; left as it is when left out")
    steering: Steering | None = Field(
        None, description="rules, and a demand that lanes be steered; the best that the host can do when left out"
    )

    @property
    def own_carrier(self) -> str | None:
        """dpdk where the kernel does not drive it."""
        return "dpdk" if self.mode == "dpdk" else self.carrier

    def placed(self) -> dict[str, Any] | None:
        """What NICs of one card must agree on."""
        return None if self.ddp is None else self.ddp.model_dump()
