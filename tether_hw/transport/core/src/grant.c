/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grant.c: who may send how much to us (RFC 0001, "Grants"). All in frames, because buffers fill by cells.
 *
 *   cells     held + reserved <= rx_cells (+ one per ember that is in): I4
 *   window    granted and not arrived, all flows of the lane, <= 3/4 of the carrier's ring
 *   shares    a flow alone may have 3/4 of the window, n flows 1/(n+1) each, and nobody more than half of what is
 *             left: whatever some peer does with its grants, another one finds a share
 *   messages  a message flow reserves whole messages or waits; one waiter at a time gathers what becomes free,
 *             so two large messages never hold half of the buffer each
 *   steps     a grant is worth a frame: flows are granted again when a quarter of their window is used up
 */
#include "endpoint.h"

uint32_t tether_grant_free(const struct tether_endpoint *ep)
{
    uint64_t all = (uint64_t)ep->config.rx_cells + ep->embers, used = (uint64_t)ep->held + ep->reserved;
    return used < all ? (uint32_t)(all - used) : 0;
}

static uint32_t quantum(const struct tether_endpoint *ep)
{
    uint32_t least = ep->window < ep->config.rx_cells ? ep->window : ep->config.rx_cells;
    return least / 16 ? least / 16 : 1;
}

/* A cell or a place in the window became free. */
void tether_grant_freed(struct tether_endpoint *ep)
{
    ep->freed++;
    if (ep->starved && (ep->freed >= quantum(ep) || ep->held + ep->outstanding == 0))
        ep->grant_dirty = 1;
}

/* Demand was declared, or frames arrived. */
void tether_grant_note(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (rx->demand <= rx->granted && rx->upper <= rx->reserved_to)
        return;
    tether_enqueue(ep, flow, TETHER_Q_GRANT);
    if (rx->outstanding <= rx->regrant_at)
        ep->grant_dirty = 1;
}

void tether_ember_clear(struct tether_endpoint *ep, struct tether_flow *flow)
{
    flow->ember_in = 0;
    tether_channel_of(ep, flow)->ember_in = 0;
    ep->embers--;
}

void tether_grant_tell(struct tether_endpoint *ep, struct tether_flow *flow)
{
    tether_news(ep, tether_channel_of(ep, flow), flow, TETHER_NEWS_GRANT);
}

static uint64_t floor_up(const struct tether_endpoint *ep, uint64_t slots)
{
    return (slots + ep->floor - 1) / ep->floor * ep->floor;
}

/* Reservation beyond what is granted and what can still be demanded goes back. */
void tether_grant_release(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t keep = floor_up(ep, rx->upper);
    uint32_t back;
    if (keep < rx->granted)
        keep = rx->granted;
    if (rx->reserved_to > keep) {
        back = (uint32_t)((rx->reserved_to - keep) / ep->floor);
        if (TETHER_BROKEN(ep, rx->reserved >= back))
            return;
        rx->reserved -= back;
        ep->reserved -= back;
        rx->reserved_to = keep;
        ep->freed += back;
        ep->grant_dirty |= ep->starved != 0;
    }
    if (ep->waiter == tether_flow_node(ep, flow) && keep <= rx->reserved_to) {
        rx->whole = rx->reserved_to;
        ep->waiter = TETHER_NIL;
        ep->grant_dirty = 1;
    }
    if (rx->whole > rx->reserved_to)
        rx->whole = rx->reserved_to;
}

static void reserve(struct tether_endpoint *ep, struct tether_flow_rx *rx, uint32_t frames)
{
    rx->reserved += frames;
    ep->reserved += frames;
    rx->reserved_to += (uint64_t)frames * ep->floor;
}

/* Message flows: reserve all that is declared, or gather for it, or wait for one's turn. */
static void reserve_whole(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t node = tether_flow_node(ep, flow), there = tether_grant_free(ep);
    uint64_t target = floor_up(ep, rx->upper), most = rx->granted + rx->bound_slots, need;
    if (target > most)
        target = most;
    if (target <= rx->reserved_to) {
        if (ep->waiter == node)
            ep->waiter = TETHER_NIL;
        if (ep->waiter != node)
            rx->whole = rx->reserved_to;
        return;
    }
    if (ep->waiter != TETHER_NIL && ep->waiter != node) {
        ep->starved = 1;
        return;
    }
    need = (target - rx->reserved_to) / ep->floor;
    if (need <= there) {
        reserve(ep, rx, (uint32_t)need);
        rx->whole = rx->reserved_to;
        ep->waiter = TETHER_NIL;
    } else {
        reserve(ep, rx, there);
        ep->waiter = node;
        ep->starved = 1;
    }
}

