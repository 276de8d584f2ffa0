# SPDX-License-Identifier: Apache-2.0
"""The engines of the inventory's hosts, used from here: their own `tether-engine`, over verified sessions."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import posixpath
import threading
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output
from tether_hw.cli.exits import Exit
from tether_hw.errors import HostError, HostFailed, TetherError
from tether_hw.fleet.client import engine_body
from tether_hw.plan.paths import HostPaths
from tether_hw.transport.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tether_hw.fleet.client import Agent
    from tether_hw.fleet.reach import Reach

SILENCE_S = 60.0  # `--lines` gives a sign of life every second
RECEIVER_WAIT_S = 60
REFUSAL_S = 3.0  # what the receiver may take to say why, once the sender has failed
ERROR_SCHEMA = "tether.error/1"


def _reach(args: argparse.Namespace, *hosts: str) -> Reach:
    from tether_hw.fleet.inventory import load
    from tether_hw.fleet.inventory_checks import did_you_mean
    from tether_hw.fleet.reach import Reach

    inventory = load(args.inventory)
    for host in hosts:
        if host not in inventory.hosts:
            hint = did_you_mean(host, inventory.hosts) or f"there are {', '.join(inventory.hosts)}"
            raise TetherError(f"no host {host!r} in {args.inventory}", hint=hint)
    return Reach(inventory)


@contextlib.contextmanager
def _agent(reach: Reach, host: str) -> Iterator[Agent]:
    with reach.session(host) as session:
        yield reach.agent(session)


def _document(agent: Agent, arguments: list[str], timeout_s: float) -> dict[str, Any]:
    """The document of a sub-verb that was run on a host. Raises HostFailed with its words."""
    done = agent.engine(arguments, timeout_s)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise HostFailed(agent.host, lines[-1] if lines else f"tether-engine ended with {done.code}") from None
    return _checked(agent.host, document)


def _checked(host: str, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise HostFailed(host, "tether-engine printed no document")
    if document.get("schema") == ERROR_SCHEMA:
        raise HostFailed(host, str(document.get("message")), hint=str(document.get("hint") or "") or None)
    return document


def stats(args: argparse.Namespace) -> int:
    """`tether engine stats HOST`."""
    from tether_hw.transport.stats_text import text

    reach = _reach(args, args.host)
    with _agent(reach, args.host) as agent:
        document = _document(agent, ["stats", "--json"], 30.0)
    if args.json:
        output.emit_json(document)
    else:
        output.result(text(document).rstrip("\n"))
    return Exit.DONE


def ping(args: argparse.Namespace) -> int:
    """`tether engine ping HOST HOST`."""
    from tether_hw.transport.verbs import ping_text

    reach = _reach(args, args.peer, args.to)
    words = ["ping", args.to, "--json", "--count", str(args.count), "--bytes", str(args.bytes)]
    words += ["--interval", str(args.interval), "--timeout", str(args.timeout), "--wait", str(args.wait)]
    words += [] if args.lane is None else ["--lane", str(args.lane)]
    with _agent(reach, args.peer) as agent:
        document = _document(agent, words, 60.0 + args.wait + args.count * (args.interval + args.timeout))
    if args.json:
        output.emit_json(document)
    else:
        output.result(ping_text(document).rstrip("\n"))
    return Exit.DONE if document["lost"] == 0 else Exit.FAILED


def offered_name(source: str, destination: str) -> str:
    """The name that the two ends agree on: the same for the same pair, so that a second attempt resumes the first."""
    digest = hashlib.sha256(f"{source}\0{destination}".encode()).hexdigest()[:12]
    base = posixpath.basename(source.partition(":")[2])
    return f"{digest}-{base[-100:]}"


def send(args: argparse.Namespace) -> int:
    """`tether engine send HOST:FILE HOST:PATH`."""
    from tether_hw.transport.verbs import transfer_text

    first, _, path = args.file.partition(":")
    second, _, target = args.peer.partition(":")
    if not second or not target:
        raise TetherError(f"{args.peer!r} is not HOST:PATH", hint="say where the file goes: HOST:PATH")
    if target.endswith("/"):
        target += posixpath.basename(path)
    reach = _reach(args, first, second)
    name = offered_name(args.file, f"{second}:{target}")
    receive = ["recv", "--to", target, "--from", first, "--name", name, "--timeout", str(RECEIVER_WAIT_S)]
    receive += ["--overwrite"] if args.overwrite else []
    progress = Progress(f"{args.file} -> {second}:{target}")
    with _agent(reach, first) as sender, _agent(reach, second) as receiver:
        other = _Follower(receiver, receive, lambda line: None)
        other.start()
        try:
            offer = ["send", path, f"{second}:{name}", "--wait", str(RECEIVER_WAIT_S)]
            document = _follow(sender, offer, lambda line: _show(progress, line))
        except HostError as error:
            progress.finish()
            other.join(REFUSAL_S)
            refusal = other.refusal  # as it is before we close the session: that would look like a lost connection
            receiver.session.close()
            other.join()
            # Who refused says more than who was told: a full disk is the receiver's.
            raise refusal or error from None
        finally:
            progress.finish()
        other.join()
    transfer = {**document["transfers"][0], "name": path, "to": second}
    if args.json:
        output.emit_json({**document, "transfers": [transfer]})
    output.result(transfer_text(transfer, f"from {first} to {second}:{transfer['path']}"), as_json=args.json)
    return Exit.DONE


def _show(progress: Progress, line: dict[str, Any]) -> None:
    if "done" in line and "size" in line:
        progress.update(line["done"], line["size"])


def _follow(agent: Agent, arguments: list[str], hear: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run a sub-verb with --lines to its end; its document. Raises HostFailed with its words."""
    if agent.helper:
        engine_body(agent.host, arguments)  # refuses: no verb of the helper takes a path
    paths = HostPaths(agent.root)
    argv = [f"{paths.bundle(agent.digest)}/bin/tether-engine", *arguments, "--lines", "--socket", paths.socket]
    for line in agent.session.lines(argv, b"", SILENCE_S * agent.time_scale):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and "schema" in document:
            return _checked(agent.host, document)
        if isinstance(document, dict):
            hear(document)
    raise HostFailed(agent.host, f"tether-engine {arguments[0]} ended without a word")


class _Follower(threading.Thread):
    """The receiving end, while this thread follows the sending one. `refusal`: what it refused for, if it did."""

    def __init__(self, agent: Agent, arguments: list[str], hear: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(daemon=True, name=f"recv-{agent.host}")
        self.refusal: HostFailed | None = None
        self._agent = agent
        self._arguments = arguments
        self._hear = hear

    def run(self) -> None:
        """Follow to the end; a session that we closed ourselves is no refusal."""
        try:
            _follow(self._agent, self._arguments, self._hear)
        except HostFailed as error:
            self.refusal = error
        except HostError:
            return
