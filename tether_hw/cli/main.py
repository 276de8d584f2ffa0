# SPDX-License-Identifier: Apache-2.0
"""The `tether` command. Modules of verbs are loaded only when their verb is used."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from tether_hw.cli.common import Parser
from tether_hw.cli.exits import MEANINGS, Exit
from tether_hw.errors import TetherError, UsageError

#: Verb, what it does, its module.
VERBS: tuple[tuple[str, str, str], ...] = (
    ("init", "make a folder with an inventory and an example to plan from", "init"),
    ("validate", "check an inventory: every mistake at once, with its line", "validate"),
    ("facts", "read what the hosts are", "facts"),
    ("render", "write the files that hosts would get to a folder", "render"),
    ("plan", "show what would change, in which order, and how it is undone", "plan"),
    ("show", "explain a saved plan", "show"),
    ("apply", "carry out a plan: prove it, confirm it, or take it back", "apply"),
    ("confirm", "keep a run that waits for it", "confirm"),
    ("verify", "prove that the hosts carry the transport as planned", "verify"),
    ("drift", "what others changed since the last run, and why", "drift"),
    ("rollback", "take a run back", "rollback"),
    ("resume", "go on with a run that was interrupted", "resume"),
    ("runs", "the runs of the hosts", "runs"),
    ("retire", "take a host out of service and undo all that is ours there", "retire"),
    ("host", "set hosts up for a login that is not root", "host"),
    ("key", "identity keys of the hosts, keys of operators", "key"),
    ("schema", "JSON Schemas of the inventory and of every JSON output", "schema"),
    ("doctor", "what this machine has and lacks, and the next step", "doctor"),
    ("lab", "hosts without hardware, on this machine", "lab"),
    ("engine", "run and use the transport engine", "engine"),
    ("frame", "decode and encode Tether frames", "frame"),
    ("sim", "the transport in virtual time, checked on every step", "sim"),
    ("ddp", "DDP packages of Intel's E800", "ddp"),
)


def version() -> str:
    """The version of this suite."""
    from tether_hw import __version__

    return __version__


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The command line. Only `verb` gets its options: the others would cost the import of their modules."""
    codes = "\n".join(f"  {int(code):3}  {meaning}" for code, meaning in MEANINGS.items())
    parser = Parser(
        prog="tether",
        description="Declare a fleet of SmartNIC hosts in YAML; tether programs, proves and takes back.",
        epilog=f"exit codes:\n{codes}\n\nWith several hosts: the first that applies of 7, 1, 5, 3, 4, 6, 2.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser)
    for name, help_text, module in VERBS:
        if name == verb:
            load(module).add_parser(verbs)
        else:
            verbs.add_parser(name, help=help_text, add_help=False)
    return parser


def load(module: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"tether_hw.cli.{module}")


def chosen_verb(argv: Sequence[str]) -> str | None:
    """The verb that a command line names: its first word that is no option."""
    names = {name for name, _, _ in VERBS}
    for word in argv:
        if not word.startswith("-"):
            return word if word in names else None
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = chosen_verb(words)
    try:
        code = _run(words, verb)
        sys.stdout.flush()
        return code
    except TetherError as error:
        return _report(error, verb or "", words)
    except KeyboardInterrupt:
        interrupted = TetherError("interrupted")
        interrupted.exit = Exit.INTERRUPTED
        return _report(interrupted, verb or "", words)
    except BrokenPipeError:
        # The reader went away (a pager, head): not an error of ours, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def _run(words: list[str], verb: str | None) -> int:
    parser = build_parser(verb)
    try:
        args, unknown = parser.parse_known_args(words)
    except SystemExit as end:  # --help
        return int(end.code or 0)
    if unknown:
        command = f"tether {verb}" if verb else "tether"
        raise UsageError(f"{command}: unknown here: {' '.join(unknown)}", hint=f"{command} --help")
    if args.version:
        print(f"tether {version()}")
        return Exit.DONE
    if verb is None:
        parser.print_help(sys.stderr)
        raise UsageError("no verb", hint="tether --help")
    module = load(next(module for name, _, module in VERBS if name == verb))
    _quiet_libraries()
    return int(module.run(args))


def _quiet_libraries() -> None:
    """Our errors say what went wrong; a library that logs the same as a traceback only hides it."""
    import logging

    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


def _report(error: TetherError, verb: str, words: list[str]) -> int:
    from tether_hw.cli import output

    code = output.report(error)
    if "--json" in words and not isinstance(error, UsageError):
        output.emit_json(output.error_document(verb, error))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
