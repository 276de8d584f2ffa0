# SPDX-License-Identifier: Apache-2.0
"""The last verb of a host: what we keep there goes, the identity key first. What plans changed was undone before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_hw.agent import boot_hook, boot_plan, bootstrap, close, command, durable, service, user
from tether_hw.agent.errors import AgentError, Locked, Refused

if TYPE_CHECKING:
    from tether_hw.agent.host import Host

_USERDEL_S = 30.0


def retire(host: Host) -> dict[str, Any]:
    """{"removed": [path], "user": name or null, "left": [path of config]}; repeating it finds less to do.

    `left`: values that somebody else changed after us, which therefore stay. Raises Locked or Refused with nothing
    changed while a run is open or something of ours still works.
    """
    paths = host.paths
    close.tidy(host)
    holder = host.lock.holder()
    if holder is not None:
        raise Locked("run %s is pending here" % holder["run"], **{n: holder[n] for n in ("run", "holder", "since")})
    if service.state(paths)["service"] != "absent":
        raise Refused("its engine is still set up: a plan takes it away first")
    still = [path for path in (paths.engine_config, paths.roster) if Path(path).exists()]
    if still:
        raise Refused("still there: %s; a plan takes it away first" % ", ".join(still))
    owned = host.owned.read()
    removed = []
    if durable.remove(Path(paths.identity)):
        removed.append(paths.identity)
    name = _remove_user(owned["user"])
    boot_plan.drop(host)
    boot_hook.drop(host)
    removed += bootstrap.remove(paths)
    for folder in (paths.etc, paths.run, paths.state, paths.bundles):
        if Path(folder).is_dir():
            shutil.rmtree(folder)
            durable.sync_directory(Path(folder).parent)
            removed.append(folder)
    return {"removed": removed, "user": name, "left": [".".join(entry["path"]) for entry in owned["config"]]}


def _remove_user(name: str | None) -> str | None:
    """Remove the system user that we made, if it is there; its name."""
    if name is None or user.known(name) is None or os.geteuid() != 0:
        return None
    tool = next((one for one in ("userdel", "deluser") if shutil.which(one, path=command.SEARCH)), None)
    if tool is None:
        raise AgentError("user %s cannot be removed: this host has neither userdel nor deluser" % name)
    command.run([tool, name], _USERDEL_S)
    return name
