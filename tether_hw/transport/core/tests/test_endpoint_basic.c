/* SPDX-License-Identifier: Apache-2.0 */
/* Hail, ping-pong, messages and byte flows of all sizes, under loss, reordering and duplication. */
#include <errno.h>

#include "pair.h"

static struct pair pair;

struct transfer {
    uint32_t channel[2];
    uint16_t flow;
    int from;
    uint8_t *sent, *got;
    size_t length, written, read;
    uint64_t bound;
    size_t piece;
};

static int message_done(struct pair *p, void *context)
{
    struct transfer *t = context;
    int64_t n;
    if (t->written == 0) {
        n = tether_flow_write(p->end[t->from], p->now_ns, p->channel[t->from], t->flow, t->sent, t->length, 0);
        CHECK(n == (int64_t)t->length || n == -EAGAIN);
        t->written = n > 0 ? t->length : 0;
    }
    n = tether_flow_read(p->end[1 - t->from], p->now_ns, p->channel[1 - t->from], t->flow, t->got, t->length, NULL);
    if (n == -EAGAIN || n == -EBADF)
        return 0;
    CHECK_EQ(n, t->length);
    return 1;
}

static void send_message(struct pair *p, uint16_t flow, int from, size_t length)
{
    struct transfer t = {.flow = flow, .from = from, .length = length, .sent = malloc(length), .got = malloc(length)};
    CHECK(t.sent && t.got);
    for (size_t i = 0; i < length; i++)
        t.sent[i] = (uint8_t)test_random(&p->rng);
    pair_until(p, message_done, &t, 60000000000);
    CHECK(memcmp(t.sent, t.got, length) == 0);
    free(t.sent);
    free(t.got);
}

static void hail(void)
{
    PROVES("T-LMP-1", "T-RPL-4");
    pair_open(&pair, 1);
    pair_start(&pair);
    pair_connect(&pair);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_UP)->value == 0);
    CHECK(pair_seen(&pair, 1, TETHER_EVENT_CHANNEL_UP)->value == 1);
    pair_run(&pair, 10000000);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_PEER_LANES)->value == 1);
    CHECK(pair_seen(&pair, 1, TETHER_EVENT_PEER_LANES)->value == 1);
    pair_quiet(&pair);
    CHECK_EQ(pair_stats(&pair, 0).lamps_sent, 1);
    CHECK_EQ(pair_stats(&pair, 1).lamps_sent, 1);
    for (int i = 0; i < 2; i++)
        for (uint32_t r = 0; r < tether_reject_count(); r++)
            CHECK_EQ(pair_stats(&pair, i).rejects[r], 0);
    pair_close(&pair);
}

static void ping_pong(void)
{
    uint16_t flow;
    uint64_t begun;
    pair_open(&pair, 2);
    pair_start(&pair);
    pair_connect(&pair);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    CHECK_EQ(flow, 2);
    send_message(&pair, flow, 0, 1);
    pair_run(&pair, 200000);
    for (int i = 0; i < 100; i++) {
        begun = pair.now_ns;
        send_message(&pair, flow, i & 1, 1 + (size_t)i * 13);
        /* one way by ember or grant: no round trip is waited for */
        CHECK(pair.now_ns - begun < 2 * pair.wire[0].latency_ns);
        pair_run(&pair, 200000);
    }
    CHECK_EQ(pair_stats(&pair, 0).repairs_sent, 0);
    pair_quiet(&pair);
    pair_close(&pair);
}

static void messages(uint64_t seed, uint64_t loss_ppm, uint64_t reorder_ppm, uint64_t duplicate_ppm, size_t most)
{
    static const size_t sizes[] = {1, 63, 64, 65, 1407, 1408, 1409, 2816, 5000, 65535, 65536, 1000000, 16u << 20};
    uint16_t flow;
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++) {
        pair.wire[i].loss_ppm = loss_ppm;
        pair.wire[i].reorder_ppm = reorder_ppm;
        pair.wire[i].duplicate_ppm = duplicate_ppm;
    }
    pair_start(&pair);
    pair_connect(&pair);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && sizes[i] <= most; i++) {
        send_message(&pair, flow, 0, sizes[i]);
        send_message(&pair, flow, 1, sizes[i]);
    }
    pair_quiet(&pair);
    if (loss_ppm == 0 && reorder_ppm == 0) {
        CHECK_EQ(pair_stats(&pair, 0).repairs_sent, 0);
        CHECK_EQ(pair_stats(&pair, 0).duplicates_received, 0);
    }
    CHECK_EQ(pair_stats(&pair, 0).rejects[TETHER_E_GRANT - TETHER_E_SHORT], 0);
    pair_close(&pair);
}

static void messages_clean(void)
{
    PROVES("T-STA-6");
    messages(3, 0, 0, 0, 16u << 20);
}

