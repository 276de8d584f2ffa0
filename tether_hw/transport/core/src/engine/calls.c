/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c: the endpoint's calls on a running engine: find the lane, lock it, wait where the caller wants to. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "host.h"

enum { WRITE_PIECE_BYTES = 256 << 10 }; /* of a byte flow, between two looks at the queue */

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

static struct lane *handle_lane(tether_engine *engine, uint64_t handle, int *status)
{
    return engine_lane(engine, handle >> 32, status);
}

static int64_t told(int64_t status, const char *what)
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
        return (int)told(status, "connect");
    *handle = (uint64_t)number << 32 | channel;
    return 0;
}

int tether_engine_channel_close(tether_engine *engine, uint64_t handle)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_close(lane->endpoint, host_now_ns(), (uint32_t)handle);
    lane_unlock(lane, true);
    return (int)told(status, "close of a channel");
}

int tether_engine_channel_info(tether_engine *engine, uint64_t handle, struct tether_channel_info *info)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_info(lane->endpoint, (uint32_t)handle, info);
    lane_unlock(lane, false);
    return (int)told(status, "channel");
}

int tether_engine_channel_lane_address(tether_engine *engine, uint64_t handle, uint16_t remote_lane,
                                       struct tether_address *address)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_channel_lane_address(lane->endpoint, (uint32_t)handle, remote_lane, address);
    lane_unlock(lane, false);
    return (int)told(status, "address of the peer's lane");
}

/* ------------------------------------------------------------------- flows */

int tether_engine_flow_open(tether_engine *engine, uint64_t handle, uint8_t kind, uint64_t bound, uint16_t *flow)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_open(lane->endpoint, host_now_ns(), (uint32_t)handle, kind, bound, flow);
    lane_unlock(lane, true);
    return (int)told(status, "open of a flow");
}

/* A call that may have to wait, in steps: -EAGAIN is to be tried again, everything else ends it. */
struct call {
    struct lane *lane;
    uint32_t channel;
    uint16_t flow;
    const uint8_t *data; /* write */
    void *buffer;        /* read */
    size_t length;       /* left to write, or capacity */
    uint32_t flags;
    uint32_t *flags_out;
    uint64_t size;       /* message_size */
    int64_t done;        /* bytes written */
    bool message;
};

static bool waits(int64_t status)
{
    return status == -EAGAIN;
}

/* Run `step` until it no longer says -EAGAIN, or the time is over. */
static int64_t call_run(struct call *call, int64_t timeout_ns, int64_t (*step)(struct call *))
{
    struct lane *lane = call->lane;
    struct wait_limit limit;
    struct lane_waiter waiter;
    lane_lock(lane);
    int64_t status = step(call);
    if (waits(status) && timeout_ns != 0) {
        wait_limit_set(&limit, timeout_ns);
        lane_waiter_add(lane, &waiter, call->channel, call->flow);
        do {
            int woken = lane_wait(lane, &waiter, &limit);
            status = step(call);
            if (waits(status) && waiter.down)
                status = waiter.down_status ? waiter.down_status : -EPIPE;
            if (waits(status) && woken)
                status = woken;
        } while (waits(status));
        lane_waiter_remove(lane, &waiter);
    }
    lane_unlock(lane, true);
    return status;
}

static int64_t step_write(struct call *call)
{
    for (;;) {
        size_t piece = call->length;
        uint32_t flags = call->flags;
        if (!call->message && piece > WRITE_PIECE_BYTES) {
            piece = WRITE_PIECE_BYTES;
            flags = 0;
        }
        int64_t took = tether_flow_write(call->lane->endpoint, host_now_ns(), call->channel, call->flow, call->data,
                                         piece, flags);
        if (took < 0)
            return took;
        call->data += took;
        call->length -= (size_t)took;
        call->done += took;
        if (!call->length)
            return 0;
        if ((size_t)took < piece)
            return -EAGAIN;
        if (atomic_load_explicit(&call->lane->callers, memory_order_relaxed) || !call->message) {
            /* let the thread send what is there before the next piece is copied */
            pthread_mutex_unlock(&call->lane->mutex);
            lane_kick(call->lane);
            lane_lock(call->lane);
        }
    }
}

int64_t tether_engine_flow_write(tether_engine *engine, uint64_t handle, uint16_t flow, const void *data,
                                 size_t length, uint32_t flags, int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow,
                        .data = data, .length = length, .flags = flags};
    if (!call.lane)
        return status;
    struct tether_flow_state state = {.struct_size = sizeof state};
    lane_lock(call.lane);
    status = tether_flow_state(call.lane->endpoint, call.channel, flow, &state);
    lane_unlock(call.lane, false);
    if (status)
        return told(status, "write");
    call.message = state.kind == TETHER_FLOW_MESSAGE;
    int64_t result = call_run(&call, timeout_ns, step_write);
    if (result < 0 && call.done > 0)
        return call.done; /* what was queued stays queued; the next call meets the reason again */
    return result < 0 ? told(result, "write") : call.done;
}

static int64_t step_read(struct call *call)
{
    return tether_flow_read(call->lane->endpoint, host_now_ns(), call->channel, call->flow, call->buffer, call->length,
                            call->flags_out);
}

int64_t tether_engine_flow_read(tether_engine *engine, uint64_t handle, uint16_t flow, void *data, size_t capacity,
                                uint32_t *flags, int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow,
                        .buffer = data, .length = capacity, .flags_out = flags};
    if (!call.lane)
        return status;
    return told(call_run(&call, timeout_ns, step_read), "read");
}

static int64_t step_size(struct call *call)
{
    return tether_flow_message_size(call->lane->endpoint, call->channel, call->flow, &call->size);
}

int tether_engine_flow_message_size(tether_engine *engine, uint64_t handle, uint16_t flow, uint64_t *size,
                                    int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow};
    if (!call.lane)
        return status;
    int64_t result = call_run(&call, timeout_ns, step_size);
    if (result == 0)
        *size = call.size;
    return (int)told(result, "message size");
}

static int64_t step_drain(struct call *call)
{
    struct tether_flow_state state = {.struct_size = sizeof state};
    int status = tether_flow_state(call->lane->endpoint, call->channel, call->flow, &state);
    if (status)
        return status;
    return state.unsent_bytes || state.unacknowledged_bytes ? -EAGAIN : 0;
}

int tether_engine_flow_drain(tether_engine *engine, uint64_t handle, uint16_t flow, int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow};
    if (!call.lane)
        return status;
    return (int)told(call_run(&call, timeout_ns, step_drain), "drain");
}

int tether_engine_flow_cancel(tether_engine *engine, uint64_t handle, uint16_t flow)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_cancel(lane->endpoint, host_now_ns(), (uint32_t)handle, flow);
    lane_unlock(lane, true);
    return (int)told(status, "cancel");
}

int tether_engine_flow_close(tether_engine *engine, uint64_t handle, uint16_t flow)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_close(lane->endpoint, host_now_ns(), (uint32_t)handle, flow);
    lane_unlock(lane, true);
    return (int)told(status, "close of a flow");
}

int tether_engine_flow_state(tether_engine *engine, uint64_t handle, uint16_t flow, struct tether_flow_state *state)
{
    int status;
    struct lane *lane = handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_state(lane->endpoint, (uint32_t)handle, flow, state);
    lane_unlock(lane, false);
    return (int)told(status, "flow");
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
