/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c: one direction of a flow as its applications see it. What is written is made from its place, what is read
 * is checked by its place: every byte right, every message at most once, and nothing lost without a word.
 *
 * A message of 16 bytes or more begins with its number and its length, so that others before it may be lost.
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>

int sim_stream_open(struct tether_sim *sim, uint32_t flow, uint32_t direction)
{
    struct sim_stream *stream = &sim->flows[flow].stream[direction];
    const struct tether_sim_flow *c = &sim->flows[flow].config;
    const struct tether_sim_channel *ch = &sim->channels[c->channel].config;
    stream->flow = stream->result.flow = flow;
    stream->direction = stream->result.direction = direction;
    stream->src = direction ? ch->to : ch->from;
    stream->dst = direction ? ch->from : ch->to;
    stream->key = sim_draw(sim->config.seed, SIM_DRAW_PAYLOAD, flow, direction);
    stream->result.struct_size = sizeof stream->result;
    if (!active(sim, stream)) {
        stream->write_done = stream->read_done = 1;
        stream->result.complete = 1;
        stream->counted = 1;
        return 0;
    }
    sim->open_streams++;
    if (c->kind != TETHER_FLOW_MESSAGE) {
        if (c->order == TETHER_FLOW_ORDERED && c->reliability == TETHER_FLOW_RELIABLE)
            return 0;
        stream->blocks = calloc(c->bytes / TETHER_BLOCK_BYTES / 8 + 1, 1);
        return stream->blocks ? 0 : -ENOMEM;
    }
    stream->seen = calloc(c->messages / 8 + 1, 1);
    stream->ended = calloc(c->messages / 8 + 1, 1);
    stream->unsent = calloc(c->messages / 8 + 1, 1);
    return stream->seen && stream->ended && stream->unsent ? 0 : -ENOMEM;
}

void sim_stream_close(struct sim_stream *stream)
{
    free(stream->seen);
    free(stream->ended);
    free(stream->unsent);
    free(stream->blocks);
}

int sim_stream_complete(const struct tether_sim *sim, const struct sim_stream *stream)
{
    (void)sim;
    return stream->result.complete != 0;
}

/* Is there nothing left that must come? */
void sim_stream_settle(struct tether_sim *sim, struct sim_stream *stream)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    if (stream->result.complete)
        return;
    if (c->kind == TETHER_FLOW_MESSAGE) {
        if (stream->next_message < c->messages)
            return;
        if (c->reliability == TETHER_FLOW_EXPIRING && stream->drained) /* what did not come has expired */
            for (uint64_t m = 0; m < c->messages; m++)
                if (!bit(stream->seen, m))
                    set(stream->ended, m);
        if (stream->result.delivered_messages < c->messages)
            for (uint64_t m = 0; m < c->messages; m++)
                if (!bit(stream->seen, m) && !bit(stream->ended, m))
                    return;
    } else if (!stream->read_done) {
        return;
    }
    stream->result.complete = 1;
    if (!stream->counted) {
        stream->counted = 1;
        sim->open_streams--;
    }
}

void sim_stream_close_flow(struct tether_sim *sim, struct sim_flow *flow)
{
    struct sim_channel *ch = &sim->channels[flow->config.channel];
    struct sim_vertex *v = &sim->vertices[ch->config.from];
    int waits = (active(sim, &flow->stream[0]) && !flow->stream[0].drained && flow->stream[0].result.delivered_bytes);
    if (!flow->config.close || flow->closing || !flow->at[0] || waits || !flow->stream[0].result.complete ||
        !flow->stream[1].result.complete)
        return;
    flow->closing = 1;
    (void)v->ops.flow_close(v->context, sim_clock(v, sim->now_ns), flow->at[0], flow->id);
    sim_kick(v);
}

/* ------------------------------------------------------------------ writing */

void sim_stream_arm(struct tether_sim *sim, struct sim_stream *stream, uint64_t at_ns)
{
    if (stream->armed)
        return;
    stream->armed = 1;
    (void)sim_at(sim, at_ns, SIM_EV_STREAM, stream->flow * 2 + stream->direction, NULL);
}

static int64_t write_bytes(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v, uint32_t channel)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t left = c->bytes - stream->at, most = c->write_bps ? PACED_PIECE : SIM_PIECE;
    uint64_t piece = left < most ? left : most;
    uint32_t flags = piece == left ? TETHER_WRITE_END | (stream->blocks ? 0 : TETHER_WRITE_FLUSH) : 0;
    int64_t took;
    sim_payload_fill(stream->key, stream->at, sim->scratch, piece);
    took = v->ops.flow_write(v->context, sim_clock(v, sim->now_ns), channel, sim->flows[stream->flow].id, sim->scratch,
                             piece, flags);
    if (took <= 0)
        return took;
    stream->at += (uint64_t)took;
    stream->result.written_bytes = stream->at;
    stream->write_done = stream->at == c->bytes;
    if ((uint64_t)took < piece)
        stream->wants_write = 0;
    return took;
}

