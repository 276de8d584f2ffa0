/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c: the endpoint's calls on a running engine: find the lane, lock it, wait where the caller wants to. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "host.h"

struct lane *engine_lane(tether_engine *engine, uint64_t number, int *status)
{
    *status = 0;
    if (!engine || number >= engine->config.lanes)
        *status = words_fail(-EINVAL, "there is no lane %llu", (unsigned long long)number);
    else if (!engine->started)
        *status = words_fail(-ENOTCONN, "the engine is not started");
    else if (atomic_load(&engine->lanes[number].stopping))
        *status = words_fail(-ESHUTDOWN, "the engine was stopped");
    return *status ? NULL : &engine->lanes[number];
}

struct lane *engine_handle_lane(tether_engine *engine, uint64_t handle, int *status)
{
    return engine_lane(engine, handle >> 32, status);
}

int64_t engine_told(int64_t status, const char *what)
{
    if (status == -ESHUTDOWN)
        return words_fail(-ESHUTDOWN, "%s: the engine was stopped", what);
    if (status == -ETIMEDOUT)
        return words_fail(-ETIMEDOUT, "%s: the time is over", what);
    return status < 0 ? engine_words((int)status, what) : status;
}

static int wait_up(struct lane *lane, uint32_t channel, struct lane_waiter *waiter, int64_t timeout_ns)
{
    struct wait_limit limit;
    wait_limit_set(&limit, timeout_ns);
    for (;;) {
        struct tether_channel_info info = {.struct_size = sizeof info};
        int status = tether_channel_info(lane->endpoint, channel, &info);
        if (waiter->down)
            return waiter->down_status ? waiter->down_status : -ECONNABORTED;
        if (status)
            return status;
        if (info.state == TETHER_CHANNEL_UP)
            return 0;
        status = lane_wait(lane, waiter, &limit);
        if (status)
            return status;
    }
}

int tether_engine_connect(tether_engine *engine, uint16_t number, uint32_t peer_id, uint16_t remote_lane,
                          const struct tether_address *to, int64_t timeout_ns, uint64_t *handle)
{
    int status;
    struct lane *lane = engine_lane(engine, number, &status);
    if (!lane)
        return status;
    uint32_t channel = 0;
    struct lane_waiter waiter;
    lane_lock(lane);
    status = tether_channel_open(lane->endpoint, host_now_ns(), peer_id, remote_lane, to, &channel);
    if (!status && timeout_ns != 0) {
        lane_waiter_add(lane, &waiter, channel, 0);
        status = wait_up(lane, channel, &waiter, timeout_ns);
        lane_waiter_remove(lane, &waiter);
        if (status == -EISCONN) { /* Hails crossed: the peer's stands, and its channel is up */
            channel = waiter.instead;
            status = 0;
        }
        if (status == -ETIMEDOUT)
            (void)tether_channel_close(lane->endpoint, host_now_ns(), channel);
    }
    lane_unlock(lane, true);
    if (status == -ETIMEDOUT) {
        pthread_mutex_lock(&engine->mutex);
        if (engine->trouble[0])
            status = words_fail(-EIO, "%s", engine->trouble);
        pthread_mutex_unlock(&engine->mutex);
        if (status == -EIO)
            return status;
    }
    if (status)
        return (int)engine_told(status, "connect");
    *handle = (uint64_t)number << 32 | channel;
    return 0;
}

int tether_engine_channel_close(tether_engine *engine, uint64_t handle)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_close(lane->endpoint, host_now_ns(), (uint32_t)handle);
    lane_unlock(lane, true);
    return (int)engine_told(status, "close of a channel");
}

int tether_engine_channel_info(tether_engine *engine, uint64_t handle, struct tether_channel_info *info)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_info(lane->endpoint, (uint32_t)handle, info);
    lane_unlock(lane, false);
    return (int)engine_told(status, "channel");
}

int tether_engine_channel_lane_address(tether_engine *engine, uint64_t handle, uint16_t remote_lane,
                                       struct tether_address *address)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_lane_address(lane->endpoint, (uint32_t)handle, remote_lane, address);
    lane_unlock(lane, false);
    return (int)engine_told(status, "address of the peer's lane");
}

/* ------------------------------------------------------------------ roster */

/*
 * The points of low order on Curve25519: a key agreement with one of them gives zero, whoever makes it, so a handshake with
 * such a key never succeeds. Little-endian; the highest bit of a key does not count.
 */
