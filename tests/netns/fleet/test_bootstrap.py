# SPDX-License-Identifier: Apache-2.0
"""A login that is not root: set up once, then everything by the helper alone, and nothing else as root."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.netns.fleet.conftest import Say, own_inventory
from tests.netns.fleet.test_retire import NAMES
from tests.netns.fleet.test_verbs import by_host
from tests.support.labs import Lab
from tether_hw.cli.main import main
from tether_hw.errors import Exit
from tether_hw.fleet import operator

HELPER = "/usr/local/sbin/tether-helper"
USER = """
useradd -m -s /bin/sh -p "*" ops
mkdir -p /home/ops/.ssh
cp /root/.ssh/authorized_keys /home/ops/.ssh/
chown -R ops:ops /home/ops/.ssh
chmod 700 /home/ops/.ssh
"""


def with_helper(lab: Lab, folder: Path, line: str, key: str) -> tuple[Path, Path]:
    """Two inventories of the lab: root logs in and may set hosts up; ops logs in and has the helper."""
    more = f'operators: ["{line}"]\noperator: "file:{key}"\n'
    as_root = own_inventory(lab, folder, more)
    text = as_root.read_text()
    assert "\n  user: root" in text
    as_ops = folder / "ops.yaml"
    as_ops.write_text(text.replace("\n  user: root", "\n  user: ops\n  helper: true") + "keys_file: fleet.keys.yaml\n")
    return as_root, as_ops


def ssh(lab: Lab, host: str, command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A command of the login user."""
    argv = lab.ssh_argv(host)
    argv[-1] = argv[-1].replace("root@", "ops@")
    return subprocess.run([*argv, command], input=stdin, capture_output=True, timeout=60, check=False)