static void raise_grant(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t frames)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (rx->reserved_to < rx->granted + (uint64_t)frames * ep->floor)
        reserve(ep, rx, (uint32_t)((rx->granted + (uint64_t)frames * ep->floor - rx->reserved_to) / ep->floor));
    rx->granted += (uint64_t)frames * ep->floor;
    if (flow->ember_in) {
        frames--; /* it has arrived already, in the channel's standing cell */
        rx->reserved--;
        ep->reserved--;
        tether_ember_clear(ep, flow);
    }
    rx->outstanding += frames;
    ep->outstanding += frames;
    rx->regrant_at = rx->outstanding - rx->outstanding / 4 - (rx->outstanding < 4 && rx->outstanding);
    tether_grant_tell(ep, flow);
    if (TETHER_BROKEN(ep, (uint64_t)ep->held + ep->reserved <=
                              (uint64_t)ep->config.rx_cells + ep->embers + ep->config.max_channels))
        return;
}

static void grant_one(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t flows)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t left = ep->outstanding < ep->window ? ep->window - ep->outstanding : 0;
    uint32_t cap = flows == 1 ? ep->window - ep->window / 4 : ep->window / (flows + 1);
    uint64_t target = rx->demand / ep->floor * ep->floor, want, piece;
    if (flow->kind == TETHER_FLOW_MESSAGE) {
        reserve_whole(ep, flow);
        target = target < rx->whole ? target : rx->whole;
    }
    if (target <= rx->granted)
        return;
    want = (target - rx->granted) / ep->floor;
    cap = cap ? cap : 1;
    piece = cap > rx->outstanding ? cap - rx->outstanding : 0;
    piece = piece < (left + 1) / 2 ? piece : (left + 1) / 2;
    if (flow->kind == TETHER_FLOW_BYTES) {
        uint32_t there = tether_grant_free(ep), mine = rx->held + rx->reserved;
        uint32_t share = (ep->config.rx_cells - ep->config.rx_cells / 4) / flows;
        share = share ? share : 1;
        if (ep->waiter != TETHER_NIL)
            share = share < 2 ? share : 2; /* a message gathers: a trickle only */
        share = share > mine ? share - mine : 0;
        piece = piece < share ? piece : share;
        piece = piece < there ? piece : there;
    }
    if (piece >= want) {
        raise_grant(ep, flow, (uint32_t)want);
        return;
    }
    ep->starved = 1;
    /* No silly little steps, except for a flow that has nothing at all. */
    if (piece == 0 || (rx->outstanding + rx->held > 0 && piece < cap / 8))
        return;
    raise_grant(ep, flow, (uint32_t)piece);
}

/* One round over all flows that ask for more, in turn. */
void tether_grant_run(struct tether_endpoint *ep, uint64_t now_ns)
{
    struct tether_queue *queue = &ep->queues[TETHER_Q_GRANT];
    struct tether_flow *flow;
    uint32_t flows = 0;
    ep->grant_dirty = 0;
    ep->freed = 0;
    ep->starved = 0;
    for (uint32_t node = queue->head; node != TETHER_NIL; node = ep->flows[node].link[TETHER_Q_GRANT])
        flows++;
    for (uint32_t i = flows; i > 0 && (flow = tether_queue_pop(ep, queue, TETHER_Q_GRANT)) != NULL; i--) {
        struct tether_channel *ch = tether_channel_of(ep, flow);
        if (!flow->used || ch->state != TETHER_CHANNEL_UP)
            continue;
        if (!flow->mute) {
            grant_one(ep, flow, flows);
            if (flow->rx.outstanding) /* the grant itself may be lost: the receiver's clock runs from here */
                tether_timed(ep, ch, flow, now_ns);
        }
        if (!flow->mute && (flow->rx.demand / ep->floor * ep->floor > flow->rx.granted ||
                            floor_up(ep, flow->rx.upper) > flow->rx.reserved_to))
            tether_queue_push(ep, queue, TETHER_Q_GRANT, flow);
    }
    /* A round that is not fair by its beginning would always serve the same flow first. */
    if (queue->head != TETHER_NIL && queue->head != queue->tail) {
        flow = tether_queue_pop(ep, queue, TETHER_Q_GRANT);
        tether_queue_push(ep, queue, TETHER_Q_GRANT, flow);
    }
}
