/* SPDX-License-Identifier: Apache-2.0 */
/* app.c: what applications do: open channels and flows, hear events, and the script of what happens to them. */
#include "sim.h"

#include <errno.h>

enum { RETURN = UINT32_C(1) << 31 };
static const uint64_t retry_ns = 1000000;

/* The channel whose end at `vertex` has this index; UINT32_MAX = none. */
uint32_t sim_app_find(const struct tether_sim *sim, uint32_t vertex, uint32_t channel)
{
    for (uint32_t i = 0; i < sim->config.channel_count; i++) {
        const struct sim_channel *ch = &sim->channels[i];
        if ((ch->config.from == vertex && ch->index[0] == channel) ||
            (ch->config.to == vertex && ch->index[1] == channel))
            return i;
    }
    return UINT32_MAX;
}

void sim_app_channel(struct tether_sim *sim, uint32_t channel)
{
    struct sim_channel *ch = &sim->channels[channel];
    struct sim_vertex *v = &sim->vertices[ch->config.from], *w = &sim->vertices[ch->config.to];
    uint64_t now = sim_clock(v, sim->now_ns);
    int failed;
    if (!v->up || ch->index[0])
        return;
    sim->progress_ns = sim->now_ns;
    failed = v->ops.channel_open(v->context, now, w->config.node + 1, w->config.lane, &w->address, &ch->index[0]);
    if (failed == -ENOSPC || failed == -EALREADY) { /* the one before has not been told of yet, or has not fallen */
        ch->index[0] = 0;
        (void)sim_at(sim, sim->now_ns + retry_ns, SIM_EV_CHANNEL, channel, NULL);
        return;
    }
    if (failed) {
        sim_broken(sim, TETHER_SIM_CALL, v->index, "channel_open: %d", failed);
        return;
    }
    ch->opens++;
    sim_kick(v);
}

static void open_flow(struct tether_sim *sim, uint32_t number)
{
    struct sim_flow *flow = &sim->flows[number];
    struct sim_channel *ch = &sim->channels[flow->config.channel];
    struct sim_vertex *v = &sim->vertices[ch->config.from];
    struct tether_flow_options options = {.struct_size = sizeof options, .kind = flow->config.kind,
        .reliability = flow->config.reliability, .order = flow->config.order, .scale = flow->config.scale,
        .bound = flow->config.bound, .budget = flow->config.budget, .latency_ns = flow->config.latency_ns,
        .deadline_ns = flow->config.deadline_ns};
    uint64_t now = sim_clock(v, sim->now_ns);
    int failed;
    if (flow->open || flow->closing || !ch->up || !v->up)
        return;
    if (sim_stream_complete(sim, &flow->stream[0]) && sim_stream_complete(sim, &flow->stream[1]))
        return;
    failed = v->ops.flow_open(v->context, now, ch->index[0], &options, &flow->id);
    if (failed == -ENOTCONN || failed == -ENOENT || failed == -ENOSPC || failed == -EAGAIN) {
        (void)sim_at(sim, sim->now_ns + retry_ns, SIM_EV_STREAM, number * 2, NULL);
        return;
    }
    if (failed < 0) {
        sim_broken(sim, TETHER_SIM_CALL, v->index, "flow_open: %d", failed);
        return;
    }
    sim_watch_flow_begins(sim, ch->config.from, ch->index[0], flow->id);
    flow->open = 1;
    flow->at[0] = flow->last[0] = ch->index[0];
    flow->at[1] = 0;
    flow->opens++;
    sim->progress_ns = sim->now_ns;
    for (uint32_t d = 0; d < 2; d++)
        sim_stream_life(sim, &flow->stream[d]);
}

static void channel_up(struct tether_sim *sim, uint32_t channel)
{
    struct sim_channel *ch = &sim->channels[channel];
    ch->up = 1;
    sim->progress_ns = sim->now_ns;
    for (uint32_t i = 0; i < sim->config.flow_count; i++)
        if (sim->flows[i].config.channel == channel)
            (void)sim_at(sim, sim->flows[i].config.start_ns, SIM_EV_STREAM, i * 2, NULL);
}

