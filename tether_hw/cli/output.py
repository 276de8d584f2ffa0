# SPDX-License-Identifier: Apache-2.0
"""Where words go: the result of a command to stdout, everything else to stderr.

With `--json` stdout carries one JSON document and nothing else; what a person would have read goes to stderr.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any

from tether_hw.cli.exits import Exit
from tether_hw.errors import InputErrors, TetherError, printable

if TYPE_CHECKING:
    from rich.console import Console


def emit_json(document: dict[str, Any]) -> None:
    """Print the one JSON document of this command; it must have a `schema` field."""
    if "schema" not in document:
        raise ValueError("a JSON document without a schema field")
    sys.stdout.write(json.dumps(document, indent=1, sort_keys=False) + "\n")
    sys.stdout.flush()


def result(text: str, *, as_json: bool = False) -> None:
    """Print the result of a command for people: to stdout, or to stderr where stdout belongs to the JSON document."""
    print(_lines(text), file=sys.stderr if as_json else sys.stdout, flush=True)


def say(text: str) -> None:
    """Tell a person something: to stderr. What a host or a file put into it cannot steer the terminal."""
    print(_lines(text), file=sys.stderr, flush=True)


_OURS = re.compile("(\\033\\[1m|\\033\\[31m|\\033\\[0m|[\\n\\t])")


def _lines(text: str) -> str:
    """The text with its line ends, its tabs and our own colours; every other control character as an escape."""
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(_OURS.split(text)))


def colour(stream: IO[str]) -> bool:
    """True when the stream may be coloured: a terminal, and NO_COLOR is not set (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def console() -> Console:
    """The console for people, on stderr; plain lines where it is no terminal or NO_COLOR is set."""
    from rich.console import Console

    return Console(stderr=True, no_color=not colour(sys.stderr), highlight=False, soft_wrap=True)


def bold(text: str, stream: IO[str] | None = None) -> str:
    """The text in bold where colour is allowed."""
    stream = sys.stderr if stream is None else stream
    return f"\033[1m{text}\033[0m" if colour(stream) else text


def red(text: str, stream: IO[str] | None = None) -> str:
    """The text in red where colour is allowed."""
    stream = sys.stderr if stream is None else stream
    return f"\033[31m{text}\033[0m" if colour(stream) else text


def report(error: TetherError) -> Exit:
    """Tell a person about an error; gives the exit code."""
    if isinstance(error, InputErrors):
        for problem in error.problems:
            say(str(problem))
            if problem.hint:
                say(f"    hint: {printable(problem.hint)}")
        say(red(error.summary))
    else:
        say(f"{red('error:')} {error.message}")
    if error.hint:
        say(f"hint: {error.hint}")
    return error.exit


def error_document(verb: str, error: TetherError) -> dict[str, Any]:
    """An error as the JSON document of a command that could not give its own."""
    problems = [problem.to_dict() for problem in error.problems] if isinstance(error, InputErrors) else []
    return {
        "schema": "tether.error/1",
        "verb": verb,
        "exit": int(error.exit),
        "message": error.message,
        "hint": error.hint,
        "problems": problems,
    }


def agreed(question: str, *, yes: bool) -> bool:
    """Ask before something is changed. Without a terminal and without --yes this is an error, never a wait."""
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise TetherError("no terminal to ask on", hint="say --yes to go on without being asked")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
