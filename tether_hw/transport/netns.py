# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for benches: nameless ones that end with the process, or those that `ip netns` has named."""

from __future__ import annotations

import ctypes
import os
import queue
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Optional, TypeVar

from .errors import TransportError

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Namespace:
    """A thread that lives in a network namespace and runs what it is given there. Needs CAP_SYS_ADMIN.

    `name` None = a new namespace without a name: it is gone with the thread, however the process ends.
    """

    def __init__(self, name: Optional[str] = None) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"netns-{name or 'new'}", daemon=True)
        self._thread.start()
        try:
            self.call(self._enter)
        except BaseException:
            self.close()
            raise
        self.tid = self.call(threading.get_native_id)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the namespace; its result or exception."""
        done = threading.Event()
        outcome: dict[str, Any] = {}

        def task() -> None:
            try:
                outcome["value"] = function()
            except BaseException as error:  # noqa: BLE001 - it is raised again where it belongs
                outcome["error"] = error
            finally:
                done.set()

        self._tasks.put(task)
        done.wait()
        if "error" in outcome:
            raise outcome["error"]
        value: T = outcome["value"]
        return value

    def spawn(self, function: Callable[[], None], name: str) -> threading.Thread:
        """A new thread in the namespace."""

        def start() -> threading.Thread:
            thread = threading.Thread(target=function, name=name, daemon=True)
            thread.start()
            return thread

        return self.call(start)

    def run(self, *argv: str) -> None:
        """Run a program in the namespace. Raises TransportError with its words."""

        def execute() -> None:
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise TransportError(f"{argv[0]}: {error}", "iproute2 is needed") from None
            if done.returncode != 0:
                raise TransportError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")

        self.call(execute)

    def close(self) -> None:
        """Leave it; a nameless one goes with its devices."""
        self._tasks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            task()

    def _enter(self) -> None:
        if self._name is None:
            code = _libc.unshare(_CLONE_NEWNET)
        else:
            try:
                fd = os.open(f"/run/netns/{self._name}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise TransportError(
                    f"there is no namespace {self._name}: {error.strerror}", "see `ip netns`"
                ) from None
            try:
                code = _libc.setns(fd, _CLONE_NEWNET)
            finally:
                os.close(fd)
        if code != 0:
            words = os.strerror(ctypes.get_errno())
            raise TransportError(f"cannot enter a network namespace: {words}", "this needs root")


def veth_pair(one: Namespace, other: Namespace, device: str, queues: int, mtu: int) -> None:
    """A veth pair with `queues` queues between two namespaces, up on both sides; queue q reaches queue q."""
    count = str(queues)
    one.run(
        "ip", "link", "add", device, "mtu", str(mtu), "numtxqueues", count, "numrxqueues", count, "type", "veth",
        "peer", "name", device, "mtu", str(mtu), "numtxqueues", count, "numrxqueues", count, "netns", str(other.tid),
    )  # fmt: skip
    for side in (one, other):
        side.run("ip", "link", "set", "lo", "up")
        side.run("ip", "link", "set", device, "up")
