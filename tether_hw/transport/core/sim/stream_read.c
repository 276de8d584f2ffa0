/* SPDX-License-Identifier: Apache-2.0 */
/* stream_read.c: what arrives is held against its place: every byte right, none twice, order where it was promised. */
#include "stream.h"

#include <errno.h>

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
    if (number < c->messages && bit(stream->unsent, number)) {
        sim_broken(sim, TETHER_SIM_UNKNOWN, stream->dst, "flow %u: message %llu came, and was said never to be sent",
                   stream->flow, (unsigned long long)number);
        return;
    }
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

/* Bytes with their place: right, and none of them before. */
static void check_bytes(struct tether_sim *sim, struct sim_stream *stream, uint64_t at, uint64_t length)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    if (at + length > c->bytes || !sim_payload_right(stream->key, at, sim->scratch, length) ||
        (stream->blocks == NULL && at != stream->result.delivered_bytes))
        sim_broken(sim, TETHER_SIM_BYTES, stream->dst, "flow %u: wrong bytes in [%llu, +%llu)", stream->flow,
                   (unsigned long long)at, (unsigned long long)length);
    for (uint64_t block = at / TETHER_BLOCK_BYTES; stream->blocks && block * TETHER_BLOCK_BYTES < at + length; block++) {
        if (bit(stream->blocks, block) && block * TETHER_BLOCK_BYTES >= at)
            sim_broken(sim, TETHER_SIM_ONCE, stream->dst, "flow %u: bytes at %llu came twice", stream->flow,
                       (unsigned long long)(block * TETHER_BLOCK_BYTES));
        set(stream->blocks, block);
    }
    stream->result.delivered_bytes += length;
}

/* One piece: bytes read or said to be missing, 0 for the end, negative when there is nothing. */
static int64_t read_piece(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v, uint32_t channel)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t now = sim_clock(v, sim->now_ns), size = c->read_bps ? PACED_PIECE : SIM_PIECE;
    uint64_t at = stream->result.delivered_bytes, base = stream->base;
    uint16_t id = sim->flows[stream->flow].id;
    uint32_t flags = 0;
    int64_t got;
    size = c->kind == TETHER_FLOW_MESSAGE ? c->message_max : size;
    got = v->ops.flow_read(v->context, now, channel, id, &at, sim->scratch, size, &flags);
    if (got == -EMSGSIZE)
        sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u: a message larger than any that was written", stream->flow);
    if (got > 0 && flags & TETHER_READ_HOLE) {
        if (c->reliability == TETHER_FLOW_RELIABLE && c->kind == TETHER_FLOW_BYTES)
            sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u: a hole where nothing expires", stream->flow);
        stream->result.hole_bytes += c->kind == TETHER_FLOW_BYTES ? (uint64_t)got : 0;
    } else if (got > 0 && c->kind == TETHER_FLOW_MESSAGE) {
        check_message(sim, stream, (uint64_t)got);
    } else if (got > 0) {
        check_bytes(sim, stream, base + at, (uint64_t)got);
    }
    if (flags & TETHER_READ_END && c->kind == TETHER_FLOW_BYTES) {
        stream->read_done = 1;
        if (c->reliability == TETHER_FLOW_RELIABLE && stream->result.delivered_bytes != c->bytes)
            sim_broken(sim, TETHER_SIM_BYTES, v->index, "flow %u ended after %llu of %llu bytes", stream->flow,
                       (unsigned long long)stream->result.delivered_bytes, (unsigned long long)c->bytes);
        if (got <= 0)
            progress(sim, stream);
    }
    if (got > 0)
        progress(sim, stream);
    return got;
}

void sim_stream_read(struct tether_sim *sim, struct sim_stream *stream, int all)
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
            sim_stream_arm(sim, stream, from);
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
    sim_stream_settle(sim, stream);
}
