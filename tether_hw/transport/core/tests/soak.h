/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak.h: everything at once, at random and repeatable: flows of both kinds opened, written, read slowly, cancelled and
 * closed at both ends over a bad pipe. Every message arrives whole, once and in order; byte flows lose nothing;
 * at the end all credit is back and every cell free.
 */
#ifndef TETHER_TEST_SOAK_H
#define TETHER_TEST_SOAK_H

#include <errno.h>

#include "pair.h"

enum { FLOWS = 10, MOST = 200000 };

struct talk {
    int used, from_open, closing[2];
    uint8_t kind;
    uint16_t id;
    uint64_t sent[2], got[2];           /* byte flows: position; message flows: number of the message */
    uint64_t cancelled[2];              /* messages up to this number may be missing */
};

static struct pair pair;
static struct talk talks[FLOWS];
static uint8_t data[MOST], copy[MOST];
static void (*soak_begun)(void); /* both ends are there, no frame has gone yet */

static inline uint8_t byte_at(const struct talk *t, int from, uint64_t at)
{
    return (uint8_t)(((at + t->id * 7919u + (unsigned)from) * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static inline struct tether_channel *channel(int i)
{
    return tether_channel_find(pair.end[i], pair.channel[i]);
}

static inline void begin_talk(void)
{
    for (int i = 0; i < FLOWS; i++) {
        struct talk *t = &talks[i];
        if (t->used)
            continue;
        memset(t, 0, sizeof *t);
        t->from_open = (int)(test_random(&pair.rng) & 1);
        t->kind = (uint8_t)(test_random(&pair.rng) & 1);
        if (tether_flow_open(pair.end[t->from_open], pair.now_ns, pair.channel[t->from_open], t->kind, 0, &t->id) == 0)
            t->used = 1;
        return;
    }
}

static inline void write_some(struct talk *t, int from)
{
    size_t length = 1 + test_random(&pair.rng) % (test_random(&pair.rng) % 8 ? 3000 : MOST);
    int64_t n;
    if (t->closing[0] || t->closing[1])
        return;
    if (t->kind == TETHER_FLOW_MESSAGE) {
        if (length < 16)
            length = 16;
        for (size_t i = 0; i < length; i++)
            data[i] = byte_at(t, from, t->sent[from] * 131 + i);
        memcpy(data, &t->sent[from], 8);
        memcpy(data + 8, &length, 8);
    } else {
        for (size_t i = 0; i < length; i++)
            data[i] = byte_at(t, from, t->sent[from] + i);
    }
    n = tether_flow_write(pair.end[from], pair.now_ns, pair.channel[from], t->id, data, length,
                          test_random(&pair.rng) % 4 == 0 ? TETHER_WRITE_FLUSH : 0);
    CHECK(n > 0 || n == -EAGAIN || n == -EBADF || n == -EPIPE);
    if (n > 0)
        t->sent[from] += t->kind == TETHER_FLOW_MESSAGE ? 1 : (uint64_t)n;
}

static inline void read_some(struct talk *t, int at, size_t most)
{
    int from = 1 - at;
    int64_t n;
    if (t->closing[at])
        return;
    n = tether_flow_read(pair.end[at], pair.now_ns, pair.channel[at], t->id, copy, most, NULL);
    CHECK(n > 0 || n == -EAGAIN || n == -EBADF || n == -EPIPE || (n == -EMSGSIZE && most < MOST));
    if (n <= 0)
        return;
    if (t->kind == TETHER_FLOW_MESSAGE) {
        uint64_t number, length;
        memcpy(&number, copy, 8);
        memcpy(&length, copy + 8, 8);
        CHECK_EQ(length, n);
        CHECK(number >= t->got[from]); /* once, and in order */
        for (uint64_t missing = t->got[from]; missing < number; missing++)
            CHECK(missing < t->cancelled[from]);
        for (size_t i = 16; i < length; i++)
            CHECK_EQ(copy[i], byte_at(t, from, number * 131 + i));
        t->got[from] = number + 1;
    } else {
        for (int64_t i = 0; i < n; i++)
            CHECK_EQ(copy[i], byte_at(t, from, t->got[from] + (uint64_t)i));
        t->got[from] += (uint64_t)n;
    }
}

static inline void finish_talks(void)
{
    uint64_t until = pair.now_ns + 300000000000;
    for (int i = 0; i < FLOWS; i++) /* what nobody reads any more must not keep the cells that others wait for */
        for (int at = 0; at < 2; at++)
            if (talks[i].used && talks[i].closing[1 - at] && !talks[i].closing[at])
                talks[i].closing[at] = tether_flow_close(pair.end[at], pair.now_ns, pair.channel[at], talks[i].id) == 0;
    for (int i = 0; i < FLOWS; i++) /* the last frames will not be filled any more */
        for (int at = 0; at < 2; at++)
            if (talks[i].used && talks[i].kind == TETHER_FLOW_BYTES && !talks[i].closing[at])
                (void)tether_flow_write(pair.end[at], pair.now_ns, pair.channel[at], talks[i].id, NULL, 0,
                                        TETHER_WRITE_FLUSH);
    for (int left = 1; left;) {
        left = 0;
        CHECK(pair.now_ns < until);
        for (int i = 0; i < FLOWS; i++)
            for (int at = 0; at < 2; at++) {
                struct talk *t = &talks[i];
                uint64_t before = t->got[1 - at];
                if (!t->used || t->closing[0] || t->closing[1])
                    continue;
                read_some(t, at, MOST);
                left += t->got[1 - at] < t->sent[1 - at] &&
                        (t->kind == TETHER_FLOW_BYTES || t->got[1 - at] >= t->cancelled[1 - at] ||
                         t->got[1 - at] != before);
            }
        pair_step(&pair, pair.now_ns + 1000000);
    }
    pair_run(&pair, 2000000000);
    for (int i = 0; i < FLOWS; i++)
        for (int at = 0; at < 2; at++)
            if (talks[i].used)
                (void)tether_flow_close(pair.end[at], pair.now_ns, pair.channel[at], talks[i].id);
}

static inline void soak(uint64_t seed)
{
    uint64_t auth[2];
    memset(talks, 0, sizeof talks);
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++) {
        static const uint64_t losses[] = {0, 1000, 10000, 50000, 200000};
        pair.wire[i].loss_ppm = losses[test_random(&pair.rng) % 5];
        pair.wire[i].reorder_ppm = test_random(&pair.rng) % 3 * 20000;
        pair.wire[i].duplicate_ppm = test_random(&pair.rng) % 3 * 20000;
        pair.wire[i].latency_ns = UINT64_C(1000) << test_random(&pair.rng) % 12;
        pair.config[i].rx_cells = 300 + (uint32_t)(test_random(&pair.rng) % 2000);
        pair.config[i].tx_cells = 300 + (uint32_t)(test_random(&pair.rng) % 2000);
        pair.config[i].ring_frames = 32 + (uint32_t)(test_random(&pair.rng) % 1000);
        pair.config[i].frame_blocks = (uint16_t)(10 + test_random(&pair.rng) % 20);
        pair.config[i].max_message = MOST;
        pair.config[i].ciphers = (uint16_t)(1 + test_random(&pair.rng) % 2 * 2);
    }
    for (int i = 0; i < 2; i++) /* a message needs its cells at both ends, cut to the smaller frame */
        for (int k = 0; k < 2; k++) {
            uint32_t cells = MOST / 64u / pair.config[k].frame_blocks + 2;
            if (pair.config[i].rx_cells < cells)
                pair.config[i].rx_cells = cells;
            if (pair.config[i].tx_cells < cells)
                pair.config[i].tx_cells = cells;
        }
    pair_start(&pair);
    if (soak_begun)
        soak_begun();
    pair_connect(&pair);
    for (int i = 0; i < 2; i++) /* a late reply to a Hail that was sent again does not verify; nothing may after it */
        auth[i] = pair_stats(&pair, i).rejects[TETHER_E_AUTH - TETHER_E_SHORT];
    for (int step = 0; step < 2500; step++) {
        struct talk *t = &talks[test_random(&pair.rng) % FLOWS];
        int end = (int)(test_random(&pair.rng) & 1);
        uint32_t what = (uint32_t)(test_random(&pair.rng) % 100);
        CHECK(channel(0) != NULL && channel(1) != NULL);
        if (what < 5) {
            begin_talk();
        } else if (!t->used) {
            continue;
        } else if (what < 45) {
            write_some(t, end);
        } else if (what < 75) {
            read_some(t, end, test_random(&pair.rng) % 4 ? MOST : 1 + test_random(&pair.rng) % 5000);
        } else if (what < 80 && t->kind == TETHER_FLOW_MESSAGE && !t->closing[0] && !t->closing[1]) {
            int status = tether_flow_cancel(pair.end[end], pair.now_ns, pair.channel[end], t->id);
            CHECK(status == 0 || status == -EAGAIN || status == -EBADF);
            if (status == 0)
                t->cancelled[end] = t->sent[end];
        } else if (what < 82 && !t->closing[end]) {
            int status = tether_flow_close(pair.end[end], pair.now_ns, pair.channel[end], t->id);
            CHECK(status == 0 || status == -EBADF);
            t->closing[end] = status == 0;
        } else {
            pair_run(&pair, test_random(&pair.rng) % (test_random(&pair.rng) % 16 ? 100000 : 5000000));
        }
        /* closed at either end: close the other too, and take the place for a new one when both are gone */
        if (t->used && (t->closing[0] || t->closing[1]) && test_random(&pair.rng) % 4 == 0) {
            for (int i = 0; i < 2; i++)
                if (!t->closing[i] && tether_flow_close(pair.end[i], pair.now_ns, pair.channel[i], t->id) == 0)
                    t->closing[i] = 1;
            if (!tether_flow_find(pair.end[0], channel(0), t->id) && !tether_flow_find(pair.end[1], channel(1), t->id))
                t->used = 0;
        }
    }
    finish_talks();
    for (int tries = 0; tries < 60 && pair_stats(&pair, 0).flows + pair_stats(&pair, 1).flows; tries++) {
        pair_run(&pair, 1000000000);
        for (int i = 0; i < FLOWS; i++)
            for (int at = 0; at < 2; at++)
                if (talks[i].used)
                    (void)tether_flow_close(pair.end[at], pair.now_ns, pair.channel[at], talks[i].id);
    }
    pair_quiet(&pair);
    for (int i = 0; i < 2; i++) {
        struct tether_stats stats = pair_stats(&pair, i);
        CHECK_EQ(stats.flows, 0);
        CHECK_EQ(stats.channels, 1);
        /* A frame that overtakes its Skip (lost or reordered) is refused and repaired; nothing else is past its grant. */
        if (pair.wire[0].loss_ppm + pair.wire[0].reorder_ppm + pair.wire[1].loss_ppm + pair.wire[1].reorder_ppm == 0) {
            CHECK_EQ(stats.rejects[TETHER_E_GRANT - TETHER_E_SHORT], 0);
        } else {
            CHECK(stats.rejects[TETHER_E_GRANT - TETHER_E_SHORT] <= pair_stats(&pair, 1 - i).skips_sent);
        }
        CHECK_EQ(stats.rejects[TETHER_E_CELLS - TETHER_E_SHORT], 0);
        CHECK_EQ(stats.rejects[TETHER_E_AUTH - TETHER_E_SHORT], auth[i]);
        CHECK_EQ(stats.rejects[TETHER_E_TAGS - TETHER_E_SHORT], 0);
        CHECK_EQ(stats.rejects[TETHER_E_PADDING - TETHER_E_SHORT], 0);
    }
    pair_close(&pair);
}

#endif
