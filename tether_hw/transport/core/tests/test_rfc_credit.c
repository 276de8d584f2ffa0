/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, sections 6 and 7: what a receiver grants, refuses, reserves, says and keeps to itself. end[1] is the receiver. */
#include <errno.h>

#include "liar.h"

enum { LONG_RTT = 80000000 };

static const uint8_t data[1408];

/* As begin(), over a path that is declared (and is) long, so that fractions of its round trip can be told apart. */
static void begin_long(uint64_t seed)
{
    pair_open(&p, seed);
    for (int i = 0; i < 2; i++)
        p.config[i].rtt_ns = LONG_RTT;
    p.wire[0].latency_ns = p.wire[1].latency_ns = LONG_RTT / 2;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 2000000000);
}

static int frame_of(uint16_t flow, uint32_t frame, uint32_t want)
{
    struct tether_header header = {.flow = flow, .length = 1408, .slot = frame * 22, .want = tether_float16(want * 22)};
    return say(&header, data);
}

static int header_of(uint16_t flow, uint32_t high, uint32_t want, uint8_t flags)
{
    struct tether_header header = {.flow = flow, .slot = high * 22, .want = tether_float16(want * 22), .flags = flags};
    return say(&header, data);
}

static struct tether_flow *flow_of(uint16_t id)
{
    return tether_flow_find(p.end[1], theirs(), id);
}

static void one_frame_one_cell(void)
{
    PROVES("T-SLT-3", "T-SLT-2");
    struct tether_endpoint *none;
    uint32_t before;
    begin(1);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 0, 50), 0);
    drain();
    before = p.end[1]->rx.free_count;
    for (uint32_t i = 1; i < 30; i++) {
        struct tether_header small = {.flow = 2, .length = (uint16_t)(i == 29 ? 1408 : i), .slot = i * 22};
        small.want = tether_float16((50 - i) * 22);
        CHECK_EQ(say(&small, data), 0);
        CHECK_EQ(p.end[1]->rx.free_count, before - i);
        CHECK_EQ(flow_of(2)->rx.contig, (i + 1) * 22); /* void slots have come with their frame */
    }
    pair_close(&p);
    pair_open(&p, 2);
    p.config[0].frame_blocks = 0;
    CHECK_EQ(tether_endpoint_new(&p.config[0], &none), -EINVAL);
    p.config[0].frame_blocks = 1024;
    CHECK_EQ(tether_endpoint_new(&p.config[0], &none), -EINVAL);
    for (int i = 0; i < 2; i++)
        pair_wire_close(&p.wire[i]);
}

static void declared_floor(void)
{
    PROVES("T-SLT-4");
    struct tether_tag_manifest manifest;
    begin(3);
    tether_manifest_of(p.end[1], &manifest);
    CHECK(manifest.floor == manifest.frame_blocks || manifest.ring_frames >= p.end[1]->window * 22u / manifest.floor);
    CHECK_EQ(tether_channel_find(p.end[0], p.channel[0])->peer_floor, manifest.floor);
    pair_close(&p);
}

/* Whatever is asked for, by many flows of both kinds: a quarter of the ring stays free of grants. */
static void quarter_of_the_ring(void)
{
    PROVES("T-GRT-8", "T-GRT-15");
    pair_open(&p, 4);
    p.config[1].ring_frames = 64;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
    for (uint16_t id = 2; id <= 24; id = (uint16_t)(id + 2)) {
        (void)define(id, (uint8_t)(id % 4 ? TETHER_FLOW_BYTES : TETHER_FLOW_MESSAGE), id % 4 ? 0 : 1000000);
        CHECK_EQ(header_of(id, 0, 700, 0), 0);
        drain();
        CHECK(p.end[1]->outstanding <= 48);
        CHECK(flow_of(2)->rx.outstanding < 48);
    }
    CHECK(p.end[1]->outstanding > 30);
    pair_check(&p);
    pair_close(&p);
}

