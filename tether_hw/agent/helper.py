# SPDX-License-Identifier: Apache-2.0
"""What a login user may do as root, and all of it: one request on standard input, from a fixed list of verbs.

sudo lets the user run this program without any word on its command line. The request names a verb, never a program or
a path; what changes the host must be signed by an operator. The bundle that carries a request out is named by its
digest and is there only because root or a signed request put it there.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from tether_hw.agent import admission, command
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.host import Host
from tether_hw.plan.canonical import MAX_DOCUMENT_BYTES, DocumentError
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import HEX64, Fields, ShapeError, key_item
from tether_hw.plan.verbs import VERBS, Reply, Request

_USAGE = 64


def main(root: str = "/") -> int:
    """Carry out the request on standard input. The exit code is 0 whenever a reply was given."""
    if len(sys.argv) != 1:
        sys.stderr.write("usage: tether-helper < request.json (it takes no words)\n")
        return _USAGE
    os.environ.clear()  # nothing of the user's session has a say in what follows
    os.umask(0o022)
    try:
        request = admission.admit(sys.stdin.buffer.readline(MAX_DOCUMENT_BYTES + 1), root)
        if request.verb in VERBS:
            _agent(request)
        reply = Reply(request.verb, True, _own(request, sys.stdin.buffer))
    except AgentError as error:
        reply = Reply("helper", False, error.detail, error.code, error.message)
    except (ShapeError, DocumentError, ValueError) as error:
        reply = Reply("helper", False, {}, Refused.code, "request not understood: %s" % error)
    except Exception as error:  # noqa: BLE001 - the controller must get an answer in every case
        traceback.print_exc()
        reply = Reply("helper", False, {}, AgentError.code, "%s: %s" % (type(error).__name__, error))
    sys.stdout.write(json.dumps(reply.to_dict(), sort_keys=True, separators=(",", ":")) + "\n")
    return 0


def _agent(request: Request) -> NoReturn:
    """Turn into the agent of the bundle that the request names, or of our own."""
    host = Host(HostPaths(request.root))
    program = host.program("tether-agent", request.suite)
    if not Path(program).is_file():
        raise Refused("bundle %s is not on this host" % request.suite)
    reader, writer = os.pipe()
    text = json.dumps(request.to_dict()).encode()
    if os.fork() == 0:  # the request may be larger than a pipe holds
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    environment = {**command.environment(), admission.ADMITTED: "yes"}
    os.execve(program, [program, request.verb], environment)  # noqa: S606 - a program of a bundle of ours


def _own(request: Request, payload: BinaryIO) -> dict[str, Any]:
    """The verbs that bring something: a bundle, a file, a new list of operators."""
    paths = HostPaths(request.root)
    fields = Fields(request.body, "body")
    if request.verb == "files":
        from tether_hw.agent import store

        wanted = fields.objects("wanted", key_item, 64)
        fields.done()
        return {"missing": store.missing(paths, wanted)}
    if request.verb == "file":
        from tether_hw.agent import store

        sha256, size = fields.text("sha256", HEX64), fields.integer("size_bytes", 0, 1 << 40)
        fields.done()
        return {"made": store.receive(payload, paths, sha256, size)}
    digest = fields.text("digest", HEX64)
    if request.verb == "bundle":
        from tether_hw.agent import unpack

        fields.done()
        made = unpack.unpack(payload, paths, digest)
        host = Host(paths)
        host.make_state()
        host.owned.place(digest, None)
        return {"made": made}
    from tether_hw.agent import bootstrap

    keys = bootstrap.parse_keys(fields)
    fields.done()
    return bootstrap.renew(paths, digest, keys)
