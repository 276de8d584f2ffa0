# SPDX-License-Identifier: Apache-2.0
"""The first process of a host: starts sshd, buries the dead, and starts sshd again when told to (SIGUSR2).

Its text is handed into the host and run there by the host's own Python; it imports nothing of the package. It is no
service manager: a daemon that dies stays dead, as on a host without one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

SSHD = ["/usr/sbin/sshd", "-D", "-E", "/var/log/sshd.log"]
WATCHED = {signal.SIGCHLD, signal.SIGUSR2, signal.SIGTERM}


def answers() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", 22), 1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def start_sshd() -> None:
    """Started with all signals open: a mask would be inherited by every session."""
    if not answers():
        subprocess.Popen(
            SSHD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, set()),
        )


def bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
    start_sshd()
    deadline = time.monotonic() + 20
    while not answers():
        if time.monotonic() > deadline:
            print("failed: sshd does not answer", flush=True)
            sys.exit(1)
        time.sleep(0.01)
    print("ready", flush=True)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        received = signal.sigwaitinfo(WATCHED).si_signo
        bury()
        if received == signal.SIGTERM:
            sys.exit(0)
        if received == signal.SIGUSR2:
            start_sshd()


if __name__ == "__main__":
    main()