static int64_t write_message(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v, uint32_t channel)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t number = stream->next_message, length = message_length(sim, stream, number);
    int64_t took;
    sim_payload_fill(stream->key ^ sim_mix(number + 1), 0, sim->scratch, length);
    if (length >= LABEL) {
        tether_put64(sim->scratch, number);
        tether_put64(sim->scratch + 8, length);
    }
    took = v->ops.flow_write(v->context, sim_clock(v, sim->now_ns), channel, sim->flows[stream->flow].id, sim->scratch,
                             length, TETHER_WRITE_FLUSH);
    if (took <= 0)
        return took;
    unset(stream->unsent, number);
    stream->next_message++;
    stream->life_written++;
    stream->result.written_messages++;
    stream->result.written_bytes += length;
    stream->write_done = stream->next_message == c->messages;
    return took;
}

static void write_on(struct tether_sim *sim, struct sim_stream *stream)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    struct sim_vertex *v = &sim->vertices[stream->src];
    uint32_t channel = sim->flows[stream->flow].at[stream->direction];
    int64_t took;
    if (!v->up || !channel || !stream->begun || !active(sim, stream))
        return;
    while (!stream->write_done && stream->wants_write && !sim->stop) {
        if (sim->now_ns < stream->write_tokens_ns) {
            sim_stream_arm(sim, stream, stream->write_tokens_ns);
            return;
        }
        took = c->kind == TETHER_FLOW_MESSAGE ? write_message(sim, stream, v, channel)
                                              : write_bytes(sim, stream, v, channel);
        if (took == -EAGAIN || took == -EPIPE || took == -ENOTCONN || took == -ENOENT) {
            stream->wants_write = 0; /* the event that says why, or when, is on its way */
            return;
        }
        if (took <= 0) {
            sim_broken(sim, TETHER_SIM_CALL, v->index, "flow_write: %lld", (long long)took);
            return;
        }
        stream->drained = 0;
        if (stream->result.first_write_ns == 0)
            stream->result.first_write_ns = sim->now_ns ? sim->now_ns : 1;
        if (c->write_bps)
            stream->write_tokens_ns = sim->now_ns + (uint64_t)took * UINT64_C(8000000000) / c->write_bps;
    }
}

void sim_stream_go(struct tether_sim *sim, struct sim_stream *stream)
{
    write_on(sim, stream);
    sim_stream_read(sim, stream, 0);
    sim_stream_settle(sim, stream);
    sim_stream_close_flow(sim, &sim->flows[stream->flow]);
}

/* The flow ends at its reader: what has arrived is read now, whatever its pace. */
void sim_stream_drain(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v)
{
    if (stream->dst == v->index)
        sim_stream_read(sim, stream, 1);
}

/* ------------------------------------------------------------- lives of a flow */

/* What was written into the flow that has ended, and did not come, may or may not have arrived. */
static void unknown(struct tether_sim *sim, struct sim_stream *stream)
{
    for (uint64_t m = stream->first_of_life; messages(sim, stream) && m < stream->next_message; m++)
        if (!bit(stream->seen, m) && !bit(stream->ended, m)) {
            set(stream->ended, m);
            stream->result.unknown_messages++;
        }
}

void sim_stream_life(struct tether_sim *sim, struct sim_stream *stream)
{
    if (stream->direction == 0)
        sim_unknown_begins(sim, stream);
    if (!active(sim, stream) || stream->result.complete)
        return;
    unknown(sim, stream); /* the other end may not have heard yet that the former flow has ended */
    sim_stream_settle(sim, stream);
    if (stream->result.complete)
        return;
    stream->result.opens++;
    stream->begun = stream->result.opens == 1 && stream->direction == 0;
    stream->wants_write = 1;
    stream->wants_read = 0;
    stream->drained = 0;
    stream->first_of_life = stream->next_message;
    if (stream->begun)
        write_on(sim, stream);
}

/* Both ends have the flow. A byte stream goes on from what its receiver has on record. */
void sim_stream_seen(struct tether_sim *sim, struct sim_stream *stream)
{
    if (stream->direction)
        sim_unknown_begins(sim, stream); /* only now does its sender know that the former flow has ended */
    if (!active(sim, stream) || stream->begun)
        return;
    stream->begun = 1;
    if (!messages(sim, stream)) {
        stream->at = stream->base = stream->result.delivered_bytes;
        stream->write_done = 0;
    }
}

void sim_stream_lost(struct tether_sim *sim, struct sim_stream *stream, int side)
{
    if (stream->result.complete || !active(sim, stream))
        return;
    if (side != (int)stream->direction) /* only its writer decides what becomes of what it wrote */
        return;
    stream->begun = 0;
    stream->wants_write = 0;
    unknown(sim, stream);
    sim_stream_settle(sim, stream);
}

/* Messages that were not sent completely are gone; those that were still come. `for_good`: the stream ends here. */
void sim_stream_cancelled(struct tether_sim *sim, struct sim_stream *stream, int for_good)
{
    stream->cut = 1;
    if (!active(sim, stream) || stream->result.complete)
        return;
    if (for_good) {
        stream->next_message = config_of(sim, stream)->messages;
        stream->write_done = stream->read_done = 1;
    }
    if (messages(sim, stream))
        for (uint64_t m = stream->first_of_life; m < stream->next_message; m++)
            if (!bit(stream->seen, m) && !bit(stream->ended, m)) {
                set(stream->ended, m);
                stream->result.cancelled_messages++;
            }
    stream->wants_write = !stream->write_done;
    sim_stream_settle(sim, stream);
}
