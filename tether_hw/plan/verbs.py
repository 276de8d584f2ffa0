# SPDX-License-Identifier: Apache-2.0
"""The verbs of the agent and the envelope in which they travel: one JSON document in, one out.

`follow` answers with one document per line, each an event of the journal, and ends with the reply.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tether_hw.plan.facts import parse_selector
from tether_hw.plan.facts_mlx5 import parse_key
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import HEX64, NAME, Fields

REQUEST_SCHEMA = "tether.agent.request/1"
REPLY_SCHEMA = "tether.agent.reply/1"

#: Verb -> what it does. Fields of each request are read by the agent's own parser of that verb.
VERBS = {
    "facts": "read the facts of this host",
    "enroll": "make the identity key if there is none, show the public key",
    "stage": "keep a host plan as a run",
    "start": "carry out a staged run, detached from this session",
    "status": "where a run stands",
    "follow": "the journal of a run from an offset on",
    "proceed": "go on with a step that waited for another host",
    "ready": "all runs that are one transaction wait for their confirm",
    "confirm": "keep what a run did",
    "rollback": "take back what a run did",
    "resume": "go on with a run that was interrupted",
    "runs": "the runs of this host",
    "verify": "carry out checks",
    "revoke": "trust the keys of a host that left no more",
    "retire": "remove everything of ours, the identity key first",
    "engine": "counters of the engine, or round trips to a peer",
    "drift": "what the last kept run left, what is there now, and traces of who changed it",
    "counts": "what rules counted",
    "frames": "send a few empty frames that fit a peer's rules",
    "probe": "find out what drivers take into hardware, and leave nothing behind",
}


#: Verbs of the helper beside those of the agent: they bring something to the host.
HELPER_VERBS = {
    "bundle": "keep the bundle that follows",
    "file": "keep the file of the user's that follows",
    "files": "which of these files are missing",
    "helper": "run from another bundle, trust other operators",
}
#: Verbs that change nothing; the agent runs them sealed.
READING = ("facts", "status", "runs", "drift", "counts")
#: Verbs that need no operator's signature: they look, prove and measure.
UNSIGNED = (*READING, "follow", "verify", "engine", "files")


@dataclass(frozen=True)
class Request:
    """One request to the agent. `suite` is the digest of the bundle that the controller expects to talk to."""

    verb: str
    root: str
    body: dict[str, Any] = field(default_factory=dict)
    suite: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": REQUEST_SCHEMA,
            "verb": self.verb,
            "root": self.root,
            "suite": self.suite,
            "body": self.body,
        }

    @classmethod
    def parse(cls, value: Any) -> Request:
        fields = Fields(value, "request")
        fields.schema(REQUEST_SCHEMA)
        request = cls(
            fields.one_of("verb", (*VERBS, *HELPER_VERBS)),
            fields.text("root"),
            fields.plain("body"),
            fields.optional_text("suite", HEX64),
        )
        fields.done()
        try:
            HostPaths(request.root)
        except ValueError as error:
            raise fields.fail("root", str(error)) from None
        return request


@dataclass(frozen=True)
class Reply:
    """The answer: `ok` with a body, or an error with its code (a word that the controller knows) and message."""

    verb: str
    ok: bool
    body: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    message: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": REPLY_SCHEMA,
            "verb": self.verb,
            "ok": self.ok,
            "body": self.body,
            "code": self.code,
            "message": self.message,
        }

    @classmethod
    def parse(cls, value: Any) -> Reply:
        fields = Fields(value, "reply")
        fields.schema(REPLY_SCHEMA)
        reply = cls(
            fields.text("verb", NAME),
            fields.boolean("ok"),
            fields.plain("body"),
            fields.optional_text("code", NAME),
            fields.optional_text("message", limit=65536),
        )
        fields.done()
        if reply.ok == (reply.code is not None):
            raise fields.fail("code", "an error has a code, a success has none")
        return reply


@dataclass(frozen=True)
class FactsRequest:
    """What `facts` is asked: the devices by name, MAC, PCI address, devlink handle, or serial and port.

    nv: the settings in the memory of cards that are read as well. What is owned is read in any case.
    """

    host: str
    devices: tuple[dict[str, Any], ...]
    nv: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"host": self.host, "devices": [dict(device) for device in self.devices], "nv": list(self.nv)}

    @classmethod
    def parse(cls, value: Any, where: str = "body") -> FactsRequest:
        fields = Fields(value, where)
        request = cls(
            fields.text("host", NAME),
            tuple(fields.objects("devices", parse_selector, 1024)),
            tuple(fields.objects("nv", parse_key, 256)),
        )
        fields.done()
        return request
