# SPDX-License-Identifier: Apache-2.0
"""Running our code on a host that has nothing of ours: sent over the session, run from memory, gone afterwards."""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.errors import HostFailed, HostRefused
from tether_hw.fleet import bundle_sources
from tether_hw.fleet.client import Joined

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from tether_hw.fleet.ssh import Completed, Session

_PACKAGE = Path(__file__).resolve().parent.parent

#: What python3 is started with: the program follows on standard input, and after it whatever the program reads.
_BOOT = "import sys;exec(compile(sys.stdin.buffer.read(int(sys.argv[1])),'tether','exec'))"

_PROGRAM = """
import base64, importlib.abc, importlib.util, json, sys, zlib
if sys.version_info < (3, 9):
    sys.stdout.write(json.dumps({"refused": "python3 is %d.%d, 3.9 or newer is needed" % sys.version_info[:2]}))
    sys.exit(0)
sources = json.loads(zlib.decompress(base64.b64decode(SOURCES)))
class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name not in sources:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=sources[name][0])
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        name = module.__spec__.name
        exec(compile(sources[name][1], name, "exec"), module.__dict__)
sys.meta_path.insert(0, Sources())
sys.dont_write_bytecode = True
module = __import__(MODULE, fromlist=["main"])
sys.stdout.write(json.dumps({"answer": module.bare(json.loads(REQUEST))}))
"""


@lru_cache(maxsize=1)
def sources() -> str:
    """The modules that run on hosts, packed: {name: [is a package, source]}."""
    packed = {}
    for path in bundle_sources.modules("plan", "agent"):
        parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
        package = parts[-1] == "__init__"
        packed[".".join(parts[:-1] if package else parts)] = [package, path.read_text(encoding="utf-8")]
    return base64.b64encode(zlib.compress(json.dumps(packed).encode(), 9)).decode()


def program(module: str, request: Any) -> bytes:
    """The program that calls `bare(request)` of a module and prints its answer as JSON."""
    head = f"SOURCES={sources()!r}\nMODULE={module!r}\nREQUEST={json.dumps(request)!r}\n"
    return (head + _PROGRAM).encode()


def run(
    session: Session,
    module: str,
    request: Any,
    timeout_s: float,
    payload: BinaryIO | None = None,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """The answer of a module's `bare(request)`, run on the host. Raises HostRefused or HostFailed with its words."""
    text = program(module, request)
    stdin: Any = text if payload is None else Joined(text, payload)
    done = session.run(["python3", "-I", "-c", _BOOT, str(len(text))], stdin, timeout_s, progress)
    return _answer(session.target.name, done)


def _answer(host: str, done: Completed) -> Any:
    if done.code in (126, 127):
        lack = "has no python3" if done.code == 127 else "has no python3 that may be executed"
        raise HostRefused(host, lack, hint="install the distribution's python3, 3.9 or newer")
    words = done.stderr.decode(errors="replace").strip().splitlines()
    try:
        document = json.loads(done.stdout)
    except ValueError:
        raise HostFailed(host, words[-1] if words else f"python3 ended with {done.code} and no answer") from None
    if "refused" in document:
        raise HostRefused(host, str(document["refused"]))
    return document["answer"]
