/* SPDX-License-Identifier: Apache-2.0 */
/* lane_calls.c: what is said about a whole lane of a running engine: contact, its address, early data. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "host.h"

uint64_t tether_engine_now(void)
{
    return host_now_ns();
}

/* ---------------------------------------------------------------- contact */

static int tell_windows(struct lane *lane)
{
    return tether_endpoint_windows(lane->endpoint, host_now_ns(), lane->windows.pairs, lane->windows.count);
}

static int tell_table(struct lane *lane)
{
    return tether_endpoint_rtt_table(lane->endpoint, host_now_ns(), lane->rtt_table.pairs, lane->rtt_table.count);
}

int lane_declare(struct lane *lane)
{
    int status = tell_windows(lane);
    return status ? status : tell_table(lane);
}

static int declare(tether_engine *engine, uint16_t number, const struct tether_window *pairs, size_t count, bool windows)
{
    const char *what = windows ? "contact windows" : "table of round trips";
    if (!engine || number >= engine->config.lanes || (count && !pairs))
        return words_fail(-EINVAL, "%s: there is no lane %u, or nothing is given", what, number);
    if (count > TETHER_WINDOWS_MAX)
        return words_fail(-EINVAL, "%s: %zu are given, %u are possible", what, count, TETHER_WINDOWS_MAX);
    for (size_t i = 1; i < count; i++)
        if (pairs[i].start_ns < pairs[i - 1].start_ns)
            return words_fail(-EINVAL, "%s: entry %zu begins before the one before it", what, i);
    struct lane *lane = &engine->lanes[number];
    struct lane_plan *plan = windows ? &lane->windows : &lane->rtt_table;
    int status = 0;
    lane_lock(lane);
    plan->count = count;
    if (count)
        memcpy(plan->pairs, pairs, count * sizeof *pairs);
    if (lane->endpoint)
        status = windows ? tell_windows(lane) : tell_table(lane);
    lane_unlock(lane, true);
    return engine_words(status, what);
}

int tether_engine_windows(tether_engine *engine, uint16_t lane, const struct tether_window *windows, size_t count)
{
    return declare(engine, lane, windows, count, true);
}

int tether_engine_rtt_table(tether_engine *engine, uint16_t lane, const struct tether_window *entries, size_t count)
{
    return declare(engine, lane, entries, count, false);
}

/* ---------------------------------------------------------------- address */

/* The thread of the lane binds its carrier; 0, or why not. */
static int rebind(struct lane *lane, const struct tether_address *address)
{
    struct wait_limit limit;
    struct lane_waiter waiter;
    int status = 0;
    wait_limit_set(&limit, -1);
    lane_lock(lane);
    lane_waiter_add(lane, &waiter, 0, 0);
    waiter.what = LANE_WAIT_MOVE;
    lane->move_to = *address;
    atomic_store(&lane->moving, 1);
    while (!status && atomic_load(&lane->moving))
        status = lane_wait(lane, &waiter, &limit);
    lane_waiter_remove(lane, &waiter);
    if (!status && lane->move_status)
        status = words_fail(lane->move_status, "%s", lane->move_words);
    lane_unlock(lane, false);
    return status == -ESHUTDOWN ? (int)engine_told(status, "move of a lane") : status;
}

int tether_engine_lane_move(tether_engine *engine, uint16_t number, const struct tether_address *address)
{
    int status;
    struct lane *lane = engine_lane(engine, number, &status);
    if (!lane)
        return status;
    if (!address || address->length > sizeof address->bytes)
        return words_fail(-EINVAL, "lane %u: no address", number);
    if (!lane->carrier->ops->rebind)
        return words_fail(-EOPNOTSUPP, "lane %u: a lane of %s keeps its address while the engine runs", number,
                          lane->carrier->ops->name);
    pthread_mutex_lock(&engine->roster_mutex); /* one move at a time */
    status = rebind(lane, address);
    for (uint32_t i = 0; !status && i < engine->config.lanes; i++) {
        struct lane *other = &engine->lanes[i];
        if (other->config.link != lane->config.link)
            continue;
        lane_lock(other);
        status = engine_words(tether_endpoint_moved(other->endpoint, number, &lane->carrier->address), "move of a lane");
        lane_unlock(other, true);
    }
    pthread_mutex_unlock(&engine->roster_mutex);
    return status;
}

/* ------------------------------------------------------------- early data */

int tether_engine_early_send(tether_engine *engine, uint16_t number, uint32_t peer_id, uint16_t remote_lane,
                             const void *data, size_t length, int64_t timeout_ns)
{
    int status;
    struct lane *lane = engine_lane(engine, number, &status);
    if (!lane)
        return status;
    struct wait_limit limit;
    struct lane_waiter waiter;
    wait_limit_set(&limit, timeout_ns);
    lane_lock(lane);
    lane_waiter_add(lane, &waiter, 0, 0);
    waiter.what = LANE_WAIT_EARLY;
    waiter.peer_id = peer_id;
    waiter.remote_lane = remote_lane;
    status = tether_early_send(lane->endpoint, host_now_ns(), peer_id, remote_lane, data, length);
    while (!status && timeout_ns != 0 && !waiter.done) {
        status = lane_wait(lane, &waiter, &limit);
        if (status == -ETIMEDOUT)
            status = waiter.done ? 0 : -EINPROGRESS;
    }
    if (waiter.done)
        status = waiter.status;
    lane_waiter_remove(lane, &waiter);
    lane_unlock(lane, true);
    if (status == -ETIMEDOUT)
        return words_fail(status, "early data: no answer came, whether it was taken is not known");
    return (int)engine_told(status, "early data");
}

int64_t tether_engine_early_read(tether_engine *engine, uint16_t number, void *data, size_t capacity, uint32_t *peer_id)
{
    int status;
    struct lane *lane = engine_lane(engine, number, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    int64_t length = tether_early_read(lane->endpoint, data, capacity, peer_id);
    lane_unlock(lane, false);
    return engine_told(length, "early data");
}
