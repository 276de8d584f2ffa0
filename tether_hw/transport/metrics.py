# SPDX-License-Identifier: Apache-2.0
"""The statistics as Prometheus text, and the small HTTP endpoint that serves them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .config import split_udp
from .errors import TransportError
from .stats import GAUGES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LANE_LABELS = ("lane", "nic", "device", "queue", "link", "carrier")
_PEER_COUNTERS = ("frames_sent", "frames_received")
_PEER_TIMES = {"rtt_min_ns": "rtt_min", "rtt_p50_ns": "rtt_p50", "rtt_p99_ns": "rtt_p99"}


def _escape(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(pairs: dict[str, Any]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in pairs.items()) + "}"


def render(stats: dict[str, Any]) -> str:
    """A statistics document in the text format; one family per counter, samples per lane or channel."""
    families: dict[str, tuple[str, list[str]]] = {}

    def add(name: str, kind: str, labels: dict[str, Any], value: Any) -> None:
        families.setdefault(name, (kind, []))[1].append(f"{name}{_labels(labels)} {value}")

    node = {"node": stats["node"]}
    add("tether_uptime_seconds", "gauge", node, stats["uptime_s"])
    add("tether_transfers_running", "gauge", node, stats["transfers_running"])
    for lane in stats["lanes"]:
        labels = {**node, **{name: lane[name] for name in _LANE_LABELS}}
        add("tether_lane_zero_copy", "gauge", labels, int(lane["zero_copy"]))
        if lane["contact"] is not None:
            add("tether_lane_contact_open", "gauge", labels, int(lane["contact"]["open"]))
        for name, value in lane.items():
            if name == "rejects":
                for reason, count in value.items():
                    add("tether_lane_rejects_total", "counter", {**labels, "reason": reason}, count)
            elif name in GAUGES:
                add(f"tether_lane_{name}", "gauge", labels, value)
            elif isinstance(value, int) and not isinstance(value, bool) and name not in _LANE_LABELS:
                if name in ("mtu", "ring_frames", "frame_blocks"):
                    add(f"tether_lane_{name}", "gauge", labels, value)
                else:
                    add(f"tether_lane_{name}_total", "counter", labels, value)
    for peer in stats["peers"]:
        labels = {**node, "peer": peer["name"], "lane": "" if peer["lane"] is None else peer["lane"]}
        add("tether_channel_up", "gauge", labels, int(peer["state"] == "up"))
        if peer["lane"] is None:
            continue
        for name in _PEER_COUNTERS:
            add(f"tether_channel_{name}_total", "counter", labels, peer[name])
        for name, family in _PEER_TIMES.items():
            add(f"tether_channel_{family}_seconds", "gauge", labels, f"{peer[name] / 1e9:.9f}")
    lines: list[str] = []
    for name, (kind, samples) in families.items():
        lines += [f"# TYPE {name} {kind}", *samples]
    return "\n".join(lines) + "\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    read: Callable[[], str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is no event."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0
    server: _Server

    def do_GET(self) -> None:
        if self.path not in ("/metrics", "/"):
            self.send_error(404)
            return
        body = self.server.read().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: a scrape is no event."""


class Metrics:
    """Serves `read()` (a statistics document) at http://LISTEN/metrics. `listen` is ip:port; port 0 is not allowed."""

    def __init__(self, listen: str, read: Callable[[], dict[str, Any]]) -> None:
        host, port = split_udp(listen)
        kind = type("_Server6", (_Server,), {"address_family": socket.AF_INET6}) if ":" in host else _Server
        try:
            self._server = kind((host, port), _Handler)
        except OSError as error:
            raise TransportError(f"metrics cannot listen on {listen}: {error.strerror}", "is the port taken?") from None
        self._server.read = lambda: render(read())
        self._thread = threading.Thread(target=self._server.serve_forever, name="tether-metrics", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
