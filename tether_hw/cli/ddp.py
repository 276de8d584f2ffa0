# SPDX-License-Identifier: Apache-2.0
"""`tether ddp`: DDP packages of Intel's E800: made from a source, explained, compared, checked, and run on frames."""

from __future__ import annotations

import argparse

from tether_hw.cli.common import Parser, add_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """tether ddp"""
    parser = subparsers.add_parser(
        "ddp",
        help="DDP packages of Intel's E800",
        description="Make, explain, compare, check and simulate DDP packages. What is made here is not signed:"
        " production E810 firmware refuses it. Steering EtherType 0x88B5 needs no package of one's own (docs/e810.md).",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    build = actions.add_parser("build", help="a package from a source, or from a profile by the template")
    build.add_argument("source", metavar="SOURCE", help="a source (.ddp), or a profile (.yaml)")
    build.add_argument("-o", "--output", metavar="FILE", required=True, help="the package to write")
    build.add_argument("--base", metavar="PACKAGE", help="lay it over this package, which must not be signed")
    build.add_argument("--force", action="store_true", help="write over a file that is there")
    render = actions.add_parser("render", help="the source that a profile and the template make")
    render.add_argument("profile", metavar="PROFILE", help="a profile (.yaml)")
    render.add_argument("--overlay", action="store_true", help="only the Tether part, for build --base")
    decompile = actions.add_parser("decompile", help="the source of a package's RX parser")
    info = actions.add_parser("info", help="what a file is, and what a driver would say of it")
    check = actions.add_parser("check", help="what never hits, leads nowhere, collides or runs full")
    diff = actions.add_parser("diff", help="two packages compared by meaning; exit 2 when they differ")
    diff.add_argument("before", metavar="A")
    diff.add_argument("after", metavar="B")
    simulate = actions.add_parser("simulate", help="run the parser of a package on frames")
    simulate.add_argument("package", metavar="PACKAGE")
    _frame_options(simulate, required=True)
    simulate.add_argument("--trace", action="store_true", help="show every round")
    graph = actions.add_parser("graph", help="the parse graph as a picture, with the path of a frame lit")
    graph.add_argument("package", metavar="PACKAGE")
    graph.add_argument("-o", "--output", metavar="FILE", required=True, help="a file that ends in .svg or .html")
    graph.add_argument("--force", action="store_true", help="write over a file that is there")
    _frame_options(graph, required=False)
    for action in (decompile, info, check):
        action.add_argument("package", metavar="PACKAGE")
    for action in (build, info, check, diff, simulate):
        add_json(action)


def _frame_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    frames = parser.add_mutually_exclusive_group(required=required)
    frames.add_argument("--frame", metavar="HEX", help="one frame from its destination address on, in hexadecimal")
    if required:
        frames.add_argument("--pcap", metavar="FILE", help="every frame of a capture (pcap or pcapng)")
    parser.add_argument(
        "--vlan-mode",
        choices=("svm", "dvm"),
        help="single or double VLAN mode, as a driver switches it by labels; without it, as the package has it",
    )


def run(args: argparse.Namespace) -> int:
    """One action."""
    if args.action in ("simulate", "graph"):
        from tether_hw.cli import ddp_frames as module
    else:
        from tether_hw.cli import ddp_packages as module  # type: ignore[no-redef]
    return int(getattr(module, args.action)(args))
