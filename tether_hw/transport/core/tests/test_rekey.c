/* SPDX-License-Identifier: Apache-2.0 */
/* New keys for a channel that is up: flows, slots, grants and handles go on, under loss, reordering and crossing rekeys. */
#include <errno.h>

#define PAIR_FLIGHT 8192
#include "pair.h"

static struct pair pair;
static uint8_t bytes[1 << 20], got[1 << 20];

static void begin(uint64_t seed)
{
    pair_begin(&pair, seed, bytes, sizeof bytes);
}

static struct tether_channel *channel(int i)
{
    return tether_channel_find(pair.end[i], pair.channel[i]);
}

static void rekey(int i)
{
    CHECK(channel(i) != NULL);
    tether_rekey_begin(pair.end[i], channel(i), pair.now_ns);
}

/* A byte flow each way; every byte once, in order, while `each` happens now and then. */
struct stream {
    uint16_t flow;
    uint64_t written, read, total;
};

static uint8_t byte_at(uint64_t offset)
{
    return bytes[offset * 2654435761u % sizeof bytes];
}

static void streams(uint64_t total, uint64_t pause_ns, void (*each)(void))
{
    struct stream s[2] = {{.total = total}, {.total = total}};
    uint64_t next = pair.now_ns + pause_ns, until = pair.now_ns + 120000000000;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(tether_flow_open(pair.end[i], pair.now_ns, pair.channel[i], TETHER_FLOW_BYTES, 0, &s[i].flow), 0);
    while (s[0].read < total || s[1].read < total) {
        for (int i = 0; i < 2; i++) {
            uint8_t piece[5000];
            size_t want = s[i].total - s[i].written < sizeof piece ? (size_t)(s[i].total - s[i].written) : sizeof piece;
            for (size_t k = 0; k < want; k++)
                piece[k] = byte_at(s[i].written + k);
            if (want) {
                int64_t took = tether_flow_write(pair.end[i], pair.now_ns, pair.channel[i], s[i].flow, piece, want,
                                                 s[i].written + want == total ? TETHER_WRITE_FLUSH : 0);
                CHECK(took >= 0 || took == -EAGAIN);
                s[i].written += took > 0 ? (uint64_t)took : 0;
            }
            for (;;) {
                int64_t n = tether_flow_read(pair.end[1 - i], pair.now_ns, pair.channel[1 - i], s[i].flow, got, 65536, NULL);
                if (n <= 0)
                    break;
                for (int64_t k = 0; k < n; k++)
                    CHECK(got[k] == byte_at(s[i].read + (uint64_t)k));
                s[i].read += (uint64_t)n;
            }
        }
        if (pair.now_ns >= next) {
            each();
            next = pair.now_ns + pause_ns;
        }
        pair_step(&pair, pair.now_ns + 20000);
        CHECK(pair.now_ns < until);
    }
    pair_check(&pair);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(tether_flow_close(pair.end[i], pair.now_ns, pair.channel[i], s[i].flow), 0);
        CHECK(pair_seen(&pair, i, TETHER_EVENT_CHANNEL_DOWN) == NULL);
    }
}

static void rekey_first(void)
{
    if (channel(0)->next.state == TETHER_NEXT_NONE)
        rekey(0);
}

static void rekey_any(void)
{
    int who = (int)(test_random(&pair.rng) % 3);
    if (who != 1 && channel(0)->next.state == TETHER_NEXT_NONE)
        rekey(0);
    if (who != 0 && channel(1)->next.state == TETHER_NEXT_NONE)
        rekey(1);
}

