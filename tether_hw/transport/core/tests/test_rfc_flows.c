/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, sections 12 to 14: tags in any order and of any kind, flows that end, frames that break the rules. */
#include <errno.h>

#include "liar.h"

static uint8_t data[1408 * 40], got[1408 * 40];

static struct tether_flow *flow_of(uint16_t id)
{
    return tether_flow_find(p.end[1], theirs(), id);
}

static int frame_of(uint16_t flow, uint32_t frame, uint8_t flags, uint32_t want)
{
    struct tether_header header = {.flow = flow, .length = 1408, .slot = frame * 22, .flags = flags};
    header.want = tether_float16(want * 22);
    return say(&header, data);
}

static int say_skip(uint16_t flow, uint64_t first, uint64_t count)
{
    struct tether_tag_skip skip = {.flow = flow, .first = first, .count = count};
    uint8_t tags[64];
    return say_tags(tags, tether_tag_put_skip(tags, &skip));
}

static int say_close(uint16_t flow, uint32_t reason, uint64_t final)
{
    struct tether_tag_close close = {.flow = flow, .reason = reason, .final = final};
    uint8_t tags[64];
    return say_tags(tags, tether_tag_put_close(tags, &close));
}

static int64_t read_here(uint16_t flow, uint32_t *flags)
{
    return tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, got, sizeof got, flags);
}

/* A frame of tags that overtakes another one waits for it. */
static void tags_in_their_order(void)
{
    PROVES("T-TAG-6");
    struct tether_tag_define tag = {.flow = 2, .kind = TETHER_FLOW_BYTES};
    struct tether_tag_close close = {.flow = 2, .reason = TETHER_CLOSE_END, .final = 44};
    struct tether_header header = {0};
    uint8_t tags[64];
    uint32_t slot;
    begin(1);
    slot = (uint32_t)tether_flow_at(p.end[1], theirs(), 0)->rx.contig;
    header.slot = slot + 22;
    header.length = (uint16_t)tether_tag_put_close(tags, &close);
    CHECK_EQ(say(&header, tags), 0);
    CHECK(flow_of(2) == NULL);
    header.slot = slot;
    header.length = (uint16_t)tether_tag_put_define(tags, &tag);
    CHECK_EQ(say(&header, tags), 0);
    CHECK(flow_of(2) != NULL);
    CHECK_EQ(flow_of(2)->rx.final, 44);
    pair_close(&p);
}

/* What stands before an error in the same frame has been done; then the channel ends with BYE, reason 1. */
static void error_behind_a_good_tag(void)
{
    PROVES("T-TAG-5", "T-DEF-4");
    struct tether_tag_define tag = {.flow = 2, .kind = TETHER_FLOW_BYTES};
    uint8_t tags[128];
    struct heard heard;
    for (int what = 0; what < 3; what++) {
        size_t length;
        uint64_t bad;
        struct tether_tag_cursor cursor;
        struct tether_tag said;
        begin(2 + (uint64_t)what);
        tag.flow = 2;
        length = tether_tag_put_define(tags, &tag);
        tag.flow = what == 0 ? 2 : what == 1 ? 3 : 0; /* open already; of the other end; not to be opened */
        length += tether_tag_put_define(tags + length, &tag);
        bad = pair_stats(&p, 1).rejects[TETHER_E_TAGS - TETHER_E_SHORT];
        CHECK_EQ(say_tags(tags, length), 0);
        CHECK_EQ(pair_stats(&p, 1).rejects[TETHER_E_TAGS - TETHER_E_SHORT], bad + 1);
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
        CHECK(hear_flow(&heard, 0, 1000000));
        cursor = (struct tether_tag_cursor){.at = heard.payload, .left = heard.header.length};
        CHECK_EQ(tether_tag_next(&cursor, &said), 1);
        CHECK(said.type == TETHER_TAG_BYE && said.bye_reason == TETHER_BYE_PROTOCOL);
        pair_events(&p);
        CHECK(pair_seen(&p, 1, TETHER_EVENT_CHANNEL_DOWN)->status == -EPROTO);
        pair_close(&p);
    }
}

static void bound_of_a_byte_flow(void)
{
    PROVES("T-DEF-6", "T-DEF-2");
    begin(5);
    CHECK(define(2, TETHER_FLOW_BYTES, UINT64_MAX) != NULL);
    CHECK_EQ(frame_of(2, 0, 0, 0), 0);
    CHECK_EQ(read_here(2, NULL), 1408);
    pair_close(&p);
}

