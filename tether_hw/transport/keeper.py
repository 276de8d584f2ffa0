# SPDX-License-Identifier: Apache-2.0
"""Keeps one channel per lane pair to every peer of the roster: lane q to the peer's lane q on the same link."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Optional

from . import binding
from .channel import Channel
from .config import Address, EngineConfig, Peer, Roster
from .engine import Engine
from .errors import EngineError
from .structs import tether_event

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 5.0
TICK_S = 0.5


@dataclass
class Pair:
    """One wanted channel. Before the peer's Manifest has come there is one: to the address for Hail."""

    peer: str
    link: str
    lane: int
    remote_lane: int
    to: Address
    handle: Optional[int] = None
    not_before: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes this pair another than the others."""
        return self.peer, self.link, self.lane, self.remote_lane


def pair_lanes(own: list[int], theirs: list[int]) -> list[tuple[int, int]]:
    """(own lane, peer's lane): the k-th with the k-th; of the longer list every lane gets one. Same from both sides."""
    if not own or not theirs:
        return []
    return [(own[k % len(own)], theirs[k % len(theirs)]) for k in range(max(len(own), len(theirs)))]


class Keeper:
    """Begins channels, begins them again with back-off, follows the roster. One thread; nothing here blocks long."""

    def __init__(self, engine: Engine, config: EngineConfig) -> None:
        self._engine = engine
        self._config = config
        self._lock = threading.Lock()
        self._pairs: dict[tuple[str, str, int, int], Pair] = {}
        self._peers: dict[tuple[str, str], Peer] = {}
        self._manifests: dict[tuple[str, str], dict[int, Address]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tether-keeper", daemon=True)
        engine.listen(self._event)

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def stop(self) -> None:
        """Keep nothing more; channels stay as they are."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def roster(self, roster: Roster) -> None:
        """Follow another roster; the engine must have it already."""
        peers = {(peer.name, peer.link): peer for peer in roster.peers}
        gone: list[int] = []
        with self._lock:
            for key, peer in peers.items():
                if self._peers.get(key) != peer:
                    self._manifests.pop(key, None)
            for pair_key, pair in list(self._pairs.items()):
                if (pair.peer, pair.link) not in peers:
                    del self._pairs[pair_key]
                    if pair.handle is not None:
                        gone.append(pair.handle)
            self._peers = peers
        for handle in gone:
            self._engine.abandon(handle)
        self._wake.set()

    def moved(self, config: EngineConfig) -> None:
        """The engine took over another state of its file: lanes are elsewhere."""
        self._config = config

    def wanted(self) -> list[Pair]:
        """The pairs that should be up."""
        with self._lock:
            return list(self._pairs.values())

    def _event(self, event: tether_event, channel: Optional[Channel]) -> None:
        if event.kind == binding.EVENT_CHANNEL_DOWN:
            handle = event.lane << 32 | event.channel
            with self._lock:
                for pair in self._pairs.values():
                    if pair.handle == handle:
                        pair.handle = None
                        pair.not_before = time.monotonic() + pair.backoff_s
                        pair.backoff_s = min(pair.backoff_s * 2, BACKOFF_MOST_S)
        if event.kind in (binding.EVENT_CHANNEL_DOWN, binding.EVENT_CHANNEL_UP, binding.EVENT_PEER_LANES):
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            if self._stopping.is_set():
                return
            self._learn()
            self._plan()
            self._begin()

    def _learn(self) -> None:
        """Take the peers' lanes from the Manifests that have come."""
        for channel in self._engine.channels():
            link = self._config.lanes[channel.lane].link
            key = (channel.peer, link)
            with contextlib.suppress(EngineError):
                lanes = channel.peer_lanes(0)
                mine = self._config.lanes[channel.lane].address.udp is None
                fitting = {lane: address for lane, address in lanes.items() if (address.udp is None) == mine}
                if fitting:
                    with self._lock:
                        if key in self._peers:
                            self._manifests[key] = fitting

    def _plan(self) -> None:
        stale: list[int] = []
        with self._lock:
            for key, peer in self._peers.items():
                own = [lane.lane for lane in self._config.lanes_on(peer.link)]
                if not own:
                    continue
                lanes = self._manifests.get(key)
                wanted: dict[tuple[str, str, int, int], Pair] = {}
                if lanes is None:
                    pair = Pair(peer.name, peer.link, own[0], peer.lane, peer.hail)
                    wanted[pair.key] = pair
                else:
                    for lane, remote in pair_lanes(own, sorted(lanes)):
                        pair = Pair(peer.name, peer.link, lane, remote, lanes[remote])
                        wanted[pair.key] = pair
                for pair_key, old in list(self._pairs.items()):
                    if (old.peer, old.link) != key:
                        continue
                    if pair_key in wanted and old.to == wanted[pair_key].to:
                        wanted.pop(pair_key)
                        continue
                    del self._pairs[pair_key]
                    if old.handle is not None:
                        stale.append(old.handle)
                for pair_key, pair in wanted.items():
                    self._pairs[pair_key] = pair
        for handle in stale:
            self._give_up_hail(handle)

    def _give_up_hail(self, handle: int) -> None:
        """A Hail that nobody waits for would replace a channel that works when it is answered at last."""
        channel = self._engine.channel_of(handle)
        with contextlib.suppress(EngineError):
            if channel is None or channel.info().state != binding.CHANNEL_UP:
                self._engine.abandon(handle)

    def _begin(self) -> None:
        now = time.monotonic()
        up: dict[tuple[str, int, int], int] = {}
        for channel in self._engine.channels():
            with contextlib.suppress(EngineError):
                info = channel.info()
                if info.state == binding.CHANNEL_UP:
                    up[(channel.peer, channel.lane, info.remote_lane)] = channel.handle
        for pair in self.wanted():
            standing = up.get((pair.peer, pair.lane, pair.remote_lane))
            if standing is not None:
                pair.backoff_s = BACKOFF_FIRST_S
                if pair.handle not in (None, standing):
                    self._give_up_hail(pair.handle)
                pair.handle = standing
            elif pair.handle is None and pair.not_before <= now:
                try:
                    pair.handle = self._engine.begin(pair.peer, pair.lane, pair.remote_lane, pair.to)
                except EngineError:
                    pair.not_before = now + pair.backoff_s
                    pair.backoff_s = min(pair.backoff_s * 2, BACKOFF_MOST_S)