static void beyond_the_grant(void)
{
    PROVES("T-GRT-11", "T-FLW-14");
    uint64_t granted;
    begin(5);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 1, 1), -TETHER_E_GRANT); /* nothing is granted, and the ember begins at the grant */
    CHECK_EQ(frame_of(2, 0, 3), 0);
    CHECK_EQ(frame_of(2, 1, 2), -TETHER_E_GRANT); /* no second ember */
    drain();
    granted = flow_of(2)->rx.granted;
    CHECK_EQ(granted, 22 * 4);
    CHECK_EQ(frame_of(2, 3, 0), 0);
    CHECK_EQ(frame_of(2, 5, 0), -TETHER_E_GRANT);
    CHECK_EQ(frame_of(2, 4, 0), 0); /* the ember again */
    CHECK_EQ(frame_of(4, 0, 0), -TETHER_E_FLOW);
    CHECK_EQ(flow_of(2)->rx.arrived, 22 * 3);
    pair_close(&p);
}

/* A receiver with room for one message of the largest size. */
static void begin_tight(uint64_t seed)
{
    pair_open(&p, seed);
    p.config[1].rx_cells = 64;
    p.config[1].max_message = 64 * 1408;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
}

/* The channel's standing cell: one flow at a time, and free again with the grant that covers it. */
static void ember_of_a_channel(void)
{
    PROVES("T-STA-2", "T-STA-4", "T-STA-5");
    begin_tight(6);
    for (uint16_t id = 2; id <= 6; id = (uint16_t)(id + 2))
        (void)define(id, id == 2 ? TETHER_FLOW_MESSAGE : TETHER_FLOW_BYTES, id == 2 ? 64 * 1408 : 0);
    CHECK_EQ(header_of(2, 0, 64, 0), 0);
    drain();
    CHECK_EQ(p.end[1]->reserved, 64); /* no cell is free but the standing one */
    CHECK_EQ(frame_of(4, 0, 0), 0);
    CHECK_EQ(frame_of(6, 0, 0), -TETHER_E_GRANT);
    drain();
    CHECK_EQ(flow_of(4)->rx.granted, 0); /* there is none for the next ember, so this one is not covered */
    CHECK_EQ(frame_of(6, 0, 0), -TETHER_E_GRANT);
    {
        struct tether_tag_skip skip = {.flow = 2, .count = 64 * 22};
        uint8_t tags[64];
        CHECK_EQ(say_tags(tags, tether_tag_put_skip(tags, &skip)), 0);
    }
    CHECK_EQ(header_of(4, 1, 0, TETHER_FLAG_BLOCKED), 0); /* its sender's clock */
    drain();
    CHECK_EQ(flow_of(4)->rx.granted, 22);
    CHECK_EQ(frame_of(6, 0, 0), 0);
    pair_close(&p);
}

/* want is rounded down: the cells of the most that it may mean are kept until a later frame says it exactly. */
static void rounded_want(void)
{
    PROVES("T-MSG-3", "T-MSG-2");
    struct tether_header header = {.flow = 2, .want = tether_float16(2201)};
    struct tether_flow *flow;
    begin(7);
    flow = define(2, TETHER_FLOW_MESSAGE, 1000 * 1408);
    CHECK_EQ(tether_unfloat16(header.want), 2200);
    CHECK_EQ(tether_unfloat16_ceiling(header.want), 2203);
    CHECK_EQ(say(&header, data), 0);
    drain();
    CHECK_EQ(flow->rx.reserved_to, 101 * 22);
    CHECK_EQ(flow->rx.granted, 100 * 22);
    for (uint32_t i = 0; i < 100; i++)
        CHECK_EQ(frame_of(2, i, 99 - i), 0);
    drain();
    CHECK_EQ(flow->rx.reserved, 0);
    CHECK_EQ(p.end[1]->reserved, 0);
    pair_close(&p);
}