/* A flow's end at `side` is over: with the channel, or closed by the peer. */
static void flow_over(struct tether_sim *sim, struct sim_flow *flow, int side, int32_t status)
{
    struct sim_channel *ch = &sim->channels[flow->config.channel];
    struct sim_vertex *v = &sim->vertices[side ? ch->config.to : ch->config.from];
    if (status == 0 && v->up && flow->at[side] && !(side == 0 && flow->closing)) /* the opener has closed before */
        (void)v->ops.flow_close(v->context, sim_clock(v, sim->now_ns), flow->at[side], flow->id);
    if (flow->last[1 - side]) /* what was on its way beyond the grant */
        sim_watch_flow_ends(sim, side ? ch->config.from : ch->config.to, flow->last[1 - side], flow->id);
    flow->at[side] = 0;
    if (side == 0)
        flow->open = 0;
    if (status != 0 || !flow->closing)
        for (uint32_t d = 0; d < 2; d++)
            sim_stream_lost(sim, &flow->stream[d], side);
}

void sim_app_down(struct tether_sim *sim, uint32_t channel, int side)
{
    struct sim_channel *ch = &sim->channels[channel];
    ch->index[side] = 0;
    for (uint32_t i = 0; i < sim->config.flow_count; i++)
        if (sim->flows[i].config.channel == channel && sim->flows[i].at[side])
            flow_over(sim, &sim->flows[i], side, -ECONNRESET);
    if (side)
        return;
    ch->up = 0;
    if (ch->config.reopen && sim->open_streams && !ch->fresh)
        (void)sim_at(sim, sim->now_ns + retry_ns, SIM_EV_CHANNEL, channel, NULL);
}

static struct sim_flow *flow_of(struct tether_sim *sim, const struct sim_vertex *v, const struct tether_event *event,
                                int *side)
{
    for (uint32_t i = 0; i < sim->config.flow_count; i++) {
        struct sim_flow *flow = &sim->flows[i];
        const struct sim_channel *ch = &sim->channels[flow->config.channel];
        if (flow->id != event->flow)
            continue;
        *side = ch->config.to == v->index;
        if ((ch->config.from == v->index || ch->config.to == v->index) && flow->at[*side] == event->channel)
            return flow;
    }
    return NULL;
}

static void flow_opened(struct tether_sim *sim, struct sim_vertex *v, const struct tether_event *event)
{
    for (uint32_t i = 0; i < sim->config.flow_count; i++) {
        struct sim_flow *flow = &sim->flows[i];
        struct sim_channel *ch = &sim->channels[flow->config.channel];
        if (!flow->open || flow->at[1] || flow->id != event->flow || ch->config.to != v->index ||
            sim->vertices[ch->config.from].config.node + 1 != event->peer_id)
            continue;
        flow->at[1] = flow->last[1] = event->channel;
        ch->index[1] = event->channel;
        for (uint32_t d = 0; d < 2; d++) {
            sim_stream_seen(sim, &flow->stream[d]);
            sim_stream_go(sim, &flow->stream[d]);
        }
        return;
    }
    /* An old flow, opened before the other end went: it has no streams any more. */
}

