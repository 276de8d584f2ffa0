# SPDX-License-Identifier: Apache-2.0
"""Setting up a host for a login that is not root, once, as root: helper, its line for sudo, keys of operators."""

from __future__ import annotations

import base64
import io
import os
import pwd
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any, Mapping, Optional

from tether_hw.agent import admission, command, durable, unpack, user
from tether_hw.agent.errors import AgentError, Refused
from tether_hw.agent.host import Host
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import HEX64, NAME, Fields, ShapeError

_VISUDO_S = 20.0
_LAUNCHER = """#!{python} -IB
# Made by tether host bootstrap: the one program that {user} may run as root. It takes no words, only a request.
import sys

sys.path.insert(0, "{bundle}/lib/python")

from tether_hw.agent.helper import main

sys.exit(main())
"""
_SUDOERS = """# Made by tether host bootstrap: this one program, without any word on its command line.
{user} ALL=(root) NOPASSWD: {helper} ""
"""


def bare(request: dict[str, Any]) -> dict[str, Any]:
    """{"root", "digest", "host", "user", "keys", "bundle"} -> {"made": [path]} or {"trouble": words}.

    host: its name in requests, None where the first signed one says it; user: who logs in, None for root; bundle: the
    tar, packed and in base64, None where it is there already.
    """
    try:
        return _bare(request)
    except (AgentError, ShapeError) as error:
        return {"trouble": str(error)}


def _bare(request: dict[str, Any]) -> dict[str, Any]:
    fields = Fields(request, "bootstrap")
    paths = HostPaths(fields.text("root"))
    digest = fields.text("digest", HEX64)
    name, login = fields.optional_text("host", NAME), fields.optional_text("user", user.NAME)
    keys = parse_keys(fields)
    packed = fields.take("bundle")
    fields.done()
    if paths.root != "/" or os.geteuid() != 0:
        raise Refused("a host is set up as root and as a whole, not below a folder")
    if packed is not None:
        unpack.unpack(io.BytesIO(zlib.decompress(base64.b64decode(packed))), paths, digest)
    return set_up(paths, digest, name, login, keys)


def parse_keys(fields: Fields) -> dict[str, str]:
    """The field `keys`: public key in hex -> whose it is. At least one, or nobody could change the host any more."""

    def owner(value: Any, where: str) -> str:
        if not isinstance(value, str) or len(value) > 128 or not value.isprintable():
            raise ShapeError(where, "expected up to 128 printable characters")
        return value

    keys = fields.table("keys", owner, HEX64)
    if not keys:
        raise fields.fail("keys", "at least one operator is needed")
    return keys


def set_up(
    paths: HostPaths, digest: str, name: Optional[str], login: Optional[str], keys: Mapping[str, str]
) -> dict[str, Any]:
    """Place everything; repeating it is fine."""
    host = Host(paths)
    if not Path(host.program("tether-agent", digest)).is_file():
        raise Refused("bundle %s is not on this host" % digest)
    line = None
    if login is not None and login != "root":
        line = _sudoers(paths, login)
    host.make_state()
    host.owned.place(digest, None)
    Path(paths.etc).mkdir(parents=True, exist_ok=True, mode=0o755)
    admission.write_operators(paths, name, keys)
    _launcher(paths, digest, login or "root")
    made = [paths.operators, paths.helper]
    if line is not None:
        durable.write(Path(paths.sudoers), line.encode(), 0o440)
        made.append(paths.sudoers)
    return {"made": made}


def renew(paths: HostPaths, digest: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Another bundle for the helper and another list of operators, asked for by one of those that are trusted now."""
    trusted = admission.operators(paths)
    if trusted is None:
        raise Refused("this host was never set up: tether host bootstrap, as root")
    host = Host(paths)
    if not Path(host.program("tether-agent", digest)).is_file():
        raise Refused("bundle %s is not on this host" % digest)
    host.owned.place(digest, None)
    _launcher(paths, digest, _login(paths) or "root")
    admission.write_operators(paths, trusted.host, keys)
    return {"made": [paths.operators, paths.helper]}


def remove(paths: HostPaths) -> list[str]:
    """Take away what lies outside our own folders; what was there, the line for sudo last."""
    there = [path for path in (paths.helper, paths.sudoers) if Path(path).exists()]
    return [path for path in there if durable.remove(Path(path))]


def _launcher(paths: HostPaths, digest: str, login: str) -> None:
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else os.path.realpath(sys.executable)
    text = _LAUNCHER.format(python=python, user=login, bundle=paths.bundle(digest))
    durable.write(Path(paths.helper), text.encode(), 0o755)


def _login(paths: HostPaths) -> Optional[str]:
    try:
        lines = Path(paths.sudoers).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return next((line.split(" ", 1)[0] for line in lines if line and not line.startswith("#")), None)


def _sudoers(paths: HostPaths, login: str) -> str:
    """The line for sudo, checked by its own tool. Raises Refused where there is no such user or no sudo."""
    try:
        pwd.getpwnam(login)
    except KeyError:
        raise Refused("there is no user %s on this host" % login) from None
    if shutil.which("sudo", path=command.SEARCH) is None or not Path(paths.sudoers).parent.is_dir():
        raise Refused("this host has no sudo, by which %s would run the helper" % login)
    text = _SUDOERS.format(user=login, helper=paths.helper)
    if shutil.which("visudo", path=command.SEARCH) is not None:
        command.checked(["visudo", "-c", "-q", "-f", "-"], _VISUDO_S, text)
    return text
