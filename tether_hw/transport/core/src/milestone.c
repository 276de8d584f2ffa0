/* SPDX-License-Identifier: Apache-2.0 */
/*
 * milestone.c: which sent cell holds a slot.
 *
 * Sent cells are a list in slot order, and a long pipe has a million of them. The first cell of each group of 64
 * frames' slots is a milestone in a hash table; a NACK walks from the nearest one, so its cost does not depend on the
 * length of the queue, however NACKs jump in it. Cells of the oldest group are found from the head of the list.
 */
#include "endpoint.h"

enum { GROUP_FRAMES = 64 };

/* Slots of a group: so many that a cell that begins in one ends in it or in the next. */
static uint64_t group_slots(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_channel *ch = &ep->channels[flow->channel];
    uint64_t widest = ch->peer_floor > ch->peer_frame_blocks ? ch->peer_floor : ch->peer_frame_blocks;
    return widest * GROUP_FRAMES;
}

static uint64_t group_of(const struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slot)
{
    return slot / group_slots(ep, flow);
}

static uint32_t *bucket_of(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t group)
{
    uint64_t mixed = (group ^ (uint64_t)tether_flow_node(ep, flow) << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return &ep->miles[(uint32_t)(mixed >> 32) & ep->mile_mask];
}

/* The first cell of a group is sent, behind all that were sent. */
void tether_mile_begin(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    struct tether_cell *c = &ep->tx.cells[cell];
    uint64_t group;
    uint32_t *bucket;
    if (flow->id == 0) { /* a pool of a few frames */
        flow->tx.mile_end = UINT64_MAX;
        return;
    }
    group = group_of(ep, flow, c->slot);
    flow->tx.mile_end = (group + 1) * group_slots(ep, flow);
    if (flow->tx.head == cell)
        return;
    bucket = bucket_of(ep, flow, group);
    c->mile = *bucket;
    c->owner = tether_flow_node(ep, flow);
    *bucket = cell;
    c->marks |= TETHER_CELL_MILE;
}

/* A milestone goes. */
void tether_mile_end(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    struct tether_cell *c = &ep->tx.cells[cell];
    uint32_t *at;
    at = bucket_of(ep, flow, group_of(ep, flow, c->slot));
    while (*at != TETHER_NIL && *at != cell)
        at = &ep->tx.cells[*at].mile;
    if (!TETHER_BROKEN(ep, *at == cell))
        *at = c->mile;
    c->marks = (uint8_t)(c->marks & ~TETHER_CELL_MILE);
}

static uint32_t look_up(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t group)
{
    uint32_t node = tether_flow_node(ep, flow), cell = *bucket_of(ep, flow, group);
    while (cell != TETHER_NIL &&
           (ep->tx.cells[cell].owner != node || group_of(ep, flow, ep->tx.cells[cell].slot) != group))
        cell = ep->tx.cells[cell].mile;
    return cell;
}

/* The first sent cell that ends behind `slot` and begins before `end`; NIL = none. */
uint32_t tether_mile_find(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slot, uint64_t end)
{
    const struct tether_flow_tx *tx = &flow->tx;
    const struct tether_cell *cells = ep->tx.cells;
    uint32_t cell = tx->head, at = TETHER_NIL;
    uint64_t group, oldest;
    if (cell == TETHER_NIL || cell == tx->unsent)
        return TETHER_NIL;
    oldest = group_of(ep, flow, cells[cell].slot);
    group = group_of(ep, flow, slot);
    group -= group != 0;
    if (flow->id != 0 && group > oldest) { /* the slot's cell, if there is one, begins in this group or in the next */
        for (; at == TETHER_NIL && group <= group_of(ep, flow, end - 1); group++)
            at = look_up(ep, flow, group);
        if (at == TETHER_NIL)
            return TETHER_NIL;
        cell = at;
    }
    while (cell != TETHER_NIL && cell != tx->unsent && cells[cell].slot + cells[cell].slots <= slot)
        cell = cells[cell].next;
    return cell == tx->unsent ? TETHER_NIL : cell;
}