static const uint8_t low_order[][32] = {
    {0},
    {1},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
     0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
     0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

/* Could a handshake with this peer ever succeed? */
static int peer_check(const tether_engine *engine, const struct tether_peer *peer)
{
    for (uint32_t k = 0; k < peer->key_count && k < 2; k++) {
        uint8_t key[32];
        memcpy(key, peer->keys[k], sizeof key);
        if (memcmp(key, engine->public_key, sizeof key) == 0)
            return words_fail(-EINVAL, "roster: the key of %.63s is this node's own", peer->name);
        key[31] &= 0x7f;
        for (size_t i = 0; i < sizeof low_order / sizeof *low_order; i++)
            if (memcmp(key, low_order[i], sizeof key) == 0)
                return words_fail(-EINVAL, "roster: the key of %.63s is a point of low order, which is nobody's",
                                  peer->name);
    }
    return 0;
}

int tether_engine_roster(tether_engine *engine, const struct tether_peer *peers, size_t count)
{
    struct tether_peer *copy;
    for (size_t i = 0; i < count; i++)
        if (peer_check(engine, &peers[i]))
            return -EINVAL;
    copy = calloc(count ? count : 1, sizeof *copy);
    if (!copy)
        return words_fail(-ENOMEM, "no memory for %zu peers", count);
    if (count)
        memcpy(copy, peers, count * sizeof *copy);
    pthread_mutex_lock(&engine->roster_mutex);
    free(engine->peers);
    engine->peers = copy;
    engine->peer_count = count;
    int status = 0;
    for (uint32_t i = 0; engine->started && !status && i < engine->config.lanes; i++) {
        struct lane *lane = &engine->lanes[i];
        lane_lock(lane);
        status = tether_endpoint_roster(lane->endpoint, host_now_ns(), copy, count);
        lane_unlock(lane, true);
    }
    pthread_mutex_unlock(&engine->roster_mutex);
    return engine_words(status, "roster");
}

/* ----------------------------------------------------------- events, stats */

int tether_engine_wait(tether_engine *engine, int64_t timeout_ns, struct tether_event *events, size_t capacity)
{
    int count = events_take(&engine->events, timeout_ns, events, capacity);
    if (count == -ESHUTDOWN)
        return words_fail(count, "wait: the engine was stopped");
    return count;
}

int tether_engine_eventfd(tether_engine *engine)
{
    return engine->events.fd;
}

static uint64_t value(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

int tether_engine_stats(tether_engine *engine, uint16_t number, struct tether_stats *stats,
                        struct tether_carrier_stats *out)
{
    if (!engine || number >= engine->config.lanes || !engine->lanes[number].endpoint)
        return words_fail(-EINVAL, "there is no lane %u, or the engine is not started", number);
    if ((stats && stats->struct_size != sizeof *stats) || (out && out->struct_size != sizeof *out))
        return words_fail(-EINVAL, "the struct's size is not this library's");
    struct lane *lane = &engine->lanes[number];
    struct carrier *carrier = lane->carrier;
    struct carrier_drops drops;
    lane_lock(lane);
    if (stats) {
        tether_endpoint_stats(lane->endpoint, stats);
        stats->lane = number;
    }
    carrier->ops->drops(carrier, &drops); /* af_packet adds up what the kernel resets: one reader at a time */
    lane_unlock(lane, false);
    if (!out)
        return 0;
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->lane = number;
    out->rx_frames = value(&carrier->counters.rx_frames);
    out->tx_frames = value(&carrier->counters.tx_frames);
    out->rx_bytes = value(&carrier->counters.rx_bytes);
    out->tx_bytes = value(&carrier->counters.tx_bytes);
    out->tx_stalled = value(&carrier->counters.tx_stalled);
    out->tx_errors = value(&carrier->counters.tx_errors);
    out->foreign = value(&carrier->counters.foreign) + value(&lane->foreign);
    out->misdirected = value(&lane->misdirected);
    out->handed_over = value(&lane->handed_over);
    out->handover_full = value(&lane->handover_full);
    out->ring_full = drops.ring_full;
    out->fill_empty = drops.fill_empty;
    out->kernel_drops = drops.kernel;
    out->overruns = out->ring_full + out->kernel_drops + out->handover_full;
    out->sleeps = value(&lane->sleeps);
    out->wakes = value(&lane->wakes);
    return 0;
}
