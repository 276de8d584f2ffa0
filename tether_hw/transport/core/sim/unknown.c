/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unknown.c: when a message flow ends before its sender has closed it, the sender is told which of its messages have no
 * receipt (T-FLW-23). What it is told is held against what the application wrote, what the observer saw sent and
 * receipted, and later against what is delivered: nothing of what was said never to be sent. That is written again
 * into the next flow, so a sender that was told wrong delivers a message twice.
 */
#include "stream.h"

typedef unsigned long long ull;

static int exact(const struct tether_sim *sim, const struct sim_stream *stream)
{
    return config_of(sim, stream)->reliability == TETHER_FLOW_RELIABLE && !stream->cut;
}

/* What this end writes on a flow, by its sender; NULL when the observer does not know. */
static const struct sim_watch_flow *seen_of(struct tether_sim *sim, const struct sim_stream *stream)
{
    const struct sim_flow *flow = &sim->flows[stream->flow];
    const struct sim_vertex *v = &sim->vertices[stream->src];
    return sim_watch_flow_from(sim, v->index, v->result.lives, flow->last[stream->direction], flow->id);
}

/* What was never sent is there to be written again, when there is going to be another flow. */
static void take_back(struct tether_sim *sim, struct sim_stream *stream, uint64_t first)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    if (stream->result.complete || !sim->channels[c->channel].config.reopen || stream->cut || sim->flows[stream->flow].closing || c->message_min < LABEL ||
        c->reliability != TETHER_FLOW_RELIABLE)
        return;
    for (uint64_t m = first; m < stream->next_message; m++) {
        if (bit(stream->ended, m))
            stream->result.unknown_messages--;
        unset(stream->ended, m);
        stream->result.written_messages--;
        stream->result.written_bytes -= message_length(sim, stream, m);
        stream->result.unsent_messages++;
    }
    stream->next_message = first;
    if (stream->first_of_life > first) /* the next flow is open at its other end already */
        stream->first_of_life = first;
    stream->write_done = 0;
}

static void judge(struct tether_sim *sim, struct sim_stream *stream, const struct tether_event *event)
{
    const struct sim_watch_flow *seen = seen_of(sim, stream);
    uint64_t first = event->value, count = (uint64_t)event->status, never = first + count;
    if (stream->told++)
        sim_broken(sim, TETHER_SIM_UNKNOWN, stream->src, "flow %u: its sender is told twice", stream->flow);
    if (event->status < 0 || count + event->extra == 0 || never + event->extra != stream->life_written)
        sim_broken(sim, TETHER_SIM_UNKNOWN, stream->src,
                   "flow %u: %llu messages were written; %llu with a receipt, %llu unknown, %u never sent",
                   stream->flow, (ull)stream->life_written, (ull)first, (ull)count, event->extra);
    if (seen != NULL && exact(sim, stream) && (first != seen->receipted || never != seen->begun))
        sim_broken(sim, TETHER_SIM_UNKNOWN, stream->src,
                   "flow %u: told that %llu have a receipt and %llu are unknown; seen: %llu receipts, %llu begun",
                   stream->flow, (ull)first, (ull)count, (ull)seen->receipted, (ull)seen->begun);
    for (uint64_t m = stream->life_first + never; m < stream->life_first + stream->life_written; m++) {
        if (bit(stream->seen, m))
            sim_broken(sim, TETHER_SIM_UNKNOWN, stream->src, "flow %u: message %llu was delivered, and said never to be sent",
                       stream->flow, (ull)m);
        set(stream->unsent, m);
    }
    if (!sim->stop)
        take_back(sim, stream, stream->life_first + never);
}

/* What this end writes on a flow of its channel; NULL = nothing. */
static struct sim_stream *stream_of(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    for (uint32_t i = 0; i < sim->config.flow_count; i++) {
        struct sim_flow *flow = &sim->flows[i];
        const struct tether_sim_channel *ch = &sim->channels[flow->config.channel].config;
        int side = ch->to == vertex;
        if (flow->id == id && flow->last[side] == channel && (ch->from == vertex || side))
            return messages(sim, &flow->stream[side]) && active(sim, &flow->stream[side]) ? &flow->stream[side] : NULL;
    }
    return NULL;
}

void sim_unknown_told(struct tether_sim *sim, struct sim_vertex *v, const struct tether_event *event)
{
    struct sim_stream *stream = stream_of(sim, v->index, event->channel, event->flow);
    if (stream == NULL)
        return;
    stream->owed = 0;
    judge(sim, stream, event);
}

void sim_unknown_unseen(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_stream *stream = stream_of(sim, vertex, channel, id);
    if (stream != NULL)
        stream->cut = 1;
}

void sim_unknown_ended(struct tether_sim *sim, struct sim_flow *flow, int side)
{
    struct sim_stream *stream = &flow->stream[side];
    const struct sim_watch_flow *seen = seen_of(sim, stream);
    if (!messages(sim, stream) || !active(sim, stream) || stream->told || (side == 0 && flow->closing))
        return;
    if (seen != NULL && exact(sim, stream) && seen->receipted < stream->life_written)
        stream->owed = (uint32_t)(stream->life_written - seen->receipted);
}

void sim_unknown_begins(struct tether_sim *sim, struct sim_stream *stream)
{
    sim_unknown_settled(sim, stream);
    stream->life_first = stream->next_message;
    stream->life_written = stream->told = stream->cut = 0;
}

void sim_unknown_settled(struct tether_sim *sim, struct sim_stream *stream)
{
    if (stream->owed && !sim->stop)
        sim_broken(sim, TETHER_SIM_UNKNOWN, stream->src,
                   "flow %u ended, and its sender was not told what became of %u messages", stream->flow, stream->owed);
    stream->owed = 0;
}
