/* SPDX-License-Identifier: Apache-2.0 */
/* Jumbo frames, peers of different sizes, slots of more than one block, the largest message, ids that come again. */
#define PAIR_FRAME 16384
#define PAIR_FLIGHT 8192
#include "kinds.h"

static struct pair pair;
static struct kinds k;

static void begin(uint64_t seed, uint16_t ours, uint16_t theirs, uint64_t loss)
{
    pair_open(&pair, seed);
    pair.config[0].frame_blocks = ours;
    pair.config[1].frame_blocks = theirs;
    for (int i = 0; i < 2; i++) {
        pair.config[i].rx_cells = pair.config[i].tx_cells = 600;
        pair.wire[i].loss_ppm = loss;
        pair.wire[i].reorder_ppm = loss;
    }
    pair_start(&pair);
    pair_connect(&pair);
    pair_run(&pair, 100000000);
}

static void carry(struct tether_flow_options options, uint64_t total, uint64_t most)
{
    kinds_open(&k, &pair, options, total);
    k.most = most ? most : k.most;
    pair_until(&pair, kinds_done, &k, UINT64_C(600000000000));
    CHECK_EQ(k.got, k.total);
    kinds_close(&k);
}

static void scales(void)
{
    PROVES("T-SCL-1", "T-SCL-2", "T-SCL-3");
    for (uint8_t scale = 0; scale <= 3; scale++) {
        begin(1 + scale, 139, 139, 10000);
        carry((struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .scale = scale}, 2000000, 0);
        carry((struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .scale = scale}, 200, 40000);
        carry((struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .scale = scale, .order = TETHER_FLOW_UNORDERED},
              2000001, 0);
        carry((struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .scale = scale, .order = TETHER_FLOW_UNORDERED},
              200, 40000);
        pair_close(&pair);
    }
}

static void small_frames(void)
{
    PROVES("T-SCL-1", "T-SCL-2");
    struct tether_flow_options options = {.struct_size = sizeof options, .scale = 2};
    uint16_t flow;
    begin(6, 22, 139, 10000);
    CHECK_EQ(tether_flow_open_options(pair.end[0], pair.now_ns, pair.channel[0], &options, &flow), -EINVAL);
    CHECK_EQ(tether_flow_open_options(pair.end[1], pair.now_ns, pair.channel[1], &options, &flow), -EINVAL);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .scale = 1}, 1000000, 0);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .scale = 1}, 300, 9000);
    pair_close(&pair);
}

/* Slots of a scaled flow are larger: the same bytes take half of them. */
static void slots_are_counted_in_scale(void)
{
    PROVES("T-SCL-2", "T-SCL-3");
    struct tether_flow_state state[2] = {{.struct_size = sizeof state[0]}, {.struct_size = sizeof state[0]}};
    for (uint8_t scale = 0; scale < 2; scale++) {
        uint8_t frame[1408] = {1};
        begin(7, 22, 22, 0);
        kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .scale = scale}, 0);
        for (int i = 0; i < 10; i++)
            CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], k.flow, frame, 1408, 0), 1408);
        pair_run(&pair, 100000000);
        CHECK_EQ(tether_flow_state(pair.end[0], pair.channel[0], k.flow, &state[scale]), 0);
        kinds_close(&k);
        pair_close(&pair);
    }
    CHECK_EQ(state[0].sent_slots, 220);
    CHECK_EQ(state[1].sent_slots, 110);
}

static void different_sizes(void)
{
    PROVES("T-MSG-6", "T-FRM-6", "T-SLT-1");
    begin(8, 22, 139, 10000);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_BYTES}, 2000000, 0);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE}, 300, 30000);
    pair_close(&pair);
    begin(9, 139, 22, 10000);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_BYTES}, 2000000, 0);
    carry((struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE}, 300, 30000);
    pair_close(&pair);
}

/* A Manifest never promises more than cells can hold with the frames of this channel. */
static void largest_message(void)
{
    PROVES("T-MSG-7", "T-MSG-8");
    static uint8_t message[600 * 139 * 64];
    struct tether_channel_info info = {.struct_size = sizeof info};
    uint16_t flow;
    int64_t most;
    pair_open(&pair, 10);
    pair.config[0].frame_blocks = 22;
    pair.config[1].frame_blocks = 139;
    for (int i = 0; i < 2; i++) {
        pair.config[i].rx_cells = pair.config[i].tx_cells = 600;
        pair.config[i].max_message = UINT64_MAX;
    }
    pair_start(&pair);
    CHECK_EQ(pair.end[0]->config.max_message, 600 * 22 * 64);
    CHECK_EQ(pair.end[1]->config.max_message, 600 * 139 * 64);
    pair_connect(&pair);
    pair_run(&pair, 100000000);
    CHECK_EQ(tether_channel_info(pair.end[0], pair.channel[0], &info), 0);
    CHECK_EQ(info.peer_max_message, 600 * 22 * 64); /* 139 blocks of a cell, but frames of 22 */
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    most = 600 * 22 * 64;
    CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], flow, message, (size_t)most + 1, 0), -EMSGSIZE);
    CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], flow, message, (size_t)most, 0), most);
    pair_run(&pair, 2000000000);
    CHECK_EQ(tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, message, sizeof message, NULL), most);
    pair_close(&pair);
}

/* 16,384 flows one after the other: ids go round, none comes again before 2 RTT, and late frames meet no new flow. */
static void ids_come_again(void)
{
    PROVES("T-FLW-18", "T-FLW-13", "T-DEF-1");
    uint16_t flow, last = 0;
    uint32_t refused = 0, round = 0;
    begin(11, 22, 22, 0);
    for (uint32_t opened = 0; opened < 33000; ) {
        int status = tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_BYTES, 0, &flow);
        if (status == -ENOSPC) {
            refused++;
            pair_run(&pair, 1000000);
            continue;
        }
        CHECK_EQ(status, 0);
        CHECK_EQ(flow & 1, 0);
        round += flow < last;
        CHECK(flow == (uint16_t)(last + 2) || (last == 0xfffe && flow == 2) || last == 0);
        last = flow;
        opened++;
        CHECK_EQ(tether_flow_close(pair.end[0], pair.now_ns, pair.channel[0], flow), 0);
        if (opened % 8 == 0) {
            struct tether_event event;
            pair_run(&pair, 300000);
            for (uint32_t i = 0; i < pair.event_count[1]; i++) {
                event = pair.events[1][i];
                if (event.kind == TETHER_EVENT_FLOW_OPENED)
                    (void)tether_flow_close(pair.end[1], pair.now_ns, pair.channel[1], event.flow);
            }
            pair.event_count[1] = 0;
            pair_run(&pair, 300000);
        }
    }
    CHECK_EQ(round, 1);
    pair_close(&pair);
}

/* An id whose block of ids had a flow a moment ago waits. */
static void id_waits_two_round_trips(void)
{
    PROVES("T-FLW-18");
    struct tether_channel *ch;
    uint16_t flow;
    begin(12, 22, 22, 0);
    ch = tether_channel_find(pair.end[0], pair.channel[0]);
    ch->ids.again = 1; /* as after 32,767 flows */
    ch->ids.gone_ns[0] = pair.now_ns;
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_BYTES, 0, &flow), -ENOSPC);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns + tether_rtt_worst(&ch->rtt) * 2, pair.channel[0],
                              TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(scales);
    RUN(small_frames);
    RUN(slots_are_counted_in_scale);
    RUN(different_sizes);
    RUN(largest_message);
    RUN(ids_come_again);
    RUN(id_waits_two_round_trips);
    return run_result();
}
