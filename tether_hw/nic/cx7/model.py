# SPDX-License-Identifier: Apache-2.0
"""The part of an inventory that a NIC of the family `cx7` is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, field_validator, model_validator

from tether_hw.nic.model import Mac, Model
from tether_hw.nic.nic import Device, Nic
from tether_hw.nic.steering.model import Steering
from tether_hw.nic.units import RateBps

MOST_VFS = 256
#: Drivers count the rates of functions in whole Mbit/s.
RATE_STEP = 10**6
_NO_ADDRESS = "00:00:00:00:00:00"


def _setting(value: Any) -> Any:
    """A setting as firmware counts it: true is 1."""
    return str(int(value)) if isinstance(value, int) and value >= 0 else value


Setting = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")],
    BeforeValidator(_setting),
    WithJsonSchema({"type": ["string", "integer", "boolean"], "pattern": "^[A-Za-z0-9_.:-]{1,64}$", "minimum": 0}),
]
SettingName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]


class Cx7Device(Device):
    """How the function is found: by name, mac, pci or devlink, or by the card's serial and the port on it."""

    serial: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{4,32}$")] | None = Field(
        None, description="the card's serial number, as `devlink dev info` shows it"
    )
    port: int | None = Field(None, ge=0, le=7, description="the port of the card, which goes with serial")
    devlink: Annotated[str, Field(pattern=r"^netdevsim/netdevsim(0|[1-9][0-9]{0,8})$")] | None = Field(
        None, description="a device of netdevsim, as devlink names it"
    )

    @model_validator(mode="after")
    def _one(self) -> Cx7Device:
        if sum(value is not None for value in (self.name, self.mac, self.pci, self.serial, self.devlink)) != 1:
            raise ValueError("expected exactly one of name, mac, pci, devlink, serial")
        if (self.serial is None) != (self.port is None):
            raise ValueError("serial and port go together: the card, and which of its ports")
        return self


