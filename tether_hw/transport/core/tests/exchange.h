/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h: frames with checkable content through any pair of carriers. */
#ifndef TETHER_TEST_EXCHANGE_H
#define TETHER_TEST_EXCHANGE_H

#include <poll.h>
#include <string.h>

#include "../src/carrier/carrier.h"
#include "../src/engine/host.h"
#include "harness.h"

static inline uint8_t exchange_byte(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31u + at * 7u + (at >> 8));
}

/* Length of frame `number`: all whole-block sizes in turn, the largest too. */
static inline uint32_t exchange_length(const struct carrier *carrier, uint32_t number)
{
    uint32_t blocks = carrier->frame_bytes / TETHER_BLOCK_BYTES;
    return (blocks - number % blocks) * TETHER_BLOCK_BYTES;
}

/* Build and queue one frame; 0 when the carrier takes no more. */
static inline int exchange_send(struct carrier *carrier, uint32_t number, uint32_t length,
                                const struct tether_address *to)
{
    uint8_t *frame = carrier->ops->reserve(carrier);
    if (!frame)
        return 0;
    memcpy(frame, &number, sizeof number);
    for (uint32_t i = 4; i < length; i++)
        frame[i] = exchange_byte(number, i);
    carrier->ops->commit(carrier, length, to);
    return 1;
}

static inline int exchange_whole(const struct tether_arrival *frame, uint32_t number, uint32_t length)
{
    /* Ethernet may pad: never less than was sent */
    if (frame->length < length || frame->length >= length + TETHER_BLOCK_BYTES)
        return 0;
    for (uint32_t i = 4; i < length; i++) {
        if (frame->data[i] != exchange_byte(number, i))
            return 0;
    }
    return 1;
}

static inline int exchange_same(const struct tether_address *a, const struct tether_address *b)
{
    return a->kind == b->kind && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

/*
 * `count` frames from one carrier to the other, in order and whole, with the right addresses; returns how many came.
 * At most `window` are under way.
 */
static inline uint32_t exchange_run(struct carrier *from, struct carrier *to, uint32_t count, uint32_t window)
{
    uint32_t sent = 0, got = 0;
    uint64_t last = host_now_ns();
    while (got < count && host_now_ns() - last < 2000000000u) {
        while (sent < count && sent - got < window &&
               exchange_send(from, sent, exchange_length(from, sent), &to->address))
            sent++;
        from->ops->flush(from);
        struct tether_arrival frames[CARRIER_BATCH];
        unsigned n = to->ops->receive(to, frames, CARRIER_BATCH);
        for (unsigned i = 0; i < n; i++) {
            uint32_t number;
            memcpy(&number, frames[i].data, sizeof number);
            CHECK(number == got);
            CHECK(exchange_whole(&frames[i], number, exchange_length(from, number)));
            CHECK(exchange_same(&frames[i].from, &from->address));
            CHECK(exchange_same(&frames[i].to, &to->address));
            got++;
        }
        to->ops->release(to);
        if (n)
            last = host_now_ns();
        else if (to->fd >= 0)
            (void)poll(&(struct pollfd){.fd = to->fd, .events = POLLIN}, 1, 1);
    }
    return got;
}

/* Take everything that waits; how many frames. */
static inline uint32_t exchange_drain(struct carrier *carrier)
{
    struct tether_arrival frames[CARRIER_BATCH];
    uint32_t got = 0;
    for (int idle = 0; idle < 20;) {
        unsigned n = carrier->ops->receive(carrier, frames, CARRIER_BATCH);
        carrier->ops->release(carrier);
        got += n;
        if (n) {
            idle = 0;
        } else {
            idle++;
            (void)poll(NULL, 0, 1);
        }
    }
    return got;
}

static inline uint64_t exchange_drops(struct carrier *carrier)
{
    struct carrier_drops drops;
    carrier->ops->drops(carrier, &drops);
    return drops.ring_full + drops.kernel;
}

/* Send `count` frames of `length` bytes, `at_once` to a flush, without anyone receiving. */
static inline void exchange_flood(struct carrier *from, struct carrier *to, uint32_t count, uint32_t length,
                                  uint32_t at_once)
{
    uint64_t end = host_now_ns() + 5000000000u;
    for (uint32_t i = 0; i < count && host_now_ns() < end;) {
        if (exchange_send(from, i, length, &to->address))
            i++;
        if (i % at_once == 0 || i == count)
            from->ops->flush(from);
    }
    (void)poll(NULL, 0, 50);
}

/* The depth that a carrier tells is the depth that it has; what is lost beyond it is counted. */
static inline void exchange_depth(struct carrier *from, struct carrier *to, uint32_t length)
{
    CHECK(exchange_drops(to) == 0);
    for (uint32_t at_once = 1; at_once <= 50; at_once += 49) {
        exchange_flood(from, to, to->ring_frames, length, at_once);
        CHECK(exchange_drops(to) == 0);
        CHECK(exchange_drain(to) == to->ring_frames);
    }
    uint32_t many = to->ring_frames * 4;
    exchange_flood(from, to, many, length, 1);
    uint64_t lost = exchange_drops(to);
    uint32_t got = exchange_drain(to);
    CHECK(lost > 0);
    CHECK(got + lost == many);
    CHECK(exchange_run(from, to, 500, 100) == 500); /* and it works on */
}

#endif
