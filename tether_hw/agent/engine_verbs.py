# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the engine over a verb: its counters, and round trips to a peer. Nothing of it names a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tether_hw.agent import command
from tether_hw.plan.shape import NAME, Fields

if TYPE_CHECKING:
    from tether_hw.agent.host import Host

_STATS_S = 30.0
_OVERHEAD_S = 60.0


def carry_out(host: Host, body: dict[str, Any]) -> dict[str, Any]:
    """{"op": "stats"} or {"op": "ping", ...} -> {"code", "out", "err"} as tether-engine gives them."""
    fields = Fields(body, "body")
    argv = [fields.one_of("op", ("stats", "ping"))]
    timeout_s = _STATS_S
    if argv[0] == "ping":
        argv.append(fields.text("peer", NAME))
        count, interval_ms = fields.integer("count", 1, 100_000), fields.integer("interval_ms", 0, 60_000)
        each_ms, wait_ms = fields.integer("timeout_ms", 1, 600_000), fields.integer("wait_ms", 0, 600_000)
        lane, size = fields.optional_integer("lane", 0, 255), fields.integer("bytes", 1, 1 << 24)
        argv += ["--count", str(count), "--bytes", str(size), "--interval", str(interval_ms / 1000)]
        argv += ["--timeout", str(each_ms / 1000), "--wait", str(wait_ms / 1000)]
        argv += [] if lane is None else ["--lane", str(lane)]
        timeout_s = _OVERHEAD_S + wait_ms / 1000 + count * (interval_ms + each_ms) / 1000
    fields.done()
    done = command.execute([host.program("tether-engine"), *argv, "--json", "--socket", host.paths.socket], timeout_s)
    return {"code": done.code, "out": done.out, "err": done.err[-2000:]}
