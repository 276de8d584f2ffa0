# SPDX-License-Identifier: Apache-2.0
"""`tether sim run | list | show | draw`: the transport in virtual time, over links as bad as you like.

The same scenario and seed give the same run, frame by frame. On every step the invariants of RFC 0001 are checked;
a run that breaks one ends with the command that repeats it, as small as it could be made.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.cli import output, sim_draw
from tether_hw.cli.common import Parser, add_json, positive, seconds
from tether_hw.cli.exits import Exit
from tether_hw.errors import UsageError

if TYPE_CHECKING:
    from tether_hw.sim.run import Outcome
    from tether_hw.sim.seeds import Job, Verdict


def add_parser(subparsers: Any) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("sim", help="the transport in virtual time, checked on every step")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    run_parser = actions.add_parser("run", help="run a scenario", description=__doc__.split("\n\n", 1)[1])
    run_parser.add_argument("scenario", metavar="SCENARIO", help="a name of `tether sim list`, or a file .yaml")
    run_parser.add_argument("--seed", metavar="N", type=seed, default=1, help="which chance (default %(default)s)")
    run_parser.add_argument("--seeds", metavar="A..B", help="every seed from A to B, in the scaled form")
    run_parser.add_argument("--scaled", action="store_true", help="the scenario's small form")
    run_parser.add_argument("--variant", metavar="NAME", help="a variant that the scenario names")
    run_parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], help="change the scenario: links.0.loss=2%%"
    )
    run_parser.add_argument("--trace", metavar="FILE", help="write what every endpoint does to a new file (sim draw)")
    run_parser.add_argument("--only", metavar="FAULTS", help="no faults but these, as a failing run prints them")
    run_parser.add_argument(
        "--shrink", metavar="S", type=seconds, default=60.0, help="make a failing run smaller for so long (%(default)s)"
    )
    run_parser.add_argument("-j", "--parallel", metavar="N", type=positive, default=2, help="processes (%(default)s)")
    add_json(run_parser)
    add_json(actions.add_parser("list", help="the scenarios"))
    show = actions.add_parser("show", help="what a scenario says")
    show.add_argument("scenario", metavar="SCENARIO", help="a name of `tether sim list`, or a file .yaml")
    add_json(show)
    sim_draw.add_parser(actions)


def seed(text: str) -> int:
    """A seed: what the simulator's generator starts from."""
    if not re.fullmatch(r"[0-9]{1,20}", text) or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to 2^64-1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Runs the verb."""
    if args.action == "list":
        return list_all(args)
    if args.action == "show":
        return show(args)
    if args.action == "draw":
        return sim_draw.run(args)
    if args.seeds and args.trace:
        raise UsageError("--trace is for one seed")
    return run_seeds(args) if args.seeds else run_one(args)


def list_all(args: argparse.Namespace) -> int:
    """The scenarios and what they are about."""
    from tether_hw.sim import load

    about = {name: load.read(name).about for name in load.names()}
    if args.json:
        output.emit_json({"schema": "tether.sim.list/1", "scenarios": about})
    width = max(map(len, about))
    output.result("\n".join(f"{name:<{width}}  {words}" for name, words in about.items()), as_json=args.json)
    return Exit.DONE


def show(args: argparse.Namespace) -> int:
    """One scenario."""
    from tether_hw.sim import load, text

    scenario = load.read(args.scenario)
    if args.json:
        document = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        file = str(load.path_of(args.scenario))
        output.emit_json({"schema": "tether.sim.scenario/1", "file": file, "scenario": document})
    output.result(text.describe(args.scenario, scenario), as_json=args.json)
    return Exit.DONE


def run_one(args: argparse.Namespace) -> int:
    """One seed, in full; when it breaks, smaller."""
    from tether_hw.sim import load, seeds, text
    from tether_hw.sim.run import document
    from tether_hw.sim.run import run as run_scenario
    from tether_hw.sim.tracer import Tracer

    try:
        only = seeds.parse_faults(args.only) if args.only else None
    except ValueError:
        raise UsageError(f"--only {args.only}: expected KIND:WHERE:WHICH, separated by commas") from None
    job = seeds.Job(args.scenario, args.seed, args.variant, tuple(args.set), args.scaled)
    scenario = load.read(job.scenario, scaled=job.scaled, variant=job.variant, changes=job.changes)
    with contextlib.ExitStack() as stack:
        trace = stack.enter_context(Tracer(Path(args.trace))) if args.trace else None
        outcome = run_scenario(scenario, job.seed, only, trace=trace)
    result = document(args.scenario, outcome)
    if not outcome.good:
        result["repeat"] = seeds.command(job, only)
    if outcome.invariant and only is None:
        result["smaller"] = smaller(job, outcome, args.shrink)
    if args.json:
        output.emit_json(result)
    output.result(text.summary(result), as_json=args.json)
    if not outcome.good:
        output.say(f"repeat: {result['repeat']}")
    if "smaller" in result:
        output.say(f"smaller: {result['smaller']['repeat']}")
        for line in result["smaller"]["faults"][:20]:
            output.say(f"    {line}")
    return Exit.DONE if outcome.good else Exit.ERROR


def smaller(job: Job, outcome: Outcome, patience: float) -> dict[str, Any]:
    """The smallest run that breaks the same way."""
    from tether_hw.sim import seeds, shrink, text

    small = shrink.shrink(job, outcome, patience, output.say)
    return {
        "repeat": seeds.command(small.job, small.only),
        "runs": small.runs,
        "frames": small.outcome.result.frames,
        "message": small.outcome.message,
        "faults": text.faults(small.outcome.built, small.only),
    }


def run_seeds(args: argparse.Namespace) -> int:
    """Many seeds of one scenario, in its scaled form; each that breaks is named with its command."""
    from tether_hw.sim import seeds

    match = re.fullmatch(r"([0-9]{1,20})\.\.([0-9]{1,20})", args.seeds)
    if not match or not int(match[1]) <= int(match[2]) < 1 << 64:
        raise UsageError(f"--seeds {args.seeds}: expected A..B, from 0 to 2^64-1")
    numbers = range(int(match[1]), int(match[2]) + 1)
    jobs = [seeds.Job(args.scenario, seed, args.variant, tuple(args.set)) for seed in numbers]
    verdicts = list(seeds.judge_all(jobs, min(args.parallel, len(jobs))))
    bad = [verdict for verdict in verdicts if not verdict.good]
    if args.json:
        output.emit_json(
            {
                "schema": "tether.sim.seeds/1",
                "scenario": args.scenario,
                "seeds": len(verdicts),
                "broken": [broken(verdict) for verdict in bad],
                "frames": sum(verdict.frames for verdict in verdicts),
                "checks": sum(verdict.checks for verdict in verdicts),
                "faults": sum(verdict.faults for verdict in verdicts),
            }
        )
    for verdict in bad:
        output.say(f"seed {verdict.job.seed}: {verdict.verdict} {verdict.invariant}: {verdict.message}")
        output.say(f"    {seeds.command(verdict.job)}")
    frames, checks = sum(verdict.frames for verdict in verdicts), sum(verdict.checks for verdict in verdicts)
    output.result(
        f"{args.scenario}: {len(verdicts) - len(bad)} of {len(verdicts)} seeds held; {frames} frames, {checks} checks",
        as_json=args.json,
    )
    return Exit.ERROR if bad else Exit.DONE


def broken(verdict: Verdict) -> dict[str, Any]:
    """A seed that did not hold."""
    from tether_hw.sim import seeds

    return {
        "seed": verdict.job.seed,
        "verdict": verdict.verdict,
        "invariant": verdict.invariant or None,
        "message": verdict.message,
        "repeat": seeds.command(verdict.job),
    }
