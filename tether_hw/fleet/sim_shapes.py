# SPDX-License-Identifier: Apache-2.0
"""The shapes of the documents of `tether sim`."""

from __future__ import annotations

from tether_hw.fleet.shape_words import Schema, arr, document, flag, maybe, number, obj, table, text, whole

_VERDICT = text("", "done", "broken", "unfinished", "failed")
_LINK = obj(
    from_=text(),
    to=text(),
    frames=whole("offered and not dropped at the queue"),
    bytes=whole("of these, with all overhead"),
    lost=whole(),
    lost_in_bursts=whole(),
    lost_in_outages=whole(),
    dropped_at_queue=whole(),
    queue_peak_bytes=whole(),
    corrupted=whole(),
    truncated=whole(),
    duplicated=whole(),
    reordered=whole(),
)
_SMALLER = obj(
    "the smallest run that breaks the same way",
    repeat=text("the command"),
    runs=whole("that were tried"),
    frames=whole(),
    message=text(),
    faults=arr(text(), "what must happen for it"),
)
SIM = document(
    "tether.sim/1",
    "one run of a scenario",
    ("share", "incast", "repeat", "smaller"),
    scenario=text(),
    seed=whole(),
    verdict=_VERDICT,
    invariant=maybe(text("I1 to I8, or a word for another one")),
    message=maybe(text("what was not so")),
    at=maybe(text("the node where it broke")),
    virtual_s=number("when the run ended, in the time of the scenario"),
    done_s=number("the last delivery to an application"),
    frames=whole("delivered"),
    steps=whole("calls of endpoints"),
    checks=whole("of an endpoint's whole state"),
    faults=whole("losses, repetitions, crashes and the like that happened"),
    wall_s=number(),
    flows=arr(
        obj(
            flow=whole(),
            from_=text(),
            to=text(),
            complete=flag("everything came, or its sender was told"),
            written_bytes=whole(),
            delivered_bytes=whole(),
            messages=obj(written=whole(), delivered=whole(), cancelled=whole(), unknown=whole()),
            begun_s=number(),
            done_s=number(),
            goodput_bps=whole(),
            opens=whole("flows that it took: more than one after a restart"),
        )
    ),
    links=arr(_LINK),
    nodes=arr(obj(more=True, node=text())),
    share=obj(
        "what new payload took of the link, and the buffer for it in bandwidth-delay products",
        rate_bps=whole(),
        rtt_s=number(),
        link_share_steady=maybe(number("from the 5th round trip of data to the last new block")),
        link_share_whole=maybe(number("from the Hail to the last delivery")),
        steady_rtts=number(),
        whole_rtts=number(),
        bdp_frames=whole(),
        buffer_bdp=number("what the receiver may grant"),
        ungranted_bdp=number("the quarter of its ring that is never granted"),
        peak_cells_bdp=number("held and reserved at once"),
        peak_granted_bdp=number("granted and not arrived"),
        send_buffer_bdp=number(),
    ),
    incast=obj(
        "completion times against the ideal: all bytes on the wire at the rate, and a round trip",
        ("blind", "p50_us", "p99_us", "p99_over_ideal"),
        more=True,
        flows=whole(),
        ideal_us=number(),
        p50_us=number(),
        p99_us=number(),
        p99_over_ideal=number(),
        dropped_at_queues=whole(),
        queue_peak_bytes=whole(),
        repairs=whole(),
        blind=obj("the same by senders without credit", more=True),
    ),
    repeat=text("the command that repeats a run that broke"),
    smaller=_SMALLER,
)
SIM_SEEDS = document(
    "tether.sim.seeds/1",
    "many seeds of one scenario",
    scenario=text(),
    seeds=whole(),
    broken=arr(obj(seed=whole(), verdict=_VERDICT, invariant=maybe(text()), message=text(), repeat=text("a command"))),
    frames=whole(),
    checks=whole(),
    faults=whole(),
)
SIM_LIST = document("tether.sim.list/1", "the scenarios", scenarios=table(text("what it is about")))
SIM_SCENARIO = document("tether.sim.scenario/1", "one scenario", file=text(), scenario=obj("as in its file", more=True))

SIM_SHAPES: dict[str, Schema] = {
    shape["properties"]["schema"]["const"]: shape for shape in (SIM, SIM_SEEDS, SIM_LIST, SIM_SCENARIO)
}
