/* SPDX-License-Identifier: Apache-2.0 */
/* A peer of the roster that lies, a replayer without keys, and frames that come too late. end[0] plays them against end[1]. */
#include <errno.h>

#include "liar.h"

/* A slot below 0 is nearly 2^64 and a multiple of the floor: it opened gaps until the memory of the pool ended. */
static void slot_below_the_beginning(void)
{
    PROVES("T-SER-1");
    struct tether_header header = {.length = 8};
    struct tether_flow *control;
    uint8_t tags[8] = {0};
    uint64_t demand;
    begin(1);
    control = tether_flow_at(p.end[1], theirs(), 0);
    demand = control->rx.demand;
    for (uint32_t below = 1; below < 64; below++) {
        header.length = 8;
        header.slot = 0 - below;
        CHECK_EQ(say(&header, tags), -TETHER_E_FLOW);
        header.length = 0;
        header.slot = 0 - below;
        CHECK_EQ(say(&header, tags), -TETHER_E_FLOW);
    }
    CHECK_EQ(control->rx.demand, demand);
    CHECK_EQ(p.end[1]->gap_pool.free_count, p.end[1]->gap_pool.count);
    pair_check(&p);
    pair_close(&p);
}

static void gaps_without_end(void)
{
    struct tether_gap_pool pool;
    struct tether_gaps gaps;
    CHECK_EQ(tether_gap_pool_open(&pool, 8), 0);
    tether_gaps_init(&gaps);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 22, UINT64_MAX - 15, 65516, TETHER_NIL, 0), -1);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 0, UINT64_MAX, 22, TETHER_NIL, 0), -1);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 0, 22 * 8 + 1, 22, TETHER_NIL, 0), -1);
    CHECK_EQ(pool.free_count, 8);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 0, 22 * 8, 22, TETHER_NIL, 0), 0);
    CHECK_EQ(pool.free_count, 0);
    tether_gap_pool_close(&pool);
}

/* Flow 0 cannot be skipped or closed: an error of the channel like any other. */
static void control_flow_is_no_flow(void)
{
    PROVES("T-TAG-5", "T-TAG-7");
    for (uint32_t what = 0; what < 4; what++) {
        struct tether_tag_close close = {.reason = what, .final = 44};
        struct tether_tag_skip skip = {.first = 44, .count = 22};
        uint8_t tags[64];
        size_t length;
        begin(2 + what);
        length = what < 3 ? tether_tag_put_close(tags, &close) : tether_tag_put_skip(tags, &skip);
        CHECK_EQ(say_tags(tags, length), 0);
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
        pair_run(&p, 3000000000);
        CHECK(pair_seen(&p, 1, TETHER_EVENT_CHANNEL_DOWN)->status == -EPROTO);
        CHECK(pair_seen(&p, 0, TETHER_EVENT_CHANNEL_DOWN)->status == -ECONNABORTED);
        CHECK_EQ(p.end[1]->channels[0].state, TETHER_CHANNEL_FREE);
        pair_close(&p);
    }
}

/* Data that BYE has overtaken: the flows gave their credit back, so it must not be taken out of it once more. */
static void data_behind_bye(void)
{
    PROVES("T-BYE-3");
    static uint8_t data[1408 * 8];
    uint8_t frames[2][PAIR_FRAME], bye[PAIR_FRAME];
    int length[2], count = 0, got;
    struct tether_address to;
    uint16_t flow;
    begin(7);
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, 1408 * 4, 0), 1408 * 4);
    pair_run(&p, 200000000);
    CHECK_EQ(tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, data, sizeof data, NULL), 1408 * 4);
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, 1408 * 3, 0), 1408 * 3);
    /* The first frame is the ember; those behind it need the grant, and are kept back. */
    for (int i = 0; i < 10000 && count < 2; i++) {
        got = tether_endpoint_transmit(p.end[0], p.now_ns, frames[count], PAIR_FRAME, &to);
        if (got > (int)TETHER_HEADER_BYTES && tether_flow_at(p.end[1], theirs(), 1)->rx.granted > 5 * 22)
            length[count++] = got;
        else if (got > 0)
            (void)tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frames[count], (size_t)got);
        else
            pair_step(&p, p.now_ns + 1000);
    }
    CHECK_EQ(count, 2);
    CHECK_EQ(tether_channel_close(p.end[0], p.now_ns, p.channel[0]), 0);
    while ((got = tether_endpoint_transmit(p.end[0], p.now_ns, bye, sizeof bye, &to)) > 0)
        (void)tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], bye, (size_t)got);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
    for (int i = 0; i < count; i++)
        CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frames[i], (size_t)length[i]), -TETHER_E_FLOW);
    CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
    pair_close(&p);
}