class Attributes(Model):
    """What a virtual function or subfunction is told; what is left out is left as it is."""

    address: Mac | None = Field(None, description="its hardware address")
    tx_max: RateBps | None = Field(None, description="the most that it may send, in whole Mbit/s")
    tx_share: RateBps | None = Field(None, description="what it may send in any case, in whole Mbit/s")

    @field_validator("address")
    @classmethod
    def _unicast(cls, value: str | None) -> str | None:
        if value is not None and (value == _NO_ADDRESS or int(value[:2], 16) & 1):
            raise ValueError("expected the address of one station")
        return value

    @field_validator("tx_max", "tx_share")
    @classmethod
    def _whole(cls, value: int | None) -> int | None:
        if value is not None and value % RATE_STEP:
            raise ValueError("expected whole Mbit/s: drivers count no finer")
        return value

    @model_validator(mode="after")
    def _room(self) -> Attributes:
        if self.tx_max is not None and self.tx_share is not None and self.tx_share > self.tx_max:
            raise ValueError("tx_share is more than tx_max")
        return self

    def told(self) -> dict[str, Any]:
        """What it is told, as facts spell it: rates in bytes a second."""
        rates = {name: rate // 8 for name in ("tx_max", "tx_share") if (rate := getattr(self, name)) is not None}
        return ({} if self.address is None else {"address": self.address}) | rates


class Vf(Attributes):
    """A virtual function."""


class Sf(Attributes):
    """A subfunction. Its number is its identity."""

    number: int = Field(ge=0, le=2**31 - 1, description="the user's number of it (sfnum)")


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else "count"


Vfs = Annotated[
    Annotated[Annotated[int, Field(ge=0, le=MOST_VFS)], Tag("count")]
    | Annotated[Annotated[list[Vf], Field(max_length=MOST_VFS)], Tag("list")],
    Discriminator(_shape),
]


class Params(Model):
    """Parameters of the driver that it takes in legacy mode, while it runs."""

    esw_multiport: bool | None = Field(None, description="one switch for both ports; for experiments")
    esw_port_metadata: bool | None = Field(
        None, description="false: up to a fifth more packets, and no bond over two ports"
    )

    def told(self) -> dict[str, str]:
        """Parameter -> value, as devlink spells it."""
        return {name: str(value).lower() for name, value in self.model_dump().items() if value is not None}


class SwitchNic(Nic):
    """A port with a switch of mlx5's kind: its firmware's settings, switch, functions and rules."""

    device: Cx7Device
    psid: Annotated[str, Field(pattern=r"^[A-Z0-9_]{4,16}$")] | None = Field(
        None, description="the kind of card that it must be, by its PSID"
    )
    mode: Literal["kernel", "dpdk"] = Field("kernel", description="who carries frames; mlx5_core stays in both")
    steering_mode: Literal["dmfs", "smfs"] | None = Field(
        None, description="who writes rules into the card: its firmware, or the driver; left as it is when left out"
    )
    params: Params = Params()
    eswitch: Literal["legacy", "switchdev"] | None = Field(None, description="left as it is when left out")
    inline: Literal["none", "link", "network", "transport"] | None = Field(
        None, description="how much of each frame's headers VFs hand over; left as it is when left out"
    )
    encap: Literal["none", "basic"] | None = Field(
        None, description="whether tunnels go into hardware; left as it is when left out"
    )
    vfs: Vfs | None = Field(None, description="how many virtual functions, or what each is; left as they are otherwise")
    sfs: list[Sf] | None = Field(None, max_length=1024, description="subfunctions; left as they are when left out")
    nv: dict[SettingName, Setting] = Field(
        default_factory=dict, description="settings in the card's memory, which its firmware reads when it starts"
    )
    steering: Steering | None = Field(
        None, description="rules, and a demand that lanes be steered; the best that the host can do when left out"
    )

    @property
    def own_carrier(self) -> str | None:
        """dpdk where the kernel does not carry its frames."""
        return "dpdk" if self.mode == "dpdk" else self.carrier

    @property
    def vf_count(self) -> int | None:
        """How many virtual functions it shall have."""
        return len(self.vfs) if isinstance(self.vfs, list) else self.vfs

    def settings(self) -> tuple[str, ...]:
        """The settings in its card's memory that it says something of."""
        return tuple(sorted(self.nv))

    def lane_functions(self) -> list[str]:
        """In switchdev lanes that name no queues are on VF 0, where there is one."""
        named = super().lane_functions()
        if named or self.lanes is None or self.lanes.on is not None or self.lanes.queues is not None:
            return named
        beside = self.eswitch == "switchdev" and self.vf_count and self.device.devlink is None
        return ["vf0"] if beside and self.own_carrier in (None, "auto", "af_xdp") else []

    def lane_problems(self) -> list[tuple[tuple[str | int, ...], str, str]]:
        """A function that carries a lane is there, is nobody else's, and has the lane's address."""
        found: list[tuple[tuple[str | int, ...], str, str]] = []
        functions, on = self.lane_functions(), ("lanes", "on")
        sfs = {f"sf{sf.number}": at for at, sf in enumerate(self.sfs or ())}
        for number, name in enumerate(functions):
            if name in functions[:number]:
                found.append((on, f"{name} is there twice", "a function carries one lane"))
            if name.startswith("sf") and name not in sfs:
                found.append((on, f"{name} is not in sfs", f"sfs: [{{number: {name[2:]}}}]"))
            if name.startswith("vf") and self.vf_count is not None and int(name[2:]) >= self.vf_count:
                found.append((on, f"{name} of {self.vf_count} VFs", f"vfs: {int(name[2:]) + 1}"))
            at = sfs.get(name, int(name[2:])) if name.startswith("vf") or name in sfs else None
            listed = (self.sfs if name.startswith("sf") else self.vfs) if at is not None else None
            if isinstance(listed, list) and at is not None and at < len(listed) and listed[at].address is not None:
                where = (name[:2] + "s", at, "address")
                found.append((where, f"{name} carries a lane, whose address it has", "leave address out"))
        if functions and self.mode == "dpdk":
            found.append((on, "in mode dpdk lanes are on the port's own queues", "say on: pf"))
        if functions and self.device.devlink is not None:
            found.append((on, "functions of netdevsim have no device that could carry a lane", "say on: pf"))
        return found

    def vfs_told(self) -> dict[str, dict[str, Any]]:
        """VF -> what it is told."""
        told = enumerate(self.vfs) if isinstance(self.vfs, list) else ()
        return {str(number): vf.told() for number, vf in told}

    def sfs_told(self) -> dict[str, dict[str, Any]]:
        """SF -> what it is told."""
        return {str(sf.number): sf.told() for sf in self.sfs or ()}


class Cx7Nic(SwitchNic):
    """A port of a ConnectX card, or a device of netdevsim."""

    family: Literal["cx7"]
