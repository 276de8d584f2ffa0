/* SPDX-License-Identifier: Apache-2.0 */
/* watch_table.c: what the observer remembers, by name: keys, channels, flows, pairs of addresses. */
#include "sim.h"

#include <stdlib.h>

static uint32_t place(uint64_t name, uint32_t mask)
{
    return (uint32_t)sim_mix(name) & mask;
}

static uint64_t name_in(const void *item)
{
    uint64_t name;
    memcpy(&name, item, sizeof name);
    return name;
}

static int table_open(struct sim_watch_table *table)
{
    table->mask = 255;
    table->items = calloc((size_t)table->mask + 1, sizeof *table->items);
    return table->items == NULL;
}

static int grow(struct sim_watch_table *table)
{
    uint32_t mask = table->mask * 2 + 1;
    void **items = calloc((size_t)mask + 1, sizeof *items);
    if (items == NULL)
        return -1;
    for (uint32_t i = 0; i <= table->mask; i++) {
        uint32_t at;
        if (table->items[i] == NULL)
            continue;
        for (at = place(name_in(table->items[i]), mask); items[at] != NULL; at = (at + 1) & mask)
            continue;
        items[at] = table->items[i];
    }
    free(table->items);
    table->items = items;
    table->mask = mask;
    return 0;
}

/* The item of a name; `size` > 0: made when there is none. */
static void *table_at(struct sim_watch_table *table, uint64_t name, size_t size)
{
    uint32_t at = place(name, table->mask);
    while (table->items[at] != NULL && name_in(table->items[at]) != name)
        at = (at + 1) & table->mask;
    if (table->items[at] != NULL || size == 0)
        return table->items[at];
    if (table->count * 2 > table->mask) {
        if (grow(table))
            return NULL;
        for (at = place(name, table->mask); table->items[at] != NULL; at = (at + 1) & table->mask)
            continue;
    }
    table->items[at] = calloc(1, size);
    if (table->items[at] == NULL)
        return NULL;
    memcpy(table->items[at], &name, sizeof name);
    table->count++;
    return table->items[at];
}

int sim_watch_open(struct sim_watch *watch)
{
    watch->pair_mask = 4095;
    watch->pairs = calloc((size_t)watch->pair_mask + 1, sizeof *watch->pairs);
    return table_open(&watch->keys) || table_open(&watch->rels) || watch->pairs == NULL ? -1 : 0;
}

void sim_watch_close(struct sim_watch *watch)
{
    for (uint32_t i = 0; watch->keys.items != NULL && i <= watch->keys.mask; i++) {
        struct sim_watch_key *key = watch->keys.items[i];
        if (key != NULL)
            free(key->accepted);
        free(key);
    }
    for (uint32_t i = 0; watch->rels.items != NULL && i <= watch->rels.mask; i++) {
        struct sim_watch_rel *rel = watch->rels.items[i];
        for (uint32_t f = 0; rel != NULL && f < rel->flow_count; f++)
            sim_watch_flow_clear(&rel->flows[f]);
        if (rel != NULL)
            free(rel->flows);
        free(rel);
    }
    free(watch->keys.items);
    free(watch->rels.items);
    free(watch->pairs);
}

uint64_t sim_watch_name_of(uint32_t vertex, uint32_t channel)
{
    return ((uint64_t)(vertex + 1) << 32) | channel;
}

struct sim_watch_key *sim_watch_key_at(struct sim_watch *watch, uint64_t name, int make)
{
    return table_at(&watch->keys, name, make ? sizeof(struct sim_watch_key) : 0);
}

struct sim_watch_rel *sim_watch_rel_at(struct tether_sim *sim, uint32_t vertex, uint32_t handle, int make)
{
    uint64_t name = sim_watch_name_of(vertex, handle) + (sim->vertices[vertex].result.lives << 52);
    return table_at(&sim->watch.rels, name, make ? sizeof(struct sim_watch_rel) : 0);
}