/* A message that the buffer cannot hold now gets nothing at all, not a part of it. */
static void whole_or_nothing(void)
{
    PROVES("T-MSG-2", "T-MSG-4", "T-MSG-10");
    struct tether_flow *first, *second, *bytes;
    begin_tight(8);
    first = define(2, TETHER_FLOW_MESSAGE, 64 * 1408);
    second = define(4, TETHER_FLOW_MESSAGE, 64 * 1408);
    bytes = define(6, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(header_of(2, 0, 40, 0), 0);
    drain();
    CHECK_EQ(header_of(4, 0, 30, 0), 0);
    CHECK_EQ(header_of(6, 0, 60, 0), 0);
    drain();
    CHECK_EQ(first->rx.granted, 40 * 22);
    CHECK_EQ(second->rx.granted, 0);
    CHECK(second->rx.reserved >= 20); /* it gathers, and the bytes get a trickle */
    CHECK(bytes->rx.granted <= 4 * 22);
    for (uint32_t i = 0; i < 40; i++) {
        struct tether_header header = {.flow = 2, .length = 1408, .slot = i * 22};
        header.flags = (uint8_t)((i == 0 ? TETHER_FLAG_FIRST : 0) | (i == 39 ? TETHER_FLAG_END : 0));
        header.want = tether_float16((39 - i) * 22);
        CHECK_EQ(say(&header, data), 0);
    }
    drain();
    CHECK_EQ(second->rx.granted, 0); /* arrived, and not read: nothing is free yet */
    {
        static uint8_t message[64 * 1408];
        CHECK_EQ(tether_flow_read(p.end[1], p.now_ns, p.channel[1], 2, message, sizeof message, NULL), 40 * 1408);
    }
    drain();
    CHECK(second->rx.granted > 0 && second->rx.granted <= 30 * 22); /* perhaps in pieces: all of it is reserved */
    CHECK_EQ(second->rx.reserved_to, 30 * 22);
    pair_check(&p);
    pair_close(&p);
}

/* Who gathers cells and then skips what it asked for leaves the turn to the next one. */
static void turn_of_who_gives_up(void)
{
    PROVES("T-MSG-4", "T-RET-2");
    struct tether_tag_skip skip = {.flow = 4};
    uint8_t tags[64];
    begin_tight(9);
    for (uint16_t id = 2; id <= 6; id = (uint16_t)(id + 2))
        (void)define(id, TETHER_FLOW_MESSAGE, 64 * 1408);
    CHECK_EQ(header_of(2, 0, 40, 0), 0);
    drain();
    CHECK_EQ(header_of(4, 0, 30, 0), 0);
    drain();
    CHECK_EQ(header_of(6, 0, 24, 0), 0);
    drain();
    CHECK_EQ(flow_of(6)->rx.reserved, 0); /* it is the turn of flow 4, which waits for the cells of flow 2 */
    CHECK(flow_of(4)->rx.reserved > 0 && flow_of(4)->rx.reserved < 30);
    skip.count = 30 * 22;
    CHECK_EQ(say_tags(tags, tether_tag_put_skip(tags, &skip)), 0);
    drain();
    CHECK_EQ(header_of(6, 0, 24, 0), 0);
    drain();
    CHECK(flow_of(6)->rx.reserved > 0);
    pair_close(&p);
}

static void bounds_of_messages(void)
{
    PROVES("T-MSG-7", "T-DEF-3");
    static uint8_t message[1 << 18];
    struct tether_tag_define tag = {.flow = 2, .kind = TETHER_FLOW_MESSAGE, .bound = (1 << 18) + 1};
    uint8_t tags[64];
    uint16_t flow;
    struct heard heard;
    pair_open(&p, 9);
    p.config[0].max_message = 1 << 20;
    p.config[1].max_message = 1 << 18;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(tether_flow_open(p.end[i], p.now_ns, p.channel[i], TETHER_FLOW_MESSAGE, (1 << 18) + 1, &flow), -EMSGSIZE);
        CHECK_EQ(tether_flow_open(p.end[i], p.now_ns, p.channel[i], TETHER_FLOW_MESSAGE, 1000, &flow), 0);
        CHECK_EQ(tether_flow_write(p.end[i], p.now_ns, p.channel[i], flow, message, 1001, 0), -EMSGSIZE);
        CHECK_EQ(tether_flow_write(p.end[i], p.now_ns, p.channel[i], flow, message, 1000, 0), 1000);
    }
    pair_run(&p, 100000000);
    tag.flow = 100;
    CHECK_EQ(say_tags(tags, tether_tag_put_define(tags, &tag)), 0);
    CHECK(flow_of(100) == NULL);
    CHECK(hear_flow(&heard, 0, 1000000));
    {
        struct tether_tag_cursor cursor = {.at = heard.payload, .left = heard.header.length};
        struct tether_tag said;
        CHECK_EQ(tether_tag_next(&cursor, &said), 1);
        CHECK(said.type == TETHER_TAG_CLOSE && said.close.reason == TETHER_CLOSE_REFUSED && said.close.flow == 100);
        CHECK_EQ(said.close.final, 0);
    }
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

static void no_grant_beyond_final(void)
{
    PROVES("T-RET-3", "T-GRT-5");
    struct tether_tag_close close = {.flow = 2, .reason = TETHER_CLOSE_END, .final = 3 * 22};
    struct tether_flow *flow;
    uint8_t tags[64];
    begin(10);
    flow = define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(say_tags(tags, tether_tag_put_close(tags, &close)), 0);
    CHECK_EQ(header_of(2, 0, 40, 0), 0);
    drain();
    CHECK_EQ(flow->rx.demand, 3 * 22);
    CHECK_EQ(flow->rx.granted, 3 * 22);
    (void)define(4, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(header_of(4, 0, 40, 0), 0);
    drain();
    CHECK_EQ(flow_of(4)->rx.granted, 40 * 22);
    close.flow = 4; /* behind the grant: what lies beyond `final` comes back */
    CHECK_EQ(say_tags(tags, tether_tag_put_close(tags, &close)), 0);
    drain();
    CHECK_EQ(flow_of(4)->rx.outstanding, 3);
    CHECK_EQ(p.end[1]->reserved, 6);
    pair_close(&p);
}

/* Nothing can be granted yet: the one receipt is kept for the grant, and goes with it. */
static void last_receipt(void)
{
    PROVES("T-RCT-4", "T-RCT-5", "T-RCT-6");
    struct heard heard;
    begin(11);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    drain();
    p.end[1]->window = 0;
    theirs()->receipts = 0;
    CHECK_EQ(frame_of(2, 0, 50), 0);
    CHECK_EQ(theirs()->receipts, 1);
    CHECK(!hear_flow(&heard, 2, 500000000));
    CHECK_EQ(header_of(2, 1, 50, TETHER_FLAG_BLOCKED), 0);
    CHECK(hear(&heard)); /* a question is answered at once */
    CHECK(heard.header.flow == 2 && heard.header.length == 0 && heard.header.grant_amount == 0);
    CHECK_EQ(theirs()->receipts, 1);
    CHECK(!hear_flow(&heard, 2, 500000000));
    p.end[1]->window = 768;
    p.end[1]->grant_dirty = 1;
    CHECK(hear_flow(&heard, 2, 1000000));
    CHECK_EQ(heard.header.grant_amount, 51 * 22);
    CHECK_EQ(theirs()->receipts, 0);
    pair_close(&p);
}

/* News of arrival waits for a sixteenth frame or for an eighth of the round trip. */
static void receipts_are_thrifty(void)
{
    PROVES("T-RCT-9", "T-RCT-6");
    struct heard heard;
    uint64_t begun;
    begin_long(12);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 0, 100), 0);
    while (hear_flow(&heard, 2, LONG_RTT / 2))
        continue;
    CHECK_EQ(flow_of(2)->rx.granted, 101 * 22);
    for (uint32_t i = 1; i < 16; i++) {
        CHECK_EQ(frame_of(2, i, 100 - i), 0);
        CHECK(!hear(&heard));
    }
    CHECK_EQ(frame_of(2, 16, 84), 0);
    CHECK(hear(&heard));
    CHECK_EQ(heard.header.nack_slot, 17 * 22);
    for (uint32_t i = 17; i < 20; i++)
        CHECK_EQ(frame_of(2, i, 100 - i), 0);
    begun = p.now_ns;
    CHECK(hear_flow(&heard, 2, LONG_RTT));
    CHECK_EQ(heard.header.nack_slot, 20 * 22);
    CHECK(p.now_ns - begun >= theirs()->rtt.smoothed_ns / 8);
    CHECK(p.now_ns - begun <= tether_channel_silence(p.end[1], theirs()) / 4);
    pair_close(&p);
}