/* On a clean link: the handle stays, the index on the wire and the keys change, sequences begin again, nothing is asked for twice. */
static void clean(void)
{
    uint32_t handle[2], wire[2];
    PROVES("T-RKY-1", "T-RKY-2", "T-RKY-6", "T-HDR-6");
    begin(1);
    for (int i = 0; i < 2; i++) {
        handle[i] = pair.channel[i];
        wire[i] = channel(i)->wire;
    }
    streams(2000000, 300000, rekey_first);
    pair_quiet(&pair);
    for (int i = 0; i < 2; i++) {
        CHECK(pair_stats(&pair, i).rekeys > 3);
        CHECK_EQ(pair_stats(&pair, i).repairs_sent, 0);
        CHECK_EQ(pair.channel[i], handle[i]);
        CHECK_EQ(channel(i)->index, handle[i]);
        CHECK(channel(i)->wire != wire[i]);
        CHECK_EQ(channel(i)->remote, channel(1 - i)->wire);
        CHECK_EQ(channel(i)->next.state, TETHER_NEXT_NONE); /* the old keys are gone */
        CHECK_EQ(channel(i)->next.rx_keys.cipher, 0);
        CHECK(channel(i)->sequence < 1000);
        for (uint32_t r = 0; r < TETHER_REJECT_COUNT; r++)
            CHECK_EQ(pair_stats(&pair, i).rejects[r], 0);
    }
    pair_close(&pair);
}

/* Lossless whatever the link does: loss, reordering, duplicates, rekeys of both ends that cross. */
static void rough(void)
{
    PROVES("T-RKY-2", "T-RKY-3", "T-RKY-4", "T-RKY-5");
    for (uint64_t seed = 10; seed < 22; seed++) {
        begin(seed);
        for (int i = 0; i < 2; i++) {
            pair.wire[i].loss_ppm = seed % 3 * 30000;
            pair.wire[i].reorder_ppm = seed % 2 * 100000;
            pair.wire[i].duplicate_ppm = seed % 4 * 20000;
        }
        streams(3000000, 100000 + seed * 10000, rekey_any);
        for (int i = 0; i < 2; i++) {
            pair.wire[i].loss_ppm = pair.wire[i].reorder_ppm = pair.wire[i].duplicate_ppm = 0;
            CHECK_EQ(pair_stats(&pair, i).rejects[TETHER_E_AUTH - TETHER_E_SHORT], 0);
        }
        pair_quiet(&pair);
        CHECK(pair_stats(&pair, 0).rekeys > 0 && pair_stats(&pair, 1).rekeys > 0);
        CHECK_EQ(channel(0)->remote, channel(1)->wire);
        CHECK_EQ(channel(1)->remote, channel(0)->wire);
        pair_close(&pair);
    }
}

/* Both ends at once: one Hail stands, and both end with the same keys. */
static void crossing(void)
{
    PROVES("T-RKY-4");
    for (uint64_t seed = 30; seed < 40; seed++) {
        int lesser;
        begin(seed);
        lesser = memcmp(pair.public_key[0], pair.public_key[1], 32) < 0 ? 0 : 1;
        rekey(0);
        rekey(1);
        pair_run(&pair, 500000000);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pair_stats(&pair, i).rekeys, 1);
            CHECK_EQ(channel(i)->remote, channel(1 - i)->wire);
            CHECK_EQ(channel(i)->next.state, TETHER_NEXT_NONE);
        }
        CHECK_EQ(pair_stats(&pair, lesser).rejects[TETHER_E_STATE - TETHER_E_SHORT], 1);
        pair_close(&pair);
    }
}

/* Nothing passes for longer than a half-open channel lives, at the worst moment: after the reply, before the first frame. */
static int drop_all_but_lamps(void *context, const uint8_t *frame, size_t length)
{
    (void)context;
    (void)length;
    return !(frame[1] & TETHER_FLAG_LAMP);
}

static void outage_after_the_reply(void)
{
    uint16_t flow;
    PROVES("T-RKY-3", "T-RKY-5");
    begin(50);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    pair_run(&pair, 1000000);
    pair.wire[0].filter = drop_all_but_lamps;
    rekey(0);
    pair_run(&pair, 1000000);
    CHECK_EQ(pair_stats(&pair, 0).rekeys, 1);
    CHECK_EQ(pair_stats(&pair, 1).rekeys, 0); /* it has heard nothing under the new keys */
    CHECK_EQ(channel(1)->next.state, TETHER_NEXT_ANSWERED);
    CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], flow, bytes, 3000, 0), 3000);
    pair_run(&pair, 6000000000);
    pair.wire[0].filter = NULL;
    pair_run(&pair, 3000000000);
    CHECK_EQ(tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, got, sizeof got, NULL), 3000);
    CHECK_EQ(pair_stats(&pair, 1).rekeys, 1);
    CHECK_EQ(tether_flow_close(pair.end[0], pair.now_ns, pair.channel[0], flow), 0);
    pair_close(&pair);
}