def ask(lab: Lab, host: str, request: dict[str, Any]) -> dict[str, Any]:
    done = ssh(lab, host, f"sudo -n -- {HELPER}", json.dumps(request).encode() + b"\n")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_login_user_needs_nothing_but_the_helper(
    new_lab: Callable[..., Lab], say: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = new_lab(hosts=2)
    for host in ("a", "b"):
        lab.ssh(host, USER)
    names = lab.ssh("a", NAMES).stdout
    line = operator.make(tmp_path / "ann", "ann", None)
    as_root, as_ops = with_helper(lab, tmp_path, line, "ann")

    code, document = say(as_ops, "facts", "--limit", "a")
    assert code == Exit.FAILED
    assert "tether host bootstrap a" in str(document["failed"])
    code, document = say(as_ops, "host", "bootstrap", "a", "--yes")
    assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused"})

    # Host a is set up by ops with sudo, which then may do no more than the helper; host b by a script as for an image.
    lab.ssh("a", "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/all")
    by_sudo = tmp_path / "sudo.yaml"
    by_sudo.write_text(as_ops.read_text().replace("helper: true", "helper: true\n  sudo: true"))
    code, document = say(by_sudo, "host", "bootstrap", "a", "--yes")
    assert (code, by_host(document)) == (0, {"a": "set-up"}), document
    lab.ssh("a", "rm /etc/sudoers.d/all")
    capsys.readouterr()
    assert main(["host", "bootstrap", "b", "--print", "-i", str(as_ops)]) == 0
    script = capsys.readouterr().out
    argv = [*lab.ssh_argv("b"), "sh -s"]
    done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr

    code, document = say(as_ops, "apply", "--yes")
    assert code == 0, document
    assert by_host(document) == {"a": "confirmed", "b": "confirmed"}
    assert {check["result"] for check in document["checks"]} == {"proved"}
    run = document["run"]
    for line_of in ("plan --detailed-exitcode", "verify", "drift --detailed-exitcode", "runs"):
        code, document = say(as_ops, *line_of.split())
        assert code == 0, document
    assert main(["engine", "stats", "a", "-i", str(as_ops)]) == 0
    assert main(["engine", "ping", "a", "b", "-i", str(as_ops)]) == 0
    capsys.readouterr()
    assert main(["engine", "send", "a:/etc/shadow", "b:/tmp/x", "-i", str(as_ops)]) == Exit.FAILED
    assert "none of its verbs takes a path" in capsys.readouterr().err

    # What ops may do as root, and what not.
    assert ssh(lab, "a", "id -u").stdout != b"0\n"
    for command in ("true", f"{HELPER} facts", f"{HELPER} --root=/tmp", "cat /etc/shadow", "sh -c id", "/opt/tether/x"):
        done2 = ssh(lab, "a", f"sudo -n -- {command}")
        assert done2.returncode != 0
        assert b"password" in done2.stderr or b"not allowed" in done2.stderr
    for path in ("/etc/tether/identity.key", f"/var/lib/tether/runs/{run}/plan.json"):
        assert b"Permission denied" in ssh(lab, "a", f"cat {path}").stderr
    for path in (HELPER, "/etc/tether/operators.json", "/etc/sudoers.d/tether-helper", "/opt/tether/x"):
        assert ssh(lab, "a", f"touch {path}").returncode != 0

    envelope = {"schema": "tether.agent.request/1", "verb": "rollback", "root": "/", "suite": None}
    reply = ask(lab, "a", {**envelope, "body": {"run": run, "by": "ops"}})
    assert (reply["code"], reply["body"]["reason"]) == ("not-admitted", "unsigned")
    assert ask(lab, "a", {**envelope, "verb": "facts", "root": "/tmp", "body": {}})["code"] == "not-admitted"
    assert ask(lab, "a", {**envelope, "verb": "runs", "argv": ["sh"], "body": {}})["code"] == "refused"
    assert ask(lab, "a", {**envelope, "verb": "runs", "body": {}})["ok"]

    # Root's login is checked alike, now that operators are there.
    stranger = tmp_path / "stranger.yaml"
    operator.make(tmp_path / "eve", "eve", None)
    stranger.write_text(as_root.read_text().replace("file:ann", "file:eve") + "keys_file: fleet.keys.yaml\n")
    nobody = tmp_path / "nobody.yaml"
    nobody.write_text(as_root.read_text().replace('operator: "file:ann"\n', "") + "keys_file: fleet.keys.yaml\n")
    for file, words in ((stranger, "no key of an operator"), (nobody, "only done when an operator signed it")):
        code, document = say(file, "rollback", run, "--yes", "--limit", "a")
        assert (code, by_host(document)) == (Exit.FAILED, {"a": "refused"})
        assert words in document["hosts"][0]["message"]

    # Another operator, told by the one that is trusted now; no root is needed for it.
    new = operator.make(tmp_path / "ben", "ben", None)
    renewed = tmp_path / "renewed.yaml"
    renewed.write_text(as_ops.read_text().replace(f'"{line}"', f'"{line}", "{new}"'))
    code, document = say(renewed, "host", "bootstrap", "a", "--yes")
    assert (code, by_host(document)) == (0, {"a": "set-up"}), document
    by_ben = tmp_path / "ben.yaml"
    by_ben.write_text(renewed.read_text().replace("file:ann", "file:ben"))
    code, document = say(by_ben, "rollback", run, "--yes", "--limit", "a")
    assert (code, by_host(document)) == (0, {"a": "taken-back"}), document
    code, document = say(by_ben, "rollback", run, "--yes", "--limit", "b")
    assert (code, by_host(document)) == (Exit.FAILED, {"b": "refused"})

    code, document = say(as_ops, "retire", "a", "--yes")
    assert (code, by_host(document)["a"]) == (0, "retired"), document
    assert lab.ssh("a", NAMES).stdout == names


def test_keys_of_operators_on_the_command_line(say: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("tether: 1\nhosts: {a: {address: 10.0.0.1}}\n")
    code, document = say(inventory, "key", "operator", "--make", str(tmp_path / "key"), "--comment", "ann")
    assert (code, document["schema"]) == (0, "tether.key.operator/1")
    (entry,) = document["operators"]
    text = f'operators: ["{entry["line"]}"]\noperator: file:key\n'
    inventory.write_text(inventory.read_text() + text)
    code, document = say(inventory, "key", "operator")
    assert (code, document["operators"], document["signs"]) == (0, [entry], entry["fingerprint"])
    code, document = say(inventory, "key", "operator", "--make", str(tmp_path / "key"))
    assert (code, document["schema"]) == (Exit.ERROR, "tether.error/1")
    for line in ("host bootstrap", "host bootstrap a --print --json", "key operator --comment x"):
        assert main([*line.split(), "-i", str(inventory)]) == Exit.USAGE
