# SPDX-License-Identifier: Apache-2.0
"""Enrolling: the engine's user, its folders and the identity key, which is made here and never leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.agent import engine_files, public, user
from tether_hw.agent.errors import Refused
from tether_hw.agent.host import own_digest

if TYPE_CHECKING:
    from tether_hw.agent.host import Host


def enroll(host: Host, name: str) -> dict[str, Any]:
    """Make what is missing, change nothing that is there; gives {"key", "made", "user"}."""
    from tether_hw.transport import identity as new_identity

    bundle = own_digest()
    if bundle is None:
        raise Refused("enrolling needs an agent that runs from a bundle")
    made_user = user.ensure(name)
    entry = user.known(name)
    assert entry is not None
    if os.geteuid() != 0 and entry.pw_uid != os.geteuid():
        raise Refused("the engine of this host can only run as the login user, not as %s" % name)
    paths = host.paths
    host.make_state()
    engine_files.make_folder(Path(paths.etc))
    counter = Path(paths.counter).parent
    counter.mkdir(parents=True, exist_ok=True)
    counter.chmod(0o700)
    _give(counter, entry.pw_uid, entry.pw_gid)
    identity = Path(paths.identity)
    made = not identity.exists()
    if made:
        new_identity.make(str(identity))
    identity.chmod(0o600)
    _give(identity, entry.pw_uid, entry.pw_gid)
    host.owned.place(bundle, name if made_user else None)
    return {"key": public.key(host, None), "made": made, "user": name}


def _give(path: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