void sim_app_event(struct sim_vertex *v, const struct tether_event *event)
{
    struct tether_sim *sim = v->sim;
    uint32_t channel = sim_app_find(sim, v->index, event->channel);
    struct sim_flow *flow;
    int side = 0;
    switch (event->kind) {
    case TETHER_EVENT_NEED_COUNTER: {
        uint64_t stride = UINT64_C(1) << SIM_STRIDE, first = v->counter_next;
        if (event->value >= first)
            first = (event->value / stride + 1) * stride;
        v->counter_next = first + stride;
        (void)v->ops.counter(v->context, first, v->counter_next);
        return;
    }
    case TETHER_EVENT_CHANNEL_UP:
        if (channel != UINT32_MAX && sim->channels[channel].config.from == v->index)
            channel_up(sim, channel);
        return;
    case TETHER_EVENT_CHANNEL_DOWN:
        if (channel == UINT32_MAX)
            return;
        side = sim->channels[channel].config.from != v->index;
        if (event->status == -EISCONN && side == 0) { /* the peer's Hail stands: its channel is ours */
            sim->channels[channel].index[0] = (uint32_t)event->value;
            channel_up(sim, channel);
            return;
        }
        for (uint32_t i = 0; i < sim->config.flow_count; i++)
            if (sim->flows[i].config.channel == channel && sim->flows[i].at[side])
                sim_unknown_ended(sim, &sim->flows[i], side);
        sim->downs |= event->status == -ETIMEDOUT; /* the other end has to find out by its own clock */
        sim_app_down(sim, channel, side);
        if (side == 0 && sim->channels[channel].fresh) { /* our own newer Hail has taken over */
            sim->channels[channel].index[0] = sim->channels[channel].fresh;
            sim->channels[channel].fresh = 0;
            channel_up(sim, channel);
        }
        return;
    case TETHER_EVENT_FLOW_OPENED:
        flow_opened(sim, v, event);
        return;
    case TETHER_EVENT_MESSAGE_UNKNOWN:
        sim_unknown_told(sim, v, event);
        return;
    case TETHER_EVENT_FLOW_READABLE:
    case TETHER_EVENT_FLOW_WRITABLE:
    case TETHER_EVENT_FLOW_DRAINED:
    case TETHER_EVENT_FLOW_CLOSED:
        flow = flow_of(sim, v, event, &side);
        if (flow == NULL)
            return;
        if (event->kind == TETHER_EVENT_FLOW_CLOSED) {
            sim_stream_drain(sim, &flow->stream[1 - side], v);
            sim_unknown_ended(sim, flow, side);
            flow_over(sim, flow, side, event->status);
            return;
        }
        for (uint32_t d = 0; d < 2; d++) {
            struct sim_stream *stream = &flow->stream[d];
            stream->wants_write |= event->kind == TETHER_EVENT_FLOW_WRITABLE && stream->src == v->index;
            stream->wants_read |= event->kind == TETHER_EVENT_FLOW_READABLE && stream->dst == v->index;
            stream->drained |= event->kind == TETHER_EVENT_FLOW_DRAINED && stream->src == v->index;
            sim_stream_go(sim, stream);
        }
        return;
    default:
        return;
    }
}

/* A stream's own time has come: its start, or the next piece of its pace. */
void sim_app_stream(struct tether_sim *sim, uint32_t number)
{
    struct sim_flow *flow = &sim->flows[number / 2];
    struct sim_stream *stream = &flow->stream[number % 2];
    uint32_t from = sim->channels[flow->config.channel].config.from;
    stream->armed = 0;
    if (sim->now_ns >= flow->config.start_ns)
        open_flow(sim, number / 2);
    for (uint32_t d = 0; d < 2; d++)
        sim_stream_go(sim, &flow->stream[d]);
    sim_kick(&sim->vertices[from]);
    sim_kick(&sim->vertices[sim->channels[flow->config.channel].config.to]);
}

static void crash(struct tether_sim *sim, uint32_t node)
{
    for (uint32_t i = 0; i < sim->config.vertex_count; i++) {
        struct sim_vertex *v = &sim->vertices[i];
        if (v->config.kind > TETHER_SIM_FOREIGN || v->config.node != node || !v->up)
            continue;
        sim_vertex_crash(v);
        sim->crashed++;
        for (uint32_t c = 0; c < sim->config.channel_count; c++) {
            if (sim->channels[c].config.from == i && sim->channels[c].index[0]) {
                sim->channels[c].fresh = 0;
                sim_app_down(sim, c, 0);
            }
            if (sim->channels[c].config.to == i)
                sim_app_down(sim, c, 1);
        }
    }
    sim->crashes = 1;
}

static void revive(struct tether_sim *sim, uint32_t node)
{
    for (uint32_t i = 0; i < sim->config.vertex_count; i++) {
        struct sim_vertex *v = &sim->vertices[i];
        if (v->config.kind > TETHER_SIM_FOREIGN || v->config.node != node || v->up)
            continue;
        if (sim_vertex_start(v))
            sim_broken(sim, TETHER_SIM_CALL, i, "an endpoint cannot be made");
        sim->crashed--;
        for (uint32_t c = 0; c < sim->config.channel_count; c++)
            if (sim->channels[c].config.from == i)
                (void)sim_at(sim, sim->now_ns + retry_ns, SIM_EV_CHANNEL, c, NULL);
        sim_kick(v);
    }
    sim->result.last_fault_ns = sim->now_ns;
}

