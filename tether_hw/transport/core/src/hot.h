/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hot.h: what every frame asks and few frames need. The question is part of its callers, the answer is elsewhere.
 * Included by endpoint.h.
 */
#ifndef TETHER_HOT_H
#define TETHER_HOT_H

#include "endpoint.h"

/* timer.c: something of this flow depends on time from now on. */
void tether_timed_first(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns);
TETHER_USUAL void tether_timed(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                               uint64_t now_ns)
{
    if (TETHER_UNLIKELY(!tether_queued(flow, TETHER_Q_TIMED)))
        tether_timed_first(ep, ch, flow, now_ns);
}

/* flow.c: a flow of a channel, NULL = there is none; the one that was looked for last is found at once. */
struct tether_flow *tether_flow_search(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id);
TETHER_USUAL struct tether_flow *tether_flow_find(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id)
{
    struct tether_flow *flow = ch->last;
    return TETHER_LIKELY(flow->id == id && flow->used) ? flow : tether_flow_search(ep, ch, id);
}

/* An ordered, reliable byte flow that lives and has no news, ours or theirs? It is not Flow 0, which carries messages. */
TETHER_USUAL int tether_flow_plain(const struct tether_flow *flow)
{
    static const struct tether_flow plain = {.kind = TETHER_FLOW_BYTES, .used = 1};
    return flow->nature == plain.nature;
}

/* queue.c: leave for one header-only frame. */
void tether_receipt_give(struct tether_endpoint *ep, struct tether_channel *ch);
TETHER_USUAL void tether_receipt_earn(struct tether_endpoint *ep, struct tether_channel *ch)
{
    if (TETHER_LIKELY(ch->receipts < TETHER_RECEIPTS_MAX))
        ch->receipts++;
    TETHER_COUNT(ep, receipts_earned);
    if (TETHER_UNLIKELY(ch->queues[TETHER_Q_RECEIPT].head != TETHER_NIL))
        tether_receipt_give(ep, ch);
}

/* How long a plain receipt may wait for more frames to tell of: far less than the silence after which it is missed. */
TETHER_USUAL uint64_t tether_receipt_pause(const struct tether_channel *ch)
{
    uint64_t pause = tether_rtt_now(&ch->rtt) / 8;
    return pause > ch->silence_floor_ns / 16 ? pause : ch->silence_floor_ns / 16;
}

/* grant.c: a cell or a place in the window became free. */
TETHER_USUAL void tether_grant_freed(struct tether_endpoint *ep)
{
    ep->until -= ep->until != INT32_MIN;
    if (ep->starved && (ep->until <= 0 || ep->outstanding == 0))
        ep->grant_dirty = 1;
}

/* Demand was declared, or frames arrived. */
TETHER_USUAL void tether_grant_note(struct tether_endpoint *ep, struct tether_flow *flow)
{
    const struct tether_flow_rx *rx = &flow->rx;
    if (rx->demand <= rx->granted && rx->upper <= rx->reserved_to) {
        if (TETHER_UNLIKELY(ep->waiter != TETHER_NIL) && ep->waiter == tether_flow_node(ep, flow))
            tether_grant_release(ep, flow); /* it gathered for what is no longer asked for: the next one's turn */
        return;
    }
    tether_enqueue(ep, flow, TETHER_Q_GRANT);
    if (TETHER_UNLIKELY(rx->outstanding <= rx->regrant_at))
        ep->grant_dirty = 1;
}

/* flow_expire.c: drop what has expired. */
void tether_tx_expire_old(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                          uint64_t now_ns);
TETHER_USUAL void tether_tx_expire(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                   uint64_t now_ns)
{
    if (TETHER_UNLIKELY(flow->reliability == TETHER_FLOW_EXPIRING))
        tether_tx_expire_old(ep, ch, flow, now_ns);
}

/* flow_tx.c: raise what may be declared. */
uint64_t tether_tx_declare_more(struct tether_endpoint *ep, struct tether_flow *flow);
TETHER_USUAL uint64_t tether_tx_declare(struct tether_endpoint *ep, struct tether_flow *flow)
{
    return TETHER_LIKELY(flow->tx.declared == flow->tx.tail_slot) ? flow->tx.declared : tether_tx_declare_more(ep, flow);
}

/* milestone.c: a cell is sent for the first time, behind all that were sent. */
void tether_mile_begin(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell);
TETHER_USUAL void tether_mile_set(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_cell *c)
{
    if (TETHER_UNLIKELY(c->slot >= flow->tx.mile_end))
        tether_mile_begin(ep, flow, (uint32_t)(c - ep->tx.cells));
}

/* milestone.c: `cell` goes. */
void tether_mile_end(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell);
TETHER_USUAL void tether_mile_clear(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    if (TETHER_UNLIKELY(ep->tx.cells[cell].marks & TETHER_CELL_MILE))
        tether_mile_end(ep, flow, cell);
}

/* pace.c: the pace field of a frame of this flow. */
uint16_t tether_pace_anew(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns);
TETHER_USUAL uint16_t tether_pace_state(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns)
{
    const struct tether_flow_rx *rx = &flow->rx;
    if (rx->outstanding == 0)
        return 0;
    if (TETHER_LIKELY(rx->pace_epoch == ep->pace_epoch && rx->stated_bps == rx->share_bps))
        return rx->pace;
    return tether_pace_anew(ep, flow, now_ns);
}

#endif
