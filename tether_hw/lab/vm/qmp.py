# SPDX-License-Identifier: Apache-2.0
"""Orders to a running qemu, over its control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tether_hw.lab.errors import LabError

ANSWER_S = 120.0


def order(path: Path, command: str, **arguments: Any) -> Any:
    """Carries out one command; returns what it returns. Raises LabError with qemu's words."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(ANSWER_S)
            control.connect(str(path))
            stream = control.makefile("rw", encoding="utf-8")
            stream.readline()  # the greeting
            ask(stream, "qmp_capabilities", {})
            return ask(stream, command, arguments)
    except OSError as error:
        raise LabError(f"{path}: {error}") from error


def ask(stream: Any, name: str, arguments: dict[str, Any]) -> Any:
    stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"qemu: {name}: {answer['error'].get('desc', answer['error'])}")
        if "return" in answer:
            return answer["return"]
    raise LabError(f"qemu: {name}: no answer")


def monitor(path: Path, command: str) -> str:
    """A command of the monitor for people: the only one for snapshots; what it says is an error."""
    said = str(order(path, "human-monitor-command", **{"command-line": command})).strip()
    if said:
        raise LabError(f"qemu: {command}: {said}")
    return said
