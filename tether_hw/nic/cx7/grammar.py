# SPDX-License-Identifier: Apache-2.0
"""The strict grammar of this family's rendered files: what it does not know word for word does not travel. Pure."""

from __future__ import annotations

import json
import re

_MAC = r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}"
_PCI = r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_SIM = r"netdevsim(?:0|[1-9][0-9]{0,8})"
_HANDLE = rf"(?:pci/{_PCI}|netdevsim/{_SIM})"
_PORT = rf"{_HANDLE}/@(?:vf|sf)[0-9]{{1,10}}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
_DEV = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,14}"
_REP = r"(?:c1)?pf[0-9]{1,3}(?:vf[0-9]{1,4}|sf[0-9]{1,10})"
_NET = rf'SUBSYSTEM=="net", KERNELS=="(?:{_PCI}|{_SIM})", ATTR\{{phys_port_name\}}=="{_REP}"'

#: Suffix of a file -> what each of its lines is.
_LINES: dict[str, tuple[str, ...]] = {
    "devlink": (
        rf"dev param set {_HANDLE} name [a-z_]+ value [a-z]+ cmode runtime",
        rf"dev eswitch set {_HANDLE} mode (?:legacy|switchdev)(?: inline-mode [a-z]+)?(?: encap-mode [a-z]+)?",
        rf"port add {_HANDLE} flavour pcisf pfnum [0-7] sfnum [0-9]{{1,10}}",
        rf"port function set {_PORT} hw_addr {_MAC}",
        rf"port function set {_PORT} state active",
        rf"port function rate set {_PORT} tx_(?:max|share) [0-9]{{1,18}}bit",
    ),
    "ip": (
        rf"link set dev {_DEV} vf [0-9]{{1,3}}(?: mac {_MAC})?(?: max_tx_rate [0-9]{{1,9}})?"
        r"(?: min_tx_rate [0-9]{1,9})?",
    ),
    "mlxprivhost": (rf"-d {_PCI} [rp]",),
    "mlxconfig": (rf"-d {_PCI} -y set(?: [A-Z][A-Z0-9_]{{0,63}}=[A-Za-z0-9_.:-]{{1,64}})+",),
    "rules": (
        rf"# {_NAME}: names of its representors by what they are to the card, and no other manager for them",
        rf'ACTION=="add\|change\|move", {_NET}, ENV\{{NM_UNMANAGED\}}="1"',
        rf'ACTION=="add", {_NET}, NAME="{_DEV}"',
        rf'ACTION=="add\|change\|move", SUBSYSTEM=="net", ATTR\{{address\}}=="{_MAC}", ENV\{{NM_UNMANAGED\}}="1"',
    ),
    "conf": (
        rf"# {_NAME}: NetworkManager leaves its functions alone",
        r"\[keyfile\]",
        rf"unmanaged-devices\+=(?:mac:{_MAC}|interface-name:{_DEV})(?:;(?:mac:{_MAC}|interface-name:{_DEV}))*",
    ),
    "network": (
        rf"# {_NAME}: systemd-networkd leaves its functions alone",
        r"\[Match\]",
        rf"MACAddress={_MAC}(?: {_MAC})*",
        rf"Name={_DEV}(?: {_DEV})*",
        r"",
        r"\[Link\]",
        r"Unmanaged=yes",
    ),
    "link": (
        rf"# {_NAME}: the function with this address keeps it, and has a name of its own",
        r"\[Match\]",
        rf"MACAddress={_MAC}",
        r"",
        r"\[Link\]",
        rf"Name={_DEV}",
        r"MACAddressPolicy=none",
    ),
    "args": (
        rf"-a {_PCI},dv_flow_en=1",
        r"-- --rxq=[0-9]{1,4} --txq=[0-9]{1,4} --flow-isolate-all",
    ),
    "testpmd": (
        r"flow list 0",
        rf"flow flex_item create 0 0 {_NAME}\.json",
        r"set flex_pattern [0-9]{1,3} spec [0-9a-f]{8} mask [0-9a-f]{8}",
        r"flow create 0 ingress(?: group [0-9]{1,9})? pattern eth[a-z0-9: ]* / "
        r"(?:vlan vid is [0-9]{1,4} inner_type is 0x[0-9a-f]{4} / |flex item is 0 pattern is [0-9]{1,3} / )?end "
        r"actions (?:queue index [0-9]{1,5}|drop|jump group [0-9]{1,9}) / end",
    ),
}
_COMPILED = {suffix: [re.compile(rf"(?:{line})\Z") for line in lines] for suffix, lines in _LINES.items()}


class FileError(ValueError):
    """A rendered file with a line that does not belong there."""


def check_file(name: str, text: str) -> None:
    """Raises FileError."""
    suffix = name.rpartition(".")[2]
    if suffix == "json":
        json.loads(text)
        return
    if suffix not in _COMPILED:
        raise FileError(f"{name}: nobody knows what is in such a file")
    if not text.endswith("\n") or not text.isascii():
        raise FileError(f"{name}: expected lines of plain characters, each with an end")
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if not any(pattern.match(line) for pattern in _COMPILED[suffix]):
            raise FileError(f"{name}:{number}: this line does not belong here")
