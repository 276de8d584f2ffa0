# SPDX-License-Identifier: Apache-2.0
"""Who may change a host that has keys of operators, and what the helper takes: a verb of its list, never a path."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tether_hw.agent import admission, bootstrap
from tether_hw.agent.errors import NotAdmitted
from tether_hw.agent.main import answer
from tether_hw.errors import HostRefused
from tether_hw.fleet import operator
from tether_hw.fleet.client import engine_body
from tether_hw.plan.canonical import canonical
from tether_hw.plan.paths import HostPaths
from tether_hw.plan.shape import Fields, ShapeError
from tether_hw.plan.signed import MOST_S, Signed
from tether_hw.plan.verbs import HELPER_VERBS, READING, UNSIGNED, VERBS, Request

CHANGING = sorted({*VERBS, *HELPER_VERBS} - set(UNSIGNED))


class Person:
    """An operator with a key of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.line = operator.make(folder / name, name, None)
        self.key = operator.FileKey(folder / name, None)
        self.signer = operator.Signer(self.key)

    @property
    def hex(self) -> str:
        return self.key.public.hex()

    def signed(self, request: Request, **more: Any) -> bytes:
        """A request signed by this person, with other values than usual where named."""
        one = Signed.parse(json.loads(self.signer.line("a", request)))
        changed = Signed(**{**one.__dict__, **more, "signature": ""})
        document = {**changed.to_dict(), "signature": self.key.sign(changed.message()).hex()}
        return canonical(document).encode()


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, "ann")


@pytest.fixture
def paths(tmp_path: Path, person: Person) -> HostPaths:
    """A host that trusts one operator."""
    made = HostPaths(str(tmp_path / "host"))
    Path(made.etc).mkdir(parents=True)
    admission.write_operators(made, "a", {person.hex: "ann"})
    return made


def request(paths: HostPaths, verb: str = "confirm", **body: Any) -> Request:
    return Request(verb, paths.root, body or {"run": "r1"})


def refusal(text: bytes) -> str:
    with pytest.raises(NotAdmitted) as caught:
        admission.admit(text)
    return str(caught.value.detail["reason"])


def test_what_is_signed_is_admitted_once(paths: HostPaths, person: Person) -> None:
    text = person.signer.line("a", request(paths))
    assert admission.admit(text) == request(paths)
    assert refusal(text) == "replayed"
    assert admission.admit(person.signer.line("a", request(paths))) == request(paths)


@pytest.mark.parametrize("verb", CHANGING)
def test_what_changes_is_not_done_unsigned(verb: str, paths: HostPaths) -> None:
    text = json.dumps(Request(verb, paths.root, {}).to_dict()).encode()
    assert refusal(text) == "unsigned"
    if verb in VERBS:
        reply = answer(verb, text)
        assert (reply.ok, reply.code) == (False, "not-admitted")


@pytest.mark.parametrize("verb", sorted(UNSIGNED))
def test_what_reads_needs_no_signature(verb: str, paths: HostPaths) -> None:
    one = Request(verb, paths.root, {})
    assert admission.admit(json.dumps(one.to_dict()).encode()) == one


def test_without_operators_nothing_is_asked_for(tmp_path: Path, person: Person) -> None:
    one = request(HostPaths(str(tmp_path / "other")))
    assert admission.admit(json.dumps(one.to_dict()).encode()) == one
    assert admission.admit(person.signer.line("a", one)) == one


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"host": "b"}, "host"),
        ({"expires": int(time.time()) - 1}, "expired"),
        ({"expires": 1}, "expired"),
        ({"expires": int(time.time()) + MOST_S + 600}, "too-long"),
        ({"key": "0" * 64}, "unknown"),
    ],
)
def test_a_signature_for_another_host_or_time_is_none(
    more: dict[str, Any], reason: str, paths: HostPaths, person: Person
) -> None:
    assert refusal(person.signed(request(paths), **more)) == reason
    assert not Path(paths.counters).exists()


def test_any_change_of_what_was_signed_is_noticed(paths: HostPaths, person: Person) -> None:
    good = json.loads(person.signer.line("a", request(paths)))
    other = canonical(request(paths, run="r2").to_dict())
    bad = [
        {**good, "request": other},
        {**good, "counter": good["counter"] + 1},
        {**good, "expires": good["expires"] + 1},
        {**good, "signature": "0" * 128},
        {**good, "signature": good["signature"][2:] + good["signature"][:2]},
    ]
    for document in bad:
        assert refusal(json.dumps(document).encode()) == "signature"
    assert admission.admit(json.dumps(good).encode()) == request(paths)


def test_a_stranger_and_a_former_operator_are_unknown(paths: HostPaths, person: Person, tmp_path: Path) -> None:
    other = Person(tmp_path, "ben")
    assert refusal(other.signer.line("a", request(paths))) == "unknown"
    admission.write_operators(paths, "a", {other.hex: "ben"})
    assert refusal(person.signer.line("a", request(paths))) == "unknown"
    admission.admit(other.signer.line("a", request(paths)))


