/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to messages whose receipt never comes: they go back to who wrote them, and are never sent again. */
#include "kinds.h"

static struct pair pair;
static struct kinds k;

static void written(uint64_t count)
{
    k.total = count;
    kinds_write(&k);
    CHECK_EQ(k.written, count);
}

static void begin(uint64_t seed)
{
    pair_open(&pair, seed);
    pair.config[1].rx_cells = 16;
    pair_start(&pair);
    pair_connect(&pair);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .bound = 1408}, 0);
    k.least = k.most = 1000;
    written(5);
    pair_run(&pair, 100000000);
    kinds_read(&k);
    CHECK_EQ(k.got, 5);
}

static const struct tether_event *told(uint64_t first, int32_t count, uint32_t unsent)
{
    const struct tether_event *event = pair_seen(&pair, 0, TETHER_EVENT_MESSAGE_UNKNOWN);
    CHECK(event != NULL);
    CHECK_EQ(event->flow, k.flow);
    CHECK_EQ(event->value, first);
    CHECK_EQ(event->status, count);
    CHECK_EQ(event->extra, unsent);
    return event;
}

/* The receiver restarts: five had receipts, some were sent, the others never were. */
static void peer_restarts(void)
{
    PROVES("T-CNF-5", "T-RST-4", "T-FLW-23");
    struct tether_flow_state state = {.struct_size = sizeof state};
    uint64_t begun;
    begin(1);
    pair.wire[0].cut = 1;
    written(60);
    pair_run(&pair, 20000000);
    CHECK_EQ(tether_flow_state(pair.end[0], pair.channel[0], k.flow, &state), 0);
    CHECK_EQ(state.messages_written, 60);
    CHECK_EQ(state.messages_receipted, 5);
    begun = state.messages_begun;
    CHECK(begun > 5 && begun < 60);
    pair.wire[0].cut = 0;
    pair_restart(&pair, 1, 2);
    pair_run(&pair, 30000000000);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN) != NULL);
    begun = (uint64_t)pair_seen(&pair, 0, TETHER_EVENT_MESSAGE_UNKNOWN)->status + 5;
    CHECK(begun >= state.messages_begun); /* repairs and what credit was left for */
    told(5, (int32_t)(begun - 5), (uint32_t)(60 - begun));
    pair_connect(&pair);
    pair_run(&pair, 1000000000);
    CHECK_EQ(pair_stats(&pair, 1).messages_received, 0); /* nothing of it is sent again */
    free(k.there);
    pair_close(&pair);
}

/* The peer closes the flow: the same. */
static void peer_closes(void)
{
    PROVES("T-FLW-23");
    begin(2);
    pair.wire[0].cut = 1;
    written(7);
    pair_run(&pair, 1000000);
    CHECK_EQ(tether_flow_close(pair.end[1], pair.now_ns, pair.channel[1], k.flow), 0);
    pair_run(&pair, 10000000);
    told(5, 1, 1); /* the ember, and one that waited for a grant */
    pair.wire[0].cut = 0;
    CHECK_EQ(tether_flow_close(pair.end[0], pair.now_ns, pair.channel[0], k.flow), 0);
    pair_quiet(&pair);
    free(k.there);
    pair_close(&pair);
}

/* With a receipt for everything, or after closing it oneself, there is nothing to tell. */
static void nothing_to_tell(void)
{
    PROVES("T-FLW-23");
    begin(3);
    pair_run(&pair, 1000000000);
    CHECK_EQ(tether_channel_close(pair.end[0], pair.now_ns, pair.channel[0]), 0);
    pair_run(&pair, 1000000000);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_MESSAGE_UNKNOWN) == NULL);
    free(k.there);
    pair_close(&pair);
    begin(4);
    pair.wire[0].cut = 1;
    written(9);
    pair_run(&pair, 1000000);
    CHECK_EQ(tether_flow_close(pair.end[0], pair.now_ns, pair.channel[0], k.flow), 0);
    CHECK_EQ(tether_channel_close(pair.end[0], pair.now_ns, pair.channel[0]), 0);
    pair_run(&pair, 1000000000);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_MESSAGE_UNKNOWN) == NULL);
    free(k.there);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(peer_restarts);
    RUN(peer_closes);
    RUN(nothing_to_tell);
    return run_result();
}
