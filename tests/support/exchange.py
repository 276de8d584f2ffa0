# SPDX-License-Identifier: Apache-2.0
"""Exchanges between two endpoints as data: the steps of a case, run with either implementation at either end.

A case is a JSON object: `says`, `proves` (requirements), `wire` (fields of Wire), `config` (fields of Config, for
"both", or one end), `parties` ("abc": c speaks with b too), `rejects` (reasons that may be counted), and `steps`.
A step is a list of words:

    up [WHO]                    both know the channel that a (or WHO) hailed for
                                (every case begins with it unless it says "cold")
    hail WHO / bye WHO [NAME] / down WHO STATUS [NAME]         NAME: on the channel of that flow
    flow WHO NAME KIND [BOUND]  open a flow; the other end has been told of it
    open WHO NAME OPTIONS       ... with fields of FlowOptions; unfit WHO NAME OPTIONS: the opener may not
    refused WHO NAME KIND       ... which the other end refuses; spurned WHO NAME OPTIONS
    send WHO NAME SIZE...       queue messages        get WHO NAME [COUNT]   read and compare the next ones
    put WHO NAME SIZE [end]     write bytes           take WHO NAME SIZE     read and compare as many
    queue WHO NAME SIZE         bytes without flush
    end WHO NAME                the bytes are at their end       pipe WHO NAME    ... or are broken off
    empty WHO NAME              nothing to read
    any WHO NAME COUNT          messages in whatever order
    place WHO NAME SIZE         bytes by their offsets, to the end       hole WHO NAME  the application is told of one
    cancel WHO NAME / close WHO NAME / closed WHO NAME / drained WHO NAME
    forget WHO NAME             what was sent and not read is not expected any more
    fails ERRNO STEP...         the step raises that error
    lose WHO COUNT              the next frames that leave are lost
    mtu SIZE                    larger frames vanish from now on
    cut / mend                  nothing gets through / everything does
    mute WHO [COUNT [AFTER]]    its data frames are lost (but for those of Flow 0): all, or COUNT of them after so many
    voice WHO                   they are heard again
    within MS STEP...           the step comes true in that time
    unknown WHO NAME FIRST COUNT NEVER     messages without a receipt, and those after them that were never sent
    windows WHO [[START, MS]]   it is in contact then, in ms from now       still MS   in that time no frame leaves
    pace WHO NAME LEAST MOST    the newest pace that it stated lies there, in slots a second
    table WHO [[FROM, US]]      the round trips from then on
    early WHO SIZE / early_done WHO STATUS         early data to the peer whose channel has ended
    greeted WHO / ungreeted WHO                    the other one reads it; nothing waits
    idle MS / restart WHO / rewind WHO / quiet / count WHO COUNTER LEAST [MOST]
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Any

from tests.support.exchange_base import HUB, IDS, WAIT_NS
from tests.support.exchange_flows import FlowSteps
from tether_hw.transport.protocol import float16
from tether_hw.transport.protocol.config import Happened
from tether_hw.transport.protocol.endpoint import Endpoint
from tether_hw.transport.protocol.header import Header


@dataclass
class Exchange(FlowSteps):
    """Channels, time, faults, and what is counted."""

    early: list[tuple[int, bytes]] = field(default_factory=list)  # sent and not read yet: (whose, what)

    def do_hail(self, who: str) -> None:
        side = self.sides[who]
        other = self._other(who)
        side.channels[other] = side.party.open_channel(self._now(who), IDS[other], 0)

    def do_up(self, by: str = "a") -> None:
        for who in (by, HUB) if by != HUB else ("a", HUB):
            self._wait_event(who, Happened.CHANNEL_UP)

    def do_bye(self, who: str, name: str | None = None) -> None:
        self.sides[who].party.close_channel(self._now(who), self._channel(who, name))

    def do_expel(self, who: str) -> None:
        """The peer of `who` leaves its roster."""
        self.sides[who].party.roster(self._now(who), [])

    def do_down(self, who: str, status: str | list[str], name: str | None = None) -> None:
        event = self._wait_event(who, Happened.CHANNEL_DOWN, channel=self._channel(who, name) if name else 0)
        words = [status] if isinstance(status, str) else status
        assert event.status in [-getattr(errno, word) if word else 0 for word in words], event

    def do_fails(self, error: str, *step: Any) -> None:
        try:
            self._step(list(step))
        except OSError as found:
            assert found.errno == getattr(errno, error), found
        else:
            raise AssertionError(f"{step} did not fail")

    def do_lose(self, who: str, count: int) -> None:
        self.to_lose[who] = count

    def do_cut(self) -> None:
        self.is_cut = True

    def do_mend(self) -> None:
        self.is_cut = False

    def do_mtu(self, size: int) -> None:
        self.wire.mtu = size

    def do_idle(self, ms: int) -> None:
        self.wire.idle(ms * 1_000_000)
        self._collect()

    def do_restart(self, who: str) -> None:
        self._start(who)

    def do_rewind(self, who: str) -> None:
        """Its counter goes back, as that of a restored image does."""
        self.sides[who].counters = 1

    def do_count(self, who: str, name: str, least: int, most: int | None = None) -> None:
        found = self._counter(who, name)
        assert found >= least, f"{name} is {found}"
        assert most is None or found <= most, f"{name} is {found}"

    def do_mute(self, who: str, count: int = 1 << 30, after: int = 0) -> None:
        self.mute[who] = range(after, after + count)

    def do_voice(self, who: str) -> None:
        del self.mute[who]

    def do_within(self, ms: int, *step: Any) -> None:
        self.wait_ns = ms * 1_000_000
        self._step(list(step))
        self.wait_ns = WAIT_NS

    def do_still(self, ms: int) -> None:
        count = len(self.wire.seen)
        self.do_idle(ms)
        assert len(self.wire.seen) == count, f"{len(self.wire.seen) - count} frames left"

    def do_pace(self, who: str, name: str, least: int, most: int) -> None:
        to, flow = self._other(who, name).encode(), self.flows[name]
        sent = zip(reversed(self.wire.seen), reversed(self.wire.seen_to), strict=True)
        frames = (Header.decode(frame) for (source, frame), target in sent if (source, target) == (who.encode(), to))
        found = next(float16.decode(header.pace) for header in frames if header.flow == flow and header.pace)
        assert least <= found <= most, f"{found} slots a second are stated"

    def _pairs(self, who: str, pairs: list[list[int]], unit_ns: int) -> list[tuple[int, int]]:
        return [(self._now(who) + start * 1_000_000, value * unit_ns) for start, value in pairs]

    def do_windows(self, who: str, pairs: list[list[int]]) -> None:
        self.sides[who].party.windows(self._now(who), self._pairs(who, pairs, 1_000_000))

    def do_table(self, who: str, pairs: list[list[int]]) -> None:
        self.sides[who].party.rtt_table(self._now(who), self._pairs(who, pairs, 1000))

    def do_early(self, who: str, size: int) -> None:
        data = self._data(size)
        self.sides[who].party.early_send(self._now(who), IDS[self._other(who)], 0, data)
        self.early.append((IDS[who], data))

    def do_greeted(self, who: str) -> None:
        self._wait_event(who, Happened.EARLY)
        assert self.sides[who].party.early_read() == self.early.pop(0)

    def do_ungreeted(self, who: str) -> None:
        assert self.sides[who].party.early_read() is None

    def do_early_done(self, who: str, status: str) -> None:
        event = self._wait_event(who, Happened.EARLY_DONE)
        assert event.status == (-getattr(errno, status) if status else 0), event

    def do_quiet(self) -> None:
        """I8: with no demand and everything read, nothing is outstanding but the standing amounts."""
        self.do_idle(200)
        for side in self.sides.values():
            party = side.party
            if isinstance(party, Endpoint):
                assert party.outstanding_slots == party.standing_slots
                assert party.node.cells.free == party.node.cells.total
            else:
                assert party.statistics.grants_outstanding_slots == party.statistics.standing_slots
        count = len(self.wire.seen)
        self.do_idle(5000)
        assert len(self.wire.seen) == count, "an idle channel talks"
