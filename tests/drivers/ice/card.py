# SPDX-License-Identifier: Apache-2.0
"""A card and its physical functions: binding, VFs, e-switch mode, queues; every refusal by its rule."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.drivers.common.netdev import QUEUE, REDIRECT, REPRESENTOR, UPLINK, Filter, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.ice.driver import Loaded, load
from tests.drivers.ice.firmware import Firmware
from tests.drivers.ice.ntuple import Table

if TYPE_CHECKING:
    from tests.drivers.ice.machine import Machine

LEGACY, SWITCHDEV = "legacy", "switchdev"
DEFAULT_QUEUES = 16
SAFE_QUEUES = 1


def offload_on(device: NetDev, new: Filter, switchdev: bool, safe_mode: bool, lldp: bool, ours: set[int]) -> None:
    """ice_add_cls_flower and below. ours: ids of the devices of the same function."""
    if new.chain != 0:
        raise Refused("flower-chain", errno.EOPNOTSUPP)
    if lldp:
        raise Refused("flower-lldp-agent", errno.EINVAL)
    if not device.feature("hw-tc-offload"):
        words = "ice: can't apply TC flower filters, turn ON hw-tc-offload and try again"
        raise Refused("flower-offload-off", errno.EINVAL, words)
    if not new.keys and not new.protocol:
        raise Refused("flower-keys", errno.EINVAL)
    if safe_mode:
        words = "ice: Unable to add filter because driver is in safe mode"
        raise Refused("flower-safe-mode", errno.EOPNOTSUPP, words)
    if switchdev:
        if new.action == QUEUE:
            raise Refused("flower-switchdev-queue", errno.EINVAL, "ice: Unsupported action in switchdev mode")
        if new.action == REDIRECT and id(new.target) not in ours:
            words = "ice: Unsupported netdevice in switchdev mode"
            raise Refused("flower-foreign-target", errno.EINVAL, words)
    elif new.action == REDIRECT:
        raise Refused("flower-legacy-redirect", errno.EOPNOTSUPP, "ice: Unsupported TC action")


@dataclass
class Function:
    """A physical function. `name` is what udev calls its network device, once it does."""

    card: Card
    bdf: str
    port: int
    name: str
    mac: str
    vfs_max: int = 64
    queues_max: int = 32
    driver: str | None = None
    mode: str = LEGACY
    vfs: int = 0
    links: int = 0  # virtfn links that are there already
    vfs_assigned: bool = False
    adq: bool = False
    rdma: bool = False
    lldp: bool = False
    loaded: Loaded | None = None
    device: NetDev | None = None
    representors: list[NetDev] = field(default_factory=list)
    table: Table = field(default_factory=lambda: Table(lambda line: None))

    @property
    def machine(self) -> Machine:
        return self.card.machine

    @property
    def handle(self) -> str:
        return f"pci/{self.bdf}"

    @property
    def safe_mode(self) -> bool:
        return self.loaded is None or self.loaded.safe_mode

    @property
    def number(self) -> int:
        """The PF number that devlink and representors count by."""
        return int(self.bdf.rpartition(".")[2])

    def log(self, line: str) -> None:
        self.machine.say(f"ice {self.bdf}: {line}")

    # Binding

    def bind(self) -> None:
        """Probe: a package is looked for, then there is a network device. What was set before is gone."""
        if self.driver is not None:
            raise Refused("bind-bound", errno.EBUSY)
        self.driver = "ice"
        machine = self.machine
        self.loaded = load(self.card.firmware, self.bdf, self.card.dsn, machine.search, self.log)
        self.mode, self.vfs, self.links, self.representors = LEGACY, 0, 0, []
        self.table = Table(self.log, ether=machine.has_ether_flows, on=not self.safe_mode)
        count, most = (SAFE_QUEUES, SAFE_QUEUES) if self.safe_mode else (DEFAULT_QUEUES, self.queues_max)
        device = NetDev(machine.free_name("eth"), UPLINK, self.mac, self.bdf, queues=count, queues_max=most)
        self.device = device
        machine.plug(device)
        machine.later("netdev-late", lambda: machine.rename(device, self.name))

    def unbind(self) -> None:
        """Remove: VFs, mode, filters and the network device go with the driver."""
        if self.driver is None:
            raise Refused("unbind-unbound", errno.ENODEV)
        if self.driver == "ice":
            had = self.vfs or self.mode != LEGACY or self.table.flows or (self.device and self.device.filters)
            if had:
                bite("unbind-drops-all")
            self._drop_vfs()
            self.mode = LEGACY
            if self.device is not None:
                self.machine.unplug(self.device)
            self.device, self.loaded = None, None
            self.table = Table(self.log)
        self.driver = None
        self.card.let_go()

    def _bound(self) -> NetDev:
        if self.driver != "ice" or self.device is None:
            raise Refused("no-driver", errno.ENODEV)
        return self.device

    # Virtual functions

    def set_vfs(self, count: int) -> None:
        """A write to sriov_numvfs."""
        if count > self.vfs_max:
            raise Refused("vfs-over-total", errno.ERANGE)
        if count == self.vfs:
            return
        if self.driver != "ice":
            self.machine.say(f"pci {self.bdf}: no driver bound to device; cannot configure SR-IOV")
            raise Refused("vfs-no-driver", errno.ENOENT)
        if count and self.vfs:
            self.machine.say(
                f"ice {self.bdf}: {self.vfs} VFs already enabled. Disable before enabling {count} VFs",
            )
            raise Refused("vfs-through-zero", errno.EBUSY)
        if self.safe_mode:
            self.log("SR-IOV cannot be configured - Device is in Safe Mode")
            raise Refused("vfs-safe-mode", errno.EOPNOTSUPP)
        if not count:
            if self.vfs_assigned:
                self.log("can't free VFs because some are assigned to VMs.")
                raise Refused("vfs-assigned", errno.EBUSY)
            self._drop_vfs()
            return
        self.log(f"Enabling {count} VFs")
        self.vfs = count
        self.machine.later("vf-links-late", self._show_links)
        if self.mode == SWITCHDEV:
            self.machine.later("representors-late", self._show_representors)

    def _show_links(self) -> None:
        self.links = self.vfs

    def _show_representors(self) -> None:
        machine = self.machine
        uplink = self._bound()
        for vf in range(len(self.representors), self.vfs):
            mac = f"{self.mac[:-5]}{0x10 + self.port:02x}:{0x80 + vf:02x}"
            made = NetDev(machine.free_name("eth"), REPRESENTOR, mac, self.bdf, vf)
            self.representors.append(made)
            machine.plug(made)
            machine.rename(made, f"{uplink.name[:10]}_{vf}")

    def _drop_vfs(self) -> None:
        for device in self.representors:
            self.machine.unplug(device)
        self.machine.forget({"vf-links-late", "representors-late"}, self)
        self.vfs, self.links, self.representors = 0, 0, []

    # E-switch and reload

    def set_mode(self, mode: str) -> str:
        """devlink dev eswitch set; gives the words that come with success."""
        self._bound()
        if mode == self.mode:
            return ""
        if self.vfs:
            words = "Changing eswitch mode is allowed only if there is no VFs created"
            self.log(words)
            raise Refused("mode-with-vfs", errno.EOPNOTSUPP, f"ice: {words}")
        if mode == SWITCHDEV and self.adq:
            words = (
                "Couldn't change eswitch mode to switchdev - ADQ is active. Delete ADQ configs and try again, "
                "e.g. tc qdisc del dev $PF root"
            )
            self.log(words)
            raise Refused("mode-with-adq", errno.EOPNOTSUPP, f"ice: {words}")
        self.log(f"PF {self.number} changed eswitch mode to {mode}")
        self.mode = mode
        return f"ice: Changed eswitch mode to {mode}"

    def reload(self) -> None:
        """devlink dev reload action driver_reinit: of this function alone."""
        device = self._bound()
        if self.mode == SWITCHDEV:
            words = "ice: Go to legacy mode before doing reinit"
            raise Refused("reload-switchdev", errno.EOPNOTSUPP, words)
        if self.adq:
            raise Refused("reload-adq", errno.EOPNOTSUPP, "ice: Turn off ADQ before doing reinit")
        if self.vfs:
            raise Refused("reload-vfs", errno.EOPNOTSUPP, "ice: Remove all VFs before doing reinit")
        if self.table.flows or device.filters:
            bite("reload-drops-filters")
        self.table.flows.clear()
        device.filters.clear()
        device.hook = False
        device.features["hw-tc-offload"] = False
        device.queues = min(DEFAULT_QUEUES, device.queues_max)

    # ethtool

    def driver_lines(self, device: NetDev) -> list[str]:
        """ethtool -i."""
        version = self.machine.driver_version or self.machine.release
        lines = ["driver: ice", f"version: {version}", "firmware-version: 4.50 0x8001d8b6 1.3682.0"]
        lines += ["expansion-rom-version: ", f"bus-info: {self.bdf}"]
        can = ("statistics", "test", "eeprom-access", "register-dump", "priv-flags")
        return lines + [f"supports-{what}: yes" for what in can]

    def feature(self, device: NetDev, name: str) -> tuple[bool, bool]:
        """Whether one is on, and whether it can be changed."""
        if name == "ntuple-filters":
            pf = device.kind == UPLINK
            return pf and self.table.on, pf and not self.safe_mode
        return device.feature(name), not self.safe_mode

    def set_feature(self, device: NetDev, name: str, on: bool) -> None:
        """ethtool -K."""
        if name == "ntuple-filters":
            self.table.switch(on)
            return
        if not on and any(one.in_hw for one in device.filters):
            bite("offload-off-with-rules")
        device.features[name] = on

    def private_flags(self) -> dict[str, bool] | None:
        """ethtool --show-priv-flags."""
        if self.safe_mode:
            return None
        return {"link-down-on-close": False, "fw-lldp-agent": self.lldp, "vf-true-promisc-support": False}

    @property
    def classifies(self) -> bool:
        """Whether there is flow classification at all."""
        return not self.safe_mode

    # Queues and rules

    def set_queues(self, count: int) -> None:
        """ethtool -L combined."""
        device = self._bound()
        self.check_queues()
        if count < 1 or count > device.queues_max:
            words = "requested channel count exceeds maximum"
            raise Refused("queues-over", errno.EINVAL, words)
        device.queues = count

    def check_queues(self) -> None:
        """What refuses any change of the number of queues."""
        if self.safe_mode:
            raise Refused("queues-safe-mode", errno.EOPNOTSUPP)
        if self.adq:
            self.log("Cannot set channels with ADQ configured.")
            raise Refused("queues-adq", errno.EOPNOTSUPP)
        if self.table.flows:
            self.log("Cannot set channels when Flow Director filters are active")
            raise Refused("queues-with-filters", errno.EOPNOTSUPP)
        if self.rdma:
            self.log("Cannot change channels when RDMA is active")
            raise Refused("queues-rdma", errno.EBUSY)

    def check_classifier(self) -> None:
        """Flow classification does not exist in safe mode."""
        self._bound()
        if self.safe_mode:
            raise Refused("ntuple-safe-mode", errno.EOPNOTSUPP)

    def offload(self, device: NetDev, new: Filter) -> None:
        """Whether hardware takes a filter on the uplink or on one of the representors."""
        ours = {id(one) for one in self.representors} | {id(self.device)}
        offload_on(device, new, self.mode == SWITCHDEV, self.safe_mode, self.lldp, ours)
        if new.queue is not None and self.device is not None and new.queue >= self.device.queues:
            words = "ice: Unable to add filter because specified queue is invalid"
            raise Refused("flower-queue-range", errno.EINVAL, words)


@dataclass
class Card:
    """One card; its functions share firmware and serial number."""

    machine: Machine
    dsn: int
    firmware: Firmware = field(default_factory=Firmware)
    functions: list[Function] = field(default_factory=list)

    @property
    def serial(self) -> str:
        """As devlink prints it."""
        text = f"{self.dsn:016x}"
        return "-".join(text[at : at + 2] for at in range(0, 16, 2))

    def add(self, bdf: str, name: str, mac: str, **more: object) -> Function:
        function = Function(self, bdf, len(self.functions), name, mac)
        for key, value in more.items():
            setattr(function, key, value)
        self.functions.append(function)
        return function

    def let_go(self) -> None:
        """A package leaves the card when no function of it is bound to ice any more."""
        if not any(function.driver == "ice" for function in self.functions):
            self.firmware.reset()
