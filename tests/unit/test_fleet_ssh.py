# SPDX-License-Identifier: Apache-2.0
"""SSH sessions against a real sshd: host keys, deadlines, hosts that fall silent, jump hosts."""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.sshd import SSHD, Sshd
from tether_hw.errors import Exit, HostRefused, HostUnreachable, SecretError
from tether_hw.fleet import secrets
from tether_hw.fleet.host_keys import HostKeys, fingerprint
from tether_hw.fleet.ssh import Session
from tether_hw.fleet.ssh_errors import AuthenticationRefused, HostKeyRefused, Stopped

pytestmark = pytest.mark.skipif(not SSHD, reason="needs openssh-server")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    one = Sshd(tmp_path)
    one.start()
    yield one
    one.stop()


def shown(sshd: Sshd, name: str = "host.pub") -> str:
    import base64

    return fingerprint(base64.b64decode((sshd.folder / name).read_text().split()[1]))


def test_a_program_gets_its_argv_and_input_and_gives_its_output_and_code(sshd: Sshd) -> None:
    with Session.connect(sshd.target()) as session:
        done = session.run(["sh", "-c", 'cat; echo "$1" >&2; exit 7', "sh", "a b; $(echo no)"], b"in put")
        assert (done.code, done.stdout, done.stderr) == (7, b"in put", b"a b; $(echo no)\n")
        size = 3 << 20
        assert session.run(["wc", "-c"], io.BytesIO(b"x" * size)).stdout.split() == [str(size).encode()]
        assert list(session.lines(["printf", "a\\n\\nb"], b"", 10)) == [b"a", b"", b"b"]


def test_a_program_that_ends_before_it_read_its_input_is_no_error(sshd: Sshd) -> None:
    with Session.connect(sshd.target()) as session:
        assert session.run(["false"], b"x" * (8 << 20)).code == 1
        assert session.run(["true"]).code == 0


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: Sshd) -> None:
    old = shown(sshd)
    sshd.stop()
    sshd.key("host")
    sshd.start()
    with pytest.raises(HostKeyRefused) as refused:
        Session.connect(sshd.target())
    assert refused.value.exit == Exit.FAILED
    assert old in str(refused.value)
    assert shown(sshd) in str(refused.value)
    assert old != shown(sshd)


