/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c: one direction of a flow as its applications see it. What is written is made from its place, what is read
 * is checked by its place: every byte right, every message at most once, and nothing lost without a word.
 *
 * A message of 16 bytes or more begins with its number and its length, so that others before it may be lost.
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

enum { LABEL = 16, PACED_PIECE = 5632 };

static int bit(const uint8_t *bits, uint64_t at)
{
    return bits[at / 8] >> (at % 8) & 1;
}

static void set(uint8_t *bits, uint64_t at)
{
    bits[at / 8] = (uint8_t)(bits[at / 8] | 1u << (at % 8));
}

static const struct tether_sim_flow *config_of(const struct tether_sim *sim, const struct sim_stream *stream)
{
    return &sim->flows[stream->flow].config;
}

static int messages(const struct tether_sim *sim, const struct sim_stream *stream)
{
    return config_of(sim, stream)->kind == TETHER_FLOW_MESSAGE;
}

static int active(const struct tether_sim *sim, const struct sim_stream *stream)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    return c->duplex || stream->direction == c->reverse;
}

static uint64_t message_length(const struct tether_sim *sim, const struct sim_stream *stream, uint64_t number)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t room = c->message_max - c->message_min + 1;
    return c->message_min + sim_draw(sim->config.seed, SIM_DRAW_SIZE, stream->key, number) % room;
}

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
    if (c->kind != TETHER_FLOW_MESSAGE)
        return 0;
    stream->seen = calloc(c->messages / 8 + 1, 1);
    stream->ended = calloc(c->messages / 8 + 1, 1);
    return stream->seen && stream->ended ? 0 : -ENOMEM;
}

void sim_stream_close(struct sim_stream *stream)
{
    free(stream->seen);
    free(stream->ended);
}

int sim_stream_complete(const struct tether_sim *sim, const struct sim_stream *stream)
{
    (void)sim;
    return stream->result.complete != 0;
}

static void progress(struct tether_sim *sim, struct sim_stream *stream)
{
    sim->progress_ns = sim->result.done_ns = sim->now_ns;
    stream->result.done_ns = sim->now_ns;
}

/* Is there nothing left that must come? */
static void settle(struct tether_sim *sim, struct sim_stream *stream)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    if (stream->result.complete)
        return;
    if (c->kind == TETHER_FLOW_MESSAGE) {
        if (stream->next_message < c->messages)
            return;
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

static void arm(struct tether_sim *sim, struct sim_stream *stream, uint64_t at_ns)
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
    uint32_t flags = piece == left ? TETHER_WRITE_END | TETHER_WRITE_FLUSH : 0;
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
    stream->next_message++;
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
            arm(sim, stream, stream->write_tokens_ns);
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

/* ------------------------------------------------------------------ reading */

static void check_message(struct tether_sim *sim, struct sim_stream *stream, uint64_t length)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t number = stream->last_message, key, from = 0;
    if (length >= LABEL) {
        number = tether_get64(sim->scratch);
        from = LABEL;
        if (tether_get64(sim->scratch + 8) != length || number >= c->messages) {
            sim_broken(sim, TETHER_SIM_BYTES, stream->dst, "flow %u: the label of a message is wrong", stream->flow);
            return;
        }
    }
    key = stream->key ^ sim_mix(number + 1);
    if (number >= c->messages || number >= stream->next_message || length != message_length(sim, stream, number) ||
        !sim_payload_right(key, from, sim->scratch + from, length - from)) {
        sim_broken(sim, TETHER_SIM_BYTES, stream->dst, "flow %u: message %llu is not what was written", stream->flow,
                   (unsigned long long)number);
        return;
    }
    if (bit(stream->seen, number)) {
        sim_broken(sim, TETHER_SIM_ONCE, stream->dst, "flow %u: message %llu came twice", stream->flow,
                   (unsigned long long)number);
        return;
    }
    if (number < stream->last_message && c->order == 0) {
        sim_broken(sim, TETHER_SIM_BYTES, stream->dst, "flow %u: message %llu came after %llu", stream->flow,
                   (unsigned long long)number, (unsigned long long)stream->last_message - 1);
        return;
    }
    set(stream->seen, number);
    stream->last_message = number + 1 > stream->last_message ? number + 1 : stream->last_message;
    stream->result.delivered_messages++;
    stream->result.delivered_bytes += length;
}

