# SPDX-License-Identifier: Apache-2.0
"""The part of an inventory that a NIC of the family `bluefield` is: a port of a card, at one of its two sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator
from pydantic.json_schema import SkipJsonSchema

from tether_hw.nic.cx7.model import Cx7Device, SwitchNic

Mode = Literal["dpu", "nic", "zero-trust"]
Side = Literal["arm", "host"]
#: The setting that says whether the Arm has the switch, and its values.
ENGINE = "INTERNAL_CPU_OFFLOAD_ENGINE"
ENGINE_OF: dict[str, str] = {"dpu": "0", "zero-trust": "0", "nic": "1"}
#: Before the inventory's cards are known: no device has this.
_NOWHERE = Cx7Device.model_construct(serial="", port=0)


@dataclass(frozen=True)
class Seat:
    """Where a port stands: its card's name, what that shall be, at which side, and who the sides are."""

    card: str
    mode: Mode
    side: Side
    arm: str
    host: str
    reboots: int

    @property
    def holder(self) -> Side:
        """The side that has the switch and the settings in the card's memory."""
        return "host" if self.mode == "nic" else "arm"

    @property
    def holds(self) -> bool:
        """Whether this is that side."""
        return self.side == self.holder

    @property
    def other(self) -> str:
        """The host that is the other side."""
        return self.host if self.side == "arm" else self.arm


class BluefieldNic(SwitchNic):
    """A port of a BlueField card, as one of its two sides has it."""

    family: Literal["bluefield"]
    card: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="its card, one of `cards`")
    port: int = Field(ge=0, le=1, description="the port of the card")
    device: SkipJsonSchema[Cx7Device] = _NOWHERE
    _seat: Seat | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _no_device(cls, value: Any) -> Any:
        if isinstance(value, dict) and "device" in value:
            raise ValueError("a port of a card is named by card and port: leave device out")
        return value

    @property
    def seat(self) -> Seat:
        """Where it stands; known of every NIC of a loaded inventory."""
        assert self._seat is not None
        return self._seat

    def seated(self, seat: Seat, serial: str, psid: str | None, nv: dict[str, str]) -> BluefieldNic:
        """The same NIC with what its card says; nv: settings that are the card's and set here."""
        device = Cx7Device(serial=serial, port=self.port)
        made = self.model_copy(update={"device": device, "psid": psid or self.psid, "nv": {**nv, **self.nv}})
        made._seat = seat
        return made

    def settings(self) -> tuple[str, ...]:
        """The settings in its card's memory that are of interest: which mode it is in always is."""
        return tuple(sorted({*self.nv, ENGINE}))
