# SPDX-License-Identifier: Apache-2.0
"""The sub-verbs of the engine: `tether-engine VERB` on hosts, and the local half of `tether engine VERB`.

Each verb's function takes the parsed arguments and returns an exit code: 0 done, 1 error, 64 usage, 130 interrupted.
With --json, stdout carries one JSON document with a `schema` field and nothing else; people read stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Optional

from .errors import ConfigError, TransportError

DEFAULT_CONFIG = "/etc/tether/engine.json"
DEFAULT_SOCKET = "/run/tether/engine.sock"
ERROR_SCHEMA = "tether.error/1"

OK = 0
ERROR = 1
USAGE = 64
INTERRUPTED = 130

Verb = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """argparse with the exit code of usage errors that the suite promises."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with 64."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def emit(document: dict[str, Any], line: bool = False) -> None:
    """Print the one JSON document of this command; as a single line for --lines."""
    text = json.dumps(document, separators=(",", ":")) if line else json.dumps(document, indent=1)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _socket(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", default=DEFAULT_SOCKET, metavar="PATH", help="control socket of the engine")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def _lines(parser: argparse.ArgumentParser) -> None:
    words = "JSON lines on stdout: signs of life and progress, the document last; for programs that follow"
    parser.add_argument("--lines", action="store_true", help=words)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("must be 0 or more seconds")
    return value


def _lazy(module: str, name: str) -> Verb:
    def run(args: argparse.Namespace) -> int:
        import importlib

        verb: Verb = getattr(importlib.import_module(f".{module}", __package__), name)
        return verb(args)

    return run


def add_engine_verbs(verbs: Any) -> None:
    """Add serve, ping, send, recv, stats, bench, reload and identity to subparsers; each sets `run_engine`."""
    parser = verbs.add_parser("serve", help="run the engine of this host until SIGTERM")
    parser.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE", help="engine file")
    parser.add_argument("--trace", metavar="FILE", help="write every event to a new file, as JSON lines")
    words = "write the secrets of every channel to a new file, for debugging only: who reads it reads all frames"
    parser.add_argument("--keylog", metavar="FILE", help=words)
    parser.set_defaults(run_engine=_lazy("verbs", "serve"), json=False)

    parser = verbs.add_parser("ping", help="round trips to a peer, over every lane")
    parser.add_argument("peer", metavar="PEER")
    parser.add_argument("-c", "--count", type=_count, default=10, help="round trips per lane (10)")
    parser.add_argument("--bytes", type=_count, default=56, help="size of each message (56)")
    parser.add_argument("--interval", type=_seconds, default=0.0, metavar="S", help="pause between two (0)")
    parser.add_argument("--timeout", type=_seconds, default=2.0, metavar="S", help="wait for an answer (2)")
    parser.add_argument("--lane", type=int, help="only this lane")
    parser.add_argument("--wait", type=_seconds, default=10.0, metavar="S", help="wait for a channel (10)")
    _socket(parser)
    _json(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "ping"))

    parser = verbs.add_parser("send", help="send a file to a peer, striped over the lanes; sent again it resumes")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("peer", metavar="PEER[:NAME]", help="the peer, and the name that it gets there")
    parser.add_argument("--wait", type=_seconds, default=10.0, metavar="S", help="wait for channel and receiver (10)")
    _socket(parser)
    _json(parser)
    _lines(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "send"))

    parser = verbs.add_parser("recv", help="receive files; nothing is overwritten unless --overwrite is given")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--into", metavar="DIR", help="folder for files under their offered names (.)")
    where.add_argument("--to", metavar="PATH", help="the path of the one file; implies --once")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--once", action="store_true", help="end after one file")
    parser.add_argument("--from", dest="peer", metavar="PEER", help="only from this peer")
    parser.add_argument("--name", metavar="NAME", help="only files that are offered under this name")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", help="end with an error when nothing was offered by then"
    )
    _socket(parser)
    _json(parser)
    _lines(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "recv"))

    parser = verbs.add_parser("stats", help="counters per lane, state and RTT per peer")
    _socket(parser)
    _json(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "stats"))

    parser = verbs.add_parser("bench", help="frames/s, goodput, RTT and the share of the limits, medians of rounds")
    parser.add_argument("--carrier", choices=("pipe", "udp", "af_xdp"), default="pipe")
    parser.add_argument("--rounds", type=_count, default=5, help="rounds, 5 or more (5)")
    parser.add_argument("--mebibytes", type=_count, default=64, help="payload of one round in MiB (64)")
    parser.add_argument("--cipher", choices=("aes-256-gcm", "chacha20-poly1305"), default="aes-256-gcm")
    parser.add_argument("--queues", type=_count, default=1, help="lanes on each side (1); not for pipe")
    parser.add_argument("--between", metavar="A,B", help="af_xdp: two network namespaces that are there already")
    parser.add_argument("--device", default="data0", help="af_xdp: the device in each of them (data0)")
    _json(parser)
    parser.set_defaults(run_engine=_lazy("bench", "command"))

    parser = verbs.add_parser("reload", help="take over roster, contact plans and UDP addresses anew; channels stay")
    _socket(parser)
    _json(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "reload"))

    parser = verbs.add_parser("identity", help="make an identity key, or print its public half")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--make", metavar="FILE", help="make a key, never over an existing one; prints its public half")
    what.add_argument("--public", metavar="FILE", help="print the public half of a key")
    _json(parser)
    parser.set_defaults(run_engine=_lazy("verbs", "identity"))


def report(error: TransportError, verb: str, as_json: bool, line: bool = False) -> int:
    """Tell people, and programs where they asked; the exit code."""
    problems: list[dict[str, Any]] = []
    if isinstance(error, ConfigError):
        for problem in error.problems:
            say(str(problem))
            known = {name: getattr(problem, name) for name in ("file", "line", "col", "message", "hint")}
            problems.append({**known, "path": problem.field})
    else:
        say(f"error: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
    if as_json:
        emit(
            {
                "schema": ERROR_SCHEMA,
                "verb": verb,
                "exit": ERROR,
                "reason": str(getattr(error, "reason", "config" if problems else "error")),
                "message": error.message,
                "hint": error.hint or None,
                "problems": problems,
            },
            line,
        )
    return ERROR


def run(args: argparse.Namespace) -> int:
    """Run the chosen verb; every error of ours becomes words and an exit code."""
    try:
        return int(args.run_engine(args))
    except TransportError as error:
        line = bool(getattr(args, "lines", False))
        verb = f"engine {getattr(args, 'engine_verb', None) or args.verb}"
        return report(error, verb, bool(args.json or line), line)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def main(argv: Optional[Sequence[str]] = None) -> int:
    """bin/tether-engine."""
    parser = Parser(prog="tether-engine", description="The Tether transport engine of this host.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    add_engine_verbs(verbs)
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