def test_each_operator_has_a_counter_and_a_lower_one_is_told(paths: HostPaths, person: Person, tmp_path: Path) -> None:
    other = Person(tmp_path, "ben")
    admission.write_operators(paths, "a", {person.hex: "ann", other.hex: "ben"})
    admission.admit(person.signed(request(paths), counter=1000))
    admission.admit(other.signed(request(paths), counter=5))
    with pytest.raises(NotAdmitted, match="counter 1000, last 1000") as caught:
        admission.admit(person.signed(request(paths), counter=1000))
    assert caught.value.detail["last"] == 1000
    admission.admit(person.signed(request(paths), counter=1001))


def test_of_many_copies_at_once_one_is_admitted(paths: HostPaths, person: Person) -> None:
    text, admitted, refused = person.signer.line("a", request(paths)), [], []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            admitted.append(admission.admit(text))
        except NotAdmitted as error:
            refused.append(error.detail["reason"])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), refused) == (1, ["replayed"] * 7)


def test_an_image_takes_the_name_of_its_first_request(paths: HostPaths, person: Person) -> None:
    admission.write_operators(paths, None, {person.hex: "ann"})
    assert admission.admit(person.signer.line("c", request(paths)))
    assert refusal(person.signer.line("a", request(paths))) == "host"
    assert admission.admit(person.signer.line("c", request(paths)))


def test_a_broken_list_of_operators_lets_nobody_in(paths: HostPaths, person: Person) -> None:
    for text in ("{}", '{"schema": "tether.operators/1", "host": null, "keys": {}}', "[]", '"x"'):
        Path(paths.operators).write_text(text)
        reply = answer("confirm", person.signer.line("a", request(paths)))
        assert not reply.ok


# The helper, as a process: what sudo would start.


@pytest.fixture
def helper(paths: HostPaths) -> Iterator[list[str]]:
    program = f"import sys; sys.path.insert(0, {os.getcwd()!r}); from tether_hw.agent.helper import main; "
    yield [sys.executable, "-c", program + f"sys.exit(main({paths.root!r}))"]


def ask(helper: list[str], text: bytes, *words: str) -> dict[str, Any]:
    done = subprocess.run([*helper, *words], input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_helper_takes_no_word(helper: list[str]) -> None:
    for words in (["facts"], ["--root=/"], ["/etc/shadow"], [""]):
        done = subprocess.run([*helper, *words], input=b"", capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (64, b"")


BODIES: dict[str, dict[str, Any]] = {
    "facts": {"host": "a", "devices": [], "nv": []},
    "drift": {"host": "a", "devices": [], "nv": []},
    "files": {"wanted": []},
    "file": {"sha256": "0" * 64, "size_bytes": 0},
    "bundle": {"digest": "0" * 64},
    "helper": {"digest": "0" * 64, "keys": {"0" * 64: "x"}},
    "engine": {"op": "stats"},
    "counts": {"function": "0000:08:00.0"},
    "frames": {"device": {"name": "eth0"}, "frames": [], "times": 1},
    "probe": {"devices": [], "holder": "x"},
    "enroll": {"user": "tether"},
    "retire": {},
    "runs": {},
    "revoke": {"host": "a", "keys": []},
    "start": {"run": "r1"},
    "status": {"run": "r1"},
    "follow": {"run": "r1", "after": 0},
    "confirm": {"run": "r1"},
    "rollback": {"run": "r1", "by": "x"},
    "resume": {"run": "r1", "by": "x"},
}


@pytest.mark.parametrize("field", ["path", "argv", "command", "root"])
@pytest.mark.parametrize("verb", sorted(BODIES))
def test_no_verb_takes_a_path_or_a_command(verb: str, field: str, paths: HostPaths, monkeypatch: Any) -> None:
    from tether_hw.agent.helper import _own

    one = Request(verb, paths.root, {**BODIES[verb], field: ["/bin/sh", "-c", "id"]})
    if verb in HELPER_VERBS:
        with pytest.raises(ShapeError, match="unknown field"):
            _own(one, io.BytesIO())
        return
    monkeypatch.setenv(admission.ADMITTED, "yes")
    reply = answer(verb, json.dumps(one.to_dict()).encode())
    assert (reply.ok, reply.code) == (False, "refused")
    assert "unknown field" in str(reply.message)


@pytest.mark.parametrize(
    "change",
    [
        {"root": "/etc"},
        {"root": "/"},
        {"verb": "exec"},
        {"verb": "../../bin/sh"},
        {"suite": "../../../bin"},
        {"suite": "0" * 64},
        {"argv": ["sh"]},
        {"schema": "tether.agent.request/2"},
    ],
)
def test_the_helper_refuses_another_root_verb_or_bundle(
    change: dict[str, Any], helper: list[str], paths: HostPaths
) -> None:
    reply = ask(helper, json.dumps({**Request("runs", paths.root).to_dict(), **change}).encode())
    assert not reply["ok"]
    assert reply["code"] in ("refused", "not-admitted")


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"x", b"[]", b"\xff\xfe", b"{" * 100_000, b'{"schema":"tether.signed/1"}']
)
def test_the_helper_answers_rubbish(text: bytes, helper: list[str]) -> None:
    assert ask(helper, text)["code"] == "refused"