def test_an_unknown_host_key_is_refused_and_not_learnt(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(HostKeyRefused, match="not known"):
        Session.connect(sshd.target())
    assert sshd.known_hosts.read_text() == ""


def test_a_revoked_host_key_is_refused_though_it_is_recorded(sshd: Sshd) -> None:
    line = sshd.known_hosts.read_text()
    sshd.known_hosts.write_text(line + "@revoked " + line)
    with pytest.raises(HostKeyRefused, match="revoked"):
        Session.connect(sshd.target())


def test_a_stranger_is_told_with_what_he_was_not_let_in(sshd: Sshd) -> None:
    sshd.key("stranger")
    with pytest.raises(AuthenticationRefused, match="stranger") as refused:
        Session.connect(replace(sshd.target(), identity_file=str(sshd.folder / "stranger")))
    assert isinstance(refused.value, HostRefused)


def test_a_refused_port_is_unreachable_at_once(sshd: Sshd) -> None:
    sshd.stop()
    begun = time.monotonic()
    with pytest.raises(HostUnreachable) as unreachable:
        Session.connect(sshd.target(), 10)
    assert unreachable.value.exit == Exit.UNREACHABLE
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"])
def test_a_server_that_accepts_and_says_nothing_is_unreachable_at_the_deadline(tmp_path: Path, greeting: bytes) -> None:
    silent = Sshd(tmp_path)
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", silent.port)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            held.append(connection)
            connection.sendall(greeting)

        threading.Thread(target=accept, daemon=True).start()
        begun = time.monotonic()
        with pytest.raises(HostUnreachable, match=r"no session within 1 s|timed out"):
            Session.connect(silent.target(), 1.0)
        assert 0.8 < time.monotonic() - begun < 4
    for connection in held:
        connection.close()


def stop_all(sshd: Sshd, number: int) -> None:
    for pid in sshd.children():
        os.kill(pid, number)


def test_a_host_that_stops_in_mid_exec_ends_at_the_deadline_with_3(sshd: Sshd) -> None:
    session = Session.connect(sshd.target())
    timer = threading.Timer(0.3, stop_all, (sshd, signal.SIGSTOP))
    timer.start()
    begun = time.monotonic()
    try:
        with pytest.raises(Stopped, match=r"no answer within 1.5 s") as stopped:
            session.run(["sleep", "60"], timeout_s=1.5)
    finally:
        timer.join()
        stop_all(sshd, signal.SIGCONT)
    assert stopped.value.exit == Exit.FAILED
    assert time.monotonic() - begun < 5
    session.close()


def test_a_host_that_stops_before_the_exec_is_answered_ends_at_the_deadline(sshd: Sshd) -> None:
    session = Session.connect(sshd.target())
    session.run(["true"])
    stop_all(sshd, signal.SIGSTOP)
    try:
        with pytest.raises(Stopped, match=r"no answer within 1 s"):
            session.run(["true"], timeout_s=1.0)
        assert not session.alive
    finally:
        stop_all(sshd, signal.SIGCONT)


def test_a_program_that_falls_silent_ends_at_the_silence_limit(sshd: Sshd) -> None:
    with Session.connect(sshd.target()) as session:
        lines = session.lines(["sh", "-c", "echo one; sleep 60"], b"", 1.0)
        assert next(lines) == b"one"
        with pytest.raises(Stopped):
            next(lines)


def test_a_connection_that_is_cut_in_mid_exec_is_told_at_once(sshd: Sshd) -> None:
    session = Session.connect(sshd.target())
    timer = threading.Timer(0.3, stop_all, (sshd, signal.SIGKILL))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        session.run(["sleep", "60"], timeout_s=30)
    timer.join()
    assert time.monotonic() - begun < 10


def test_a_jump_host_is_verified_too(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    inner = Sshd(folder)
    inner.start()
    try:
        target = replace(inner.target("inner"), jump=sshd.target("bastion"))
        with Session.connect(target) as session:
            assert session.run(["echo", "through"]).stdout == b"through\n"
            words = session.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout.split()
            assert words[3] == str(inner.port).encode()
        inner.stop()
        with pytest.raises(HostUnreachable, match="the jump host opened no connection to it"):
            Session.connect(target)
        sshd.known_hosts.write_text("")
        with pytest.raises(HostKeyRefused, match="bastion"):
            Session.connect(target)
    finally:
        inner.stop()


def test_two_sessions_are_two_connections(sshd: Sshd) -> None:
    with Session.connect(sshd.target()) as one, Session.connect(sshd.target()) as two:
        seen = {session.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout for session in (one, two)}
        assert len(seen) == 2


def test_many_handshakes_with_one_machine_are_limited_and_all_get_through(sshd: Sshd) -> None:
    failed: list[BaseException] = []

    def connect() -> None:
        try:
            Session.connect(sshd.target(), 60).close()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=connect) for _ in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not failed


def test_the_recorded_key_type_is_asked_for_first(sshd: Sshd) -> None:
    keys = HostKeys.load(sshd.known_hosts)
    usual = ("rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519")
    assert keys.preferred("127.0.0.1", sshd.port, usual)[0] == "ssh-ed25519"


def test_a_secret_that_was_resolved_never_shows_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TETHER_TEST_SECRET", "canary-7f3a-value")
    assert secrets.resolve("env:TETHER_TEST_SECRET") == "canary-7f3a-value"
    assert secrets.redact("x canary-7f3a-value y") == "x [redacted] y"
    assert secrets.redact_all({"a": ["canary-7f3a-value"]}) == {"a": ["[redacted]"]}
    path = tmp_path / "secret"
    path.write_text("canary-file-value\n")
    path.chmod(0o644)
    with pytest.raises(SecretError, match="can be read by others") as error:
        secrets.resolve(f"file:{path}")
    assert "canary-file-value" not in str(error.value)
    path.chmod(0o600)
    assert secrets.resolve("file:secret", tmp_path) == "canary-file-value"
    with pytest.raises(SecretError, match="not set"):
        secrets.resolve("env:TETHER_TEST_NO_SUCH")


SUDO = """#!/bin/sh
# Asks for a password as sudo does: on its standard input, before the program sees any of it.
if [ "$1" = -n ]; then echo "sudo: a password is required" >&2; exit 1; fi
[ "$*" = "${*#-k -S -p  -- }" ] && exit 2
read -r password
[ "$password" = canary-sudo-word ] || { echo "Sorry, try again." >&2; exit 1; }
shift 5
exec "$@"
"""


def test_the_sudo_password_is_read_by_sudo_and_never_by_the_program(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sshd.folder / "bin"
    folder.mkdir()
    (folder / "sudo").write_text(SUDO)
    (folder / "sudo").chmod(0o755)
    config = sshd.folder / "config"
    config.write_text(config.read_text().replace("SetEnv ", f"SetEnv PATH={folder}:/usr/bin:/bin "))
    sshd.stop()
    sshd.start()
    target = replace(sshd.target(), sudo=True)
    with pytest.raises(AuthenticationRefused, match="sudo asks"):
        Session.connect(target)
    monkeypatch.setenv("TETHER_TEST_SUDO", "canary-sudo-word")
    with Session.connect(replace(target, sudo_password="env:TETHER_TEST_SUDO")) as session:
        done = session.run(["sh", "-c", "cat; cat /proc/$$/cmdline"], b"input")
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(b"input")
    assert b"canary" not in done.stdout + done.stderr