/* More flows at once than the other end has room for: each of the rest is refused, and the channel goes on (T-DEF-3). */
static void many_refused(void)
{
    PROVES("T-DEF-3");
    enum { OPENED = 400, ROOM = 4 };
    uint16_t flow;
    uint32_t refused = 0;
    pair_open(&p, 8);
    p.config[0].max_flows = OPENED;
    p.config[1].max_flows = ROOM;
    pair_start(&p);
    pair_connect(&p);
    for (int i = 0; i < OPENED; i++)
        CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 2000000000);
    for (uint32_t e = 0; e < p.event_count[0]; e++)
        refused += p.events[0][e].kind == TETHER_EVENT_FLOW_CLOSED && p.events[0][e].value == TETHER_CLOSE_REFUSED;
    CHECK_EQ(refused, OPENED - ROOM);
    CHECK(pair_both_up(&p, NULL));
    CHECK_EQ(theirs()->refused_count, 0);
    pair_close(&p);
}

/* One old Hail, replayed twice as often as the bucket allows: our own Hails and timers find the purse full. */
static void replayed_hail_leaves_the_purse(void)
{
    PROVES("T-PRS-3", "T-STL-1");
    struct record hail = {.lamps = TETHER_FLAG_LAMP};
    uint32_t channel;
    pair_open(&p, 9);
    pair_start(&p);
    p.wire[0].filter = record;
    p.wire[0].context = &hail;
    pair_connect(&p);
    p.wire[0].filter = NULL;
    for (int i = 0; i < 2000; i++) {
        int got = replay(1, &hail);
        CHECK(got == -TETHER_E_COUNTER || got == -TETHER_E_FLOOD);
        pair_run(&p, 500000);
    }
    CHECK(p.end[1]->stats.rejects[TETHER_E_FLOOD - TETHER_E_SHORT] > 100);
    CHECK_EQ(p.end[1]->purse.frames, p.end[1]->purse.frames_max);
    CHECK_EQ(tether_channel_open(p.end[1], p.now_ns, 1, 0, NULL, &channel), 0);
    for (int i = 0; i < 100; i++) {
        (void)replay(1, &hail);
        pair_run(&p, 500000);
    }
    CHECK_EQ(tether_channel_find(p.end[1], channel)->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

/* An old reply has a good mac1: what it costs in key agreements is bounded, and the true one still gets through. */
static void replayed_replies_are_bounded(void)
{
    PROVES("T-LMP-9", "T-NOI-4");
    struct record reply = {.lamps = TETHER_FLAG_LAMP, .keep_back = 1};
    uint32_t channel, auth = 0, flood = 0;
    pair_open(&p, 10);
    pair_start(&p);
    p.wire[1].filter = record;
    p.wire[1].context = &reply;
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&p, 20000000);
    CHECK(tether_channel_find(p.end[0], channel)->hails_sent > 1 && reply.length > 0);
    for (int i = 0; i < 1000; i++) {
        int got = replay(0, &reply);
        auth += got == -TETHER_E_STATE; /* after a retry: late, for all we know */
        flood += got == -TETHER_E_FLOOD;
    }
    CHECK_EQ(auth + flood, 1000);
    CHECK(auth <= p.end[0]->replies.frames_max);
    p.wire[1].filter = NULL;
    pair_until(&p, pair_both_up, NULL, 20000000000);
    pair_close(&p);
}

/* Two Hails one after the other; the first frame on the former channel arrives last. The newer channel stands, at both ends. */
static void late_frame_of_the_former_channel(void)
{
    PROVES("T-CNF-4");
    struct record manifest = {.keep_back = 1};
    uint32_t first, second;
    pair_open(&p, 11);
    pair_start(&p);
    p.wire[1].filter = record;
    p.wire[1].context = &manifest;
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &first), 0);
    pair_run(&p, 400000);
    CHECK(manifest.length > 0);
    CHECK_EQ(tether_channel_find(p.end[0], first)->state, TETHER_CHANNEL_UP);
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &second), 0);
    pair_run(&p, 400000);
    CHECK_EQ(tether_channel_find(p.end[0], second)->state, TETHER_CHANNEL_UP);
    CHECK_EQ(replay(0, &manifest), 0);
    p.wire[1].filter = NULL;
    pair_run(&p, 3000000000);
    CHECK(tether_channel_find(p.end[0], second) != NULL);
    CHECK_EQ(tether_channel_find(p.end[0], second)->state, TETHER_CHANNEL_UP);
    CHECK_EQ(tether_channel_find(p.end[1], p.channel[1])->remote, second);
    CHECK(tether_channel_find(p.end[0], first) == NULL);
    pair_close(&p);
}

