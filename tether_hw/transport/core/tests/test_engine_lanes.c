/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about whole lanes of running engines: contact windows, another address, early data. */
#include <errno.h>
#include <poll.h>

#include "transfer.h"

static const struct tether_address any = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};

static struct tether_stats stats_of(const struct node *node, uint16_t lane)
{
    struct tether_stats stats = {.struct_size = sizeof stats};
    nodes_must(tether_engine_stats(node->engine, lane, &stats, NULL), "stats");
    return stats;
}

/* Declared before start: the first Hail waits for the window. Declared anew: contact is back at once. */
static void test_windows_hold_for_the_first_hail(void)
{
    PROVES("T-WIN-1", "T-WIN-2");
    struct node a, b;
    uint64_t handle;
    node_new(&a, 0, 1);
    node_new(&b, 1, 1);
    node_lane(&a, 0, "udp", NULL, 0, &any);
    node_lane(&b, 0, "udp", NULL, 0, &any);
    struct tether_window never = {0, 1}, open = {.length_ns = UINT64_MAX};
    struct tether_window many[TETHER_WINDOWS_MAX + 1] = {{.start_ns = 5}};
    CHECK(tether_engine_windows(a.engine, 0, many, TETHER_WINDOWS_MAX + 1) == -EINVAL);
    CHECK(tether_engine_windows(a.engine, 0, many, 2) == -EINVAL); /* not in order */
    CHECK(tether_engine_windows(a.engine, 1, many, 1) == -EINVAL); /* no such lane */
    CHECK(tether_engine_windows(a.engine, 0, NULL, 1) == -EINVAL);
    nodes_must(tether_engine_windows(a.engine, 0, &never, 1), "windows");
    nodes_start(&a, &b);
    CHECK(tether_engine_connect(a.engine, 0, 1, 0, NULL, 300000000, &handle) == -ETIMEDOUT);
    CHECK(stats_of(&a, 0).frames_sent == 0);
    open.start_ns = tether_engine_now();
    nodes_must(tether_engine_windows(a.engine, 0, &open, 1), "windows");
    transfer_run(&a, &b, 1, 100000);
    nodes_must(tether_engine_windows(a.engine, 0, NULL, 0), "no windows");
    transfer_run(&a, &b, 1, 100000);
    nodes_free(&a, &b);
}

/* Every channel says when it is out of contact. */
static void test_away_is_told(void)
{
    PROVES("T-WIN-1", "T-WIN-4");
    struct node a, b;
    uint64_t handle;
    struct tether_window never = {0, 1};
    struct tether_channel_info info = {.struct_size = sizeof info};
    nodes_udp(&a, &b, 1);
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    nodes_must(tether_engine_channel_info(a.engine, handle, &info), "info");
    CHECK(info.away_ns == 0);
    nodes_must(tether_engine_windows(a.engine, 0, &never, 1), "windows");
    for (int i = 0; i < 500 && !info.away_ns; i++) {
        (void)poll(NULL, 0, 10);
        nodes_must(tether_engine_channel_info(a.engine, handle, &info), "info");
    }
    CHECK(info.away_ns != 0 && info.away_ns <= tether_engine_now());
    CHECK(info.state == TETHER_CHANNEL_UP);
    nodes_free(&a, &b);
}

/* A table of round trips reaches the peer: both ends' clocks go by it. */
static void test_a_table_is_told(void)
{
    PROVES("T-WIN-5");
    struct node a, b;
    struct tether_window entry = {.length_ns = 3000000};
    nodes_udp(&a, &b, 1);
    CHECK(tether_engine_rtt_table(a.engine, 9, &entry, 1) == -EINVAL);
    nodes_must(tether_engine_rtt_table(a.engine, 0, &entry, 1), "table");
    transfer_run(&a, &b, 1, 1000000);
    nodes_free(&a, &b);
}

