# SPDX-License-Identifier: Apache-2.0
"""A card and its physical functions: binding, VFs, e-switch, parameters, reload; every refusal by its rule."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.drivers.common.netdev import REPRESENTOR, UPLINK, VIRTUAL, Filter, NetDev
from tests.drivers.common.rules import Refused, bite
from tests.drivers.mlx5.firmware import Firmware
from tests.drivers.mlx5.flows import Table, offload_on
from tests.drivers.mlx5.virtual import MBIT, NO_ADDRESS, Vf

if TYPE_CHECKING:
    from tests.drivers.mlx5.machine import Machine
    from tests.drivers.mlx5.virtual import Sf, Target

LEGACY, SWITCHDEV = "legacy", "switchdev"
DRIVER = "mlx5_core"
RUNTIME = ("flow_steering_mode", "esw_port_metadata")
PCI_RESET, WARM_REBOOT = 3, 4
DEFAULT_QUEUES, MOST_QUEUES = 16, 63
RING = {"rx": 1024, "tx": 1024}
LATE = {"vf-links-late", "representors-late", "sf-attach-late"}


@dataclass
class Function:
    """A physical function. `name` is what udev calls its network device, once it does. speed: Mbit/s."""

    card: Card
    bdf: str
    port: int
    name: str
    mac: str
    speed: int = 200_000
    driver: str | None = None
    mode: str = LEGACY
    inline: str = "none"
    encap: str = "basic"
    steering: str = "smfs"
    metadata: bool = True
    autoprobe: bool = True
    virtuals: list[Vf] = field(default_factory=list)
    sfs: dict[int, Sf] = field(default_factory=dict)
    links: int = 0  # virtfn links that are there already
    vfs_assigned: bool = False
    lag: bool = False
    ipsec: bool = False
    traps: bool = False
    socket_direct: bool = False
    fails_reload: bool = False
    reload_failed: bool = False
    device: NetDev | None = None
    made: int = 0  # how often representors were made
    table: Table = field(default_factory=lambda: Table(lambda line: None))

    @property
    def machine(self) -> Machine:
        return self.card.machine

    @property
    def handle(self) -> str:
        return f"pci/{self.bdf}"

    @property
    def vfs(self) -> int:
        return len(self.virtuals)

    @property
    def vfs_max(self) -> int:
        return self.card.firmware.total_vfs

    @property
    def number(self) -> int:
        """The PF number that devlink and representors count by."""
        return int(self.bdf.rpartition(".")[2])

    @property
    def representors(self) -> list[NetDev]:
        targets: list[Target] = [*self.virtuals, *self.sfs.values()]
        return [one.representor for one in targets if one.representor is not None]

    def controller_of(self, target: Target) -> int:
        """Where what a port stands for lives: 0 is here."""
        return 0

    def port_name(self, device: NetDev) -> str:
        """phys_port_name of one of its devices."""
        if device.kind != REPRESENTOR:
            return f"p{self.port}"
        return f"pf{self.number}vf{device.vf}" if device.sf is None else f"pf{self.number}sf{device.sf}"

    @property
    def params(self) -> tuple[str, ...]:
        """Those of devlink that it has."""
        return RUNTIME

    def more_ports(self) -> dict[int, dict[str, object]]:
        """Ports of devlink beside the uplink's and those of VFs and SFs, by index."""
        return {}

    @property
    def manages(self) -> bool:
        """Whether it has a say over the e-switch."""
        return True

    @property
    def tells_virtual(self) -> bool:
        """Whether ip shows what VFs are."""
        return True

    def check_virtual(self) -> None:
        """Whether its network device has a say over what VFs are."""

    @property
    def flows(self) -> list[Filter]:
        """Those of tc that are in hardware."""
        devices = [*([self.device] if self.device is not None else []), *self.representors]
        return [one for device in devices for one in device.filters if one.in_hw]

    def log(self, line: str) -> None:
        self.machine.say(f"mlx5_core {self.bdf}: {line}")

    # Binding

    def bind(self) -> None:
        if self.driver is not None:
            raise Refused("bind-bound", errno.EBUSY)
        self.driver = DRIVER
        self.begin()

    def begin(self) -> None:
        """Probe: legacy, with nothing of what was set before."""
        machine = self.machine
        self.mode, self.inline, self.encap, self.steering, self.metadata = LEGACY, "none", "basic", "smfs", True
        self.table = Table(self.log)
        self.reload_failed = False
        device = NetDev(machine.free_name("eth"), UPLINK, self.mac, self.bdf, queues_max=MOST_QUEUES)
        device.queues, device.ring, device.ring_max = DEFAULT_QUEUES, dict(RING), {"rx": 8192, "tx": 8192}
        self.device = device
        machine.plug(device)
        machine.later("netdev-late", lambda: machine.rename(device, self.name))

    def unbind(self) -> None:
        """Remove: VFs, SFs, mode, rules and the network device go with the driver."""
        if self.driver is None:
            raise Refused("unbind-unbound", errno.ENODEV)
        self.end()
        self.driver = None

    def end(self) -> None:
        """All that lives while the driver does."""
        self.drop_vfs()
        self.drop_ports()
        self.mode = LEGACY
        if self.device is not None:
            self.machine.unplug(self.device)
        self.device = None
        self.table = Table(self.log)

    def bound(self) -> NetDev:
        if self.driver != DRIVER or self.device is None:
            raise Refused("no-driver", errno.ENODEV)
        return self.device

    # Virtual functions

    def set_vfs(self, count: int) -> None:
        """A write to sriov_numvfs."""
        if count > self.vfs_max:
            raise Refused("vfs-over-total", errno.ERANGE)
        if count == self.vfs:
            return
        if self.driver != DRIVER:
            self.machine.say(f"pci {self.bdf}: no driver bound to device; cannot configure SR-IOV")
            raise Refused("vfs-no-driver", errno.ENOENT)
        if count and self.vfs:
            words = f"{self.vfs} VFs already enabled. Disable before enabling {count} VFs"
            self.machine.say(f"mlx5_core {self.bdf}: {words}")
            raise Refused("vfs-through-zero", errno.EBUSY)
        if not count:
            if self.vfs_assigned:
                self.log("can't disable sriov, VFs are assigned")
                raise Refused("vfs-assigned", errno.EPERM)
            self.drop_vfs()
            return
        self.virtuals = [Vf(number) for number in range(count)]
        self.machine.later("vf-links-late", self._show_links)
        if self.mode == SWITCHDEV:
            self.machine.later("representors-late", self.show_representors)

    def _show_links(self) -> None:
        self.links = self.vfs
        for vf in self.virtuals:
            if self.autoprobe:
                self.take(vf)

    def take(self, vf: Vf) -> None:
        """A driver takes a VF, and reads its address once."""
        if vf.driver is not None:
            raise Refused("bind-bound", errno.EBUSY)
        vf.driver = DRIVER
        own = f"{self.mac[:-5]}{0x20 + self.port:02x}:{vf.number:02x}"
        vf.found = vf.address if vf.address != NO_ADDRESS else own
        vf.device = NetDev(self.machine.free_name("eth"), VIRTUAL, vf.found, None, vf.number)
        self.machine.plug(vf.device)

    def leave(self, vf: Vf) -> None:
        """Its driver leaves it."""
        if vf.driver is None:
            raise Refused("unbind-unbound", errno.ENODEV)
        if vf.device is not None:
            self.machine.unplug(vf.device)
        vf.driver, vf.found, vf.device = None, None, None

    def show_representors(self) -> None:
        machine, uplink = self.machine, self.bound()
        missing = [vf for vf in self.virtuals if vf.representor is None]
        self.made += bool(missing)
        if self.made > 1:
            bite("names-change")
        for vf in missing:
            mac = f"{self.mac[:-5]}{0x10 + self.port:02x}:{0x80 + vf.number:02x}"
            vf.representor = self.represent(mac, vf.number, None)
            machine.rename(vf.representor, f"{uplink.name[:7]}g{self.made}r{vf.number}")

    def represent(self, mac: str, vf: int | None, sf: int | None) -> NetDev:
        made = NetDev(self.machine.free_name("eth"), REPRESENTOR, mac, self.bdf, vf, sf)
        made.features["hw-tc-offload"] = self.machine.has_flower
        self.machine.plug(made)
        return made

    def drop_vfs(self) -> None:
        for vf in self.virtuals:
            for device in (vf.representor, vf.device):
                if device is not None:
                    self.machine.unplug(device)
        self.machine.forget(LATE, self)
        self.virtuals, self.links = [], 0

    def drop_ports(self) -> None:
        """What stands for VFs and SFs goes, the SFs too, and rates with their leaves."""
        for vf in self.virtuals:
            if vf.tx_max or vf.tx_share:
                bite("mode-drops")
            vf.tx_max, vf.tx_share = 0, 0
            if vf.representor is not None:
                self.machine.unplug(vf.representor)
                vf.representor = None
        for sf in list(self.sfs.values()):
            bite("mode-drops")
            for device in (sf.representor, sf.device):
                if device is not None:
                    self.machine.unplug(device)
        self.sfs = {}

    # E-switch

    def set_eswitch(self, mode: str | None, inline: str | None, encap: str | None) -> None:
        """devlink sets one after the other; what was set before a refusal stays."""
        self.bound()
        done = mode is not None and mode != self.mode
        try:
            if mode is not None:
                self._set_mode(mode)
            if inline is not None:
                self._set_inline(inline)
            if encap is not None:
                self._set_encap(encap)
        except Refused:
            if done and self.mode == mode:
                bite("eswitch-half")
            raise

    def _set_mode(self, mode: str) -> None:
        if not self.machine.switchdev_built:
            raise Refused("mode-not-supported", errno.EOPNOTSUPP)
        if self.card.firmware.resetting:
            words = "mlx5_core: Can't change eswitch mode during firmware reset"
            raise Refused("mode-firmware-reset", errno.EBUSY, words)
        if mode == SWITCHDEV and self.socket_direct:
            words = "Can't change E-Switch mode to switchdev when multi-PF netdev (Socket Direct) is configured."
            raise Refused("mode-socket-direct", errno.EPERM, f"mlx5_core: {words[:-1]}")
        if self.flows:
            raise Refused("mode-busy", errno.EBUSY, "mlx5_core: Can't change mode, E-Switch is busy")
        if mode == self.mode:
            return
        if self.ipsec:
            words = "Can't change eswitch mode when IPsec SA and/or policies are configured"
            raise Refused("mode-ipsec", errno.EOPNOTSUPP, f"mlx5_core: {words}")
        if mode == SWITCHDEV and self.traps:
            words = "mlx5_core: Can't change mode while devlink traps are active"
            raise Refused("mode-traps", errno.EOPNOTSUPP, words)
        if self.links < self.vfs:
            self.log("mlx5_cmd_out_err: failed, status bad resource state(0x9), syndrome (0x98afbb), err(-22)")
            raise Refused("mode-while-vfs-appear", errno.EINVAL, "mlx5_core: Failed setting eswitch to offloads")
        if any(vf.driver is not None for vf in self.virtuals):
            raise Refused("mode-with-bound-vfs", errno.EBUSY)
        if mode == LEGACY:
            self.drop_ports()
        self.mode = mode
        for vf in self.virtuals:
            vf.tx_max, vf.tx_share = 0, 0
        self._new_profile(self.bound())
        if mode == SWITCHDEV and self.virtuals:
            self.machine.later("representors-late", self.show_representors)

    def _new_profile(self, device: NetDev) -> None:
        """The network device stays, and is built anew: counts, rings and rules are what they are at first."""
        if device.queues != DEFAULT_QUEUES or device.ring != RING or self.table.flows:
            bite("mode-rebuilds")
        device.queues, device.ring = DEFAULT_QUEUES, dict(RING)
        device.filters.clear()
        self.table.flows.clear()

    def _set_inline(self, inline: str) -> None:
        """A ConnectX-7 needs nothing inlined, and so takes nothing else."""
        if inline != "none":
            raise Refused("inline-fixed", errno.EOPNOTSUPP, "mlx5_core: Inline mode can't be set")

    def _set_encap(self, encap: str) -> None:
        if self.mode == SWITCHDEV and encap != self.encap and self.flows:
            words = "mlx5_core: Can't set encapsulation when flows are configured"
            raise Refused("encap-with-flows", errno.EOPNOTSUPP, words)
        self.encap = encap

    def set_param(self, name: str, value: str) -> None:
        """devlink dev param set, cmode runtime."""
        self.bound()
        if name not in self.params:
            raise ValueError(name)
        if name == "flow_steering_mode":
            if value not in ("dmfs", "smfs"):
                words = 'mlx5_core: Bad parameter: supported values are ["dmfs", "smfs"]'
                raise Refused("steering-unknown", errno.EINVAL, words)
            if value == "smfs" and self.mode == SWITCHDEV:
                words = "Software managed steering is not supported when eswitch offloads enabled"
                raise Refused("steering-in-switchdev", errno.EOPNOTSUPP, f"mlx5_core: {words}")
            self.steering = value
        else:
            if self.mode == SWITCHDEV:
                words = "mlx5_core: E-Switch must either disabled or non switchdev mode"
                raise Refused("metadata-in-switchdev", errno.EBUSY, words)
            self.metadata = value == "true"

    def reload(self, action: str) -> str:
        """devlink dev reload; gives the words that come with success."""
        self.bound()
        if self.lag:
            raise Refused("reload-lag", errno.EOPNOTSUPP, "mlx5_core: reload is unsupported in Lag mode")
        if self.sfs and self.machine.kernel < (6, 2):
            words = "mlx5_core: reload is unsupported when SFs are allocated"
            raise Refused("reload-sfs", errno.EOPNOTSUPP, words)
        if action == "fw_activate" and 3 not in self.card.firmware.levels:
            raise Refused("reload-activate", errno.EINVAL, "mlx5_core: FW activate requires reboot")
        words = "mlx5_core: reload while VFs are present is unfavorable" if self.vfs else ""
        if self.mode != LEGACY or self.vfs or self.table.flows:
            bite("reload-drops")
        self.end()
        if self.fails_reload:
            self.reload_failed = True
            raise Refused("reload-fails", errno.EIO, "mlx5_core: Failed to load device")
        if action == "fw_activate":
            self.card.firmware.start()
        self.begin()
        return words

    # ethtool

    def driver_lines(self, device: NetDev) -> list[str]:
        """ethtool -i."""
        version = self.machine.driver_version or self.machine.release
        firmware = f"firmware-version: {self.card.firmware.version} ({self.card.psid})"
        name = "mlx5e_rep" if device.kind == REPRESENTOR else DRIVER
        return [f"driver: {name}", f"version: {version}", firmware, "expansion-rom-version: ", f"bus-info: {self.bdf}"]

    def feature(self, device: NetDev, name: str) -> tuple[bool, bool]:
        """Whether one is on, and whether it can be changed."""
        if name == "ntuple-filters":
            return device.kind == UPLINK and self.table.on, device.kind == UPLINK
        return device.feature(name), True

    def set_feature(self, device: NetDev, name: str, on: bool) -> None:
        """ethtool -K."""
        if name == "ntuple-filters":
            self.table.switch(on)
            return
        if not on and any(one.in_hw for one in device.filters):
            self.log(f"{device.name}: Active offloaded tc filters, can't turn hw_tc_offload off")
            raise Refused("offload-off-with-rules", errno.EINVAL)
        device.features[name] = on

    def private_flags(self) -> dict[str, bool] | None:
        """ethtool --show-priv-flags."""
        return {"rx_cqe_moder": True, "tx_cqe_moder": False, "rx_cqe_compress": False, "skb_tx_mpwqe": True}

    @property
    def classifies(self) -> bool:
        return True

    def check_classifier(self) -> None:
        self.bound()

    def set_queues(self, count: int) -> None:
        """ethtool -L combined."""
        device = self.bound()
        if count < 1 or count > device.queues_max:
            raise Refused("queues-over", errno.EINVAL, "requested channel count exceeds maximum")
        if self.machine.kernel >= (6, 11) and any(flow.queue >= count for flow in self.table.flows.values()):
            words = "requested channel counts are too low for existing ntuple filter settings"
            raise Refused("queues-below-rules", errno.EINVAL, words)
        device.queues = count

    def check_queues(self) -> None:
        """What refuses any change of the number of queues."""
        self.bound()

    def offload(self, device: NetDev, new: Filter) -> None:
        """Whether hardware takes a filter on the uplink or on one of the representors."""
        ours = {id(one) for one in self.representors} | {id(self.device)}
        offload_on(device, new, self.mode == SWITCHDEV, ours)

    @property
    def link(self) -> int:
        """Bytes a second."""
        return self.speed * MBIT