static void what_cannot_be_done(void)
{
    PROVES("T-DEF-3", "T-SCL-1");
    static const struct tether_tag_define asked[] = {
        {.flow = 2, .kind = 200}, {.flow = 4, .reliability = 200}, {.flow = 6, .order = 200}, {.flow = 8, .scale = 200},
        {.flow = 10, .kind = TETHER_FLOW_MESSAGE, .bound = 0}, {.flow = 12, .kind = TETHER_FLOW_MESSAGE, .bound = UINT64_MAX},
        {.flow = 14, .reliability = TETHER_FLOW_EXPIRING}, {.flow = 16, .scale = 2},
    };
    enum { ASKED = sizeof asked / sizeof asked[0] };
    uint8_t tags[ASKED * TETHER_TAG_DEFINE_SIZE];
    size_t length = 0;
    struct heard heard;
    uint32_t refused = 0;
    begin(6);
    for (int i = 0; i < ASKED; i++)
        length += tether_tag_put_define(tags + length, &asked[i]);
    CHECK_EQ(say_tags(tags, length), 0);
    while (hear_flow(&heard, 0, 1000000)) {
        struct tether_tag_cursor cursor = {.at = heard.payload, .left = heard.header.length};
        struct tether_tag said;
        while (tether_tag_next(&cursor, &said) > 0) {
            CHECK(said.type == TETHER_TAG_CLOSE && said.close.reason == TETHER_CLOSE_REFUSED && said.close.final == 0);
            refused |= 1u << said.close.flow;
        }
    }
    CHECK_EQ(refused, 0x15554);
    CHECK_EQ(theirs()->flow_count, 0);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

/* More lanes than one frame can name. */
static void many_lanes(void)
{
    PROVES("T-MAN-3", "T-MAN-2");
    enum { LANES = 250 };
    static struct tether_address lanes[LANES];
    pair_open(&p, 7);
    for (uint16_t i = 0; i < LANES; i++)
        lanes[i] = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 2, .bytes = {1, (uint8_t)i}};
    p.config[1].lanes = LANES;
    p.config[1].lane_addresses = lanes;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
    CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_PEER_LANES)->value, LANES);
    for (uint16_t i = 0; i < LANES; i++) {
        struct tether_address address;
        CHECK_EQ(tether_channel_lane_address(p.end[0], p.channel[0], i, &address), 0);
        CHECK(address.length == 2 && address.bytes[1] == (uint8_t)i);
    }
    pair_close(&p);
}

/* A later Manifest may name lanes; the constants of the channel stand. */
static void constants_of_a_channel(void)
{
    PROVES("T-MAN-4", "T-MAN-6");
    for (int what = 0; what < 4; what++) {
        struct tether_tag_manifest manifest;
        uint8_t tags[128];
        begin(8 + (uint64_t)what);
        tether_manifest_of(p.end[0], &manifest);
        manifest.floor = (uint16_t)(manifest.floor - (what == 0));
        manifest.frame_blocks = (uint16_t)(manifest.frame_blocks - (what == 1));
        manifest.pool_slots += what == 2 ? 22 : 0;
        manifest.rtt_ns = what == 3 ? UINT64_C(1) << 46 : manifest.rtt_ns;
        CHECK_EQ(say_tags(tags, tether_tag_put_manifest(tags, sizeof tags, &manifest, NULL, 0)), 0);
        CHECK_EQ(theirs()->state, what < 2 ? TETHER_CHANNEL_CLOSING : TETHER_CHANNEL_UP);
        CHECK_EQ(theirs()->peer_floor, 22);
        CHECK(tether_ledger_limit(&tether_flow_at(p.end[1], theirs(), 0)->tx.ledger) <= 8 * 22 + 44); /* as told by grants */
        CHECK_EQ(theirs()->rtt.declared_ns, 40000);
        pair_close(&p);
    }
}

/* A byte flow with frames 0, 1 and 3 here, 2 missing, and grants beyond. */
static struct tether_flow *with_a_gap(uint64_t seed)
{
    struct tether_flow *flow;
    begin(seed);
    flow = define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 0, 0, 9), 0);
    drain();
    CHECK_EQ(frame_of(2, 1, 0, 8), 0);
    CHECK_EQ(frame_of(2, 3, 0, 6), 0);
    CHECK_EQ(flow->rx.contig, 44);
    CHECK_EQ(flow->rx.granted, 220);
    return flow;
}

