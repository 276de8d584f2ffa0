# SPDX-License-Identifier: Apache-2.0
"""What the daemon does with flows that peers open: it echoes pings and takes files."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Optional

from . import binding
from .channel import Channel
from .errors import EngineError, TransferError
from .flow import Flow
from .receptions import Receptions
from .structs import tether_event
from .transfer.offer import SERVICE as TRANSFER
from .transfer.offer import parse_message

ECHO = "echo"
FIRST_WORD_S = 10.0
ECHO_S = 10.0
ECHO_HELLO = json.dumps({"service": ECHO, "version": 1}).encode()


class Services:
    """Listens to the engine; every flow that a peer opens gets a thread. Their number is bounded by max_flows."""

    def __init__(self, receptions: Receptions) -> None:
        self._receptions = receptions

    def event(self, event: tether_event, channel: Optional[Channel]) -> None:
        """Listener for Engine.listen."""
        if event.kind != binding.EVENT_FLOW_OPENED or channel is None:
            return
        flow = channel.accept_flow(0)
        threading.Thread(target=self._run, args=(flow, channel.peer), name="tether-service", daemon=True).start()

    def _run(self, flow: Flow, peer: str) -> None:
        try:
            if flow.kind == binding.FLOW_BYTES:
                self._receptions.stripe(flow, peer)
                return
            request = parse_message(flow.recv(FIRST_WORD_S))
            service = request.get("service")
            if service == ECHO:
                for message in flow:
                    flow.send(message, ECHO_S)
            elif service == TRANSFER:
                self._receptions.offered(flow, peer, request)
                return
        except (EngineError, TransferError):
            pass
        with contextlib.suppress(EngineError):
            flow.close()
