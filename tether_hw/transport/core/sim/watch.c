/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c: see watch.h. I1 beyond the grant that was delivered at most one frame per channel, I2 nothing again that was
 * not asked for, I3 no GrantAmount below an earlier one, I5 replies within what came, I6 sequences only rise; and no
 * frame is accepted that nobody sealed, or twice.
 */
#include "sim.h"

#include <stdlib.h>

typedef unsigned long long ull;

static void forget(struct sim_watch_key *key)
{
    key->sequence = key->accepted_high = 0;
    key->rel = NULL;
    if (key->accepted != NULL)
        memset(key->accepted, 0, SIM_ACCEPTED_BITS / 8);
}

/* ------------------------------------------------------------------ the ring */

uint8_t *sim_watch_mark(struct sim_watch_flow *flow, uint64_t slot)
{
    uint64_t frame = slot / flow->unit, base = flow->base / flow->unit, size = flow->ring_size ? flow->ring_size : 64;
    while (frame - base >= size)
        size *= 2;
    if (size != flow->ring_size) {
        uint8_t *ring = calloc(size, 1);
        if (ring == NULL)
            return NULL;
        for (uint64_t i = 0; i < flow->ring_size; i++)
            ring[(base + i) % size] = flow->ring[(base + i) % flow->ring_size];
        free(flow->ring);
        flow->ring = ring;
        flow->ring_size = size;
    }
    return &flow->ring[frame % size];
}

void sim_watch_receipted(struct sim_watch_flow *flow, uint64_t upto)
{
    if (flow->unit == 0)
        return;
    upto = upto > flow->high ? flow->high : upto;
    for (; flow->ends_count && flow->ends[flow->ends_first] <= upto; flow->ends_count--, flow->receipted++)
        flow->ends_first = (flow->ends_first + 1) % flow->ends_room;
    upto -= upto % flow->unit;
    for (; flow->base < upto; flow->base += flow->unit)
        if (flow->ring_size)
            flow->ring[flow->base / flow->unit % flow->ring_size] = 0;
}

/* ------------------------------------------------------------------ sending */

/* The sender's channel of a frame; NULL for a foreign endpoint. */
static struct tether_channel *channel_of(const struct tether_sim *sim, const struct sim_frame *frame)
{
    struct tether_endpoint *ep = sim->vertices[frame->origin].ep;
    for (uint32_t c = 0; ep != NULL && c < ep->channel_high; c++)
        if (tether_channel_live(&ep->channels[c]) && ep->channels[c].peer_id == sim->vertices[frame->to].config.node + 1 &&
            ep->channels[c].remote == tether_get32(frame->bytes + TETHER_AT_CHANNEL))
            return &ep->channels[c];
    return NULL;
}

/* Slots of a frame of this flow: its sender's, or for a foreign one those of a flow without scale. */
static uint32_t unit_of(const struct tether_sim *sim, const struct sim_frame *frame, uint16_t id)
{
    struct tether_channel *ch = channel_of(sim, frame);
    const struct tether_flow *flow = ch == NULL ? NULL : tether_flow_find(sim->vertices[frame->origin].ep, ch, id);
    return flow != NULL && flow->tx.floor ? flow->tx.floor : sim->vertices[frame->to].config.frame_blocks;
}

/* A message ends with these slots. */
static void ends_at(struct sim_watch_flow *flow, uint64_t end)
{
    if (flow->ends_count == flow->ends_room) {
        uint32_t room = flow->ends_room ? flow->ends_room * 2 : 16;
        uint64_t *ends = malloc(room * sizeof *ends);
        if (ends == NULL)
            return;
        for (uint32_t i = 0; i < flow->ends_count; i++)
            ends[i] = flow->ends[(flow->ends_first + i) % flow->ends_room];
        free(flow->ends);
        flow->ends = ends;
        flow->ends_first = 0;
        flow->ends_room = room;
    }
    flow->ends[(flow->ends_first + flow->ends_count++) % flow->ends_room] = end;
}

static void sent_data(struct tether_sim *sim, const struct sim_frame *frame, const struct tether_header *header,
                      struct sim_watch_rel *rel, struct sim_watch_flow *flow)
{
    uint64_t slot, end;
    uint8_t *at;
    if (flow->unit == 0)
        flow->unit = unit_of(sim, frame, header->flow);
    slot = tether_expand32(flow->high, header->slot);
    end = slot + flow->unit;
    if (slot < flow->high) { /* again */
        if (slot < flow->base)
            return; /* a receipt on its way covers it: harmless, and the sender cannot know */
        at = sim_watch_mark(flow, slot);
        if (at == NULL)
            return;
        if (!(*at & SIM_SENT))
            *at |= SIM_SENT;
        else if (!(*at & SIM_ASKED))
            sim_broken(sim, TETHER_SIM_I2, frame->origin, "flow %u: slot %llu sent again, and nobody asked", flow->id,
                       (ull)slot);
        *at &= (uint8_t)~SIM_ASKED;
        return;
    }
    at = sim_watch_mark(flow, slot);
    if (at != NULL)
        *at |= SIM_SENT;
    flow->high = end;
    flow->begun += (header->flags & TETHER_FLAG_FIRST) != 0;
    if (header->flags & TETHER_FLAG_END)
        ends_at(flow, end);
    if (flow->first_sent_ns == 0)
        flow->first_sent_ns = sim->now_ns ? sim->now_ns : 1;
    if (flow->id == 0 || end <= flow->granted)
        return;
    if (rel->beyond && rel->beyond != (uint32_t)flow->id + 1) {
        struct sim_watch_flow *other = sim_watch_flow_at(rel, (uint16_t)(rel->beyond - 1), 0);
        if (other == NULL || other->granted >= other->beyond_end || other->beyond_end == 0)
            rel->beyond = 0;
    }
    if (flow->beyond_end && flow->granted >= flow->beyond_end)
        flow->beyond_end = 0;
    if ((rel->beyond && rel->beyond != (uint32_t)flow->id + 1) || flow->beyond_end)
        sim_broken(sim, TETHER_SIM_I1, frame->origin, "flow %u: slots [%llu, %llu) sent, granted to %llu", flow->id,
                   (ull)slot, (ull)end, (ull)flow->granted);
    flow->beyond_end = end;
    rel->beyond = (uint32_t)flow->id + 1;
}

