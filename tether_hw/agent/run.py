# SPDX-License-Identifier: Apache-2.0
"""One run on this host: its folder, its journal, its one outcome, the processes that serve it."""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

from tether_hw.agent import durable
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.journal import BEGIN, Journal
from tether_hw.agent.process import ProcessId, boot_id

RUN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
CONFIRMED = "confirmed"
REVERTED = "reverted"

#: The detached processes of a run.
EXECUTOR = "executor"
DEADMAN = "deadman"
REVERTER = "reverter"


class Run:
    """Files of a run below the host's state folder. Making the object touches nothing."""

    def __init__(self, runs: Path, name: str) -> None:
        if not RUN_NAME.match(name):
            raise Refused("%r is not the name of a run" % name)
        self.name = name
        self.folder = runs / name
        self.journal = Journal(self.folder / "journal.jsonl")

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def exists(self) -> bool:
        return (self.folder / "plan.json").is_file()

    def plan(self) -> Any:
        document = durable.read_json(self.folder / "plan.json")
        if document is None:
            raise Refused("run %s is not known on this host" % self.name)
        return document

    def number(self) -> int:
        """The place of this run among those of the host; 0 for one that was cut off before it got one."""
        record = self.journal.last("stage", BEGIN)
        return int(record.get("seq", 0)) if record is not None else 0

    def snapshot(self) -> Optional[Any]:
        return durable.read_json(self.folder / "snapshot.json")

    # The outcome: confirm and revert compete for one file; the link that makes it is the decision.

    def outcome(self) -> Optional[dict[str, Any]]:
        document = durable.read_json(self.folder / "outcome.json")
        if document is not None and not isinstance(document, dict):
            raise AgentError("the outcome record of run %s is not an object" % self.name)
        return document

    def decide(self, outcome: str, by: str) -> bool:
        """True for the one caller whose outcome stands; the answer is on disk before it is given."""
        record = {"outcome": outcome, "by": by, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return durable.create_json(self.folder / "outcome.json", record)

    def is_decided(self, outcome: str) -> bool:
        record = self.outcome()
        return record is not None and record["outcome"] == outcome

    # The actor: at most one process changes this host for the run; the kernel drops the claim of a dead one.

    @contextmanager
    def acting(self, wait_s: float) -> Iterator[None]:
        """Hold the right to change this host; AgentError when another process keeps it for `wait_s` seconds."""
        descriptor = os.open(self.folder / "actor", os.O_RDWR | os.O_CREAT, 0o600)
        limit = time.monotonic() + wait_s
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= limit:
                        raise AgentError("another process still changes this host for run %s" % self.name) from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    # Detached processes of the run, named so that a later session finds exactly them.

    def remember(self, role: str, process: ProcessId) -> None:
        durable.write_json(
            self.folder / (role + ".json"), {"pid": process.pid, "start": process.start, "boot": boot_id()}
        )

    def process(self, role: str) -> Optional[ProcessId]:
        """The living process of a role; None when it ended or belongs to an earlier boot."""
        record = durable.read_json(self.folder / (role + ".json"))
        if record is None or record["boot"] != boot_id() or "pid" not in record:
            return None
        process = ProcessId(record["pid"], record["start"])
        return process if process.alive() else None
