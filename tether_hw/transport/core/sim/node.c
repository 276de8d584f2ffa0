/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: vertices: endpoints with a clock, a key and a counter file of their own, when they act, and their end. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

uint64_t sim_clock(const struct sim_vertex *v, uint64_t now_ns)
{
    __int128 drift = (__int128)now_ns * v->config.drift_ppb / 1000000000;
    return (uint64_t)((__int128)v->config.clock_ns + v->step_ns + (__int128)now_ns + drift);
}

/* When this clock shows `at_ns`. */
static uint64_t when(const struct sim_vertex *v, uint64_t at_ns)
{
    __int128 left = (__int128)at_ns - v->config.clock_ns - v->step_ns;
    if (at_ns == UINT64_MAX)
        return UINT64_MAX;
    if (left <= 0)
        return 0;
    left = left * 1000000000 / (1000000000 + v->config.drift_ppb);
    return (uint64_t)left + (v->config.drift_ppb != 0);
}

/* ------------------------------------------------------------------- life */

/* Its contact windows and its table of round trips, on its own clock. */
static int declare(struct sim_vertex *v, uint64_t now_ns)
{
    struct tether_window windows[TETHER_WINDOWS_MAX], table[TETHER_WINDOWS_MAX];
    int failed = 0;
    for (uint32_t i = 0; i < TETHER_WINDOWS_MAX; i++) {
        windows[i] = (struct tether_window){sim_clock(v, v->windows[i].start_ns), v->windows[i].length_ns};
        table[i] = (struct tether_window){sim_clock(v, v->table[i].start_ns), v->table[i].length_ns};
    }
    if (v->config.window_count)
        failed = v->ops.windows(v->context, now_ns, windows, v->config.window_count);
    if (!failed && v->config.table_count && v->ep != NULL)
        failed = tether_endpoint_rtt_table(v->ep, now_ns, table, v->config.table_count);
    return failed;
}

int sim_vertex_open(struct tether_sim *sim, uint32_t index)
{
    struct sim_vertex *v = &sim->vertices[index];
    v->sim = sim;
    v->index = index;
    v->address = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 4};
    tether_put32(v->address.bytes, index);
    if (v->config.window_count > TETHER_WINDOWS_MAX || v->config.table_count > TETHER_WINDOWS_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < v->config.table_count; i++)
        v->table[i] = v->config.table[i];
    for (uint32_t i = 0; i < v->config.window_count; i++)
        v->windows[i] = v->config.windows[i];
    v->wake_ns = UINT64_MAX;
    v->counter_next = UINT64_C(1) << SIM_STRIDE;
    v->result.struct_size = sizeof v->result;
    v->result.vertex = index;
    v->result.before.struct_size = v->result.stats.struct_size = sizeof v->result.stats;
    if (v->config.kind == TETHER_SIM_ENDPOINT) {
        v->ops = sim_core_ops;
        v->context = v;
        v->shadow = calloc((size_t)v->config.max_channels * (v->config.max_flows + 1), sizeof *v->shadow);
        return v->shadow == NULL ? -ENOMEM : 0;
    }
    if (v->config.kind == TETHER_SIM_FOREIGN) {
        if (v->config.ops == NULL || v->config.ops->struct_size != sizeof v->ops)
            return -EINVAL;
        v->ops = *v->config.ops;
        v->context = v->config.context;
        return 0;
    }
    return v->config.kind == TETHER_SIM_BLIND ? sim_blind_open(v) : 0;
}

void sim_vertex_close(struct sim_vertex *v)
{
    if (v->ep != NULL)
        tether_endpoint_free(v->ep);
    sim_blind_close(v);
    free(v->shadow);
}

int sim_vertex_start(struct sim_vertex *v)
{
    uint64_t first = v->counter_next, now = sim_clock(v, v->sim->now_ns);
    int failed;
    if (v->config.kind > TETHER_SIM_FOREIGN)
        return 0;
    v->counter_next += UINT64_C(1) << SIM_STRIDE;
    failed = v->ops.restart(v->context, now, first, v->counter_next);
    failed = failed ? failed : declare(v, now);
    if (failed)
        return failed;
    if (v->shadow != NULL)
        memset(v->shadow, 0, (size_t)v->config.max_channels * (v->config.max_flows + 1) * sizeof *v->shadow);
    v->up = 1;
    v->result.lives++;
    v->born_ns = now;
    v->nic_ns = v->sim->now_ns;
    return 0;
}

/* Adds the counters of a life that ends to those of former ones; gauges are of no life. */
static void bury(struct sim_vertex *v)
{
    struct tether_stats stats = {.struct_size = sizeof stats};
    uint64_t *sum = &v->result.before.frames_sent;
    const uint64_t *add = &stats.frames_sent;
    size_t counters = offsetof(struct tether_stats, grants_outstanding_slots) - offsetof(struct tether_stats, frames_sent);
    tether_endpoint_stats(v->ep, &stats);
    for (size_t i = 0; i < counters / sizeof *sum; i++)
        sum[i] += add[i];
    for (size_t i = 0; i < TETHER_REJECT_SLOTS; i++)
        v->result.before.rejects[i] += stats.rejects[i];
}