static void cancel(struct tether_sim *sim, uint32_t entry, struct sim_flow *flow, int close)
{
    struct sim_stream *stream = &flow->stream[flow->config.reverse];
    struct sim_channel *ch = &sim->channels[flow->config.channel];
    int side = stream->src == ch->config.to, got;
    struct sim_vertex *v = &sim->vertices[stream->src];
    if (!v->up || !flow->at[side])
        return;
    if (close) {
        got = v->ops.flow_close(v->context, sim_clock(v, sim->now_ns), flow->at[side], flow->id);
        flow->closing = 1;
        sim_stream_cancelled(sim, &flow->stream[0], 1);
        sim_stream_cancelled(sim, &flow->stream[1], 1);
    } else {
        got = v->ops.flow_cancel(v->context, sim_clock(v, sim->now_ns), flow->at[side], flow->id);
        if (got == -EAGAIN) {
            (void)sim_at(sim, sim->now_ns + retry_ns, SIM_EV_SCRIPT, entry | RETURN, NULL);
            return;
        }
        sim_stream_cancelled(sim, stream, 0);
    }
    if (got < 0 && got != -EALREADY && got != -ENOENT && got != -EPIPE) /* it has ended by itself before */
        sim_broken(sim, TETHER_SIM_CALL, v->index, "%s: %d", close ? "flow_close" : "flow_cancel", got);
    sim_kick(v);
    sim_stream_go(sim, stream);
    sim_kick(v);
}

void sim_app_script(struct tether_sim *sim, uint32_t number)
{
    uint32_t entry = number & ~RETURN;
    const struct tether_sim_event *e = &sim->script[entry];
    int again = (number & RETURN) != 0;
    struct sim_channel *ch;
    struct sim_vertex *v;
    if (!again) {
        sim->pending_script--;
        if (!sim_fault(sim, TETHER_SIM_FAULT_SCRIPT, entry, 0))
            return;
    }
    switch (e->kind) {
    case TETHER_SIM_CRASH:
        if (again) {
            sim->pending_script--;
            revive(sim, e->a);
            return;
        }
        crash(sim, e->a);
        sim->pending_script++;
        (void)sim_at(sim, sim->now_ns + e->value, SIM_EV_SCRIPT, entry | RETURN, NULL);
        return;
    case TETHER_SIM_CLOCK_STEP:
        for (uint32_t i = 0; i < sim->config.vertex_count; i++) {
            v = &sim->vertices[i];
            if (v->config.kind > TETHER_SIM_FOREIGN || v->config.node != e->a)
                continue;
            v->step_ns += (int64_t)e->value;
            sim->stall_ns += 6 * e->value; /* the jump is in its round-trip times, and so in its clocks */
            v->wake_ns = UINT64_MAX;
            sim_kick(v);
        }
        return;
    case TETHER_SIM_CANCEL:
    case TETHER_SIM_CLOSE_FLOW:
        cancel(sim, entry, &sim->flows[e->a], e->kind == TETHER_SIM_CLOSE_FLOW);
        return;
    case TETHER_SIM_CLOSE_CHANNEL:
        ch = &sim->channels[e->a];
        v = &sim->vertices[ch->config.from];
        if (v->up && ch->index[0])
            (void)v->ops.channel_close(v->context, sim_clock(v, sim->now_ns), ch->index[0]);
        sim_kick(v);
        return;
    case TETHER_SIM_DELAY:
        sim->pipes[e->a].config.delay_ns = e->value;
        return;
    case TETHER_SIM_RATE:
        sim->pipes[e->a].config.rate_bps = e->value;
        return;
    case TETHER_SIM_HAIL: {
        uint32_t fresh = 0;
        ch = &sim->channels[e->a];
        v = &sim->vertices[ch->config.from];
        if (v->up && v->ops.channel_open(v->context, sim_clock(v, sim->now_ns),
                                         sim->vertices[ch->config.to].config.node + 1,
                                         sim->vertices[ch->config.to].config.lane,
                                         &sim->vertices[ch->config.to].address, &fresh) == 0)
            ch->fresh = fresh;
        sim_kick(v);
        return;
    }
    default:
        return;
    }
}