/* A lane gets another port in the middle of a transfer, more than once: the peer follows, the channel stands. */
static void test_a_lane_moves(void)
{
    PROVES("T-ENC-8");
    struct node a, b;
    struct tether_lane_info info = {.struct_size = sizeof info};
    struct tether_channel_info channel = {.struct_size = sizeof channel};
    struct tether_address wrong = {.kind = TETHER_ADDRESS_UDP6, .length = 18};
    struct tether_address taken;
    nodes_udp(&a, &b, 2);
    uint64_t handle;
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    struct transfer out = {.engine = a.engine, .handle = handle, .bytes = 30000000};
    nodes_must(tether_engine_flow_open(a.engine, handle, TETHER_FLOW_BYTES, 0, &out.flow), "flow");
    struct tether_event opened = node_event(&b, TETHER_EVENT_FLOW_OPENED);
    struct transfer in = {.engine = b.engine, .handle = tether_engine_handle(&opened), .flow = opened.flow};
    CHECK(pthread_create(&out.thread, NULL, transfer_write, &out) == 0);
    static uint8_t piece[1000000];
    for (int i = 0; i < 4; i++) {
        struct node *mover = i % 2 ? &a : &b;
        uint32_t flags = 0;
        int64_t got = tether_engine_flow_read(b.engine, in.handle, in.flow, piece, sizeof piece, &flags, TRANSFER_PATIENCE);
        CHECK(got > 0);
        in.bytes += (uint64_t)got;
        nodes_must(tether_engine_lane_info(mover->engine, 0, &info), "info");
        taken = info.address;
        nodes_must(tether_engine_lane_move(mover->engine, 0, &any), "move"); /* port 0: another one */
        nodes_must(tether_engine_lane_info(mover->engine, 0, &info), "info");
        CHECK(memcmp(info.address.bytes, taken.bytes, 6) != 0);
        /* where the other sends, once it has heard from there; were both to move before, none would find the other */
        for (int j = 0; j < 1000 && memcmp(channel.address.bytes, info.address.bytes, 6) != 0; j++) {
            (void)poll(NULL, 0, 5);
            nodes_must(mover == &b ? tether_engine_channel_info(a.engine, handle, &channel)
                                   : tether_engine_channel_info(b.engine, in.handle, &channel), "channel");
        }
        CHECK(memcmp(channel.address.bytes, info.address.bytes, 6) == 0);
    }
    for (;;) {
        uint32_t flags = 0;
        int64_t got = tether_engine_flow_read(b.engine, in.handle, in.flow, piece, sizeof piece, &flags, TRANSFER_PATIENCE);
        CHECK(got >= 0);
        for (int64_t i = 0; i < got; i += 997)
            CHECK(piece[i] == transfer_byte(in.bytes + (uint64_t)i));
        in.bytes += got > 0 ? (uint64_t)got : 0;
        if (got < 0 || flags & TETHER_READ_END)
            break;
    }
    pthread_join(out.thread, NULL);
    CHECK(out.status == 0);
    CHECK(in.bytes == out.bytes);
    /* refused, and everything stays where it was */
    nodes_must(tether_engine_lane_info(a.engine, 0, &info), "info");
    taken = info.address;
    nodes_must(tether_engine_lane_info(a.engine, 1, &info), "info");
    CHECK(tether_engine_lane_move(a.engine, 0, &info.address) == -EADDRINUSE);
    CHECK(strstr(tether_engine_error(NULL), "cannot bind") != NULL);
    CHECK(tether_engine_lane_move(a.engine, 0, &wrong) == -EINVAL);
    CHECK(tether_engine_lane_move(a.engine, 7, &any) == -EINVAL);
    nodes_must(tether_engine_lane_info(a.engine, 0, &info), "info");
    CHECK(memcmp(info.address.bytes, taken.bytes, 6) == 0);
    nodes_must(tether_engine_flow_open(a.engine, handle, TETHER_FLOW_MESSAGE, 100, &out.flow), "flow");
    CHECK(tether_engine_flow_write(a.engine, handle, out.flow, "still here", 10, 0, TRANSFER_PATIENCE) == 10);
    nodes_must(tether_engine_flow_drain(a.engine, handle, out.flow, TRANSFER_PATIENCE), "drain");
    nodes_free(&a, &b);
}