static void old_news(void)
{
    PROVES("T-SKP-4", "T-CLS-1");
    struct tether_flow *flow = with_a_gap(12), before;
    uint32_t reserved = p.end[1]->reserved;
    before = *flow;
    CHECK_EQ(say_skip(2, 0, 44), 0);
    CHECK_EQ(say_skip(2, 22, 22), 0);
    CHECK_EQ(say_skip(100, 0, 2200), 0);
    CHECK_EQ(say_close(100, TETHER_CLOSE_CLOSED, 7 * 22), 0);
    CHECK_EQ(say_close(100, TETHER_CLOSE_REFUSED, 7), 0);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    CHECK(flow->rx.contig == before.rx.contig && flow->rx.granted == before.rx.granted &&
          flow->rx.arrived == before.rx.arrived && flow->rx.outstanding == before.rx.outstanding &&
          flow->rx.demand == before.rx.demand && flow->rx.gaps.count == before.rx.gaps.count);
    CHECK_EQ(p.end[1]->reserved, reserved);
    pair_close(&p);
}

/* Each is wrong in one way; none moves any credit, and the channel ends. */
static void skips_that_lie(void)
{
    PROVES("T-SKP-5");
    static const struct {
        uint64_t first, count;
    } lies[] = {
        {88, 0},
        {UINT64_MAX - 21, 44},
        {22, 44},                               /* begins below the first missing slot */
        {220 + 44, 22},                         /* more than an ember beyond the grant */
        {88, (UINT64_C(1) << 31) - 22 * 2},     /* ends too far beyond */
        {88, 11},
        {99, 22},
        {66, 22},                               /* has arrived */
        {44, 44},                               /* half of it has */
    };
    for (uint64_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct tether_flow *flow = with_a_gap(13 + i);
        uint64_t granted = flow->rx.granted, demand = flow->rx.demand;
        CHECK_EQ(say_skip(2, lies[i].first, lies[i].count), 0);
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
        CHECK(flow->rx.granted == granted && flow->rx.contig == 44);
        CHECK(flow->rx.demand <= demand);
        CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
        CHECK_EQ(p.end[1]->reserved + p.end[1]->outstanding, 0); /* all of it went back with the channel */
        pair_close(&p);
    }
}

/* The same ranges told truly: slots count as granted and arrived, and what was reserved for them is free. */
static void skips_that_are_true(void)
{
    PROVES("T-RET-2", "T-SKP-6");
    struct tether_flow *flow = with_a_gap(30);
    CHECK_EQ(p.end[1]->reserved, 7);
    CHECK_EQ(say_skip(2, 44, 22), 0);
    CHECK_EQ(flow->rx.contig, 88);
    CHECK_EQ(p.end[1]->reserved, 6);
    CHECK_EQ(say_skip(2, 110, 330), 0);
    CHECK_EQ(flow->rx.granted, 440);
    CHECK_EQ(p.end[1]->reserved, 1);
    CHECK_EQ(frame_of(2, 4, 0, 0), 0);
    CHECK_EQ(flow->rx.contig, 440);
    CHECK_EQ(p.end[1]->reserved + p.end[1]->outstanding, 0);
    CHECK_EQ(read_here(2, NULL), 4 * 1408);
    CHECK_EQ(say_skip(2, 462, 22), 0); /* behind an ember that is still on its way */
    CHECK_EQ(flow->rx.granted, 484);
    CHECK_EQ(p.end[1]->outstanding, 1);
    CHECK_EQ(frame_of(2, 20, 0, 0), 0);
    CHECK_EQ(flow->rx.contig, 484);
    pair_close(&p);
}

static void closes_that_lie(void)
{
    PROVES("T-CLS-2");
    static const uint64_t finals[] = {22, 66, 45, (UINT64_C(1) << 31) + 44 + 22 - (((UINT64_C(1) << 31) + 44) % 22)};
    for (uint64_t i = 0; i < 5; i++) {
        (void)with_a_gap(40 + i);
        if (i < 4) {
            CHECK_EQ(say_close(2, TETHER_CLOSE_END, finals[i]), 0);
        } else {
            CHECK_EQ(say_close(2, TETHER_CLOSE_END, 220), 0);
            CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
            CHECK_EQ(say_close(2, TETHER_CLOSE_CLOSED, 242), 0); /* another end than before */
        }
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
        CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
        pair_close(&p);
    }
}

