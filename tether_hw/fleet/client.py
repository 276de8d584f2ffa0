# SPDX-License-Identifier: Apache-2.0
"""Talking to the agent of one host over a session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from tether_hw.errors import HostError, HostFailed, HostLocked, HostRefused, HostRolledBack
from tether_hw.fleet.secrets import redact_all
from tether_hw.plan.paths import HELPER, HostPaths
from tether_hw.plan.verbs import UNSIGNED, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tether_hw.fleet.operator import Signer
    from tether_hw.fleet.ssh import Completed, Session

VERB_S = 60.0
_ADMISSION = {
    "unsigned": "name your key: `operator` in the inventory, or TETHER_OPERATOR",
    "unknown": "tether key operator shows who signs; a trusted operator adds the key: tether host bootstrap",
    "expired": "set the clock of this machine or of the host",
    "too-long": "set the clock of this machine or of the host",
    "host": "the host was set up under another name",
}
SILENCE_S = 15.0  # an agent that follows gives a sign of life every 2 s


class Agent:
    """The agent of the bundle `digest` on the host of a session."""

    def __init__(
        self, session: Session, root: str, digest: str | None, time_scale: float = 1.0, signer: Signer | None = None
    ) -> None:
        self.session = session
        self.host = session.target.name
        self.root = root
        self._digest = digest
        self.time_scale = time_scale
        self.signer = signer
        self.helper = session.target.helper

    @property
    def digest(self) -> str:
        """The bundle that answers. Only a helper answers without one: by the bundle that it is of."""
        if self._digest is None:
            raise HostFailed(self.host, "the bundle of this suite is not on the host")
        return self._digest

    def on(self, session: Session) -> Agent:
        """The same agent over another session."""
        return Agent(session, self.root, self._digest, self.time_scale, self.signer)

    def _argv(self, verb: str) -> list[str]:
        if self.helper:
            return [HELPER] if self.session.target.user == "root" else ["sudo", "-n", "--", HELPER]
        return [HostPaths(self.root).bundle(self.digest) + "/bin/tether-agent", verb]

    def _request(self, verb: str, body: dict[str, Any]) -> bytes:
        request = Request(verb, self.root, body, self._digest)
        if self.signer is not None and verb not in UNSIGNED:
            return self.signer.line(self.host, request)
        return json.dumps(request.to_dict()).encode() + b"\n"

    def call(
        self,
        verb: str,
        body: dict[str, Any],
        timeout_s: float = VERB_S,
        payload: BinaryIO | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """The body of the reply; a refusal or failure is raised as the error that it stands for.

        payload: what follows the request, for verbs of the helper that bring something.
        """
        try:
            return self._call(verb, body, timeout_s, payload, progress)
        except HostRefused as error:
            if error.detail.get("reason") != "replayed" or self.signer is None or payload is not None:
                raise
            # Another machine with this key was here and its clock is ahead of ours.
            self.signer.above(int(error.detail["last"]))
        return self._call(verb, body, timeout_s, payload, progress)

    def _call(
        self,
        verb: str,
        body: dict[str, Any],
        timeout_s: float,
        payload: BinaryIO | None,
        progress: Callable[[int], None] | None,
    ) -> dict[str, Any]:
        request = self._request(verb, body)
        stdin: Any = request if payload is None else Joined(request, payload)
        done = self.session.run(self._argv(verb), stdin, timeout_s * self.time_scale, progress)
        if done.code != 0:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            text = words[-1] if words else f"exit {done.code}"
            if self.helper and not done.stdout:
                hint = f"tether host bootstrap {self.host}, as root or with sudo, places the helper"
                raise HostRefused(self.host, f"the helper did not answer {verb}: {text}", hint=hint)
            raise HostFailed(self.host, f"tether-agent {verb}: {text}")
        return self._body(verb, done.stdout)

    def engine(self, arguments: Sequence[str], timeout_s: float) -> Completed:
        """Run the bundle's tether-engine against the host's engine; `arguments` start with the sub-verb."""
        if self.helper:
            from tether_hw.fleet.ssh import Completed as Ended

            answer = self.call("engine", engine_body(self.host, arguments), timeout_s)
            return Ended(int(answer["code"]), str(answer["out"]).encode(), str(answer["err"]).encode())
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


#: Option of `tether-engine ping` -> field of the verb `engine`, and by what its number is multiplied.
_PING = {
    "--count": ("count", 1),
    "--bytes": ("bytes", 1),
    "--interval": ("interval_ms", 1000),
    "--timeout": ("timeout_ms", 1000),
    "--wait": ("wait_ms", 1000),
    "--lane": ("lane", 1),
}


def engine_body(host: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The verb `engine` in place of a command line. Raises HostRefused for what the helper has no verb for."""
    words = [word for word in arguments if word != "--json"]
    if words == ["stats"]:
        return {"op": "stats"}
    body: dict[str, Any] = {"op": "ping", "count": 10, "bytes": 56, "interval_ms": 0, "timeout_ms": 2000}
    body.update(wait_ms=10_000, lane=None)
    if words[0] != "ping" or len(words) % 2 or any(option not in _PING for option in words[2::2]):
        raise HostRefused(
            host,
            f"the helper has no verb for tether-engine {words[0]}: none of its verbs takes a path",
            hint="log in as root, or with sudo and without `helper`, to move files",
        )
    body["peer"] = words[1]
    for option, value in zip(words[2::2], words[3::2], strict=True):
        name, factor = _PING[option]
        body[name] = int(float(value) * factor)
    return body


class Joined:
    """A request and then a file, as one stream."""

    def __init__(self, head: bytes, tail: BinaryIO) -> None:
        self._head = head
        self._tail = tail

    def read(self, size: int) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._tail.read(size)


def error_of(host: str, reply: Reply) -> HostError:
    """The error that a reply stands for, with its detail as `detail`."""
    detail = redact_all(reply.body)
    message = reply.message or "no reason given"
    error: HostError
    if reply.code == "locked":
        error = HostLocked(host, str(detail["run"]), str(detail["holder"]), str(detail["since"]))
    elif reply.code == "decided":
        error = HostRolledBack(host, message)
    elif reply.code in ("refused", "not-fresh", "facts-differ", "not-admitted"):
        hint = "plan again: tether plan" if reply.code == "facts-differ" else None
        if reply.code == "not-admitted":
            hint = _ADMISSION.get(str(detail.get("reason")))
        error = HostRefused(host, message, hint=hint)
    else:
        error = HostFailed(host, message)
    error.code = reply.code
    error.detail = detail
    return error
