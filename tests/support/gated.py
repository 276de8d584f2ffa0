# SPDX-License-Identifier: Apache-2.0
"""The agent of a real bundle with a gate around its journal: it stops itself (SIGSTOP) right after a chosen record.

Gate and clock are in the launcher of a bundle that only tests ship; the agent's own code is untouched and knows of
neither.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from tether_hw.fleet import bundle
from tether_hw.plan.bundle import MANIFEST, content_digest

GATE = "/var/tmp/tether-test-gate"  # outlives a boot
PAUSED = "/run/tether-test/paused"

_HOOK = f"""
import signal
from tether_hw.agent.journal import Journal

_append = Journal.append

def _gated(self, point, phase, **data):
    number = _append(self, point, phase, **data)
    label = point + "." + phase + (" " + data["step"] if "step" in data else "")
    try:
        with open({GATE!r}) as file:
            wanted = file.read()
    except OSError:
        return number
    if wanted == label:
        os.unlink({GATE!r})
        os.makedirs(os.path.dirname({PAUSED!r}), exist_ok=True)
        with open({PAUSED!r} + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename({PAUSED!r} + ".new", {PAUSED!r})
        os.kill(os.getpid(), signal.SIGSTOP)
    return number

Journal.append = _gated
"""

#: Seconds that the agent's calendar is wrong by: a host made of namespaces has no calendar of its own to set.
CLOCK = "/var/tmp/tether-test-clock"
_CLOCK_HOOK = f"""
import time
_now, _gmtime = time.time, time.gmtime

def _shifted():
    try:
        with open({CLOCK!r}) as file:
            return _now() + float(file.read())
    except OSError:
        return _now()

time.time = _shifted
time.gmtime = lambda at=None: _gmtime(_shifted() if at is None else at)
"""


def gated(folder: Path, arch: str = "x86_64") -> bundle.Bundle:
    """The bundle of this suite with a gated agent, written below `folder`."""
    source = bundle.find(arch)
    files: dict[str, tuple[int, bytes]] = {}
    with tarfile.open(source.path) as tar:
        for member in tar:
            source_file = tar.extractfile(member)
            assert source_file is not None
            files[member.name] = (member.mode, source_file.read())
    mode, launcher = files["bin/tether-agent"]
    head, mark, tail = launcher.decode().partition("from tether_hw.agent.main import main")
    assert mark
    files["bin/tether-agent"] = (mode, (head + _HOOK + _CLOCK_HOOK + mark + tail).encode())
    manifest = json.loads(files[MANIFEST][1])
    manifest["files"]["bin/tether-agent"] = hashlib.sha256(files["bin/tether-agent"][1]).hexdigest()
    files[MANIFEST] = (files[MANIFEST][0], (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    path = folder / f"tether-{arch}.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (mode, content) in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    digest = content_digest(
        (name, mode, hashlib.sha256(content).hexdigest()) for name, (mode, content) in files.items()
    )
    return bundle.Bundle(arch, digest, source.version, source.carriers, path, path.stat().st_size)