/* Only what begins with FIRST and ends with END is a message; the rest counts as arrived and is nobody's. */
static void frames_of_no_message(void)
{
    PROVES("T-FLW-4", "T-FLW-1");
    struct tether_flow *flow;
    begin(50);
    flow = define(2, TETHER_FLOW_MESSAGE, 10 * 1408);
    CHECK_EQ(frame_of(2, 0, 0, 9), 0);
    drain();
    CHECK_EQ(frame_of(2, 1, TETHER_FLAG_END, 8), 0); /* the rest of nothing */
    CHECK_EQ(flow->rx.held, 0);
    CHECK_EQ(frame_of(2, 2, TETHER_FLAG_FIRST, 7), 0);
    CHECK_EQ(frame_of(2, 3, 0, 6), 0);
    CHECK_EQ(flow->rx.held, 2);
    CHECK_EQ(frame_of(2, 4, TETHER_FLAG_FIRST, 5), 0); /* the message before has no end */
    CHECK_EQ(flow->rx.held, 1);
    CHECK_EQ(read_here(2, NULL), -EAGAIN);
    CHECK_EQ(frame_of(2, 5, TETHER_FLAG_END, 4), 0);
    CHECK_EQ(frame_of(2, 6, TETHER_FLAG_FIRST | TETHER_FLAG_END, 3), 0);
    CHECK_EQ(flow->rx.contig, 7 * 22);
    CHECK_EQ(read_here(2, NULL), 2 * 1408);
    CHECK_EQ(read_here(2, NULL), 1408);
    CHECK_EQ(read_here(2, NULL), -EAGAIN);
    pair_close(&p);
}

/* Cut off by CLOSE, reason 1, a byte flow does not look as if it had ended. */
static void an_abort_is_no_end(void)
{
    PROVES("T-FLW-17", "T-FLW-9", "T-FLW-8");
    uint32_t flags;
    for (int whole = 0; whole < 2; whole++) {
        begin(51 + (uint64_t)whole);
        (void)define(2, TETHER_FLOW_BYTES, 0);
        CHECK_EQ(frame_of(2, 0, 0, 0), 0);
        if (whole)
            CHECK_EQ(say_close(2, TETHER_CLOSE_END, 22), 0);
        CHECK_EQ(say_close(2, TETHER_CLOSE_CLOSED, 22), 0);
        CHECK_EQ(read_here(2, &flags), 1408);
        CHECK_EQ(flags & TETHER_READ_END, whole ? TETHER_READ_END : 0);
        if (!whole) {
            CHECK_EQ(read_here(2, &flags), -EPIPE);
            CHECK_EQ(flags, 0);
        }
        pair_close(&p);
    }
}

/* Closed upon: what was queued is gone, nothing new is taken, what had come is still to be read. */
static void closed_upon(void)
{
    PROVES("T-FLW-11", "T-FLW-10", "T-REP-5");
    struct tether_flow *flow;
    struct heard heard;
    begin(53);
    flow = define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(frame_of(2, 0, 0, 5), 0);
    drain();
    CHECK_EQ(frame_of(2, 1, 0, 4), 0);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], 2, data, 5 * 1408, 0), 5 * 1408);
    drain(); /* the ember goes */
    CHECK_EQ(flow->tx.cells, 5);
    for (int i = 0; i < 50; i++) {
        p.now_ns += 10000000;
        while (hear(&heard))
            continue;
        CHECK_EQ(flow->tx.cells, 5); /* kept until a receipt covers it */
    }
    {
        struct tether_header nothing = {.flow = 2, .slot = 44, .nack_slot = 0};
        CHECK_EQ(say(&nothing, data), 0);
        CHECK_EQ(flow->tx.cells, 5);
    }
    CHECK_EQ(say_close(2, TETHER_CLOSE_CLOSED, 44), 0);
    CHECK_EQ(flow->tx.cells, 0);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], 2, data, 10, 0), -EPIPE);
    for (int i = 0; i < 50; i++) {
        p.now_ns += 10000000;
        while (hear(&heard))
            CHECK(heard.header.flow == 0 || heard.header.length == 0);
    }
    CHECK_EQ(read_here(2, NULL), 2 * 1408);
    pair_close(&p);
}

static void flows_that_are_not_there(void)
{
    PROVES("T-FLW-14", "T-ERR-2", "T-DEF-5", "T-ERR-4");
    struct tether_header header = {.flow = 6, .flags = TETHER_FLAG_BLOCKED};
    uint32_t receipts;
    uint64_t heard;
    begin(54);
    receipts = theirs()->receipts;
    for (uint16_t flow = 2; flow < 60; flow++) {
        header.flow = flow;
        header.length = 0;
        header.timestamp_ns = flow;
        CHECK_EQ(say(&header, data), -TETHER_E_FLOW);
        CHECK_EQ(theirs()->peer_stamp, flow); /* refused, and still from somebody who lives */
        header.length = 100;
        heard = theirs()->frames_received;
        CHECK_EQ(say(&header, data), -TETHER_E_FLOW);
        CHECK_EQ(theirs()->frames_received, heard);
    }
    CHECK_EQ(theirs()->receipts, receipts);
    pair_close(&p);
}