/* One piece: bytes read, 0 for the end, negative when there is nothing. */
static int64_t read_piece(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v, uint32_t channel)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t now = sim_clock(v, sim->now_ns), size = c->read_bps ? PACED_PIECE : SIM_PIECE;
    uint16_t id = sim->flows[stream->flow].id;
    uint32_t flags = 0;
    int64_t got;
    if (c->kind == TETHER_FLOW_MESSAGE) {
        int none = v->ops.message_size(v->context, channel, id, &size);
        if (none < 0)
            return none;
        if (size > c->message_max) {
            sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u: a message of %llu bytes", stream->flow,
                       (unsigned long long)size);
            return -EBADMSG;
        }
    }
    got = v->ops.flow_read(v->context, now, channel, id, sim->scratch, size, &flags);
    if (got > 0 && c->kind == TETHER_FLOW_MESSAGE) {
        check_message(sim, stream, (uint64_t)got);
    } else if (got > 0) {
        uint64_t at = stream->result.delivered_bytes;
        if (at + (uint64_t)got > c->bytes || !sim_payload_right(stream->key, at, sim->scratch, (uint64_t)got))
            sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u: wrong bytes in [%llu, +%lld)", stream->flow,
                       (unsigned long long)at, (long long)got);
        stream->result.delivered_bytes += (uint64_t)got;
    }
    if (flags & TETHER_READ_END && c->kind == TETHER_FLOW_BYTES) {
        stream->read_done = 1;
        if (stream->result.delivered_bytes != c->bytes)
            sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u ended after %llu of %llu bytes", stream->flow,
                       (unsigned long long)stream->result.delivered_bytes, (unsigned long long)c->bytes);
        if (got <= 0)
            progress(sim, stream);
    }
    if (got > 0)
        progress(sim, stream);
    return got;
}

static void read_on(struct tether_sim *sim, struct sim_stream *stream, int all)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    struct sim_vertex *v = &sim->vertices[stream->dst];
    uint32_t channel = sim->flows[stream->flow].at[1 - stream->direction];
    int64_t got;
    if (!v->up || !channel || !active(sim, stream))
        return;
    while ((stream->wants_read || all) && !stream->read_done && !sim->stop) {
        uint64_t from = c->read_from_ns > stream->read_tokens_ns ? c->read_from_ns : stream->read_tokens_ns;
        if (sim->now_ns < from && !all) {
            arm(sim, stream, from);
            return;
        }
        got = read_piece(sim, stream, v, channel);
        if (got <= 0) {
            stream->wants_read = 0;
            break;
        }
        if (c->read_bps)
            stream->read_tokens_ns = sim->now_ns + (uint64_t)got * UINT64_C(8000000000) / c->read_bps;
    }
    settle(sim, stream);
}

void sim_stream_go(struct tether_sim *sim, struct sim_stream *stream)
{
    write_on(sim, stream);
    read_on(sim, stream, 0);
    sim_stream_close_flow(sim, &sim->flows[stream->flow]);
}

/* The flow ends at its reader: what has arrived is read now, whatever its pace. */
void sim_stream_drain(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v)
{
    if (stream->dst == v->index)
        read_on(sim, stream, 1);
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
    if (!active(sim, stream) || stream->result.complete)
        return;
    unknown(sim, stream); /* the other end may not have heard yet that the former flow has ended */
    settle(sim, stream);
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
    if (!active(sim, stream) || stream->begun)
        return;
    stream->begun = 1;
    if (!messages(sim, stream)) {
        stream->at = stream->result.delivered_bytes;
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
    settle(sim, stream);
}

/* Messages that were not sent completely are gone; those that were still come. `for_good`: the stream ends here. */
void sim_stream_cancelled(struct tether_sim *sim, struct sim_stream *stream, int for_good)
{
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
    settle(sim, stream);
}
