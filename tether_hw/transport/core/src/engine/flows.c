/* SPDX-License-Identifier: Apache-2.0 */
/* flows.c: the calls on flows of a running engine, each with a wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "host.h"

enum { WRITE_PIECE_BYTES = 256 << 10 }; /* of a byte flow, between two looks at the queue */

int tether_engine_flow_open(tether_engine *engine, uint64_t handle, uint8_t kind, uint64_t bound, uint16_t *flow)
{
    struct tether_flow_options options = {.struct_size = sizeof options, .kind = kind, .bound = bound};
    return tether_engine_flow_open_options(engine, handle, &options, flow);
}

int tether_engine_flow_open_options(tether_engine *engine, uint64_t handle, const struct tether_flow_options *options,
                                    uint16_t *flow)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_open_options(lane->endpoint, host_now_ns(), (uint32_t)handle, options, flow);
    lane_unlock(lane, true);
    return (int)engine_told(status, "open of a flow");
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
    uint64_t *offset;    /* read_at */
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
    struct call call = {.lane = engine_handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow,
                        .data = data, .length = length, .flags = flags};
    if (!call.lane)
        return status;
    struct tether_flow_state state = {.struct_size = sizeof state};
    lane_lock(call.lane);
    status = tether_flow_state(call.lane->endpoint, call.channel, flow, &state);
    lane_unlock(call.lane, false);
    if (status)
        return engine_told(status, "write");
    call.message = state.kind == TETHER_FLOW_MESSAGE;
    int64_t result = call_run(&call, timeout_ns, step_write);
    if (result < 0 && call.done > 0)
        return call.done; /* what was queued stays queued; the next call meets the reason again */
    return result < 0 ? engine_told(result, "write") : call.done;
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
    struct call call = {.lane = engine_handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow,
                        .buffer = data, .length = capacity, .flags_out = flags};
    if (!call.lane)
        return status;
    return engine_told(call_run(&call, timeout_ns, step_read), "read");
}

static int64_t step_read_at(struct call *call)
{
    return tether_flow_read_at(call->lane->endpoint, host_now_ns(), call->channel, call->flow, call->offset, call->buffer,
                               call->length, call->flags_out);
}

int64_t tether_engine_flow_read_at(tether_engine *engine, uint64_t handle, uint16_t flow, uint64_t *offset, void *data,
                                   size_t capacity, uint32_t *flags, int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = engine_handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow,
                        .buffer = data, .length = capacity, .flags_out = flags, .offset = offset};
    if (!call.lane)
        return status;
    return engine_told(call_run(&call, timeout_ns, step_read_at), "read");
}

static int64_t step_size(struct call *call)
{
    return tether_flow_message_size(call->lane->endpoint, call->channel, call->flow, &call->size);
}

int tether_engine_flow_message_size(tether_engine *engine, uint64_t handle, uint16_t flow, uint64_t *size,
                                    int64_t timeout_ns)
{
    int status;
    struct call call = {.lane = engine_handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow};
    if (!call.lane)
        return status;
    int64_t result = call_run(&call, timeout_ns, step_size);
    if (result == 0)
        *size = call.size;
    return (int)engine_told(result, "message size");
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
    struct call call = {.lane = engine_handle_lane(engine, handle, &status), .channel = (uint32_t)handle, .flow = flow};
    if (!call.lane)
        return status;
    lane_lock(call.lane); /* a last frame that may still grow would wait for ever */
    (void)tether_flow_write(call.lane->endpoint, host_now_ns(), call.channel, flow, NULL, 0, TETHER_WRITE_FLUSH);
    lane_unlock(call.lane, true);
    return (int)engine_told(call_run(&call, timeout_ns, step_drain), "drain");
}

int tether_engine_flow_cancel(tether_engine *engine, uint64_t handle, uint16_t flow)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_cancel(lane->endpoint, host_now_ns(), (uint32_t)handle, flow);
    lane_unlock(lane, true);
    return (int)engine_told(status, "cancel");
}

int tether_engine_flow_close(tether_engine *engine, uint64_t handle, uint16_t flow)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_close(lane->endpoint, host_now_ns(), (uint32_t)handle, flow);
    lane_unlock(lane, true);
    return (int)engine_told(status, "close of a flow");
}

int tether_engine_flow_state(tether_engine *engine, uint64_t handle, uint16_t flow, struct tether_flow_state *state)
{
    int status;
    struct lane *lane = engine_handle_lane(engine, handle, &status);
    if (!lane)
        return status;
    lane_lock(lane);
    status = tether_flow_state(lane->endpoint, (uint32_t)handle, flow, state);
    lane_unlock(lane, false);
    return (int)engine_told(status, "flow");
}