void sim_vertex_crash(struct sim_vertex *v)
{
    if (!v->up)
        return;
    v->up = 0;
    v->wake_ns = UINT64_MAX;
    if (v->ep != NULL) {
        bury(v);
        tether_endpoint_free(v->ep);
        v->ep = NULL;
    }
    sim_watch_restarted(&v->sim->watch, v->index);
}

/* ------------------------------------------------------------------- frames */

void sim_send(struct tether_sim *sim, uint32_t from, struct sim_frame *frame)
{
    uint32_t pipe = frame->to < sim->config.vertex_count ? sim->routes[from * sim->config.vertex_count + frame->to]
                                                         : UINT32_MAX;
    if (pipe == UINT32_MAX) {
        sim_frame_give(sim, frame);
        return;
    }
    sim_pipe_put(sim, pipe, frame);
    sim->vertices[from].nic_ns = sim->pipes[pipe].busy_ns;
}

static int open_now(const struct sim_vertex *v)
{
    for (uint32_t i = 0; i < v->config.window_count; i++)
        if (v->sim->now_ns + 1 >= v->windows[i].start_ns &&
            v->sim->now_ns <= v->windows[i].start_ns + v->windows[i].length_ns)
            return 1;
    return 0;
}

static int transmit(struct sim_vertex *v, uint64_t now)
{
    struct tether_sim *sim = v->sim;
    struct tether_address to = {0};
    struct sim_frame *frame;
    size_t capacity = ((size_t)v->config.frame_blocks + 1) * TETHER_BLOCK_BYTES;
    int length;
    capacity = capacity < TETHER_HEADER_BYTES + 320 ? TETHER_HEADER_BYTES + 320 : capacity;
    length = v->ops.transmit(v->context, now, sim->scratch, capacity, &to);
    sim->result.steps++;
    (void)v->ops.check(v->context, 0);
    if (length <= 0) {
        if (length < 0)
            sim_broken(sim, TETHER_SIM_CALL, v->index, "transmit: %d", length);
        return 0;
    }
    frame = sim_frame_take(sim, (uint32_t)length);
    if (frame == NULL)
        return 0;
    memcpy(frame->bytes, sim->scratch, (size_t)length);
    if (v->config.window_count && !open_now(v))
        sim_broken(sim, TETHER_SIM_CALL, v->index, "a frame outside the contact windows");
    frame->origin = frame->from = v->index;
    frame->to = to.length == 4 ? tether_get32(to.bytes) : UINT32_MAX;
    sim_watch_sent(sim, frame);
    sim_send(sim, v->index, frame);
    return 1;
}

static void arm(struct sim_vertex *v, uint64_t now)
{
    struct tether_sim *sim = v->sim;
    uint64_t deadline = v->ops.deadline(v->context), at = when(v, deadline);
    if (deadline <= now) /* it has more to send, or waits for something that no clock tells */
        at = v->nic_ns > sim->now_ns ? v->nic_ns : sim->now_ns + 1000;
    at = at < v->nic_ns ? v->nic_ns : at;
    if (at == UINT64_MAX || (v->wake_ns > sim->now_ns && v->wake_ns <= at))
        return;
    v->wake_ns = at;
    (void)sim_at(sim, at, SIM_EV_WAKE, v->index, NULL);
}

/* Everything that the vertex can do now: tell its application, send what its link takes. */
void sim_kick(struct sim_vertex *v)
{
    struct tether_sim *sim = v->sim;
    struct tether_event event;
    uint64_t now = sim_clock(v, sim->now_ns);
    int did = 1;
    if (v->kicking || !v->up)
        return;
    v->kicking = 1;
    while (did && v->up && !sim->stop) {
        while (v->up && !sim->stop && v->nic_ns <= sim->now_ns && transmit(v, now))
            continue;
        did = 0;
        while (v->up && !sim->stop && v->ops.event(v->context, &event) > 0) {
            sim_app_event(v, &event);
            did = 1;
        }
    }
    v->kicking = 0;
    if (v->up && !sim->stop)
        arm(v, now);
}

void sim_arrive(struct tether_sim *sim, struct sim_frame *frame)
{
    uint32_t index = sim->pipes[frame->pipe].config.to;
    struct sim_vertex *v = &sim->vertices[index];
    uint8_t header[TETHER_HEADER_BYTES] = {0};
    int accepted;
    if (v->config.kind == TETHER_SIM_SWITCH) {
        sim_send(sim, index, frame);
        return;
    }
    sim->result.frames++;
    if (v->config.kind == TETHER_SIM_BLIND)
        sim_blind_arrive(v, frame);
    if (v->config.kind > TETHER_SIM_FOREIGN || !v->up || frame->length == 0) {
        sim_frame_give(sim, frame);
        return;
    }
    memcpy(header, frame->bytes, frame->length < sizeof header ? frame->length : sizeof header);
    v->result.received_frames++;
    accepted = v->ops.receive(v->context, sim_clock(v, sim->now_ns), &sim->vertices[frame->from].address, frame->bytes,
                              frame->length);
    sim->result.steps++;
    v->result.accepted_frames += accepted == 0;
    sim_watch_arrived(sim, frame, accepted, header);
    (void)v->ops.check(v->context, 0);
    sim_frame_give(sim, frame);
    sim_kick(v);
}
