# SPDX-License-Identifier: Apache-2.0
"""The first process of a host without root: runs its sshd and takes in its orphans, so that they can be found.

Run as a program by its path with ``python -I``: supervisor.py SSHD CONFIG LOG PORT. It prints ``ready`` when sshd
answers. SIGUSR2 starts sshd again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
WATCHED = {signal.SIGCHLD, signal.SIGUSR2, signal.SIGTERM}


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as connection:
            connection.settimeout(1.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def before_sshd(supervisor: int) -> None:
    """sshd writes over its environment, and so over the lab's mark: it is made to die with its parent instead."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def start_sshd(sshd: str, config: str, log: str, port: int) -> None:
    own = os.getpid()
    if not answers(port):
        subprocess.Popen(
            [sshd, "-D", "-f", config, "-E", log],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: before_sshd(own),
        )


def bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    sshd, config, log, port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    start_sshd(sshd, config, log, port)
    deadline = time.monotonic() + 20
    while not answers(port):
        if time.monotonic() > deadline:
            print("failed: sshd does not answer", flush=True)
            sys.exit(1)
        time.sleep(0.01)
    if sys.stdin.readline() != "go\n":  # whoever starts this host died: so does the host
        os.killpg(0, signal.SIGKILL)
    print("ready", flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        received = signal.sigwaitinfo(WATCHED).si_signo
        bury()
        if received == signal.SIGTERM:
            sys.exit(0)
        if received == signal.SIGUSR2:
            start_sshd(sshd, config, log, port)


if __name__ == "__main__":
    main()