@dataclass
class Card:
    """One card; its functions share firmware and serial number."""

    machine: Machine
    serial: str
    psid: str = "MT_0000000838"
    about: tuple[str, str, str] = (
        "ConnectX7",
        "MCX75510AAS-NEA_Ax",
        "NVIDIA ConnectX-7 adapter card; single-port OSFP",
    )
    firmware: Firmware = field(default_factory=Firmware)
    functions: list[Function] = field(default_factory=list)

    def add(self, bdf: str, name: str, mac: str) -> Function:
        function = Function(self, bdf, len(self.functions), name, mac)
        self.functions.append(function)
        return function

    # What its tools ask for

    def may_set(self) -> None:
        """Whether this host may set what the firmware starts with."""

    def check_reset(self, level: int, sync: int | None) -> None:
        """Whether the firmware lets itself be reset at this level. sync: who brings drivers down; None: the usual."""
        firmware = self.firmware
        if level not in firmware.levels:
            words = f"-E- Reset-level '{level}' is not supported in the current state of this device"
            raise Refused("reset-level", errno.EOPNOTSUPP, words)
        if level == PCI_RESET and (firmware.sync if sync is None else sync) not in firmware.syncs:
            words = "Synchronization by driver is not supported in the current state of this device"
            words = words if sync is None else f"Requested reset sync '{sync}' is not supported"
            raise Refused("reset-sync", errno.EOPNOTSUPP, f"-E- {words}")
        if level == PCI_RESET and any(function.vfs for function in self.functions):
            words = "-E- Can't reset the device while VFs are enabled, disable SR-IOV"
            raise Refused("reset-with-vfs", errno.EBUSY, words)

    def reset(self) -> None:
        """Level 3: drivers down, the firmware starts, drivers up."""
        bound = [function for function in self.functions if function.driver == DRIVER]
        for function in bound:
            function.end()
        self.firmware.start()
        for function in bound:
            function.begin()

    def at_reboot(self) -> None:
        """Level 4: it is reset when its host is."""
