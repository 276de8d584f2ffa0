/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c: see watch.h. I1 beyond the grant that was delivered at most one frame per channel, I2 nothing again that was
 * not asked for, I3 no GrantAmount below an earlier one, I5 replies within what came, I6 sequences only rise; and no
 * frame is accepted that nobody sealed, or twice.
 */
#include "sim.h"

#include <stdlib.h>

typedef unsigned long long ull;

int sim_watch_open(struct sim_watch *watch)
{
    watch->key_mask = watch->pair_mask = 1023;
    watch->keys = calloc(watch->key_mask + 1, sizeof *watch->keys);
    watch->pairs = calloc(watch->pair_mask + 1, sizeof *watch->pairs);
    return watch->keys && watch->pairs ? 0 : -1;
}

static void forget(struct sim_watch_key *key)
{
    for (uint32_t i = 0; i < key->flow_count; i++)
        free(key->flows[i].ring);
    key->flow_count = 0;
    key->sequence = key->accepted_high = 0;
    key->beyond = 0;
    if (key->accepted != NULL)
        memset(key->accepted, 0, SIM_ACCEPTED_BITS / 8);
}

void sim_watch_close(struct sim_watch *watch)
{
    for (uint32_t i = 0; watch->keys != NULL && i <= watch->key_mask; i++) {
        struct sim_watch_key *key = watch->keys[i];
        if (key == NULL)
            continue;
        forget(key);
        free(key->flows);
        free(key->accepted);
        free(key);
    }
    free(watch->keys);
    free(watch->pairs);
}

static uint32_t place(uint64_t name, uint32_t mask)
{
    return (uint32_t)sim_mix(name) & mask;
}

static int grow(struct sim_watch *watch)
{
    uint32_t mask = watch->key_mask * 2 + 1;
    struct sim_watch_key **keys = calloc((size_t)mask + 1, sizeof *keys);
    if (keys == NULL)
        return -1;
    for (uint32_t i = 0; i <= watch->key_mask; i++) {
        uint32_t at;
        if (watch->keys[i] == NULL)
            continue;
        for (at = place(watch->keys[i]->name, mask); keys[at] != NULL; at = (at + 1) & mask)
            continue;
        keys[at] = watch->keys[i];
    }
    free(watch->keys);
    watch->keys = keys;
    watch->key_mask = mask;
    return 0;
}

struct sim_watch_key *sim_watch_key_at(struct sim_watch *watch, uint64_t name, int make)
{
    uint32_t at = place(name, watch->key_mask);
    while (watch->keys[at] != NULL && watch->keys[at]->name != name)
        at = (at + 1) & watch->key_mask;
    if (watch->keys[at] != NULL || !make)
        return watch->keys[at];
    if (watch->key_count * 2 > watch->key_mask) {
        if (grow(watch))
            return NULL;
        for (at = place(name, watch->key_mask); watch->keys[at] != NULL; at = (at + 1) & watch->key_mask)
            continue;
    }
    watch->keys[at] = calloc(1, sizeof *watch->keys[at]);
    if (watch->keys[at] == NULL)
        return NULL;
    watch->keys[at]->name = name;
    watch->key_count++;
    return watch->keys[at];
}

struct sim_watch_pair *sim_watch_pair_at(struct sim_watch *watch, uint64_t name)
{
    uint32_t at = place(name, watch->pair_mask);
    while (watch->pairs[at].name != 0 && watch->pairs[at].name != name)
        at = (at + 1) & watch->pair_mask;
    if (watch->pairs[at].name == 0) {
        if (watch->pair_count * 2 > watch->pair_mask)
            return NULL;
        watch->pairs[at].name = name;
        watch->pair_count++;
    }
    return &watch->pairs[at];
}

uint64_t sim_watch_name_of(uint32_t vertex, uint32_t channel)
{
    return ((uint64_t)(vertex + 1) << 32) | channel;
}

void sim_watch_restarted(struct sim_watch *watch, uint32_t vertex)
{
    for (uint32_t i = 0; i <= watch->pair_mask; i++)
        if (watch->pairs[i].name >> 32 == (uint64_t)vertex + 1)
            watch->pairs[i].proven = 0, watch->pairs[i].in_bytes = watch->pairs[i].out_bytes = 0;
}

