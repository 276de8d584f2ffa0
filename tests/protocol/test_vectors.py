# SPDX-License-Identifier: Apache-2.0
"""The vector files are what the generator makes, and the Python reference reads them the way the C core does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.protocol import generate_vectors as generator
from tether_hw.transport.protocol import cookie, float16, hail, keys, serial, tags, warm
from tether_hw.transport.protocol.frame import Inbound, receive, seal, unseal
from tether_hw.transport.protocol.header import HEADER_SIZE, LAYOUT, Header
from tether_hw.transport.protocol.mac1 import has_mac1, mac1, mac1_key
from tether_hw.transport.protocol.noise import Handshake, public_key
from tether_hw.transport.protocol.reject import REASONS, Reject
from tether_hw.transport.protocol.replay import ReplayWindow

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"
NAMES = sorted(generator.GROUPS)
Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    document = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert document["schema"] == "tether.vectors/1"
    return [pytest.param(case, id=case["case"]) for case in document["cases"]]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_what_the_generator_makes(name: str) -> None:
    for file, content in generator.render(name).items():
        assert (VECTORS / file).read_text(encoding="utf-8") == content, f"{file}: run generate_vectors.py"


def test_no_other_files() -> None:
    assert sorted(path.name for path in VECTORS.iterdir()) == sorted(f"{n}.{s}" for n in NAMES for s in ("json", "txt"))


@pytest.mark.parametrize("case", cases("header"))
def test_header(case: Case) -> None:
    header = Header.decode(bytes.fromhex(case["frame"]))
    for name, _offset, _size in LAYOUT[:-1]:
        assert getattr(header, name) == case[name]
    assert header.tag.hex() == case["tag"]
    assert header.encode().hex() == case["frame"]
    assert Header.from_json(json.loads(json.dumps(header.to_json()))) == header


def test_header_cases_cover_every_field_and_flag() -> None:
    found = [case.values[0] for case in cases("header")]
    for name, _offset, size in LAYOUT[:-1]:
        values = {case[name] for case in found}
        assert {0, 1, (1 << 8 * size) - 1} <= values
    assert {1 << bit for bit in range(8)} <= {case["flags"] for case in found}


@pytest.mark.parametrize("case", cases("float16"))
def test_float16(case: Case) -> None:
    if case["op"] == "encode":
        assert float16.encode(case["value"]) == case["wire"]
        assert float16.is_canonical(case["wire"])
        assert float16.decode(case["wire"]) <= case["value"]
    else:
        assert float16.decode(case["wire"]) == case["value"]


@pytest.mark.parametrize("case", cases("serial"))
def test_serial(case: Case) -> None:
    if case["op"] == "slot":
        result = serial.expand_slot(case["wire"], case["reference"])
    elif case["op"] == "nack":
        result = serial.expand_nack_slot(case["wire"], case["reference"], case["acknowledged"])
    else:
        result = serial.raise_limit(case["reference"], case["wire"])
    assert result == (case["result"] if case["valid"] else None)


@pytest.mark.parametrize("case", cases("replay"))
def test_replay(case: Case) -> None:
    window = ReplayWindow(case["window"])
    assert [int(window.accept(sequence)) for sequence in case["sequences"]] == case["accepted"]


@pytest.mark.parametrize("case", cases("tags"))
def test_tags(case: Case) -> None:
    payload = bytes.fromhex(case["payload"])
    if case["result"] == "error":
        with pytest.raises(tags.TagError) as caught:
            tags.parse(payload)
        assert caught.value.position == case["position"]
        return
    found = tags.parse(payload)
    assert len(found) == case["tags"]
    if not case["case"].endswith(("-set", "-of-a-later-version")):  # what this version does not write itself
        assert payload.startswith(tags.encode(found))
    if "type" in case:
        for name, value in vars(found[0]).items():
            expected = case[name]
            if name in ("lanes", "pairs"):
                value = len(value)
            assert (value.hex() if isinstance(value, bytes) else value) == expected


@pytest.mark.parametrize("case", cases("mac1"))
def test_mac1(case: Case) -> None:
    public, frame = bytes.fromhex(case["public"]), bytes.fromhex(case["frame"])
    assert mac1_key(public).hex() == case["key"]
    assert has_mac1(public, frame) == bool(case["valid"])
    assert (mac1(public, frame).hex() == case["tag"]) == bool(case["valid"])


@pytest.mark.parametrize("case", cases("warm"))
def test_warm(case: Case) -> None:
    names = ("forth", "back", "resume", "salt", "message", "lamp_key", "frame", "answer_key", "answer")
    value = {name: bytes.fromhex(case[name]) for name in names}
    role, counter = bool(case["initiator"]), case["counter"]
    assert warm.resume_key(value["forth"], value["back"]) == value["resume"]
    assert warm.lamp_key(value["resume"], role, counter, value["salt"]) == value["lamp_key"]
    assert warm.read_answer(value["resume"], not role, value["salt"], value["answer"]) == case["status"]
    if case["valid"]:
        assert warm.read_lamp(value["resume"], role, value["frame"]) == (counter, value["message"])
    else:
        with pytest.raises(Reject, match="auth"):
            warm.read_lamp(value["resume"], role, value["frame"])


@pytest.mark.parametrize("case", cases("cookie"))
def test_cookie(case: Case) -> None:
    names = ("secret", "address", "responder_public", "hail", "signed", "frame")
    value = {name: bytes.fromhex(case[name]) for name in names}
    made = cookie.cookie_of(value["secret"], case["kind"], value["address"])
    assert made.hex() == case["cookie"]
    assert cookie.has_mac2(made, value["signed"]) == bool(case["valid"])
    mac1_of_hail = value["hail"][48:64]
    if case["frame_valid"]:
        assert cookie.write_cookie(value["responder_public"], value["hail"], made) == value["frame"]
        assert cookie.read_cookie(value["responder_public"], mac1_of_hail, value["frame"]) == made
    else:
        with pytest.raises(Reject, match="mac1"):
            cookie.read_cookie(value["responder_public"], mac1_of_hail, value["frame"])


@pytest.mark.parametrize("case", cases("noise"))
def test_noise(case: Case) -> None:
    raw = {name: bytes.fromhex(value) for name, value in case.items() if name not in ("case", "protocol")}
    assert public_key(raw["initiator_secret"]) == raw["initiator_public"]
    initiator = Handshake(raw["initiator_secret"], raw["responder_public"])
    responder = Handshake(raw["responder_secret"], None)
    assert initiator.hash == responder.hash == raw["start_hash"]
    assert initiator.write_message1(raw["initiator_ephemeral"], raw["context1"], raw["payload1"]) == raw["message1"]
    assert hail.read_hail(responder, raw["hail"])[1:] == tuple(tags.parse(raw["payload1"]))
    assert initiator.hash == responder.hash == raw["hash1"]
    assert responder.remote_static == raw["initiator_public"]
    assert responder.write_message2(raw["responder_ephemeral"], raw["context2"], raw["payload2"]) == raw["message2"]
    assert hail.read_reply(initiator, raw["reply"], 3)[1:] == tuple(tags.parse(raw["payload2"]))
    assert initiator.hash == responder.hash == raw["hash2"]
    split = (raw["key_initiator_to_responder"], raw["key_responder_to_initiator"])
    assert initiator.split() == responder.split() == split
    assert len(raw["reply"]) <= len(raw["hail"])
    assert Header.decode(raw["hail"]).GrantAmount * 64 >= len(raw["reply"])


@pytest.mark.parametrize(("change", "reason"), [
    (lambda reply: reply + bytes(64), "mac1"),  # a whole block that it does not cover
    (lambda reply: reply[:2] + (131).to_bytes(2, "little") + reply[4:], "length"),
    (lambda reply: reply[:2] + (257).to_bytes(2, "little") + reply[4:] + bytes(128), "length"),  # larger than its Hail
    (lambda reply: reply[:255], "short"),
    (lambda reply: reply[:8] + b"\1" + reply[9:], "state"),  # sequence 1
    (lambda reply: reply[:-1] + b"\1", "mac1"),
])  # fmt: skip
def test_replies_that_must_be_refused(change: Callable[[bytes], bytes], reason: str) -> None:
    case = json.loads((VECTORS / "noise.json").read_text(encoding="utf-8"))["cases"][0]
    initiator = Handshake(bytes.fromhex(case["initiator_secret"]), bytes.fromhex(case["responder_public"]))
    initiator.write_message1(*(bytes.fromhex(case[name]) for name in ("initiator_ephemeral", "context1", "payload1")))
    with pytest.raises(Reject) as caught:
        hail.read_reply(initiator, change(bytes.fromhex(case["reply"])), 3)
    assert caught.value.reason == reason


@pytest.mark.parametrize("case", cases("keys"))
def test_keys(case: Case) -> None:
    split = bytes.fromhex(case["split_key"])
    assert keys.chain_key(split, case["cipher"], case["epoch"]).hex() == case["chain_key"]
    assert keys.frame_key(split, case["cipher"], case["epoch"]).hex() == case["frame_key"]


@pytest.mark.parametrize("case", cases("frames"))
def test_frames(case: Case) -> None:
    frame, key = bytes.fromhex(case["frame"]), bytes.fromhex(case["frame_key"])
    header, payload = unseal(frame, key, case["cipher"])
    assert payload.hex() == case["payload"]
    assert len(frame) == HEADER_SIZE + 64 * header.blocks
    assert seal(header, payload, key, case["cipher"]) == frame


@pytest.mark.parametrize("case", cases("bad_frames"))
def test_bad_frames(case: Case) -> None:
    inbound = Inbound(
        bytes.fromhex(case["split_key"]), case["cipher"], case["epochs_ahead"], newest_epoch=case["newest_epoch"]
    )
    for sequence in case["seen"]:
        inbound.replay.mark(sequence)
    before = (inbound.replay.highest, set(inbound.replay._seen), inbound.newest_epoch)
    try:
        _header, payload = receive(bytes.fromhex(case["frame"]), {case["channel"]: inbound}, case["frame_blocks"])
    except Reject as reject:
        assert reject.reason == case["reason"]
        if reject.reason != "padding":  # a frame that verified has been seen, whatever comes after
            assert before == (inbound.replay.highest, inbound.replay._seen, inbound.newest_epoch)
    else:
        assert case["reason"] == "ok"
        assert payload.hex() == case["payload"]


@pytest.mark.parametrize("case", cases("bad_hails"))
def test_bad_hails(case: Case) -> None:
    responder = Handshake(bytes.fromhex(case["responder_secret"]), None)
    try:
        index, found, _manifest = hail.read_hail(responder, bytes.fromhex(case["frame"]))
    except Reject as reject:
        assert reject.reason == case["reason"]
    else:
        assert (index, found.counter, "ok") == (case["sender_index"], case["counter"], case["reason"])
        assert responder.remote_static == bytes.fromhex(case["initiator_public"])


def test_reasons_of_the_vectors_exist() -> None:
    for name in ("bad_frames", "bad_hails"):
        assert {case.values[0]["reason"] for case in cases(name)} <= {*REASONS, "ok"}