/* Where only a high-water slot or a SKIP shows a gap, data may still be on its way; BLOCKED speaks after a silence. */
static void gaps_shown_by_control(void)
{
    PROVES("T-NCK-5", "T-NCK-8");
    for (int how = 0; how < 3; how++) {
        struct heard heard;
        uint64_t begun;
        uint8_t tags[64];
        begin_long(13 + (uint64_t)how);
        (void)define(2, TETHER_FLOW_BYTES, 0);
        CHECK_EQ(frame_of(2, 0, 40), 0);
        while (hear_flow(&heard, 2, LONG_RTT / 2))
            continue;
        for (uint32_t i = 1; i < 5; i++)
            CHECK_EQ(frame_of(2, i, 40 - i), 0);
        while (hear_flow(&heard, 2, LONG_RTT / 2))
            continue;
        theirs()->receipts += 10;
        begun = p.now_ns;
        if (how < 2) {
            CHECK_EQ(header_of(2, 9, 31, how ? TETHER_FLAG_BLOCKED : 0), 0);
        } else {
            struct tether_tag_skip skip = {.flow = 2, .first = 9 * 22, .count = 22};
            CHECK_EQ(say_tags(tags, tether_tag_put_skip(tags, &skip)), 0);
        }
        do
            CHECK(hear_flow(&heard, 2, LONG_RTT));
        while (heard.header.nack_count == 0);
        CHECK_EQ(heard.header.nack_slot, 5 * 22);
        CHECK_EQ(heard.header.nack_count, 4 * 22);
        if (how == 1)
            CHECK_EQ(p.now_ns, begun);
        else
            CHECK(p.now_ns - begun >= theirs()->rtt.smoothed_ns / 4 &&
                  p.now_ns - begun < tether_channel_silence(p.end[1], theirs()));
        pair_close(&p);
    }
}

