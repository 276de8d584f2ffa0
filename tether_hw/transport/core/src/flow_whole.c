/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_whole.c: unordered flows: bytes are delivered as they come, messages as each is whole.
 *
 * A fragment is a chain of frames of one message that follow each other. Only its two ends can grow, so only they
 * stand in a hash table (endpoint.fragments, by flow and slot), and each end knows the other one: a frame that
 * arrives joins the fragments on its left and right in a few steps, however many there are. A fragment that begins
 * with FIRST and ends with END is a message.
 */
#include "flow_rx.h"

/* In the first cell of a fragment: its neighbours in the flow's list. */
static uint32_t listed_next(const struct tether_cell *c)
{
    return (uint32_t)c->sent_ns;
}

static uint32_t listed_prev(const struct tether_cell *c)
{
    return (uint32_t)(c->sent_ns >> 32);
}

static void set_listed(struct tether_cell *c, uint32_t next, uint32_t prev)
{
    c->sent_ns = next | (uint64_t)prev << 32;
}

static uint32_t *bucket_of(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slot)
{
    uint64_t mixed = (slot / flow->rx.floor ^ (uint64_t)tether_flow_node(ep, flow) << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return &ep->fragments[(uint32_t)(mixed >> 32) & ep->fragment_mask];
}

/* The end of a fragment that stands at `slot`; NIL = none. */
static uint32_t find(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slot)
{
    uint32_t node = tether_flow_node(ep, flow), cell = *bucket_of(ep, flow, slot);
    while (cell != TETHER_NIL && (ep->rx.cells[cell].owner != node || ep->rx.cells[cell].slot != slot))
        cell = ep->rx.cells[cell].link;
    return cell;
}

static void hash_end(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    uint32_t *bucket = bucket_of(ep, flow, ep->rx.cells[cell].slot);
    ep->rx.cells[cell].owner = tether_flow_node(ep, flow);
    ep->rx.cells[cell].link = *bucket;
    *bucket = cell;
}

static void unhash_end(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    uint32_t *at = bucket_of(ep, flow, ep->rx.cells[cell].slot);
    while (*at != TETHER_NIL && *at != cell)
        at = &ep->rx.cells[*at].link;
    if (!TETHER_BROKEN(ep, *at == cell))
        *at = ep->rx.cells[cell].link;
}

static void enter(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t first, uint32_t last)
{
    struct tether_flow_rx *rx = &flow->rx;
    set_listed(&ep->rx.cells[first], rx->fragments, TETHER_NIL);
    if (rx->fragments != TETHER_NIL) {
        struct tether_cell *next = &ep->rx.cells[rx->fragments];
        set_listed(next, listed_next(next), first);
    }
    rx->fragments = first;
    ep->rx.cells[first].other = last;
    ep->rx.cells[last].other = first;
    hash_end(ep, flow, first);
    if (last != first)
        hash_end(ep, flow, last);
}

static void leave(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t first)
{
    uint32_t last = ep->rx.cells[first].other, next = listed_next(&ep->rx.cells[first]);
    uint32_t prev = listed_prev(&ep->rx.cells[first]);
    if (prev == TETHER_NIL)
        flow->rx.fragments = next;
    else
        set_listed(&ep->rx.cells[prev], next, listed_prev(&ep->rx.cells[prev]));
    if (next != TETHER_NIL)
        set_listed(&ep->rx.cells[next], listed_next(&ep->rx.cells[next]), prev);
    unhash_end(ep, flow, first);
    if (last != first)
        unhash_end(ep, flow, last);
}

static void discard(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t first)
{
    uint32_t cell = first;
    leave(ep, flow, first);
    ep->rx.cells[ep->rx.cells[first].other].next = TETHER_NIL;
    while (cell != TETHER_NIL) {
        uint32_t following = ep->rx.cells[cell].next;
        tether_rx_free(ep, flow, cell);
        cell = following;
    }
}

/* A frame has arrived. It goes to the application with its message, or waits for the rest of it. */
static void place_message(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                          uint32_t cell, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_cell *cells = ep->rx.cells, *c = &cells[cell];
    uint32_t first = cell, last = cell, left = TETHER_NIL, right = TETHER_NIL;
    uint64_t bytes;
    if (!(c->flags & TETHER_FLAG_FIRST) && c->slot >= rx->floor)
        left = find(ep, flow, c->slot - rx->floor);
    if (!(c->flags & TETHER_FLAG_END))
        right = find(ep, flow, c->slot + rx->floor);
    c->next = TETHER_NIL;
    if (left != TETHER_NIL && !(cells[left].flags & TETHER_FLAG_END)) {
        first = cells[left].other;
        leave(ep, flow, first);
        cells[left].next = cell;
    }
    if (right != TETHER_NIL && !(cells[right].flags & TETHER_FLAG_FIRST)) {
        leave(ep, flow, right);
        last = cells[right].other;
        c->next = right;
    }
    bytes = (cells[last].slot - cells[first].slot) / rx->floor * flow->cut_bytes + cells[last].length;
    if (bytes > flow->bound) {
        enter(ep, flow, first, last);
        tether_channel_fail(ep, ch, now_ns, TETHER_BYE_PROTOCOL);
    } else if (!(cells[first].flags & TETHER_FLAG_FIRST) || !(cells[last].flags & TETHER_FLAG_END)) {
        enter(ep, flow, first, last);
    } else {
        cells[first].sent_ns = bytes;
        tether_rx_append(ep, rx, first, last);
        rx->readable_bytes += bytes;
        rx->readable_messages++;
        TETHER_COUNT(ep, messages_received);
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    }
}

/* A frame of an unordered flow goes to the application at once, or when its message is whole. */
void tether_rx_place(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint32_t cell,
                     uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_cell *c = &ep->rx.cells[cell];
    if (flow->kind == TETHER_FLOW_BYTES && c->flags & TETHER_FLAG_END)
        rx->end = c->slot + rx->floor;
    if (flow->mute) {
        tether_rx_free(ep, flow, cell);
    } else if (flow->kind == TETHER_FLOW_BYTES) {
        c->offset = 0;
        tether_rx_append(ep, rx, cell, cell);
        rx->readable_bytes += c->length;
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    } else {
        place_message(ep, ch, flow, cell, now_ns);
    }
    tether_rx_ended(ep, flow);
}

/* An unordered byte flow is whole when everything up to its END has arrived. */
void tether_rx_ended(struct tether_endpoint *ep, struct tether_flow *flow)
{
    if (flow->rx.contig < flow->rx.end || flow->flags & TETHER_FLOW_REMOTE_END)
        return;
    flow->flags |= TETHER_FLOW_REMOTE_END;
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
}

/* Nothing will come in [first, end): what a message has on either side of it is of no use. */
void tether_whole_void(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t first, uint64_t end)
{
    uint32_t cell = first >= flow->rx.floor ? find(ep, flow, first - flow->rx.floor) : TETHER_NIL;
    if (cell != TETHER_NIL && !(ep->rx.cells[cell].flags & TETHER_FLAG_END))
        discard(ep, flow, ep->rx.cells[cell].other);
    cell = find(ep, flow, end);
    if (cell != TETHER_NIL && !(ep->rx.cells[cell].flags & TETHER_FLAG_FIRST))
        discard(ep, flow, cell);
}

/* The flow ends. */
void tether_whole_drop(struct tether_endpoint *ep, struct tether_flow *flow)
{
    while (flow->rx.fragments != TETHER_NIL)
        discard(ep, flow, flow->rx.fragments);
}