def test_the_helper_refuses_what_is_unsigned_expired_or_replayed(
    helper: list[str], paths: HostPaths, person: Person
) -> None:
    one = Request("file", paths.root, {"sha256": "0" * 64, "size_bytes": 3})
    assert ask(helper, json.dumps(one.to_dict()).encode())["body"]["reason"] == "unsigned"
    assert ask(helper, person.signed(one, expires=5))["body"]["reason"] == "expired"
    text = person.signer.line("a", one)
    reply = ask(helper, text + b"abc")
    assert "the file that arrived is" in reply["message"]
    assert ask(helper, text + b"abc")["body"]["reason"] == "replayed"


def test_the_helper_keeps_only_the_file_that_was_signed(helper: list[str], paths: HostPaths, person: Person) -> None:
    import hashlib

    content = b"content\nof a file"
    sha256 = hashlib.sha256(content).hexdigest()
    one = Request("file", paths.root, {"sha256": sha256, "size_bytes": len(content)})
    assert ask(helper, person.signer.line("a", one) + content)["body"] == {"made": True}
    assert Path(paths.file(sha256)).read_bytes() == content


def test_the_environment_of_the_session_has_no_say(helper: list[str], paths: HostPaths) -> None:
    one = Request("start", paths.root, {"run": "r1"})
    environment = {**os.environ, admission.ADMITTED: "yes"}
    text = json.dumps(one.to_dict()).encode()
    done = subprocess.run(helper, input=text, capture_output=True, env=environment, timeout=60, check=False)
    assert json.loads(done.stdout)["body"]["reason"] == "unsigned"


# What is asked of the engine over the helper has no path either.


def test_the_engine_is_asked_by_numbers_and_names() -> None:
    assert engine_body("a", ["stats", "--json"]) == {"op": "stats"}
    body = engine_body("a", ["ping", "b", "--json", "--count", "16", "--wait", "2.5"])
    assert (body["peer"], body["count"], body["wait_ms"], body["lane"]) == ("b", 16, 2500, None)
    for words in (
        ["send", "/etc/shadow", "b:x"],
        ["recv", "--to", "/x"],
        ["ping", "b", "--socket", "/x"],
        ["ping", "b", "c"],
    ):
        with pytest.raises(HostRefused, match="no verb"):
            engine_body("a", words)


# Keys.


def test_an_operators_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    line = operator.make(tmp_path / "key", "ann@desk", None)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    public = operator.public_bytes(line)
    assert operator.line_of(public, "ann@desk") == line
    told = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert told.stdout.split()[:2] == line.split()[:2]
    told = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert operator.print_of(public) in told.stdout
    from tether_hw.errors import TetherError

    with pytest.raises(TetherError, match="never overwritten"):
        operator.make(tmp_path / "key", "", None)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(TetherError, match="others may read"):
        operator.FileKey(tmp_path / "key", None)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(TetherError, match="no file that holds a key"):
            operator.FileKey(path, None)


def test_a_key_with_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tether_hw.errors import TetherError

    monkeypatch.setenv("PASS", "open sesame")
    operator.make(tmp_path / "key", "", "env:PASS")
    assert operator.FileKey(tmp_path / "key", "env:PASS").sign(b"x")
    with pytest.raises(TetherError, match="passphrase"):
        operator.FileKey(tmp_path / "key", None)
    monkeypatch.setenv("PASS", "other")
    with pytest.raises(TetherError, match="not understood"):
        operator.FileKey(tmp_path / "key", "env:PASS")


def test_a_key_that_an_agent_holds_signs_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = operator.make(tmp_path / "key", "", None)
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < limit
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", tmp_path / "key"], check=True)
        public = operator.public_bytes(line)
        own, held = operator.FileKey(tmp_path / "key", None), operator.AgentKey(operator.print_of(public))
        assert held.sign(b"x") == own.sign(b"x")
        held.close()
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("keys", [{}, {"x": "ann"}, {"0" * 64: "an\nn"}, {"0" * 64: 1}, {"0" * 64: "a" * 129}])
def test_a_list_of_operators_is_strict(keys: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        bootstrap.parse_keys(Fields({"keys": keys}))


def test_the_verbs_that_need_no_signature_are_those_that_look() -> None:
    assert set(READING) < set(UNSIGNED)
    assert set(UNSIGNED) - set(READING) == {"follow", "verify", "engine", "files"}
