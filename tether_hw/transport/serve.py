# SPDX-License-Identifier: Apache-2.0
"""The daemon: one engine, its channels to every peer of the roster, its control socket and its metrics."""

from __future__ import annotations

import os
import pwd
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

from . import hot, identity, privilege, stats
from .config import EngineConfig, Roster, load_engine, load_roster
from .control import Server
from .engine import Engine
from .errors import ConfigError, TransferError, TransportError
from .keeper import Keeper
from .library import load as load_library
from .metrics import Metrics
from .native import DebugFiles
from .receptions import Receptions
from .requests import Requests
from .services import Services

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GOODBYE_S = 0.2
ENDING_S = 5.0


def say(text: str) -> None:
    """A line for the journal."""
    sys.stderr.write(f"tether-engine: {text}\n")
    sys.stderr.flush()


class Daemon:
    """Everything that one engine process has. Made after privileges were dropped."""

    def __init__(self, config: EngineConfig, files: Optional[DebugFiles] = None, path: Optional[str] = None) -> None:
        self.config = config
        self._path = path
        self._begun = time.monotonic()
        self._roster = Roster()
        self._reloading = threading.Lock()
        self.engine = Engine.from_config(config, identity.read(config.identity), files)
        try:
            self.receptions = Receptions(config.node)
            self.keeper = Keeper(self.engine, config)
            self.requests = Requests(self.engine, config.node, self.keeper, self.receptions, self.stats, self.reload)
            self.engine.listen(Services(self.receptions).event)
            self.server = Server(config.socket, self.requests.serve)
            self.metrics: Optional[Metrics] = None
            if config.metrics_listen is not None:
                self.metrics = Metrics(config.metrics_listen, self.stats)
        except BaseException:
            self.engine.close()
            raise

    def start(self) -> None:
        """Load the roster, start the lanes, begin to keep channels, then answer clients."""
        self._load()
        self.engine.start()
        for lane in self.engine.lanes:
            info = self.engine.lane_info(lane.lane)
            say(f"lane {lane.lane}: {info.carrier.decode()}: {info.why.decode(errors='replace')}")
        self.keeper.roster(self._roster)
        self.keeper.start()
        if self.metrics is not None:
            self.metrics.start()
        self.server.start()
        say(f"node {self.config.node} is up, {len(self.engine.lanes)} lanes, {len(self._roster.peers)} peers")

    def stop(self) -> None:
        """End transfers with a word, tell the peers, stop."""
        ending = TransferError("stopped", f"the engine of {self.config.node} was stopped", "send the file again later")
        self.requests.abort_all(ending)
        self.receptions.abort_all(ending)
        deadline = time.monotonic() + ENDING_S
        while self.requests.sending + self.receptions.running and time.monotonic() < deadline:
            time.sleep(0.02)  # each tells its peer and its client why
        self.server.close()
        if self.metrics is not None:
            self.metrics.close()
        self.keeper.stop()
        for channel in self.engine.channels():
            channel.close()
        time.sleep(GOODBYE_S)  # the lanes send the goodbye
        self.engine.close()
        say("stopped")

    def reload(self) -> dict[str, Any]:
        """Read both files again, and take over what a running engine can: roster, contact plans, UDP addresses.

        Channels of peers that stay are untouched. ConfigError: the roster is wrong, nothing changed. What else differs
        in the engine file waits for a restart: `restart` names it.
        """
        with self._reloading:
            found = self._changes()
            before = {peer.name for peer in self._roster.peers}
            self._load()
            self.keeper.roster(self._roster)
            for link, plan in found.contact:
                self.engine.contact(link, plan)
            for lane, address in found.moves:
                self.engine.move(lane, address)
            self.config = found.after
            self.keeper.moved(self.config)
            after = {peer.name for peer in self._roster.peers}
        say(f"roster reloaded: {len(after)} peers, +{len(after - before)} -{len(before - after)}")
        for link, plan in found.contact:
            say(f"contact of {link}: {'always' if plan is None else f'{len(plan.windows)} windows planned'}")
        for lane, address in found.moves:
            say(f"lane {lane} is at {address} now")
        if found.restart:
            say(f"waits for a restart: {', '.join(found.restart)}")
        return {
            "peers": sorted(after),
            "contact": [link for link, _ in found.contact],
            "moved": [lane for lane, _ in found.moves],
            "restart": list(found.restart),
        }

    def stats(self) -> dict[str, Any]:
        """The statistics document."""
        running = self.requests.sending + self.receptions.running
        uptime_s = time.monotonic() - self._begun
        return stats.document(self.engine, self.config.node, uptime_s, self._roster, running)

    def _changes(self) -> hot.Changes:
        """What is new in the engine file. One that this engine cannot read may be for the next: the roster goes on."""
        try:
            wanted = self.config if self._path is None else load_engine(self._path)
        except ConfigError as error:
            say(f"the engine file was not taken over: {error}")
            return hot.Changes((), (), ("unreadable",), self.config)
        return hot.changes(self.config, wanted)

    def _load(self) -> None:
        roster = load_roster(self.config.roster, self.config)
        self.engine.roster(roster)
        self._roster = roster


def carriers_of(config: EngineConfig) -> set[str]:
    """The carriers that privileges are needed for."""
    return {"udp" if lane.address.udp is not None else lane.carrier for lane in config.lanes}


def prepare_folders(config: EngineConfig) -> None:
    """As root, before the user is changed: the folders of socket and counter, the engine user's own."""
    if os.geteuid() != 0 or config.user is None:
        return
    try:
        account = pwd.getpwnam(config.user)
    except KeyError:
        return  # privilege.restrict says it better
    for folder, mode in ((Path(config.socket).parent, 0o755), (Path(config.counter).parent, 0o700)):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(mode)
            os.chown(folder, account.pw_uid, account.pw_gid)


def run(path: str, trace: Optional[str] = None, keylog: Optional[str] = None) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the roster. `trace`, `keylog`: new files. The exit code."""
    config = load_engine(path)
    load_roster(config.roster, config)
    load_library()  # its file need not be readable for the user that we become
    prepare_folders(config)
    privilege.restrict(config.user, privilege.needed(carriers_of(config)))
    # Blocked before any thread starts, so that only this thread takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    if trace is not None:
        say(f"every event goes to {trace}")
    if keylog is not None:
        say(f"WARNING: {keylog} gets the secrets of every channel; who reads it reads all their frames. Debugging only")
    daemon = Daemon(config, DebugFiles(config.node, trace, keylog), path)
    try:
        daemon.start()
    except BaseException:
        daemon.server.close()
        daemon.engine.close()
        raise
    while True:
        number = signal.sigwait(_SIGNALS)
        if number != signal.SIGHUP:
            break
        try:
            daemon.reload()
        except (ConfigError, TransportError) as error:
            say(f"not reloaded: {error}")
    daemon.stop()
    return 0