static void messages_loss_1(void) { messages(4, 10000, 0, 0, 16u << 20); }
static void messages_loss_5(void) { messages(5, 50000, 0, 0, 1000000); }
static void messages_loss_30(void)
{
    PROVES("T-REP-5");
    messages(6, 300000, 0, 0, 1000000);
}

static void messages_reordered(void)
{
    PROVES("T-FLW-7");
    messages(7, 0, 50000, 0, 1000000);
}

static void messages_duplicated(void) { messages(8, 10000, 10000, 100000, 1000000); }

struct streams {
    uint16_t flow[4];
    int from[4];
    uint64_t written[4], read[4], length;
    int ended[4], finished[4];
};

static uint8_t stream_byte(int s, uint64_t at) { return (uint8_t)((at * 2654435761u + (uint64_t)s * 97) >> 13); }

static int streams_done(struct pair *p, void *context)
{
    struct streams *t = context;
    uint8_t buffer[5000];
    int done = 0;
    for (int s = 0; s < 4; s++) {
        int from = t->from[s], to = 1 - from;
        uint32_t flags = 0;
        int64_t n;
        while (t->written[s] < t->length) {
            size_t piece = 1 + test_random(&p->rng) % sizeof buffer;
            if (piece > t->length - t->written[s])
                piece = t->length - t->written[s];
            for (size_t i = 0; i < piece; i++)
                buffer[i] = stream_byte(s, t->written[s] + i);
            n = tether_flow_write(p->end[from], p->now_ns, p->channel[from], t->flow[s], buffer, piece,
                                  test_random(&p->rng) % 8 == 0 ? TETHER_WRITE_FLUSH : 0);
            if (n == -EAGAIN)
                break;
            CHECK(n > 0);
            t->written[s] += (uint64_t)n;
            if ((size_t)n < piece)
                break;
        }
        if (t->written[s] == t->length && !t->ended[s]) {
            CHECK_EQ(tether_flow_write(p->end[from], p->now_ns, p->channel[from], t->flow[s], NULL, 0,
                                       TETHER_WRITE_END), 0);
            t->ended[s] = 1;
        }
        while (!t->finished[s] &&
               (n = tether_flow_read(p->end[to], p->now_ns, p->channel[to], t->flow[s], buffer,
                                     1 + test_random(&p->rng) % sizeof buffer, &flags)) >= 0) {
            for (int64_t i = 0; i < n; i++)
                CHECK_EQ(buffer[i], stream_byte(s, t->read[s] + (uint64_t)i));
            t->read[s] += (uint64_t)n;
            if (flags & TETHER_READ_END) {
                CHECK_EQ(t->read[s], t->length);
                t->finished[s] = 1;
            }
        }
        done += t->finished[s];
    }
    return done == 4;
}

static void streams(uint64_t seed, uint64_t loss_ppm, uint64_t length)
{
    struct streams t = {.length = length, .from = {0, 0, 1, 1}};
    pair_open(&pair, seed);
    pair.wire[0].loss_ppm = pair.wire[1].loss_ppm = loss_ppm;
    pair.config[0].tx_cells = 512;
    pair.config[1].rx_cells = 300; /* slow enough to fill */
    pair.config[1].max_message = 100000;
    pair_start(&pair);
    pair_connect(&pair);
    for (int s = 0; s < 4; s++) {
        CHECK_EQ(tether_flow_open(pair.end[t.from[s]], pair.now_ns, pair.channel[t.from[s]], TETHER_FLOW_BYTES, 0,
                                  &t.flow[s]), 0);
        CHECK_EQ(t.flow[s] & 1, t.from[s]);
    }
    pair_until(&pair, streams_done, &t, 600000000000);
    pair_quiet(&pair);
    for (int s = 0; s < 4; s++) {
        CHECK_EQ(tether_flow_close(pair.end[0], pair.now_ns, pair.channel[0], t.flow[s]), 0);
        if (s & 1)
            CHECK_EQ(tether_flow_close(pair.end[1], pair.now_ns, pair.channel[1], t.flow[s]), 0);
    }
    pair_quiet(&pair);
    CHECK_EQ(pair_stats(&pair, 0).flows, 0);
    CHECK_EQ(pair_stats(&pair, 1).flows, 0);
    pair_close(&pair);
}

static void streams_clean(void)
{
    PROVES("T-FLW-6", "T-FLW-7");
    streams(10, 0, 3000000);
}

static void streams_loss_1(void) { streams(11, 10000, 1000000); }
static void streams_loss_5(void) { streams(12, 50000, 300000); }
static void streams_loss_30(void)
{
    PROVES("T-FLW-7", "T-REP-5");
    streams(13, 300000, 100000);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(hail);
    RUN(ping_pong);
    RUN(messages_clean);
    RUN(messages_loss_1);
    RUN(messages_loss_5);
    RUN(messages_loss_30);
    RUN(messages_reordered);
    RUN(messages_duplicated);
    RUN(streams_clean);
    RUN(streams_loss_1);
    RUN(streams_loss_5);
    RUN(streams_loss_30);
    return run_result();
}
