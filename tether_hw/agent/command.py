# SPDX-License-Identifier: Apache-2.0
"""Programs of this host, run from an argv with a deadline, never by a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Sequence

from tether_hw.agent.errors import AgentError

#: Where a host's tools lie when a session's PATH does not say so (sshd gives ordinary users no sbin).
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment() -> dict[str, str]:
    """The fixed environment of our children: nothing of the session's leaks into them."""
    return {"PATH": SEARCH, "LC_ALL": "C", "LANG": "C", "HOME": "/"}


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


def execute(argv: Sequence[str], timeout_s: float, text: str = "") -> Done:
    """Run a program with `text` as its input. Raises AgentError when it cannot be run or takes too long."""
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if text else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise AgentError("%s: %s" % (argv[0], error.strerror)) from None
    try:
        out, err = process.communicate(text.encode() if text else None, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()
        raise AgentError("%s: not finished after %g s" % (" ".join(argv), timeout_s)) from None
    return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def checked(argv: Sequence[str], timeout_s: float, text: str = "") -> Done:
    """The same; raises AgentError with the program's own words when it fails."""
    done = execute(argv, timeout_s, text)
    if done.code != 0:
        words = (done.err or done.out).strip()[:2000]
        raise AgentError("%s: exit %d: %s" % (" ".join(argv), done.code, words))
    return done


def run(argv: Sequence[str], timeout_s: float) -> str:
    """The program's standard output. Raises AgentError with its own words when it fails or takes too long."""
    return checked(argv, timeout_s).out
