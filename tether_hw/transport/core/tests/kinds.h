/* SPDX-License-Identifier: Apache-2.0 */
/* kinds.h: flows of every kind over the pair: numbered messages, bytes with their place, and who has got what. */
#ifndef TETHER_TEST_KINDS_H
#define TETHER_TEST_KINDS_H

#include <errno.h>

#include "pair.h"

enum { KINDS_MESSAGES = 4096, KINDS_BYTES = 8 << 20, KINDS_LARGEST = 40000 };

struct kinds {
    struct pair *pair;
    struct tether_flow_options options;
    uint16_t flow;
    uint64_t total, written, got, holes, hole_size, least, most; /* messages, or bytes */
    uint64_t out_of_order, next;
    uint64_t every_ns, next_ns; /* 0 = as fast as it is taken */
    uint8_t seen[KINDS_MESSAGES];
    uint8_t *bytes, *there;
    int ended, held_back;       /* the reader does not read */
    int64_t last;
};

static inline uint8_t kinds_byte(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16) * 3);
}

static inline uint64_t kinds_size(const struct kinds *k, uint64_t message)
{
    return k->least + message * 7919 % (k->most - k->least + 1);
}

static inline void kinds_write(struct kinds *k)
{
    static uint8_t data[KINDS_LARGEST];
    struct pair *p = k->pair;
    while (k->written < k->total && (k->every_ns == 0 || p->now_ns >= k->next_ns)) {
        uint64_t length = k->options.kind == TETHER_FLOW_MESSAGE ? kinds_size(k, k->written) : k->total - k->written;
        uint32_t flags = 0;
        if (length > sizeof data)
            length = sizeof data;
        for (uint64_t i = 0; i < length; i++)
            data[i] = kinds_byte((k->options.kind == TETHER_FLOW_MESSAGE ? k->written * 1000 : k->written) + i);
        if (k->options.kind == TETHER_FLOW_MESSAGE)
            memcpy(data, &k->written, length < 4 ? length : 4);
        else if (k->written + length == k->total)
            flags = TETHER_WRITE_END;
        k->last = tether_flow_write(p->end[0], p->now_ns, p->channel[0], k->flow, data, length, flags);
        if (k->last <= 0)
            return;
        k->written += k->options.kind == TETHER_FLOW_MESSAGE ? 1 : (uint64_t)k->last;
        k->next_ns += k->every_ns;
        if (k->last < (int64_t)length)
            return;
    }
}

static inline void kinds_read(struct kinds *k)
{
    static uint8_t data[KINDS_LARGEST];
    struct pair *p = k->pair;
    for (;;) {
        uint64_t offset = 0;
        uint32_t flags = 0, number = 0;
        int64_t n = tether_flow_read_at(p->end[1], p->now_ns, p->channel[1], k->flow, &offset, data, sizeof data, &flags);
        if (n == 0 && flags & TETHER_READ_END)
            k->ended = 1;
        if (n <= 0)
            return;
        if (flags & TETHER_READ_HOLE) {
            k->holes++;
            k->hole_size += (uint64_t)n;
            if (k->options.order == TETHER_FLOW_ORDERED && k->options.kind == TETHER_FLOW_BYTES) {
                CHECK_EQ(offset, k->next);
                k->next += (uint64_t)n;
            }
            for (int64_t i = 0; k->options.kind == TETHER_FLOW_BYTES && i < n; i++) {
                CHECK(offset + (uint64_t)i < k->total && !k->there[offset + (uint64_t)i]);
                k->there[offset + (uint64_t)i] = 2;
            }
            continue;
        }
        if (k->options.kind == TETHER_FLOW_BYTES) {
            if (k->options.order == TETHER_FLOW_ORDERED)
                CHECK_EQ(offset, k->next);
            k->out_of_order += offset < k->next;
            k->next = offset + (uint64_t)n;
            for (int64_t i = 0; i < n; i++) {
                CHECK(offset + (uint64_t)i < k->total && !k->there[offset + (uint64_t)i]);
                k->there[offset + (uint64_t)i] = 1;
                CHECK_EQ(data[i], kinds_byte(offset + (uint64_t)i));
            }
            k->got += (uint64_t)n;
            k->ended |= (flags & TETHER_READ_END) != 0;
            continue;
        }
        memcpy(&number, data, n < 4 ? (size_t)n : 4);
        CHECK(number < k->total && !k->seen[number]);
        k->seen[number] = 1;
        CHECK_EQ((uint64_t)n, kinds_size(k, number));
        for (int64_t i = 4; i < n; i++)
            CHECK_EQ(data[i], kinds_byte((uint64_t)number * 1000 + (uint64_t)i));
        if (k->options.order == TETHER_FLOW_ORDERED)
            CHECK(number >= k->next);
        k->out_of_order += number < k->next;
        k->next = number + 1;
        k->got++;
    }
}

static inline int kinds_step(struct pair *p, void *context)
{
    struct kinds *k = context;
    (void)p;
    kinds_write(k);
    if (!k->held_back)
        kinds_read(k);
    return 0;
}

/* Everything was written, and read or declared a hole. */
static inline int kinds_done(struct pair *p, void *context)
{
    struct kinds *k = context;
    kinds_step(p, k);
    if (k->written < k->total)
        return 0;
    return k->options.kind == TETHER_FLOW_BYTES ? k->ended : k->got == k->total;
}

static inline void kinds_open(struct kinds *k, struct pair *p, struct tether_flow_options options, uint64_t total)
{
    memset(k, 0, sizeof *k);
    k->pair = p;
    k->options = options;
    k->options.struct_size = sizeof k->options;
    k->total = total;
    k->least = 4;
    k->most = 6000;
    k->next_ns = p->now_ns;
    k->there = calloc(1, KINDS_BYTES);
    CHECK(k->there != NULL && (options.kind == TETHER_FLOW_BYTES ? total <= KINDS_BYTES : total <= KINDS_MESSAGES));
    CHECK_EQ(tether_flow_open_options(p->end[0], p->now_ns, p->channel[0], &k->options, &k->flow), 0);
}

static inline void kinds_close(struct kinds *k)
{
    struct pair *p = k->pair;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(tether_flow_close(p->end[i], p->now_ns, p->channel[i], k->flow), 0);
    pair_quiet(p);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pair_stats(p, i).flows, 0);
    free(k->there);
}

#endif
