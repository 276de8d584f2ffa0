# SPDX-License-Identifier: Apache-2.0
"""The shapes of the documents of verbs that change hosts, and of those that speak of a lab, an engine or a frame."""

from __future__ import annotations

from tether_hw.fleet.shape_words import Schema, anything, arr, document, flag, maybe, number, obj, table, text, whole
from tether_hw.fleet.shapes import PROOF

_HOST = obj(
    "one host",
    more=True,
    host=text(),
    result=text("confirmed, unchanged, awaiting, refused, failed, rolled-back, split, unreachable, locked, ..."),
    exit=whole("the exit code that this host alone would give"),
    message=text(),
    hint=maybe(text()),
)
_CARDS = arr(
    obj(
        card=text("its name; several of one host: joined by +"),
        hosts=arr(text(), "its sides, in the order in which they are confirmed"),
        result=text("as of a host; split: one side kept the run, another did not or could not be asked"),
        exit=whole("the exit code that this card alone would give; split: 3"),
        message=text(),
        hint=maybe(text("the command that mends it")),
    ),
    "what came of cards of which both sides were changed",
)
_SPLIT = arr(
    obj(
        card=text(),
        run=text(),
        hosts=arr(text()),
        message=text("who kept the run and who did not"),
        hint=text("the command that mends it"),
    ),
    "runs that one side of a card kept and another did not",
)
_EXIT = whole("the exit code of the command")
_RUN = maybe(text("name of the run; null when nothing had to be done"))

