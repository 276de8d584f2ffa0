/* SPDX-License-Identifier: Apache-2.0 */
/* flow_void.c: how the peer's direction of a flow ends: slots that are skipped, Close, and giving its cells back. */
#include "flow_rx.h"

#include "account.h"

/* An unordered flow's reader has no place where a hole would show: it is told of each. */
static void note_hole(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t first, uint64_t end)
{
    struct tether_flow_rx *rx = &flow->rx;
    end = end < rx->final ? end : rx->final;
    if (first >= end) /* what is granted beyond the end of the flow */
        return;
    rx->skipped += end - first;
    if (flow->order == TETHER_FLOW_UNORDERED) {
        if (rx->hole_count && rx->holes[rx->hole_count - 1].end == first)
            rx->holes[rx->hole_count - 1].end = end;
        else if (rx->hole_count < TETHER_HOLES)
            rx->holes[rx->hole_count++] = (struct tether_hole){.first = first, .end = end};
    }
    if (!flow->mute)
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_HOLE);
}

/* Credit of [first, end), none of which has arrived: granted slots are given back, and so are reserved ones. 0 or -1. */
static int give_back(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t first, uint64_t end)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t floor = rx->floor;
    if (first < rx->granted) {
        uint32_t back = (uint32_t)(((end < rx->granted ? end : rx->granted) - first) / floor);
        if (TETHER_BROKEN(ep, rx->outstanding >= back && rx->reserved >= back))
            return -1;
        tether_count_arrived(ep, flow, back);
    }
    if (end > rx->granted) {
        uint64_t from = first > rx->granted ? first : rx->granted;
        uint64_t upto = end < rx->reserved_to ? end : rx->reserved_to;
        if (upto > from)
            tether_count_reserved(ep, flow, -(int64_t)((upto - from) / floor));
        if (first > rx->granted) {
            /* An ember went before: it is covered now, whether it has arrived or must still be repaired. */
            uint32_t had = rx->reserved_to > rx->granted;
            if (flow->ember_in) {
                tether_count_reserved(ep, flow, -(int64_t)had);
                tether_ember_clear(ep, flow);
            } else {
                tether_count_outstanding(ep, flow, 1);
                tether_count_reserved(ep, flow, !had);
            }
        }
        rx->granted = end;
        rx->reserved_to = rx->reserved_to > end ? rx->reserved_to : end;
        rx->whole = rx->whole > end ? rx->whole : end;
    }
    rx->demand = rx->demand > end ? rx->demand : end;
    rx->upper = rx->demand;
    rx->arrived += end - first;
    if (rx->reserved_to > rx->upper || ep->waiter == tether_flow_node(ep, flow))
        tether_grant_release(ep, flow);
    return 0;
}

/* A message of an ordered flow that is open before `first` will not end; `gap` holds `first`. */
static void mark_broken(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t gap, uint64_t first)
{
    struct tether_gap *g = &ep->gap_pool.gaps[gap];
    if (first == flow->rx.contig)
        tether_rx_break_message(ep, flow);
    else if (first == g->start && g->cell != TETHER_NIL)
        ep->rx.cells[g->cell].marks |= TETHER_CELL_BROKEN;
}

/* [first, end) lies in one gap. 0, or -1 when the pool of gaps is empty. */
static int void_in_gap(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t gap, uint64_t first, uint64_t end)
{
    struct tether_flow_rx *rx = &flow->rx;
    int behind = first > ep->gap_pool.gaps[gap].start;
    mark_broken(ep, flow, gap, first);
    if (tether_gaps_fill(&ep->gap_pool, &rx->gaps, gap, first, end, TETHER_NIL))
        return -1;
    if (behind)
        ep->gap_pool.gaps[gap].broken = 1;
    if (flow->order == TETHER_FLOW_UNORDERED && flow->kind == TETHER_FLOW_MESSAGE)
        tether_whole_void(ep, flow, first, end);
    return 0;
}

/* [first, end) lies behind everything seen. 0, or -1 when the pool of gaps is empty. */
static int void_behind(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t first,
                       uint64_t end, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (first > rx->high) {
        if (tether_rx_open_gap(ep, ch, flow, first, now_ns + tether_rtt_now(&ch->rtt) / 4, now_ns))
            return -1;
        ep->gap_pool.gaps[rx->gaps.tail].broken = 1;
    } else if (rx->ahead_tail != TETHER_NIL) {
        ep->rx.cells[rx->ahead_tail].marks |= TETHER_CELL_BROKEN;
    } else if (rx->gaps.count == 0) {
        tether_rx_break_message(ep, flow);
    }
    if (flow->order == TETHER_FLOW_UNORDERED && flow->kind == TETHER_FLOW_MESSAGE)
        tether_whole_void(ep, flow, first, end);
    rx->high = end;
    if (rx->gaps.count == 0)
        rx->contig = end;
    return 0;
}

/* The gap that holds `slot`, or the first one behind it; NIL = none. */
static uint32_t gap_from(struct tether_endpoint *ep, struct tether_flow_rx *rx, uint64_t slot)
{
    uint32_t gap = tether_gaps_find(&ep->gap_pool, &rx->gaps, slot);
    if (gap != TETHER_NIL)
        return gap;
    for (gap = rx->gaps.head; gap != TETHER_NIL && ep->gap_pool.gaps[gap].end <= slot;)
        gap = ep->gap_pool.gaps[gap].next;
    return gap;
}

/*
 * Slots that will never be sent (Skip, or Close to the grant): they count as arrived, and what was reserved for
 * them is free. In an expiring or unordered flow a Skip may name what was sent too: what has arrived of it stays. 0, or
 * -1 when they are not what the peer may skip.
 */