/* The channel of an endpoint to which an index on the wire leads, by its keys of now, to come or to go. */
static const struct tether_channel *by_wire(const struct tether_endpoint *ep, uint32_t wire)
{
    uint32_t slot = wire >> 8 & (TETHER_CHANNELS_MAX - 1);
    const struct tether_channel *ch = &ep->channels[slot];
    if (slot >= ep->channel_high || ch->state == TETHER_CHANNEL_FREE)
        return NULL;
    return ch->wire == wire || (ch->next.state != TETHER_NEXT_NONE && ch->next.wire == wire) ? ch : NULL;
}

struct sim_watch_rel *sim_watch_rel_of(struct tether_sim *sim, uint32_t vertex, uint32_t wire)
{
    struct sim_watch_key *key = sim_watch_key_at(&sim->watch, sim_watch_name_of(vertex, wire), 0);
    const struct sim_vertex *v = &sim->vertices[vertex];
    uint32_t handle = 0;
    if (key != NULL && key->rel != NULL)
        return key->rel;
    if (v->ep != NULL) {
        const struct tether_channel *ch = by_wire(v->ep, wire);
        return ch == NULL ? NULL : sim_watch_rel_at(sim, vertex, ch->index, 1);
    }
    if (v->config.kind == TETHER_SIM_FOREIGN)
        handle = v->ops.channel_of(v->context, wire);
    return handle ? sim_watch_rel_at(sim, vertex, handle, 1) : NULL;
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

void sim_watch_restarted(struct sim_watch *watch, uint32_t vertex)
{
    for (uint32_t i = 0; i <= watch->pair_mask; i++) {
        struct sim_watch_pair *pair = &watch->pairs[i];
        if (pair->name >> 32 == (uint64_t)vertex + 1) {
            pair->proven = 0;
            pair->in_bytes = pair->out_bytes = 0;
        }
    }
}

struct sim_watch_flow *sim_watch_flow_at(struct sim_watch_rel *rel, uint16_t id, int make)
{
    struct sim_watch_flow *flows;
    for (uint32_t i = 0; i < rel->flow_count; i++)
        if (rel->flows[i].id == id)
            return &rel->flows[i];
    if (!make)
        return NULL;
    if (rel->flow_count == rel->flow_room) {
        flows = realloc(rel->flows, (rel->flow_room * 2 + 4) * sizeof *flows);
        if (flows == NULL)
            return NULL;
        rel->flows = flows;
        rel->flow_room = rel->flow_room * 2 + 4;
    }
    memset(&rel->flows[rel->flow_count], 0, sizeof rel->flows[0]);
    rel->flows[rel->flow_count].id = id;
    return &rel->flows[rel->flow_count++];
}

struct sim_watch_flow *sim_watch_flow(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_rel *rel = sim_watch_rel_at(sim, vertex, channel, 0);
    return rel ? sim_watch_flow_at(rel, id, 0) : NULL;
}

void sim_watch_flow_clear(struct sim_watch_flow *flow)
{
    free(flow->ring);
    free(flow->ends);
    memset(flow, 0, sizeof *flow);
}

struct sim_watch_flow *sim_watch_flow_from(struct tether_sim *sim, uint32_t vertex, uint64_t life, uint32_t channel,
                                           uint16_t id)
{
    for (uint32_t i = 0; i <= sim->watch.rels.mask; i++) {
        struct sim_watch_rel *rel = sim->watch.rels.items[i];
        if (rel != NULL && rel->from_channel == channel && rel->from == vertex && rel->from_life == life)
            return sim_watch_flow_at(rel, id, 0);
    }
    return NULL;
}

void sim_watch_flow_begins(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_flow *flows[2] = {sim_watch_flow(sim, vertex, channel, id),
                                       sim_watch_flow_from(sim, vertex, sim->vertices[vertex].result.lives, channel, id)};
    for (int i = 0; i < 2; i++)
        if (flows[i] != NULL && flows[i]->high) {
            sim_watch_flow_clear(flows[i]);
            flows[i]->id = id;
        }
}

/* The peer has closed the flow, or its channel is down: a frame beyond the grant binds its sender no longer. */
void sim_watch_flow_ends(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id)
{
    struct sim_watch_rel *rel = sim_watch_rel_at(sim, vertex, channel, 0);
    if (rel != NULL && rel->beyond == (uint32_t)id + 1)
        rel->beyond = 0;
}