/* By age, and only what was used: an idle channel needs no traffic. */
static void policy(void)
{
    uint64_t frames;
    uint16_t flow;
    PROVES("T-RKY-7", "T-CLK-8");
    pair_open(&pair, 60);
    pair.config[0].rekey_s = pair.config[1].rekey_s = 5;
    pair_start(&pair);
    pair_connect(&pair);
    pair_run(&pair, 1000000000);
    frames = pair_stats(&pair, 0).frames_sent;
    pair_run(&pair, 30000000000);
    CHECK_EQ(pair_stats(&pair, 0).rekeys, 0);
    CHECK_EQ(pair_stats(&pair, 0).frames_sent, frames);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    for (int second = 0; second < 30; second++) {
        CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], flow, bytes, 60000, 0), 60000);
        pair_run(&pair, 1000000000);
        CHECK_EQ(tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, got, sizeof got, NULL), 60000);
    }
    CHECK(pair_stats(&pair, 0).rekeys >= 4 && pair_stats(&pair, 0).rekeys <= 7);
    CHECK_EQ(pair_stats(&pair, 1).rekeys, pair_stats(&pair, 0).rekeys);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN) == NULL, 1);
    pair_close(&pair);
}

/* Frames of before the change that come after the drain are strangers; within it they still count. */
struct kept {
    uint8_t frame[PAIR_FRAME];
    size_t length;
};

static int keep(void *context, const uint8_t *frame, size_t length)
{
    struct kept *kept = context;
    if (kept->length || frame[1] & TETHER_FLAG_LAMP || length < 128)
        return 0;
    memcpy(kept->frame, frame, length);
    kept->length = length;
    return 1;
}

static void late_frames(void)
{
    PROVES("T-RKY-5", "T-RKY-8");
    for (int late = 0; late < 2; late++) {
        struct kept kept = {.length = 0};
        uint16_t flow;
        int result;
        begin(70 + (uint64_t)late);
        CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
        pair_run(&pair, 10000000);
        pair.wire[0].filter = keep;
        pair.wire[0].context = &kept;
        CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], flow, bytes, 1000, 0), 1000);
        pair_run(&pair, 10000);
        CHECK(kept.length > 0);
        rekey(0);
        while (pair_stats(&pair, 1).rekeys == 0)
            pair_step(&pair, pair.now_ns + 1000000);
        if (late)
            pair_run(&pair, 50000000);
        result = tether_endpoint_receive(pair.end[1], pair.now_ns, &pair.address[0], kept.frame, kept.length);
        CHECK_EQ(result, late ? -TETHER_E_STRANGER : 0);
        pair_run(&pair, 50000000);
        CHECK_EQ(tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, got, sizeof got, NULL), 1000);
        CHECK_EQ(tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, got, sizeof got, NULL), -EAGAIN);
        pair_close(&pair);
    }
}

/* The peer does not know the channel any more: it says so, under its key, and what was on the way is unknown. */
static void gone(void)
{
    uint16_t flow;
    PROVES("T-RKY-9", "T-RST-3");
    begin(80);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
    pair_run(&pair, 1000000);
    pair_restart(&pair, 1, 2);
    rekey(0);
    pair_run(&pair, 100000000);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNRESET);
    CHECK_EQ(pair_stats(&pair, 0).channels, 0);
    CHECK_EQ(pair_stats(&pair, 1).channels, 0);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(clean);
    RUN(crossing);
    RUN(rough);
    RUN(outage_after_the_reply);
    RUN(policy);
    RUN(late_frames);
    RUN(gone);
    return run_result();
}