/* Everything that a peer with keys can say, at random: the lane stays whole, and the channel beside it works on. */
static void anything_at_all(void)
{
    PROVES("T-ERR-3", "T-ERR-1");
    for (uint64_t seed = 60; seed < 70; seed++) {
        uint64_t rng = seed;
        begin(seed);
        for (int i = 0; i < 4000; i++) {
            struct tether_header header = {0};
            uint8_t payload[PAIR_FRAME];
            uint64_t what = test_random(&rng) >> 32;
            if (theirs() == NULL || theirs()->state != TETHER_CHANNEL_UP) {
                pair_run(&p, 100000000);
                pair_connect(&p);
                pair_run(&p, 1000000);
            }
            if (what % 8 == 0) {
                (void)define((uint16_t)(2 + what % 7 * 2), (uint8_t)(what >> 8 & 1), 1 + (what >> 9) % 100000);
                continue;
            }
            for (size_t k = 0; k < sizeof payload; k++)
                payload[k] = (uint8_t)(test_random(&rng) >> 40);
            header.flow = (uint16_t)(what % 9 ? 2 + what % 7 * 2 : 0);
            header.length = (uint16_t)(what >> 12 & 1 ? what >> 13 & 1023 : 0);
            header.slot = (uint32_t)(what >> 14 & 1 ? test_random(&rng) : (test_random(&rng) >> 40) % 60 * 22);
            header.want = (uint16_t)(test_random(&rng) >> (what & 31));
            header.flags = (uint8_t)(test_random(&rng) >> 32 & ~(uint64_t)(TETHER_FLAG_LAMP | TETHER_FLAG_ECHO));
            header.grant_amount = test_random(&rng) >> (16 + what % 40);
            header.nack_slot = (uint32_t)(test_random(&rng) >> (what % 60));
            header.nack_count = (uint16_t)(what >> 15 & 1 ? test_random(&rng) : 0);
            header.echo_ns = test_random(&rng) & TETHER_MASK48;
            header.timestamp_ns = test_random(&rng) & TETHER_MASK48;
            if (header.flow == 0 && what & 64) {
                header.slot = (uint32_t)tether_flow_at(p.end[1], theirs(), 0)->rx.contig;
                header.length = 32;
                memset(payload, 0, 64);
                payload[0] = (uint8_t)(4 + what % 2);
                payload[2] = payload[0] == 4 ? 24 : 16;
                payload[4] = (uint8_t)(2 + what % 7 * 2);
                payload[payload[0] == 4 ? 12 : 8] = (uint8_t)(what % 5);
                payload[20] = (uint8_t)(what >> 20);
            }
            (void)say(&header, payload);
            if (i % 16 == 0) {
                drain();
                (void)read_here((uint16_t)(2 + what % 7 * 2), NULL);
            }
            CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
            CHECK((uint64_t)p.end[1]->held + p.end[1]->reserved <=
                  (uint64_t)p.end[1]->config.rx_cells + p.end[1]->embers + p.end[1]->config.max_channels);
        }
        pair_check(&p);
        pair_close(&p);
    }
}

/* Declared, cancelled before a grant could come: nothing stays granted for what will not be sent. */
static void cancelled_before_the_grant(void)
{
    PROVES("T-RET-1", "T-STA-6", "T-GRT-5");
    uint8_t frame[PAIR_FRAME];
    struct tether_address to;
    uint16_t flow;
    int length;
    begin(70);
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    pair_run(&p, 10000000);
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, 40 * 1408, 0), 40 * 1408);
    length = tether_endpoint_transmit(p.end[0], p.now_ns, frame, sizeof frame, &to); /* the ember, with the demand */
    CHECK_EQ(length, 23 * 64);
    CHECK_EQ(tether_flow_cancel(p.end[0], p.now_ns, p.channel[0], flow), 0);
    CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, (size_t)length), 0);
    pair_quiet(&p);
    CHECK_EQ(flow_of(flow)->rx.demand, 40 * 22);
    CHECK_EQ(flow_of(flow)->rx.contig, 40 * 22);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(tags_in_their_order);
    RUN(error_behind_a_good_tag);
    RUN(bound_of_a_byte_flow);
    RUN(what_cannot_be_done);
    RUN(many_lanes);
    RUN(constants_of_a_channel);
    RUN(old_news);
    RUN(skips_that_lie);
    RUN(skips_that_are_true);
    RUN(closes_that_lie);
    RUN(frames_of_no_message);
    RUN(an_abort_is_no_end);
    RUN(closed_upon);
    RUN(flows_that_are_not_there);
    RUN(cancelled_before_the_grant);
    RUN(anything_at_all);
    return run_result();
}
