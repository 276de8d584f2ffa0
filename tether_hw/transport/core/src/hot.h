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
