# SPDX-License-Identifier: Apache-2.0
"""Steering rules as commands of tc and ethtool. A batch for `tc -b` is the same words without the program's name."""

from __future__ import annotations

from tether_hw.plan.rule import DROP, GOTO, QUEUE, REDIRECT, Rule

Words = tuple[str, ...]
SKIP = {"required": "skip_sw", "software": "skip_hw"}


def tc_hook(device: str, there: bool) -> Words:
    """Gives a device the hook for rules, or takes it."""
    return ("tc", "qdisc", "add" if there else "del", "dev", device, "clsact")


def tc_offload(device: str, on: bool) -> Words:
    """Lets rules of a device go to hardware, or not."""
    return ("ethtool", "-K", device, "hw-tc-offload", "on" if on else "off")


def _selector(rule: Rule) -> list[str]:
    protocol = "802.1q" if rule.vlan is not None else f"{rule.ethertype:#06x}"
    words = ["dev", rule.device, "ingress", "protocol", protocol, "pref", str(rule.pref)]
    words += ["chain", str(rule.chain)] if rule.chain else []
    return [*words, "handle", f"{rule.handle:#x}", "flower"]


def tc_replace(rule: Rule) -> Words:
    """Sets a rule, and sets it again: without a handle tc could not replace a rule by an equal one."""
    words = ["tc", "filter", "replace", *_selector(rule)]
    if rule.vlan is not None:
        words += ["vlan_id", str(rule.vlan), "vlan_ethtype", f"{rule.ethertype:#06x}"]
    for name, match in (("dst_mac", rule.destination), ("src_mac", rule.source)):
        if match is not None:
            words += [name, match.address if match.exact else f"{match.address}/{match.mask}"]
    words += [SKIP[rule.offload]] if rule.offload in SKIP else []
    if rule.police is not None:
        words += ["action", *rule.police.words()]
    for copy in rule.mirror:
        words += ["action", "mirred", "egress", "mirror", "dev", copy]
    if rule.action == GOTO:
        words += ["action", "goto", "chain", str(rule.goto)]
    elif rule.action == REDIRECT:
        words += ["action", "mirred", "egress", "redirect", "dev", str(rule.target)]
    elif rule.action == DROP:
        words += ["action", "drop"]
    else:
        words += ["action", "skbedit", "queue_mapping", str(rule.queue)]
    return tuple(words)


def tc_remove(rule: Rule) -> Words:
    """Takes a rule away. A rule of ours behind a tag is named by any VLAN."""
    return ("tc", "filter", "del", *_selector(rule))


def ntuple_switch(device: str, on: bool) -> Words:
    """Turns a device's ntuple filters on or off; off forgets them all."""
    return ("ethtool", "-K", device, "ntuple", "on" if on else "off")


def inverted(mask: str) -> str:
    """A mask in which ones count as one in which they do not, and back: ethtool's are of the second sort."""
    return ":".join(f"{0xFF ^ int(part, 16):02x}" for part in mask.split(":"))


def ntuple_set(rule: Rule, location: int) -> Words:
    """Sets a rule at a location, in place of what is there."""
    words = ["ethtool", "-N", rule.device, "flow-type", "ether"]
    for name, match in (("src", rule.source), ("dst", rule.destination)):
        if match is not None:
            words += [name, match.address] + ([] if match.exact else ["m", inverted(match.mask)])
    words += ["proto", f"{rule.ethertype:#06x}"]
    if rule.vlan is not None:  # mlx5 takes the 12 bits of the id, and no vlan-etype beside them
        words += ["vlan", str(rule.vlan), "m", "0xf000"]
    return (*words, "action", str(rule.queue) if rule.action == QUEUE else "-1", "loc", str(location))


def ntuple_remove(device: str, location: int) -> Words:
    """Takes a location away."""
    return ("ethtool", "-N", device, "delete", str(location))
