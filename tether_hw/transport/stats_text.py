# SPDX-License-Identifier: Apache-2.0
"""The statistics document for people."""

from __future__ import annotations

from typing import Any


def text(stats: dict[str, Any]) -> str:
    """The document for people."""
    lines = [f"node {stats['node']}, up {stats['uptime_s']:.0f} s, {stats['transfers_running']} transfers running", ""]
    head = ("lane", "queue", "carrier", "zc", "sent", "received", "repairs", "misdir", "overrun", "rejects", "granted")
    rows: list[tuple[str, ...]] = [head]
    for lane in stats["lanes"]:
        rows.append(
            (
                str(lane["lane"]),
                f"{lane['device']}:{lane['queue']}",
                lane["carrier"],
                "yes" if lane["zero_copy"] else "no",
                str(lane["frames_sent"]),
                str(lane["frames_received"]),
                str(lane["repairs"]),
                str(lane["misdirected"]),
                str(lane["overruns"]),
                str(sum(lane["rejects"].values())),
                str(lane["grants_outstanding"]),
            )
        )
    lines += [*_table(rows), ""]
    rows = [("peer", "lane", "to", "state", "rtt p50 us", "p99 us", "sent", "received")]
    for peer in stats["peers"]:
        if peer["lane"] is None:
            rows.append((peer["name"], "-", "-", peer["state"], "-", "-", "-", "-"))
            continue
        rows.append(
            (
                peer["name"],
                str(peer["lane"]),
                str(peer["remote_lane"]),
                peer["state"] if peer.get("contact", True) else f"{peer['state']}, away",
                f"{peer['rtt_p50_ns'] / 1e3:.1f}",
                f"{peer['rtt_p99_ns'] / 1e3:.1f}",
                str(peer["frames_sent"]),
                str(peer["frames_received"]),
            )
        )
    return "\n".join(lines + _table(rows)) + "\n"


def _table(rows: list[Any]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(word.rjust(width) for word, width in zip(row, widths)) for row in rows]
