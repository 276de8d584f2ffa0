/* SPDX-License-Identifier: Apache-2.0 */
/* flow_rx.h: what arriving (flow_rx.c) and ending (flow_void.c) share about the peer's direction of a flow. */
#ifndef TETHER_FLOW_RX_H
#define TETHER_FLOW_RX_H

#include "endpoint.h"

/* Without gaps, an end or a clock that has asked, frames of this flow may come the short way, up to the grant. */
static inline void tether_rx_steady(struct tether_flow_rx *rx)
{
    rx->steady_to = rx->gaps.count == 0 && rx->final == UINT64_MAX && rx->clock.tries == 0 && !rx->lend.on ? rx->granted : 0;
}

/* The chain first..last goes to the application. */
static inline void tether_rx_append(struct tether_endpoint *ep, struct tether_flow_rx *rx, uint32_t first, uint32_t last)
{
    ep->rx.cells[last].next = TETHER_NIL;
    if (rx->tail == TETHER_NIL)
        rx->head = first;
    else
        ep->rx.cells[rx->tail].next = first;
    rx->tail = last;
}

/* Frames that waited behind a gap which has just closed go to the application. */
void tether_rx_splice(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                      uint64_t now_ns);
/* The ember of a flow that nobody reads any more is covered by a grant. */
void tether_rx_cover_last(struct tether_endpoint *ep, struct tether_flow *flow);
/* Unordered flows (flow_whole.c): a frame came; messages: slots that will not come, the end of the flow. */
void tether_rx_place(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint32_t cell,
                     uint64_t now_ns);
void tether_whole_void(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t first, uint64_t end);
void tether_whole_drop(struct tether_endpoint *ep, struct tether_flow *flow);
/* An unordered byte flow may have come to its end. */
void tether_rx_ended(struct tether_endpoint *ep, struct tether_flow *flow);
/* A message whose middle will never come is dropped. */
void tether_rx_break_message(struct tether_endpoint *ep, struct tether_flow *flow);
/* Open a gap at the high end, up to `end`; asked for from `ready_ns` on. 0, or -1 when the pool is empty. */
int tether_rx_open_gap(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       uint64_t end, uint64_t ready_ns, uint64_t now_ns);

#endif
