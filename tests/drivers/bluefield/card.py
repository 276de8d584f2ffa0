# SPDX-License-Identifier: Apache-2.0
"""A port of the card as the Arm sees it, and as the host does."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from tests.drivers.bluefield.chip import NIC, Chip
from tests.drivers.common.netdev import REPRESENTOR, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.mlx5.card import DRIVER, LATE, SWITCHDEV, Function
from tests.drivers.mlx5.virtual import Sf, Target, Vf

EXTERNAL = 1  # the controller that is the host
PRE_INIT = "mlx5_function_setup:987:(pid 211): Firmware over 120000 MS in pre-initializing state, aborting"


@dataclass
class Port(Function):
    """What both sides have."""

    @property
    def chip(self) -> Chip:
        return self.card.chip  # type: ignore[attr-defined, no-any-return]

    @property  # type: ignore[misc]
    def virtuals(self) -> list[Vf]:
        """Those of the host, whoever looks: the Arm has none of its own."""
        return self.chip.virtuals[self.port]

    @virtuals.setter
    def virtuals(self, made: list[Vf]) -> None:
        self.chip.virtuals[self.port] = made


@dataclass
class Embedded(Port):
    """At the Arm: it owns the e-switch. host: the representor of the host's own function."""

    host: NetDev | None = None

    @property
    def vfs_max(self) -> int:
        return 0

    def controller_of(self, target: Target) -> int:
        return 0 if isinstance(target, Sf) else EXTERNAL

    def port_name(self, device: NetDev) -> str:
        if device.kind != REPRESENTOR or device.sf is not None:
            return super().port_name(device)
        return f"c{EXTERNAL}pf{self.number}" + ("" if device.vf is None else f"vf{device.vf}")

    def _set_mode(self, mode: str) -> None:
        held = [(vf, vf.driver) for vf in self.virtuals]
        for vf, _ in held:
            vf.driver = None  # who has them at the host is nothing that the Arm knows
        links, self.links = self.links, self.vfs
        try:
            before = self.mode
            super()._set_mode(mode)
            if before != mode and self.mode == SWITCHDEV:
                self.show_host()
        finally:
            self.links = links
            for vf, driver in held:
                vf.driver = driver

    def show_host(self) -> None:
        mac = f"{self.mac[:-5]}{0x50 + self.port:02x}:00"
        self.host = self.represent(mac, None, None)
        self.machine.rename(self.host, f"{self.bound().name[:7]}hpf")

    def more_ports(self) -> dict[int, dict[str, object]]:
        if self.host is None:
            return {}
        entry: dict[str, object] = {"type": "eth", "netdev": self.host.name, "flavour": "pcipf"}
        entry |= {"controller": EXTERNAL, "pfnum": self.number, "external": True, "splittable": False}
        address = self.chip.server.ports[self.port].mac
        return {self.port << 16: {**entry, "function": {"hw_addr": address, "roce": "enable"}}}

    def host_changed(self) -> None:
        """The host made VFs."""
        if self.driver == DRIVER and self.mode == SWITCHDEV and self.virtuals:
            self.machine.later("host-vfs-late", self.show_representors)

    def show_representors(self) -> None:
        if self.driver == DRIVER and self.mode == SWITCHDEV:
            super().show_representors()

    def host_drops(self) -> None:
        """The host's VFs go; what stood for them goes too."""
        self.machine.forget(LATE | {"host-vfs-late"}, self)
        for vf in self.virtuals:
            if vf.representor is not None:
                if any(one.target is vf.representor for one in self.flows):
                    bite("host-takes-targets")
                self.machine.unplug(vf.representor)
                vf.representor = None

    def drop_vfs(self) -> None:
        self.host_drops()

    def drop_ports(self) -> None:
        super().drop_ports()
        if self.host is not None:
            self.machine.unplug(self.host)
            self.host = None


@dataclass
class Outer(Port):
    """At the host: its functions, without a say over the e-switch unless the card is in NIC mode."""

    @property
    def embedded(self) -> bool:
        """Whether the Arm has the e-switch."""
        return self.chip.mode != NIC

    @property
    def other(self) -> Embedded:
        """The same port at the Arm."""
        return self.chip.arm.ports[self.port]

    def bind(self) -> None:
        missing = self.missing() if self.driver is None else None
        if missing is not None:
            self.log(PRE_INIT)
            raise Refused(missing, errno.ETIMEDOUT)
        super().bind()

    def begin(self) -> None:
        super().begin()
        if self.embedded:
            self.steering = "dmfs"

    def missing(self) -> str | None:
        """The rule by which firmware keeps a host's driver out."""
        arm = self.chip.arm.ports
        if not self.embedded or all(port.driver == DRIVER and port.mode == SWITCHDEV for port in arm):
            return None
        return "host-needs-both" if all(port.driver == DRIVER for port in arm) else "host-before-arm"

    def set_vfs(self, count: int) -> None:
        super().set_vfs(count)
        if self.embedded and count:
            self.other.host_changed()

    def drop_vfs(self) -> None:
        if self.embedded:
            self.other.host_drops()
        super().drop_vfs()

    @property
    def manages(self) -> bool:
        if self.embedded:
            bite("host-eswitch")
        return not self.embedded

    def set_eswitch(self, mode: str | None, inline: str | None, encap: str | None) -> None:
        self.bound()
        if not self.manages:
            raise Refused("host-eswitch", errno.EPERM)
        super().set_eswitch(mode, inline, encap)

    @property
    def tells_virtual(self) -> bool:
        return not self.embedded

    def check_virtual(self) -> None:
        if self.embedded:
            raise Refused("host-vf-attributes", errno.EPERM)

    def set_param(self, name: str, value: str) -> None:
        if self.embedded and name == "flow_steering_mode" and value == "smfs":
            self.bound()
            words = "mlx5_core: Software managed steering is not supported by current device"
            raise Refused("host-steering", errno.EOPNOTSUPP, words)
        super().set_param(name, value)

    @property
    def params(self) -> tuple[str, ...]:
        return ("flow_steering_mode",) if self.embedded else super().params