/* NACKs that jump to and fro in a long queue of sent cells: their walks are bounded, and one that means it is served. */
static void jumping_nacks(void)
{
    PROVES("T-SER-2", "T-REP-7");
    static uint8_t data[1408 * 512], frame[PAIR_FRAME];
    struct tether_header header = {0};
    struct tether_address to;
    struct tether_flow *flow;
    const struct tether_flow_tx *tx;
    uint64_t before, sent = 0;
    uint16_t id;
    begin(12);
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, &id), 0);
    pair_run(&p, 1000000);
    while (tether_flow_write(p.end[1], p.now_ns, p.channel[1], id, data, sizeof data, 0) > 0)
        continue;
    flow = tether_flow_find(p.end[1], theirs(), id);
    tx = &flow->tx;
    header.flow = id;
    header.grant_amount = 65536 * 22;
    CHECK_EQ(say(&header, data), 0);
    while (tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof frame, &to) > 0)
        sent++;
    CHECK(sent > 10000);
    /* Nothing below slot 0 can be asked for. */
    header.nack_slot = 0 - 22u * 2;
    header.nack_count = 22 * 8;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tx->repair_head, TETHER_NIL);
    /* However NACKs jump, each one finds its frame at once: none is left for later. */
    header.nack_count = 1;
    p.now_ns += 1000000;
    for (uint64_t i = 0; i < 1000; i++) {
        before = p.end[1]->stats.repairs_sent;
        header.nack_slot = (uint32_t)(i & 1 ? i * 7 : sent - 2 - i * 3) * 22;
        CHECK_EQ(say(&header, data), 0);
        while (tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof frame, &to) > 0)
            continue;
        CHECK_EQ(p.end[1]->stats.repairs_sent, before + 1);
    }
    CHECK_EQ(tether_mile_find(p.end[1], flow, sent * 22, sent * 22 + 22), TETHER_NIL);
    pair_close(&p);
}

/* A message beyond its bound while more is reserved for its flow than granted: all of it goes back, once. */
static void message_beyond_its_bound(void)
{
    PROVES("T-FLW-5");
    enum { BOUND = 100 };
    static const uint8_t data[1408];
    struct tether_flow *flow;
    pair_open(&p, 13);
    p.config[1].ring_frames = 16;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
    flow = define(2, TETHER_FLOW_MESSAGE, BOUND * 1408);
    for (uint32_t i = 0; i <= BOUND; i++) {
        struct tether_header header = {.flow = 2, .length = 1408, .slot = i * 22, .flags = i ? 0 : TETHER_FLAG_FIRST};
        header.want = tether_float16(i < BOUND - 1 ? BOUND * 22 : 0);
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
        CHECK_EQ(say(&header, data), 0);
        drain();
    }
    CHECK(flow->rx.reserved_to > flow->rx.granted);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
    CHECK_EQ(p.end[1]->held + p.end[1]->reserved + p.end[1]->outstanding, 0);
    CHECK_EQ(p.end[1]->stats.invariant_violations, 0);
    pair_close(&p);
}

static void small_buffer(uint64_t seed)
{
    pair_open(&p, seed);
    for (int i = 0; i < 2; i++) {
        p.config[i].max_flows = 200;
        p.config[i].max_channels = 2;
        p.config[i].rx_cells = 64;
        p.config[i].max_message = 64 * 1408;
    }
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
}

