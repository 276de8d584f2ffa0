# SPDX-License-Identifier: Apache-2.0
"""Rules for DPDK: testpmd's flow commands, the raw pattern of the ice driver, and the engine's device arguments."""

from __future__ import annotations

from collections.abc import Iterable

from tether_hw.nic.steering.rule import DROP, GOTO, QUEUE, Rule

#: Bytes of a frame that the ice driver's raw pattern must cover at least.
RAW_BYTES = 64


class RteFlowError(ValueError):
    """A rule that this way cannot express; says why."""


def flow_command(rule: Rule, port: int) -> str:
    """A testpmd command. ice and mlx5 take an EtherType only whole, and ice MACs only whole."""
    items = []
    for key, match in (("dst", rule.destination), ("src", rule.source)):
        if match is not None:
            items.append(f"{key} is {match.address}" if match.exact else _masked(key, match.address, match.mask))
    if rule.vlan is None:
        items.append(f"type is {rule.ethertype:#06x}")
        pattern = f"eth {' '.join(items)} / end"
    else:
        ether = f"eth {' '.join(items)}".rstrip()
        pattern = f"{ether} / vlan vid is {rule.vlan} inner_type is {rule.ethertype:#06x} / end"
    group = f"group {rule.chain} " if rule.chain else ""
    return f"flow create {port} ingress {group}pattern {pattern} actions {_actions(rule)} / end"


def _masked(key: str, address: str, mask: str) -> str:
    return f"{key} spec {address} {key} mask {mask}"


def _actions(rule: Rule) -> str:
    if rule.action == QUEUE:
        return f"queue index {rule.queue}"
    if rule.action == DROP:
        return "drop"
    if rule.action == GOTO and rule.police is None:
        return f"jump group {rule.goto}"
    if rule.police is not None:
        raise RteFlowError(f"{rule.name}: a police is tc's; DPDK meters by profiles of its own")
    raise RteFlowError(f"{rule.name}: a redirect to a representor is tc's; DPDK steers to queues of its own port")


def script(rules: Iterable[Rule], port: int = 0) -> str:
    """A testpmd script: create every rule, then list them."""
    lines = [flow_command(rule, port) for rule in rules]
    return "\n".join([*lines, f"flow list {port}"]) + "\n"


def raw_command(rule: Rule, port: int) -> str:
    """The ice driver's raw pattern: spec and mask of a frame as hexadecimal text of equal length, the only item."""
    spec, mask = bytearray(RAW_BYTES), bytearray(RAW_BYTES)
    at = 0
    for match in (rule.destination, rule.source):
        if match is not None:
            spec[at : at + 6] = bytes.fromhex(match.address.replace(":", ""))
            mask[at : at + 6] = bytes.fromhex(match.mask.replace(":", ""))
        at += 6
    if rule.vlan is not None:
        spec[12:16] = (0x8100).to_bytes(2, "big") + rule.vlan.to_bytes(2, "big")
        mask[12:16] = b"\xff\xff\x0f\xff"
        at = 16
    spec[at : at + 2] = rule.ethertype.to_bytes(2, "big")
    mask[at : at + 2] = b"\xff\xff"
    pattern = f"raw pattern spec {spec.hex()} pattern mask {mask.hex()} / end"
    return f"flow create {port} ingress pattern {pattern} actions {_actions(rule)} / end"


def device_arguments(pci: str, *, ddp_package: str | None = None, safe_mode: bool = False) -> str:
    """What `-a` of an EAL takes for one E810 port."""
    words = [pci]
    if ddp_package is not None:
        if any(character in ddp_package for character in ",=\n "):
            raise RteFlowError(
                f"{ddp_package!r}: a path with a comma, an equals sign or a space cannot be a device argument"
            )
        words.append(f"ddp_pkg_file={ddp_package}")
    if safe_mode:
        words.append("safe-mode-support=1")
    return ",".join(words)