static void early_nodes(struct node *a, struct node *b)
{
    struct node *both[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        node_new(both[i], i, 1); /* its folder and its names */
        tether_engine_free(both[i]->engine);
        struct tether_engine_config config = node_config(both[i], 1);
        config.early_bytes = 1000;
        nodes_must(tether_engine_new(&config, &both[i]->engine), "engine");
        node_lane(both[i], 0, "udp", NULL, 0, &any);
    }
    nodes_start(a, b);
}

/* Once a channel has ended either end may send one message ahead of the next; nobody hails for it. */
static void test_early_data(void)
{
    PROVES("T-WRM-2", "T-WRM-6");
    struct node a, b;
    uint64_t handle;
    uint8_t got[1000];
    uint32_t peer = 0;
    early_nodes(&a, &b);
    CHECK(tether_engine_early_send(a.engine, 0, 1, 0, "early", 5, TRANSFER_PATIENCE) == -ENOENT); /* no channel yet */
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    struct tether_event up = node_event(&b, TETHER_EVENT_CHANNEL_UP);
    uint16_t flow; /* something that goes and is receipted: the WARM of both has arrived by then */
    nodes_must(tether_engine_flow_open(a.engine, handle, TETHER_FLOW_MESSAGE, 100, &flow), "flow");
    CHECK(tether_engine_flow_write(a.engine, handle, flow, "x", 1, 0, TRANSFER_PATIENCE) == 1);
    nodes_must(tether_engine_flow_drain(a.engine, handle, flow, TRANSFER_PATIENCE), "drain");
    nodes_must(tether_engine_channel_close(b.engine, tether_engine_handle(&up)), "close");
    (void)node_event(&a, TETHER_EVENT_CHANNEL_DOWN);
    uint64_t lamps = stats_of(&a, 0).lamps_sent;
    int status = -EAGAIN;
    for (int i = 0; i < 100; i++) {
        status = tether_engine_early_send(a.engine, 0, 1, 0, "early", 5, TRANSFER_PATIENCE);
        if (status != -ENOENT)
            break;
        (void)poll(NULL, 0, 10); /* the channel still says its last word */
    }
    CHECK(status == 0);
    CHECK(stats_of(&a, 0).lamps_sent > lamps);
    CHECK(stats_of(&a, 0).early_sent == 1);
    CHECK(stats_of(&b, 0).early_received == 1);
    CHECK(stats_of(&b, 0).channels == 0);
    CHECK(node_event(&b, TETHER_EVENT_EARLY).value == 5);
    CHECK(tether_engine_early_read(b.engine, 0, got, 2, &peer) == -EMSGSIZE);
    CHECK(tether_engine_early_read(b.engine, 0, got, sizeof got, &peer) == 5);
    CHECK(peer == 1 && memcmp(got, "early", 5) == 0);
    CHECK(tether_engine_early_read(b.engine, 0, got, sizeof got, &peer) == -EAGAIN);
    CHECK(tether_engine_early_send(a.engine, 0, 1, 0, got, 1001, TRANSFER_PATIENCE) == -EMSGSIZE);
    CHECK(tether_engine_early_send(a.engine, 0, 1, 3, "early", 5, TRANSFER_PATIENCE) == -ENOENT); /* no such lane */
    /* without a wait the outcome is an event */
    nodes_must(tether_engine_early_send(b.engine, 0, 1, 0, "back", 4, 0), "early");
    struct tether_event done = node_event(&b, TETHER_EVENT_EARLY_DONE);
    CHECK(done.status == 0 && done.peer_id == 1 && done.extra == 0);
    /* nobody is there any more: not known, after a bounded number of tries */
    nodes_must(tether_engine_stop(b.engine), "stop");
    CHECK(tether_engine_early_send(a.engine, 0, 1, 0, "early", 5, TRANSFER_PATIENCE) == -ETIMEDOUT);
    CHECK(strstr(tether_engine_error(NULL), "not known") != NULL);
    nodes_free(&a, &b);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_windows_hold_for_the_first_hail);
    RUN(test_away_is_told);
    RUN(test_a_table_is_told);
    RUN(test_a_lane_moves);
    RUN(test_early_data);
    return HARNESS_RESULT();
}