/* One flow has reserved everything; others send their ember and close, and nobody reads: what was granted still fits (I4). */
static void embers_of_closed_flows(void)
{
    PROVES("T-GRT-7", "T-STA-5", "T-STA-8");
    static const uint8_t data[1408];
    struct tether_header header = {.flow = 1000, .want = tether_float16(64 * 22)};
    struct tether_flow *whole;
    uint8_t tags[64];
    uint32_t taken = 0;
    small_buffer(14);
    whole = define(1000, TETHER_FLOW_MESSAGE, 64 * 1408);
    CHECK_EQ(say(&header, data), 0);
    drain();
    CHECK_EQ(p.end[1]->reserved, 64);
    for (uint16_t flow = 2; flow < 200; flow = (uint16_t)(flow + 2)) {
        struct tether_tag_close close = {.flow = flow, .reason = TETHER_CLOSE_CLOSED, .final = 22};
        struct tether_header ember = {.flow = flow, .length = 100};
        int got;
        CHECK(define(flow, TETHER_FLOW_BYTES, 0) != NULL);
        got = say(&ember, data);
        CHECK(got == 0 || got == -TETHER_E_GRANT);
        taken += got == 0;
        CHECK_EQ(say_tags(tags, tether_tag_put_close(tags, &close)), 0);
        drain();
        CHECK(p.end[1]->held + p.end[1]->reserved <= p.end[1]->config.rx_cells + p.end[1]->embers);
    }
    CHECK_EQ(taken, 1);
    for (uint32_t i = 0; i < whole->rx.granted / 22; i++) {
        struct tether_header frame = {.flow = 1000, .length = 1408, .slot = i * 22};
        frame.flags = i ? 0 : TETHER_FLAG_FIRST;
        frame.want = tether_float16((63 - i) * 22);
        CHECK_EQ(say(&frame, data), 0);
        drain();
    }
    pair_close(&p);
}

/* Skips behind ember after ember, arrived (and not read) or not: they take no cell of Flow 0 or of other channels. */
static void skips_behind_embers(void)
{
    PROVES("T-SKP-8", "T-STA-5");
    static const uint8_t data[1408];
    for (uint16_t arrived = 0; arrived < 2; arrived++) {
        struct tether_flow *flow;
        int64_t without_cell = 0;
        small_buffer(15u + arrived);
        flow = define(2, TETHER_FLOW_BYTES, 0);
        for (int i = 0; i < 200 && theirs() != NULL && theirs()->state == TETHER_CHANNEL_UP; i++) {
            struct tether_tag_skip skip = {.flow = 2, .first = flow->rx.granted + 22, .count = 22};
            struct tether_header ember = {.flow = 2, .length = 100, .slot = (uint32_t)flow->rx.granted};
            uint8_t tags[64];
            if (arrived)
                CHECK_EQ(say(&ember, data), 0);
            CHECK_EQ(say_tags(tags, tether_tag_put_skip(tags, &skip)), 0);
            if (theirs() != NULL && theirs()->state == TETHER_CHANNEL_UP)
                without_cell = (int64_t)p.end[1]->held + p.end[1]->reserved - p.end[1]->config.rx_cells - p.end[1]->embers;
            CHECK(p.end[1]->rx.free_count > 7 * p.end[1]->config.max_channels);
            CHECK(p.end[1]->held + p.end[1]->reserved <= p.end[1]->config.rx_cells + p.end[1]->embers + 2);
            drain();
        }
        CHECK(theirs() == NULL || theirs()->state == TETHER_CHANNEL_CLOSING);
        CHECK_EQ(without_cell, p.end[1]->config.max_channels - arrived); /* and not before */
        CHECK_EQ(p.end[1]->reserved, 0);
        pair_close(&p);
    }
}

/* A process that stood still between a Hail and its reply: its clocks do not wait for hours because of that one sample. */
static void one_slow_sample(void)
{
    PROVES("T-CLK-10");
    struct tether_rtt rtt;
    tether_rtt_init(&rtt, 40000);
    tether_rtt_sample(&rtt, UINT64_C(3600000000000));
    CHECK_EQ(tether_rtt_worst(&rtt), UINT64_C(3600000000000));
    tether_rtt_sample(&rtt, 40000);
    CHECK_EQ(tether_rtt_worst(&rtt), 40000);
    for (int i = 0; i < 1000; i++) {
        tether_rtt_sample(&rtt, 40000);
        CHECK_EQ(tether_rtt_worst(&rtt), 40000);
    }
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(slot_below_the_beginning);
    RUN(gaps_without_end);
    RUN(control_flow_is_no_flow);
    RUN(data_behind_bye);
    RUN(many_refused);
    RUN(replayed_hail_leaves_the_purse);
    RUN(replayed_replies_are_bounded);
    RUN(late_frame_of_the_former_channel);
    RUN(jumping_nacks);
    RUN(message_beyond_its_bound);
    RUN(embers_of_closed_flows);
    RUN(skips_behind_embers);
    RUN(one_slow_sample);
    return run_result();
}
