# SPDX-License-Identifier: Apache-2.0
"""`tether lab`: hosts without hardware, on this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from tether_hw.cli import output
from tether_hw.cli.common import add_json, positive
from tether_hw.cli.exits import Exit
from tether_hw.lab.faults import CUTS, FAULTS, SSH_ALL

NETNS, VM = "netns", "vm"
TIERS = (NETNS, VM)
KERNELS = ("6.1",)

DESCRIPTION = """\
As root: hosts with a root, sshd, files, processes and links of their own, made from namespaces, and a switch that
picks the receiver's queue by lane address. Without root: two hosts as processes of this user, over UDP on loopback.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the verb and its sub-verbs."""
    parser = subparsers.add_parser("lab", help="hosts without hardware, on this machine", description=DESCRIPTION)
    verbs = parser.add_subparsers(dest="lab_verb", metavar="VERB", title="verbs", required=True)
    up = verbs.add_parser("up", help="make the hosts and their links")
    _counts(up, hosts=2, queues=2)
    _kind(up)
    _common(up, verbs.add_parser("down", help="take everything away, also what a killed up left"))
    _common(verbs.add_parser("status", help="what is there, and which faults it has"))
    inventory = verbs.add_parser("inventory", help="print the inventory of the lab")
    _counts(inventory, hosts=None, queues=None)
    _kind(inventory)
    _common(inventory)
    fault = verbs.add_parser(
        "fault",
        help="break something",
        epilog="\n".join(f"{name}: {text}" for name, text in FAULTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fault.add_argument("fault", choices=list(FAULTS), metavar="FAULT", help=", ".join(FAULTS))
    fault.add_argument("host", metavar="HOST")
    fault.add_argument(
        "--how",
        choices=CUTS,
        default=SSH_ALL,
        help="cut-ssh: end the listener and all sessions, the listener alone, or drop every packet (%(default)s)",
    )
    heal = verbs.add_parser("heal", help="mend everything that fault broke")
    heal.add_argument("host", metavar="HOST")
    reboot = verbs.add_parser("reboot", help="end all processes of a host and start it again with the same disk")
    reboot.add_argument("host", metavar="HOST")
    snapshot = verbs.add_parser("snapshot", help="keep a virtual host as it is now, memory included")
    snapshot.add_argument("host", metavar="HOST")
    restore = verbs.add_parser("restore", help="put a virtual host back to its snapshot")
    restore.add_argument("host", metavar="HOST")
    _common(fault, heal, reboot, snapshot, restore)


def _counts(parser: argparse.ArgumentParser, hosts: int | None, queues: int | None) -> None:
    parser.add_argument("--hosts", metavar="N", type=positive, default=hosts, help="number of hosts (2)")
    parser.add_argument("--queues", metavar="Q", type=positive, default=queues, help="queues of each data NIC (2)")


def _kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", action="store_true", help="the lab without root")
    parser.add_argument(
        "--tier", choices=TIERS, default=NETNS, help="what hosts are made of: namespaces, or virtual machines (netns)"
    )
    virtual = parser.add_argument_group("with --tier vm")
    virtual.add_argument("--kernel", choices=KERNELS, default=KERNELS[0], help="Debian's kernel series (%(default)s)")
    virtual.add_argument("--flower", action="store_true", help="the simulated NIC says yes to every flower rule")
    virtual.add_argument("--processors", metavar="N", type=positive, default=0, help="of each host (2 if there are)")


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="DIR", type=Path, help="state folder (~/.local/state/tether/lab)")


def _common(*parsers: argparse.ArgumentParser) -> None:
    for parser in parsers:
        _state(parser)
        add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Carries out one sub-verb; returns the exit code."""
    from tether_hw.lab import control
    from tether_hw.lab.tools import sbin_path

    os.environ["PATH"] = sbin_path()  # `su` leaves root without the folders of ip and ethtool
    folder = control.state_folder(args.state)
    verb = args.lab_verb
    if verb == "inventory":
        text = control.inventory(folder, args.hosts, args.queues, args.user, virtual(args))
        if args.json:
            output.emit_json({"schema": "tether.lab.inventory/1", "inventory": text})
        else:
            output.result(text.rstrip("\n"))
        return Exit.DONE
    if verb == "up":
        control.up(folder, args.hosts, args.queues, args.user, output.say, virtual(args))
    elif verb == "down":
        control.down(folder, output.say)
    elif verb == "fault":
        control.fault(folder, args.host, args.fault, args.how)
    elif verb == "heal":
        for healed in control.heal(folder, args.host) or ["nothing"]:
            output.say(f"{args.host}: healed {healed}")
    elif verb == "reboot":
        control.reboot(folder, args.host)
    elif verb == "snapshot":
        control.snapshot(folder, args.host)
    elif verb == "restore":
        control.restore(folder, args.host)
    document = control.status(folder)
    if args.json:
        output.emit_json(document)
    elif verb in ("status", "up"):
        show(document)
    return Exit.DONE


def virtual(args: argparse.Namespace) -> Any:
    """What is asked of virtual hosts; None for the other labs."""
    from tether_hw.lab.control import Virtual
    from tether_hw.lab.vm.recipe import FLOWER, STOCK

    if args.tier != VM:
        return None
    return Virtual(args.kernel, FLOWER if args.flower else STOCK, args.processors)


def show(document: dict[str, Any]) -> None:
    """The status for people."""
    output.result(f"lab {document['id']}: {document['state']}")
    for host in document["hosts"]:
        words = [f"ssh {'yes' if host['ssh'] else 'no'}"]
        if host["data_link"] is not None:
            words.append(f"data link {'up' if host['data_link'] else 'cut'}")
        words += [f"fault {fault}" for fault in host["faults"]]
        through = f" through {host['jump']}" if host["jump"] else ""
        place = f"{host['address']}:{host['port']}{through}"
        output.result(f"  {host['name']:6} {'on' if host['running'] else 'off':4} {place:36} {', '.join(words)}")
    for leftover in document["leftovers"]:
        output.result(f"  left: {leftover}")
    if document["inventory"]:
        output.result(f"inventory: {document['inventory']}")