struct sim_watch_flow *sim_watch_flow_at(struct sim_watch_key *key, uint16_t id, int make)
{
    struct sim_watch_flow *flows;
    for (uint32_t i = 0; i < key->flow_count; i++)
        if (key->flows[i].id == id)
            return &key->flows[i];
    if (!make)
        return NULL;
    if (key->flow_count == key->flow_room) {
        flows = realloc(key->flows, (key->flow_room * 2 + 4) * sizeof *flows);
        if (flows == NULL)
            return NULL;
        key->flows = flows;
        key->flow_room = key->flow_room * 2 + 4;
    }
    memset(&key->flows[key->flow_count], 0, sizeof key->flows[0]);
    key->flows[key->flow_count].id = id;
    return &key->flows[key->flow_count++];
}

struct sim_watch_flow *sim_watch_flow(struct sim_watch *watch, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_key *key = sim_watch_key_at(watch, sim_watch_name_of(vertex, channel), 0);
    return key ? sim_watch_flow_at(key, id, 0) : NULL;
}

static void fresh_flow(struct sim_watch_flow *flow)
{
    uint16_t id = flow->id;
    free(flow->ring);
    memset(flow, 0, sizeof *flow);
    flow->id = id;
}

void sim_watch_flow_begins(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_key *key = sim_watch_key_at(&sim->watch, sim_watch_name_of(vertex, channel), 0);
    struct sim_watch_flow *flow = key ? sim_watch_flow_at(key, id, 0) : NULL;
    if (flow != NULL && flow->high)
        fresh_flow(flow);
}

/* The peer has closed the flow, or its channel is down: a frame beyond the grant binds its sender no longer. */
void sim_watch_flow_ends(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_key *key = sim_watch_key_at(&sim->watch, sim_watch_name_of(vertex, channel), 0);
    if (key != NULL && key->beyond == (uint32_t)id + 1)
        key->beyond = 0;
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
    upto -= upto % flow->unit;
    for (; flow->base < upto; flow->base += flow->unit)
        if (flow->ring_size)
            flow->ring[flow->base / flow->unit % flow->ring_size] = 0;
}

/* ------------------------------------------------------------------ sending */

static void sent_data(struct tether_sim *sim, const struct sim_frame *frame, const struct tether_header *header,
                      struct sim_watch_key *key, struct sim_watch_flow *flow)
{
    uint32_t unit = sim->vertices[frame->to].config.frame_blocks;
    uint64_t slot, end;
    uint8_t *at;
    if (flow->unit == 0)
        flow->unit = unit;
    slot = tether_expand32(flow->high, header->slot);
    end = slot + unit;
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
    if (flow->first_sent_ns == 0)
        flow->first_sent_ns = sim->now_ns ? sim->now_ns : 1;
    if (flow->id == 0 || end <= flow->granted)
        return;
    if (key->beyond && key->beyond != (uint32_t)flow->id + 1) {
        struct sim_watch_flow *other = sim_watch_flow_at(key, (uint16_t)(key->beyond - 1), 0);
        if (other == NULL || other->granted >= other->beyond_end || other->beyond_end == 0)
            key->beyond = 0;
    }
    if (flow->beyond_end && flow->granted >= flow->beyond_end)
        flow->beyond_end = 0;
    if ((key->beyond && key->beyond != (uint32_t)flow->id + 1) || flow->beyond_end)
        sim_broken(sim, TETHER_SIM_I1, frame->origin, "flow %u: slots [%llu, %llu) sent, granted to %llu", flow->id,
                   (ull)slot, (ull)end, (ull)flow->granted);
    flow->beyond_end = end;
    key->beyond = (uint32_t)flow->id + 1;
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
        if (back != NULL)
            forget(back);
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
    flow = sim_watch_flow_at(key, header.flow, 1);
    if (flow == NULL)
        return;
    /* GrantAmount is about the other direction; it is kept with the one in which it is said. */
    raise = tether_distance48(header.grant_amount, flow->said);
    if (raise < 0)
        sim_broken(sim, TETHER_SIM_I3, frame->origin, "flow %u: GrantAmount %llu after %llu", flow->id,
                   (ull)header.grant_amount, (ull)(flow->said & TETHER_MASK48));
    flow->said += raise > 0 ? (uint64_t)raise : 0;
    if (header.length)
        sent_data(sim, frame, &header, key, flow);
}