static void unproven(struct tether_sim *sim, const struct sim_frame *frame, const struct tether_header *header)
{
    struct sim_watch_pair *pair = sim_watch_pair_at(&sim->watch, sim_watch_name_of(frame->origin, frame->to));
    if (pair == NULL || pair->proven || header->channel == 0)
        return;
    pair->out_bytes += frame->length;
    if (pair->out_bytes > pair->in_bytes)
        sim_broken(sim, TETHER_SIM_I5, frame->origin, "%llu bytes to an address that sent %llu and has not verified",
                   (ull)pair->out_bytes, (ull)pair->in_bytes);
}

void sim_watch_sent(struct tether_sim *sim, const struct sim_frame *frame)
{
    struct tether_header header;
    struct sim_watch_key *key;
    struct sim_watch_flow *flow;
    uint64_t life;
    int64_t raise;
    if (frame->to >= sim->config.vertex_count)
        return;
    tether_wire_decode(&header, frame->bytes);
    unproven(sim, frame, &header);
    if (header.channel == 0)
        return;
    key = sim_watch_key_at(&sim->watch, sim_watch_name_of(frame->to, header.channel), 1);
    if (key == NULL)
        return;
    if (header.flags & TETHER_FLAG_LAMP) { /* new keys in both directions: this index, and the one that it names */
        uint32_t index = tether_get32(frame->bytes + TETHER_HEADER_BYTES);
        struct sim_watch_key *back = index ? sim_watch_key_at(&sim->watch, sim_watch_name_of(frame->origin, index), 1) : NULL;
        if (key->sequence == 0)
            forget(key);
        if (back != NULL) {
            forget(back);
            back->pair = header.channel;
            key->pair = index;
        }
        return;
    }
    life = sim->vertices[frame->origin].result.lives << 32 | sim->vertices[frame->to].result.lives;
    if (header.sequence == 1 && (key->from != frame->origin || key->life != life)) {
        forget(key); /* the index belongs to another channel now: one of the ends has begun anew */
        key->from = frame->origin;
        key->life = life;
    }
    if (key->accepted == NULL)
        key->accepted = calloc(SIM_ACCEPTED_BITS / 64, sizeof *key->accepted);
    if (header.sequence <= key->sequence)
        sim_broken(sim, TETHER_SIM_I6, frame->origin, "channel %x: sequence %llu after %llu", header.channel,
                   (ull)header.sequence, (ull)key->sequence);
    key->sequence = header.sequence;
    if (key->rel == NULL)
        key->rel = sim_watch_rel_of(sim, frame->to, header.channel);
    if (key->rel != NULL && key->rel->from_channel == 0) {
        const struct tether_channel *ch = channel_of(sim, frame);
        const struct sim_vertex *v = &sim->vertices[frame->origin];
        key->rel->from = frame->origin;
        key->rel->from_life = v->result.lives;
        key->rel->from_channel = ch != NULL ? ch->index : 0;
        if (v->ep == NULL && key->pair)
            key->rel->from_channel = v->ops.channel_of(v->context, key->pair);
    }
    flow = key->rel == NULL ? NULL : sim_watch_flow_at(key->rel, header.flow, 1);
    if (flow == NULL) { /* the other end does not have this channel (any more) */
        const struct tether_channel *ch = header.length && header.flow ? channel_of(sim, frame) : NULL;
        if (ch != NULL)
            sim_unknown_unseen(sim, frame->origin, ch->index, header.flow);
        return;
    }
    /* GrantAmount is about the other direction; it is kept with the one in which it is said. */
    raise = tether_distance48(header.grant_amount, flow->said);
    if (raise < 0)
        sim_broken(sim, TETHER_SIM_I3, frame->origin, "flow %u: GrantAmount %llu after %llu", flow->id,
                   (ull)header.grant_amount, (ull)(flow->said & TETHER_MASK48));
    flow->said += raise > 0 ? (uint64_t)raise : 0;
    if (header.length)
        sent_data(sim, frame, &header, key->rel, flow);
}