APPLY = document(
    "tether.apply/1",
    "what came of a plan on every host",
    exit=_EXIT,
    run=_RUN,
    plan_id=text(),
    changes=whole("steps of the plan"),
    checks=arr(PROOF, "what both ends of each link proved, and rules that are in software only"),
    next=arr(text("a command")),
    cards=_CARDS,
    hosts=arr(_HOST),
)
VERIFY = document("tether.verify/1", "what was proved", exit=_EXIT, checks=arr(PROOF), hosts=arr(_HOST, "failures"))
DRIFT = document(
    "tether.drift/1",
    "what is no longer as the last kept run left it",
    exit=_EXIT,
    drift=whole("values that changed and are not ignored"),
    ignored=whole("values that changed and are known noise"),
    not_applied=whole("steps of the plan that have nothing to do with drift"),
    split=_SPLIT,
    hosts=arr(
        obj(
            "one host",
            more=True,
            host=text(),
            result=text("as-kept, drifted, no-record, or its failure"),
            exit=whole("the exit code that this host alone would give"),
            message=text(),
            hint=maybe(text()),
            kept=maybe(obj("the last run that was closed there", run=text(), state=text(), at=text("UTC"))),
            drift=arr(
                obj(
                    path=arr(text(), "path into the facts' config"),
                    was=anything("what the run left"),
                    is_=anything("what is there now"),
                    causes=arr(
                        obj(what=text("", "run", "file", "boot", "kernel", "tool"), words=text()),
                        "what is known to have changed it, the surest first; none: unknown",
                    ),
                    ignored=maybe(obj("by the inventory", reason=text(), until=text("the last day"))),
                    planned=flag("the plan would put it right"),
                )
            ),
            not_applied=arr(obj(step=text(), summary=text())),
            refusals=arr(text(), "why the host cannot be planned"),
        )
    ),
    orphans=arr(text(), "hosts that are in the keys file and no longer in the inventory"),
    expired=arr(text(), "entries of the list of known noise that are past their day"),
)
RETIRE = document(
    "tether.retire/1",
    "a host that left",
    exit=_EXIT,
    host=text(),
    key_removed=flag("it was in the keys file"),
    runs=arr(text(), "runs of this command: on its peers, then on the host"),
    hosts=arr(_HOST, "its peers, and at last the host itself with `removed`, `user` and `left`"),
    next=arr(text("what is left to do")),
)
OF_A_RUN = [
    document(f"tether.{verb}/1", about, exit=_EXIT, run=text(), cards=_CARDS, hosts=arr(_HOST))
    for verb, about in (
        ("confirm", "a run that is kept now"),
        ("rollback", "a run that was taken back"),
        ("resume", "a run that went on"),
    )
]
RUNS = document(
    "tether.runs/1",
    "the runs that the hosts know",
    exit=_EXIT,
    hosts=arr(_HOST, "each with `pending` and `runs`"),
    here=arr(text(), "runs that this controller has records of"),
    split=_SPLIT,
)
KEY_ENROLL = document("tether.key.enroll/1", "identity keys", exit=_EXIT, keys_file=text(), hosts=arr(_HOST))
KEY_SHOW = document(
    "tether.key.show/1",
    "recorded keys",
    keys_file=text(),
    hosts=arr(obj(host=text(), keys=arr(obj(key=text(), fingerprint=text())))),
)
HOST_BOOTSTRAP = document(
    "tether.host.bootstrap/1",
    "hosts that were set up",
    exit=_EXIT,
    next=arr(text("what is left to do")),
    hosts=arr(_HOST, "each with the paths that were `made`"),
)
KEY_OPERATOR = document(
    "tether.key.operator/1",
    "those who may change hosts, or the key that was made",
    operators=arr(obj(line=text("as ssh-keygen writes it"), fingerprint=text())),
    signs=maybe(text("fingerprint of the key that signs here, or that was made")),
)
LAB_STATUS = document(
    "tether.lab.status/1",
    "the lab of this machine",
    more=True,
    id=text(),
    state=text("", "up", "down", "broken"),
    kind=maybe(text()),
    folder=text(),
    inventory=maybe(text("path")),
    queues=maybe(whole()),
    hosts=arr(obj(more=True, name=text(), ssh=flag(), data_link=maybe(flag()), faults=arr(text()))),
    leftovers=arr(anything("what a killed `lab up` left")),
)
LAB_INVENTORY = document("tether.lab.inventory/1", "the inventory of a lab", inventory=text("the file, in YAML"))
ENGINE_STATS = document(
    "tether.engine.stats/1",
    "counters of an engine; further counters may come beside these",
    more=True,
    node=text(),
    version=text(),
    uptime_s=number(),
    transfers_running=whole(),
    lanes=arr(
        obj(
            more=True,
            lane=whole(),
            nic=text(),
            device=text(),
            queue=whole(),
            link=text(),
            carrier=text("the one that runs"),
            why=text("why this one"),
            zero_copy=flag(),
            frames_sent=whole(),
            frames_received=whole(),
            slots_sent=whole(),
            slots_received=whole(),
            grants_outstanding=whole("slots"),
            standing=whole("slots"),
            repairs=whole(),
            receipts=whole(),
            lamps=whole(),
            misdirected=whole(),
            overruns=whole(),
            early_received=whole("messages of early data taken"),
            early_repeated=whole("of those seen before: answered, not delivered again"),
            early_refused=whole(),
            byes_sent=whole("channels that this end ended with a word, a peer's that left the roster too"),
            contact=maybe(
                obj("of its own windows; null: always", open=flag(), changes_in_s=maybe(number("null: not any more")))
            ),
            rejects=table(whole(), "by reason"),
        )
    ),
    peers=arr(obj(more=True, name=text(), lane=maybe(whole()), state=text())),
)
ENGINE_PING = document(
    "tether.engine.ping/1",
    "round trips over every channel to a peer",
    more=True,
    from_=text(),
    peer=text(),
    bytes=whole(),
    sent=whole(),
    received=whole(),
    lost=whole(),
    rtt_p50_ns=whole(),
    rtt_p99_ns=whole(),
    lanes=arr(obj(more=True, lane=whole(), sent=whole(), received=whole(), lost=whole())),
)
ENGINE_BENCH = document(
    "tether.engine.bench/1",
    "medians of interleaved rounds",
    ("xdp_ceiling_bps", "share_of_xdp_ceiling"),
    True,
    carrier=text("", "pipe", "udp", "af_xdp"),
    cipher=text(),
    rounds=whole(),
    payload_bytes=whole(),
    frames_per_s=number(),
    goodput_bps=number(),
    rtt_p50_ns=whole(),
    rtt_p99_ns=whole(),
    aead_limit_bps=number("seal + open of the same frames by the same library call, in the same run"),
    share_of_aead_limit=number(),
    xdp_ceiling_bps=number("a minimal AF_XDP program, send and receive"),
    share_of_xdp_ceiling=number(),
)
ENGINE_TRANSFER = document(
    "tether.engine.transfer/1",
    "files that were sent or received",
    more=True,
    direction=text("", "send", "recv"),
    transfers=arr(
        obj(
            more=True,
            id=text(),
            peer=text("the other end"),
            name=text(),
            size=whole("bytes of the file"),
            resumed_bytes=whole("bytes that were there already"),
            seconds=number(),
            goodput_bps=number("bits of the file per second, without what was there"),
            sha256=text("hex, checked by the receiver"),
            path=text("where it lies at the receiver"),
        )
    ),
)
ENGINE_RELOAD = document(
    "tether.engine.reload/1",
    "the engine's files were read again",
    peers=arr(text(), "who is in the roster"),
    contact=arr(text(), "links with another contact plan now"),
    moved=arr(whole(), "lanes that have another address now"),
    restart=arr(text(), "fields of the engine file that wait for a restart"),
)
ENGINE_IDENTITY = document("tether.engine.identity/1", "an identity key", file=text(), public=text("64 hex digits"))
FRAME = document(
    "tether.frame/1",
    "one frame; the header's fields stand beside these by their names in the RFC",
    optional=("opened",),
    more=True,
    opened=obj("where the key log opens it", sealer=text("", "initiator", "responder"), payload=text("hex")),
    ethernet=maybe(obj(destination=text(), source=text(), vlans=arr(obj(more=True)))),
    payload=text("hex, still sealed"),
    trailer=text("hex, what follows the last block"),
)
FRAME_CAPTURE = document(
    "tether.frame.capture/1",
    "the Tether frames of a capture",
    file=text(),
    packets=whole("in the file, those of others too"),
    frames=arr(
        obj(
            number=whole("of the packet, from 1"),
            time_ns=whole("since 1970"),
            where=text("from whom to whom"),
            problem=maybe(text("why it is no frame of version 1")),
            frame=maybe(obj("as tether.frame/1, and `opened` where the key log opens it", (), True)),
        )
    ),
)
FRAME_BYTES = document("tether.frame.bytes/1", "an encoded frame", hex=text())

RUN_SHAPES: dict[str, Schema] = {
    shape["properties"]["schema"]["const"]: shape
    for shape in (
        APPLY,
        VERIFY,
        DRIFT,
        RETIRE,
        *OF_A_RUN,
        RUNS,
        KEY_ENROLL,
        KEY_SHOW,
        KEY_OPERATOR,
        HOST_BOOTSTRAP,
        LAB_STATUS,
        LAB_INVENTORY,
        ENGINE_STATS,
        ENGINE_PING,
        ENGINE_BENCH,
        ENGINE_TRANSFER,
        ENGINE_RELOAD,
        ENGINE_IDENTITY,
        FRAME,
        FRAME_CAPTURE,
        FRAME_BYTES,
    )
}