static void high_water_beyond_the_grant(void)
{
    PROVES("T-NCK-9", "T-NCK-7");
    struct heard heard;
    begin(16);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 0, 3), 0);
    drain();
    CHECK_EQ(flow_of(2)->rx.granted, 4 * 22);
    CHECK_EQ(header_of(2, 50, 0, TETHER_FLAG_BLOCKED), 0);
    CHECK(flow_of(2)->rx.high <= flow_of(2)->rx.granted);
    while (hear_flow(&heard, 2, 20000000))
        if (heard.header.nack_count)
            CHECK(heard.header.nack_slot >= 22 && heard.header.nack_slot + heard.header.nack_count <= heard.header.grant_amount);
    CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
    pair_close(&p);
}

/* Slots, skipped ranges and ends in pieces of a frame: refused where a frame is the piece. */
static void pieces_of_a_frame(void)
{
    PROVES("T-SLT-6", "T-CLS-2");
    struct tether_header header = {.flow = 2, .length = 64, .slot = 11};
    struct tether_tag_skip skip = {.flow = 2, .first = 22, .count = 11};
    struct tether_tag_close close = {.flow = 2, .reason = TETHER_CLOSE_END, .final = 33};
    uint8_t tags[64];
    for (int what = 0; what < 3; what++) {
        begin(17 + (uint64_t)what);
        (void)define(2, TETHER_FLOW_BYTES, 0);
        CHECK_EQ(frame_of(2, 0, 10), 0);
        drain();
        header.slot = 22 + 11;
        CHECK_EQ(say(&header, data), -TETHER_E_FLOW);
        if (what == 0)
            CHECK_EQ(say_tags(tags, tether_tag_put_skip(tags, &skip)), 0);
        else if (what == 1)
            CHECK_EQ(say_tags(tags, tether_tag_put_close(tags, &close)), 0);
        CHECK_EQ(theirs()->state, what < 2 ? TETHER_CHANNEL_CLOSING : TETHER_CHANNEL_UP);
        pair_close(&p);
    }
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(one_frame_one_cell);
    RUN(declared_floor);
    RUN(quarter_of_the_ring);
    RUN(beyond_the_grant);
    RUN(ember_of_a_channel);
    RUN(rounded_want);
    RUN(whole_or_nothing);
    RUN(turn_of_who_gives_up);
    RUN(bounds_of_messages);
    RUN(no_grant_beyond_final);
    RUN(last_receipt);
    RUN(receipts_are_thrifty);
    RUN(gaps_shown_by_control);
    RUN(high_water_beyond_the_grant);
    RUN(pieces_of_a_frame);
    return run_result();
}
