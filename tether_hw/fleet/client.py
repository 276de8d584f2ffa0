# SPDX-License-Identifier: Apache-2.0
"""Talking to the agent of one host over a session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostError, HostFailed, HostLocked, HostRefused, HostRolledBack
from tether_hw.fleet.secrets import redact_all
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.verbs import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tether_hw.fleet.ssh import Completed, Session

VERB_S = 60.0
SILENCE_S = 15.0  # an agent that follows gives a sign of life every 2 s


class Agent:
    """The agent of the bundle `digest` on the host of a session."""

    def __init__(self, session: Session, root: str, digest: str, time_scale: float = 1.0) -> None:
        self.session = session
        self.host = session.target.name
        self.root = root
        self.digest = digest
        self.time_scale = time_scale

    def _argv(self, verb: str) -> list[str]:
        return [HostPaths(self.root).bundle(self.digest) + "/bin/tether-agent", verb]

    def _request(self, verb: str, body: dict[str, Any]) -> bytes:
        return json.dumps(Request(verb, self.root, body, self.digest).to_dict()).encode()

    def call(self, verb: str, body: dict[str, Any], timeout_s: float = VERB_S) -> dict[str, Any]:
        """The body of the reply; a refusal or failure is raised as the error that it stands for."""
        done = self.session.run(self._argv(verb), self._request(verb, body), timeout_s * self.time_scale)
        if done.code != 0:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            raise HostFailed(self.host, f"tether-agent {verb}: {words[-1] if words else f'exit {done.code}'}")
        return self._body(verb, done.stdout)

    def engine(self, arguments: Sequence[str], timeout_s: float) -> Completed:
        """Run the bundle's tether-engine against the host's engine; `arguments` start with the sub-verb."""
        paths = HostPaths(self.root)
        argv = [paths.bundle(self.digest) + "/bin/tether-engine", *arguments, "--socket", paths.socket]
        return self.session.run(argv, b"", timeout_s * self.time_scale)

    def follow(self, run: str, after: int, hear: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Hand the journal's records after number `after` to `hear` as they are written; gives the status at rest."""
        body = {"run": run, "after": after}
        reply = b""
        lines = self.session.lines(self._argv("follow"), self._request("follow", body), SILENCE_S * self.time_scale)
        for line in lines:
            if line.startswith(b"{") and b'"schema"' in line:
                reply = line
            elif line:
                hear(json.loads(line))
        return self._body("follow", reply)

    def _body(self, verb: str, text: bytes) -> dict[str, Any]:
        try:
            reply = Reply.parse(json.loads(text))
        except ValueError as error:
            raise HostFailed(self.host, f"tether-agent {verb}: reply not understood: {error}") from None
        if reply.ok:
            return reply.body
        raise error_of(self.host, reply)


def error_of(host: str, reply: Reply) -> HostError:
    """The error that a reply stands for, with its detail as `detail`."""
    detail = redact_all(reply.body)
    message = reply.message or "no reason given"
    error: HostError
    if reply.code == "locked":
        error = HostLocked(host, str(detail["run"]), str(detail["holder"]), str(detail["since"]))
    elif reply.code == "decided":
        error = HostRolledBack(host, message)
    elif reply.code in ("refused", "not-fresh", "facts-differ"):
        hint = "plan again: tether plan" if reply.code == "facts-differ" else None
        error = HostRefused(host, message, hint=hint)
    else:
        error = HostFailed(host, message)
    error.code = reply.code
    error.detail = detail
    return error
