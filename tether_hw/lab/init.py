# SPDX-License-Identifier: Apache-2.0
"""The first process of a host: runs what the host wants at its boot, starts sshd, buries the dead.

It starts sshd again when told to (SIGUSR2) and ends the host for a reboot when the host asks for one (SIGINT).

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
WATCHED = {signal.SIGCHLD, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT}
AT_BOOT, AT_BOOT_S = "/etc/tether/at-boot", 45.0
REBOOT_ASKED = "/var/lib/reboot-asked"


def answers() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", 22), 1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def start_sshd() -> None:
    if not answers():
        subprocess.Popen(
            SSHD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=all_signals,
        )


def all_signals() -> None:
    """A mask would be inherited by everything that a child starts."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def run_at_boot() -> None:
    """Before anything that uses the network, as an ordinary init would; a host boots on whatever comes of it."""
    if not os.access(AT_BOOT, os.X_OK):
        return
    with open("/var/log/at-boot.log", "ab") as log:
        child = subprocess.Popen([AT_BOOT], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=all_signals)
    try:
        child.wait(AT_BOOT_S)
    except subprocess.TimeoutExpired:
        child.kill()


def bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
    run_at_boot()
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
        if received == signal.SIGINT:
            with open(REBOOT_ASKED, "w") as asked:
                asked.write("by this host\n")
        if received in (signal.SIGTERM, signal.SIGINT):
            sys.exit(0)
        if received == signal.SIGUSR2:
            start_sshd()


if __name__ == "__main__":
    main()
