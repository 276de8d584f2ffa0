/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrive.h: what every frame of a flow does that arrives, part of its two callers: flow_rx.c, which knows all cases, and
 * receive.c for the one that nearly every frame is: the next one of an ordered flow without gaps.
 */
#ifndef TETHER_ARRIVE_H
#define TETHER_ARRIVE_H

#include "account.h"
#include "flow_rx.h"

/* The same for any frame: Flow 0, a flow that ends, a want beyond all measure. */
void tether_rx_demand_any(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header,
                          uint64_t position);

/* Demand is known: does it ask for a grant, or need less than is reserved? */
TETHER_USUAL void tether_rx_demanded(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    /* All that was surely declared is here and no message is open: what rounding reserved beyond goes back. */
    if (TETHER_UNLIKELY(rx->contig >= rx->demand) && rx->message_cell == TETHER_NIL)
        rx->upper = rx->demand;
    if (TETHER_UNLIKELY(rx->reserved_to > rx->upper) && rx->reserved_to > rx->granted)
        tether_grant_release(ep, flow);
    tether_grant_note(ep, flow);
}

/* Demand, as the newest frame says it and as the most that any frame has said. */
TETHER_USUAL void tether_rx_demand(struct tether_endpoint *ep, struct tether_flow *flow,
                                   const struct tether_header *header, uint64_t position)
{
    struct tether_flow_rx *rx = &flow->rx;
    unsigned exponent = header->want >> 10;
    uint64_t least = position + ((uint64_t)(header->want & 1023) << (exponent & 31)), most;
    if (TETHER_UNLIKELY(exponent > 20 || (least - rx->contig) >> 31 || flow->id == 0 || rx->final != UINT64_MAX)) {
        tether_rx_demand_any(ep, flow, header, position);
        return;
    }
    most = least + ((UINT64_C(1) << exponent) - 1);
    if (least > rx->demand)
        rx->demand = least;
    if (TETHER_LIKELY(header->sequence >= rx->newest_sequence)) {
        rx->newest_sequence = header->sequence;
        rx->upper = most > rx->demand ? most : rx->demand;
        if (TETHER_UNLIKELY((header->flags & TETHER_FLAG_BUSY) | rx->lend.on))
            tether_lend_heard(ep, flow, header);
    }
    tether_rx_demanded(ep, flow);
}

/* flow_rx.c: the first frame since the peer was told last. */
void tether_rx_first(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns);

/* Has so much come that a plain receipt is worth its frame? */
TETHER_USUAL int tether_rx_enough(const struct tether_flow_rx *rx)
{
    return rx->untold >= rx->tell_after;
}

/* Is it time that the peer hears of what has come? `last`: nothing more is expected. */
TETHER_USUAL void tether_rx_tell(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                 int last, uint64_t now_ns)
{
    if (tether_rx_enough(&flow->rx) ||
        (TETHER_UNLIKELY(last) && now_ns - ch->receipt_ns >= tether_rtt_now(&ch->rtt) / 8))
        tether_news(ep, ch, flow, TETHER_NEWS_ACK);
    else if (TETHER_UNLIKELY(flow->news != 0))
        tether_news(ep, ch, flow, flow->news); /* news that waited for a receipt */
}

/* A frame has arrived that the peer does not know of yet. */
TETHER_USUAL void tether_rx_untold(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                   int last, uint64_t now_ns)
{
    tether_receipt_earn(ep, ch);
    if (TETHER_UNLIKELY(flow->rx.untold++ == 0))
        tether_rx_first(ep, ch, flow, now_ns);
    tether_rx_tell(ep, ch, flow, last, now_ns);
}

/* The frame that was opened into `cell`, the spare one, stays there; `spare` is the next one to be opened into. */
TETHER_USUAL void tether_rx_keep(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                 const struct tether_header *header, uint64_t start, uint32_t spare, int ember,
                                 uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_cell *c = &ep->rx.cells[ep->rx_spare];
    ep->rx_spare = spare;
    c->slot = start;
    c->length = header->length;
    c->flags = header->flags & (TETHER_FLAG_FIRST | TETHER_FLAG_END);
    c->marks = 0;
    TETHER_COUNT(ep, data_frames_received);
    ep->stats.slots_received += rx->floor;
    rx->arrived += rx->floor;
    if (TETHER_UNLIKELY(flow->id == 0))
        return;
    ep->stats.bytes_received += header->length;
    tether_count_held(ep, flow, 1);
    if (TETHER_UNLIKELY(ember)) {
        flow->ember_in = 1;
        ch->ember_in = tether_flow_slot(ep, flow);
        ep->embers++;
        tether_rx_cover_last(ep, flow);
    } else if (!TETHER_BROKEN(ep, rx->outstanding && rx->reserved && ep->outstanding && ep->reserved)) {
        tether_count_arrived(ep, flow, 1);
        rx->fed_ns = now_ns;
    }
    tether_grant_freed(ep);
}

/* It has its place: the clock starts again, and the peer is to hear of it. */
TETHER_USUAL void tether_rx_kept(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                 const struct tether_header *header, uint64_t end, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (TETHER_UNLIKELY(rx->clock.tries != 0))
        tether_arm(ep, ch, now_ns + tether_channel_silence(ep, ch));
    tether_backoff_heard(&rx->clock, now_ns, 1);
    tether_rx_demand(ep, flow, header, end);
    tether_rx_untold(ep, ch, flow, rx->contig >= rx->upper, now_ns);
}

/* Is this the frame that an ordered byte flow without gaps expects, within its grant? */
TETHER_USUAL int tether_rx_expected(const struct tether_flow *flow, uint64_t start)
{
    const struct tether_flow_rx *rx = &flow->rx;
    return start == rx->contig && rx->gaps.count == 0 && start + rx->floor <= rx->granted && rx->final == UINT64_MAX &&
           flow->kind == TETHER_FLOW_BYTES && (flow->order | flow->reliability | flow->mute) == 0 && flow->id != 0;
}

/* Such a frame: 0 or -TETHER_E_CELLS. */
TETHER_USUAL int tether_rx_next(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                const struct tether_header *header, uint64_t start, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t cell = ep->rx_spare, spare = tether_cells_take(&ep->rx);
    if (TETHER_UNLIKELY(spare == TETHER_NIL))
        return -TETHER_E_CELLS;
    tether_rx_keep(ep, ch, flow, header, start, spare, 0, now_ns);
    rx->contig = rx->high = start + rx->floor;
    ep->rx.cells[cell].offset = 0;
    tether_rx_append(ep, rx, cell, cell);
    rx->readable_bytes += header->length;
    if (TETHER_UNLIKELY(header->flags & TETHER_FLAG_END))
        flow->flags |= TETHER_FLOW_REMOTE_END;
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    tether_rx_kept(ep, ch, flow, header, start + rx->floor, now_ns);
    return 0;
}

#endif