int tether_rx_void(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t first,
                   uint64_t end, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t at, floor = rx->floor;
    int lenient = flow->reliability == TETHER_FLOW_EXPIRING || flow->order == TETHER_FLOW_UNORDERED;
    if (end <= rx->contig)
        return 0;
    if (lenient && first < rx->contig && first % floor == 0)
        first = rx->contig;
    if (first >= end || first % floor || end % floor || first < rx->contig ||
        end - rx->contig >= UINT64_C(1) << 31 || (first > rx->granted && first - rx->granted > floor))
        return -1;
    for (at = first; !lenient && at < end && at < rx->high;) { /* nothing of it arrived or was skipped before */
        uint32_t gap = tether_gaps_find(&ep->gap_pool, &rx->gaps, at);
        if (gap == TETHER_NIL)
            return -1;
        at = ep->gap_pool.gaps[gap].end;
    }
    /* Behind an ember: its cell, and the channel's next one, must be there. Else skipping behind ember after ember, read
     * by nobody, would take the cells of every other channel. One for each channel is spare, so that only who does it
     * again and again meets this. */
    if (first > rx->granted && ep->outstanding >= ep->window + ep->config.max_channels)
        return -1; /* the same of the ring: what embers cover beyond the window is one frame per channel */
    if (first > rx->granted && rx->reserved_to <= rx->granted &&
        (uint64_t)ep->held + ep->reserved + flow->ember_in >=
            (uint64_t)ep->config.rx_cells + ep->embers + ep->config.max_channels)
        return -1;
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_VOID, .flow = flow->id, .slot = first, .count = end - first);
    for (at = first; at < end && at < rx->high;) {
        uint32_t gap = gap_from(ep, rx, at);
        uint64_t upto;
        if (gap == TETHER_NIL || ep->gap_pool.gaps[gap].start >= end) {
            at = rx->high < end ? rx->high : end;
            break;
        }
        at = at > ep->gap_pool.gaps[gap].start ? at : ep->gap_pool.gaps[gap].start;
        upto = end < ep->gap_pool.gaps[gap].end ? end : ep->gap_pool.gaps[gap].end;
        if (give_back(ep, flow, at, upto) || void_in_gap(ep, flow, gap, at, upto))
            return -1;
        note_hole(ep, flow, at, upto);
        at = upto;
    }
    if (at < end) {
        if (give_back(ep, flow, at, end) || void_behind(ep, ch, flow, at, end, now_ns))
            return -1;
        note_hole(ep, flow, at, end);
    }
    tether_rx_splice(ep, ch, flow, now_ns);
    if (ch->state != TETHER_CHANNEL_UP)
        return 0;
    tether_rx_ended(ep, flow);
    tether_grant_freed(ep);
    tether_news(ep, ch, flow, TETHER_NEWS_ACK);
    if (rx->final != UINT64_MAX && rx->contig >= rx->final) {
        tether_rx_cover_last(ep, flow);
        tether_flow_settle(ep, flow);
    }
    return 0;
}

/* The peer's direction ends at `final`: what was granted beyond comes back. */
int tether_rx_close(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t final,
                    uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (rx->final != UINT64_MAX)
        return rx->final == final ? 0 : -1;
    if (final % rx->floor || final < rx->contig || final - rx->contig >= UINT64_C(1) << 31)
        return -1;
    rx->final = final;
    rx->steady_to = 0;
    if (rx->demand > final)
        rx->demand = final;
    rx->upper = rx->demand;
    if (rx->granted > final && tether_rx_void(ep, ch, flow, final, rx->granted, now_ns))
        return -1;
    if (rx->demand > final)
        rx->demand = rx->upper = final;
    tether_grant_release(ep, flow);
    tether_rx_cover_last(ep, flow);
    if (rx->contig >= final)
        tether_flow_settle(ep, flow);
    return 0;
}

static void free_list(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    while (cell != TETHER_NIL) {
        uint32_t following = ep->rx.cells[cell].next;
        tether_rx_free(ep, flow, cell);
        cell = following;
    }
}

/* Nobody will read: what is in order goes back now, what comes goes back when it has its turn. */
void tether_rx_mute(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    flow->mute = 1;
    tether_rx_cover_last(ep, flow);
    tether_whole_drop(ep, flow);
    free_list(ep, flow, rx->head);
    rx->head = rx->tail = rx->message_cell = TETHER_NIL;
    rx->readable_bytes = rx->readable_messages = rx->message_bytes = 0;
}

/* Closed at both ends: what is missing below `final` will not be sent again, and nobody waits for it. */
void tether_rx_finish(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t final)
{
    struct tether_flow_rx *rx = &flow->rx;
    tether_rx_drop(ep, flow);
    rx->contig = rx->high = final > rx->contig ? final : rx->contig;
    rx->granted = rx->granted > rx->contig ? rx->granted : rx->contig;
    rx->final = rx->contig;
    rx->steady_to = 0;
    rx->arrived = rx->reserved_to = rx->whole = rx->granted;
    rx->demand = rx->upper = rx->final;
}

/* The flow ends: cells, gaps and credit go back. */
void tether_rx_drop(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    rx->steady_to = 0;
    tether_rx_mute(ep, flow);
    free_list(ep, flow, rx->ahead);
    rx->ahead = rx->ahead_tail = TETHER_NIL;
    tether_gaps_clear(&ep->gap_pool, &rx->gaps);
    tether_count_reserved(ep, flow, -(int64_t)rx->reserved);
    tether_count_outstanding(ep, flow, -(int64_t)rx->outstanding);
    if (flow->ember_in)
        tether_ember_clear(ep, flow);
    if (ep->waiter == tether_flow_node(ep, flow))
        ep->waiter = TETHER_NIL;
    ep->grant_dirty |= ep->starved != 0; /* a wait that ends, and perhaps many cells */
}
