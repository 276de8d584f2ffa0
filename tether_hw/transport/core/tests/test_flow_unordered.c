/* SPDX-License-Identifier: Apache-2.0 */
/* Unordered flows: a message is delivered as soon as it is whole, bytes are written at their offset. */
#include "kinds.h"

static struct pair pair;
static struct kinds k;

static void unordered(uint8_t kind, uint64_t seed, uint64_t loss, uint64_t total, uint64_t most)
{
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++) {
        pair.wire[i].loss_ppm = loss;
        pair.wire[i].reorder_ppm = 50000;
        pair.wire[i].duplicate_ppm = 20000;
    }
    pair_start(&pair);
    pair_connect(&pair);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = kind, .order = TETHER_FLOW_UNORDERED}, total);
    k.most = most;
    pair_until(&pair, kinds_done, &k, UINT64_C(600000000000));
    CHECK_EQ(k.got, k.total);
    CHECK_EQ(k.holes, 0);
    CHECK(k.out_of_order > 0);
    kinds_close(&k);
    pair_close(&pair);
}

static void bytes_as_they_come(void)
{
    PROVES("T-FLW-19", "T-FLW-20");
    unordered(TETHER_FLOW_BYTES, 1, 10000, 3000001, 0);
}

static void bytes_loss_30(void)
{
    unordered(TETHER_FLOW_BYTES, 2, 300000, 200000, 0);
}

static void messages_as_they_are_whole(void)
{
    PROVES("T-FLW-21");
    unordered(TETHER_FLOW_MESSAGE, 3, 10000, 2000, 6000);
}

static void large_messages(void)
{
    unordered(TETHER_FLOW_MESSAGE, 4, 50000, 200, KINDS_LARGEST);
}

static void messages_loss_30(void)
{
    unordered(TETHER_FLOW_MESSAGE, 5, 300000, 300, 9000);
}

/* What stands behind a gap is read, its cells serve new grants, and the oldest gap holds nothing up. */
static int first_lost(void *context, const uint8_t *frame, size_t length)
{
    struct tether_header header;
    (void)context;
    tether_header_decode(&header, frame);
    return length > 64 && header.flow == k.flow && header.slot == 0;
}

static void a_gap_holds_no_buffer(void)
{
    PROVES("T-FLW-19");
    pair_open(&pair, 6);
    pair.config[1].rx_cells = pair.config[1].ring_frames = 64;
    pair_start(&pair);
    pair_connect(&pair);
    pair.wire[0].filter = first_lost;
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .order = TETHER_FLOW_UNORDERED},
               64 * 1408 * 10);
    for (uint64_t until = pair.now_ns + 2000000000; pair.now_ns < until;) {
        pair_step(&pair, until);
        kinds_step(&pair, &k);
    }
    CHECK_EQ(k.got, k.total - 1408); /* ten times the buffer, past one missing frame */
    CHECK(!k.ended);
    pair.wire[0].filter = NULL;
    pair_until(&pair, kinds_done, &k, UINT64_C(60000000000));
    CHECK_EQ(k.got, k.total);
    kinds_close(&k);
    pair_close(&pair);
}

/* A message that is not sent completely can still be withdrawn; what came of it delivers nothing. */
static void cancelled(void)
{
    struct tether_flow_state state = {.struct_size = sizeof state};
    uint8_t large[30000] = {1};
    PROVES("T-SKP-2", "T-SKP-9");
    pair_open(&pair, 7);
    pair.config[1].rx_cells = 24;
    pair_start(&pair);
    pair_connect(&pair);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .order = TETHER_FLOW_UNORDERED,
                                                       .bound = 30000}, 2);
    k.least = 1000;
    k.most = 1001;
    pair_until(&pair, kinds_done, &k, 10000000000);
    for (int round = 0; round < 50; round++) {
        pair.wire[0].loss_ppm = round % 3 ? 200000 : 0;
        CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], k.flow, large, sizeof large, 0), 30000);
        pair_run(&pair, 1000u * (unsigned)round * 3);
        CHECK_EQ(tether_flow_cancel(pair.end[0], pair.now_ns, pair.channel[0], k.flow), 0);
        pair_run(&pair, 30000000);
        while (tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], k.flow, large, sizeof large, NULL) > 0)
            ;
    }
    pair.wire[0].loss_ppm = 0;
    pair_run(&pair, 3000000000);
    while (tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], k.flow, large, sizeof large, NULL) > 0)
        ;
    CHECK_EQ(tether_flow_state(pair.end[0], pair.channel[0], k.flow, &state), 0);
    CHECK(state.messages_dropped > 10);
    CHECK_EQ(state.messages_written, 52);
    pair_quiet(&pair); /* no fragment, no credit is left behind */
    CHECK(pair_seen(&pair, 1, TETHER_EVENT_FLOW_HOLE) != NULL);
    kinds_close(&k);
    pair_close(&pair);
}

/* Read without its place, a piece says nothing; a flush would make places wrong. */
static void calls(void)
{
    struct tether_flow_state state = {.struct_size = sizeof state};
    uint8_t byte = 1;
    uint16_t flow;
    PROVES("T-FLW-20", "T-DEF-3");
    pair_open(&pair, 8);
    pair_start(&pair);
    pair_connect(&pair);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .order = TETHER_FLOW_UNORDERED,
                                                       .budget = 1000, .latency_ns = 5000}, 0);
    CHECK_EQ(tether_flow_read(pair.end[0], pair.now_ns, pair.channel[0], k.flow, &byte, 1, NULL), -EOPNOTSUPP);
    CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], k.flow, &byte, 1, TETHER_WRITE_FLUSH), -EINVAL);
    pair_run(&pair, 100000000);
    CHECK_EQ(tether_flow_state(pair.end[1], pair.channel[1], k.flow, &state), 0);
    CHECK_EQ(state.order, TETHER_FLOW_UNORDERED);
    CHECK_EQ(state.budget, 1000);
    CHECK_EQ(state.latency_ns, 5000);
    struct tether_flow_options bad[] = {{.kind = 2}, {.order = 2}, {.reliability = 2}, {.scale = 2}, {.reliability = 1},
                                        {.deadline_ns = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bad[i].struct_size = sizeof bad[i];
        CHECK_EQ(tether_flow_open_options(pair.end[0], pair.now_ns, pair.channel[0], &bad[i], &flow), -EINVAL);
    }
    kinds_close(&k);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(bytes_as_they_come);
    RUN(bytes_loss_30);
    RUN(messages_as_they_are_whole);
    RUN(large_messages);
    RUN(messages_loss_30);
    RUN(a_gap_holds_no_buffer);
    RUN(cancelled);
    RUN(calls);
    return run_result();
}
