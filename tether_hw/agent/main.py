# SPDX-License-Identifier: Apache-2.0
"""tether-agent VERB: one request as JSON on standard input, one reply as JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, Callable, Optional, Sequence

from tether_hw.agent import unattended
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.plan.canonical import DocumentError
from tether_hw.plan.function_name import FUNCTION
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import NAME, Fields, ShapeError, key_item
from tether_hw.plan.verbs import READING, VERBS, FactsRequest, Reply, Request

_USAGE = 64


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Answer one verb. The exit code is 0 whenever a reply was given, whatever it says."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in unattended.WORDS:
        return unattended.main(words)
    if len(words) != 1 or words[0] not in VERBS:
        sys.stderr.write("usage: tether-agent %s < request.json\n" % "|".join(VERBS))
        return _USAGE
    os.umask(0o022)
    reply = answer(words[0], sys.stdin.buffer.read())
    sys.stdout.write(json.dumps(reply.to_dict(), sort_keys=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()
    return 0


def answer(verb: str, text: bytes) -> Reply:
    """The reply to a request; an error is a reply too."""
    from tether_hw.agent import admission

    try:
        request = admission.admit(text)
        if request.verb != verb:
            raise Refused("the request is for %s, not for %s" % (request.verb, verb))
        _check_suite(request)
        return Reply(verb, True, _handled(request))
    except AgentError as error:
        return Reply(verb, False, error.detail, error.code, error.message)
    except (ShapeError, DocumentError) as error:
        return Reply(verb, False, {}, Refused.code, "request not understood: %s" % error)
    except OSError as error:
        from tether_hw.agent.storage import trouble

        traceback.print_exc()
        return Reply(verb, False, {}, AgentError.code, trouble(error))
    except Exception as error:  # noqa: BLE001 - the controller must get an answer in every case
        traceback.print_exc()
        return Reply(verb, False, {}, AgentError.code, "%s: %s" % (type(error).__name__, error))


def _handled(request: Request) -> dict[str, Any]:
    from tether_hw.agent.sealed import sealed

    if request.verb not in READING:
        return _HANDLERS[request.verb](request)
    with sealed():
        return _HANDLERS[request.verb](request)


def _check_suite(request: Request) -> None:
    from tether_hw.agent.host import own_digest

    own = own_digest()
    if request.suite is not None and own != request.suite:
        raise Refused("controller and agent are of different builds: %s and %s" % (request.suite, own))


def _host(request: Request) -> Any:
    from tether_hw.agent.host import Host

    return Host(HostPaths(request.root))


def _facts(request: Request) -> dict[str, Any]:
    from tether_hw.agent import facts

    wanted = FactsRequest.parse(request.body)
    return facts.collect(_host(request), wanted.host, [dict(device) for device in wanted.devices], wanted.nv)


def _enroll(request: Request) -> dict[str, Any]:
    from tether_hw.agent import enroll

    fields = Fields(request.body, "body")
    user = fields.text("user", NAME)
    fields.done()
    return enroll.enroll(_host(request), user)


def _stage(request: Request) -> dict[str, Any]:
    from tether_hw.agent import stage

    return stage.stage(_host(request), request.body)


def _run_fields(request: Request) -> tuple[Fields, Any, str]:
    fields = Fields(request.body, "body")
    return fields, _host(request), fields.text("run", NAME)


def _status_of(host: Any, name: str) -> dict[str, Any]:
    from tether_hw.agent.state import status

    return status(host, host.run(name))


def _start(request: Request) -> dict[str, Any]:
    from tether_hw.agent import execute

    fields, host, name = _run_fields(request)
    fields.done()
    process = execute.start(host, name, "start")
    return {"run": name, "executor": process.pid}


def _status(request: Request) -> dict[str, Any]:
    fields, host, name = _run_fields(request)
    fields.done()
    return _status_of(host, name)


def _follow(request: Request) -> dict[str, Any]:
    from tether_hw.agent.follow import follow

    fields, host, name = _run_fields(request)
    after = fields.integer("after")
    fields.done()
    follow(host.run(name), after, sys.stdout)
    return _status_of(host, name)


def _confirm(request: Request) -> dict[str, Any]:
    from tether_hw.agent import close, confirm, joined
    from tether_hw.agent.staged import Staged

    fields, host, name = _run_fields(request)
    fields.done()
    run = host.run(name)
    staged = Staged.of(run)
    joined.check_ready(run, staged)
    confirm.confirm(run)
    close.finish(host, run, staged)
    close.tidy(host)
    return _status_of(host, name)


def _ready(request: Request) -> dict[str, Any]:
    from tether_hw.agent import joined

    fields, host, name = _run_fields(request)
    fields.done()
    joined.ready(host, host.run(name))
    return _status_of(host, name)


def _proceed(request: Request) -> dict[str, Any]:
    from tether_hw.agent import joined

    fields, host, name = _run_fields(request)
    step = fields.optional_text("step", NAME)
    fields.done()
    joined.proceed(host.run(name), step)
    return {"run": name, "step": step}


def _rollback(request: Request) -> dict[str, Any]:
    from tether_hw.agent import close, take_back

    fields, host, name = _run_fields(request)
    by = fields.text("by", limit=256)
    fields.done()
    close.tidy(host)
    take_back.start(host, name, by)
    return _status_of(host, name)


def _resume(request: Request) -> dict[str, Any]:
    from tether_hw.agent.resume import resume

    fields, host, name = _run_fields(request)
    by = fields.text("by", limit=256)
    fields.done()
    resume(host, name, by)
    return _status_of(host, name)


def _runs(request: Request) -> dict[str, Any]:
    from tether_hw.agent import listing

    Fields(request.body, "body").done()
    return listing.runs(_host(request))


def _verify(request: Request) -> dict[str, Any]:
    from tether_hw.agent import boot_plan, verify
    from tether_hw.agent.staged import parse_scale
    from tether_hw.plan.checks import Check
    from tether_hw.plan.facts import parse_config, parse_selector

    fields = Fields(request.body, "body")
    name = fields.text("host", NAME)
    devices = fields.objects("devices", parse_selector, 1024)
    checks = fields.objects("checks", Check.parse, 10000)
    planned = parse_config(fields.take("config"), fields.at("config"))
    time_scale = parse_scale(fields)
    fields.done()
    host = _host(request)
    found = verify.local(host, name, devices, checks, planned, time_scale)
    return {"checks": boot_plan.failure(host, name) + found}


def _drift(request: Request) -> dict[str, Any]:
    from tether_hw.agent import drift

    wanted = FactsRequest.parse(request.body)
    return drift.collect(_host(request), wanted.host, [dict(device) for device in wanted.devices], wanted.nv)


def _probe(request: Request) -> dict[str, Any]:
    from tether_hw.agent import offload_probe
    from tether_hw.plan.facts import parse_selector

    fields = Fields(request.body, "body")
    devices = fields.objects("devices", parse_selector, 1024)
    holder = fields.text("holder", limit=256)
    fields.done()
    return offload_probe.probe(_host(request), devices, holder)


def _revoke(request: Request) -> dict[str, Any]:
    from tether_hw.agent import revoked

    fields = Fields(request.body, "body")
    name = fields.text("host", NAME)
    keys = fields.objects("keys", key_item, 16)
    fields.done()
    return revoked.revoke(_host(request), name, keys)


def _retire(request: Request) -> dict[str, Any]:
    from tether_hw.agent import retire

    Fields(request.body, "body").done()
    return retire.retire(_host(request))


def _counts(request: Request) -> dict[str, Any]:
    from tether_hw.agent import rule_counts

    fields = Fields(request.body, "body")
    function = fields.text("function", FUNCTION)
    fields.done()
    return rule_counts.read(function, HostPaths(request.root))


def _frames(request: Request) -> dict[str, Any]:
    from tether_hw.agent.probe_frames import MOST_FRAMES, MOST_TIMES, ProbeFrame, send
    from tether_hw.plan.facts import parse_selector

    fields = Fields(request.body, "body")
    selector = parse_selector(fields.take("device"), fields.at("device"))
    frames = fields.objects("frames", ProbeFrame.parse, MOST_FRAMES)
    times = fields.integer("times", 1, MOST_TIMES)
    fields.done()
    return send(selector, frames, times)


def _engine(request: Request) -> dict[str, Any]:
    from tether_hw.agent import engine_verbs

    return engine_verbs.carry_out(_host(request), request.body)


_HANDLERS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "facts": _facts,
    "enroll": _enroll,
    "stage": _stage,
    "start": _start,
    "status": _status,
    "follow": _follow,
    "proceed": _proceed,
    "ready": _ready,
    "confirm": _confirm,
    "rollback": _rollback,
    "resume": _resume,
    "runs": _runs,
    "verify": _verify,
    "drift": _drift,
    "engine": _engine,
    "revoke": _revoke,
    "retire": _retire,
    "counts": _counts,
    "frames": _frames,
    "probe": _probe,
}

if __name__ == "__main__":
    sys.exit(main())
