/* SPDX-License-Identifier: Apache-2.0 */
/* news.c: frames that go for the sake of their header: receipts, grants, and what a clock asks for. */
#include "frame.h"

/* What is missing, as this frame says it: the gap whose turn it is, what the clock asks for, or nothing (count 0). */
TETHER_RARE struct tether_missing tether_frame_missing(struct tether_endpoint *ep, struct tether_channel *ch,
                                                       struct tether_flow *flow, int refresh, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_missing missing = {.slot = (uint32_t)rx->contig};
    uint64_t rtt = tether_rtt_now(&ch->rtt);
    uint32_t gap = TETHER_NIL;
    if (rx->gaps.count != 0)
        gap = tether_gaps_ask(&ep->gap_pool, &rx->gaps, now_ns,
                              now_ns + rtt + rtt / 64 + ch->reorder_ns); /* the repair may stand behind others */
    if (gap != TETHER_NIL) {
        const struct tether_gap *g = &ep->gap_pool.gaps[gap];
        missing.slot = (uint32_t)g->start;
        missing.count = (uint16_t)(g->end - g->start);
    } else if (refresh && rx->gaps.count == 0) {
        uint64_t upto = rx->granted < rx->demand ? rx->granted : rx->demand;
        uint64_t most = UINT16_MAX / rx->floor * rx->floor;
        if (upto > rx->contig && rx->gaps.since_count0 < 7) {
            missing.count = (uint16_t)(upto - rx->contig < most ? upto - rx->contig : most);
            rx->gaps.since_count0++;
        } else {
            rx->gaps.since_count0 = 0;
        }
    }
    if (missing.count) {
        TETHER_COUNT(ep, nacks_sent);
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_NACK, .flow = flow->id, .sequence = ch->sequence,
                     .slot = tether_expand32(rx->contig, missing.slot), .count = missing.count);
    }
    if (rx->gaps.count != 0 && tether_gaps_due(&ep->gap_pool, &rx->gaps) <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_GAP);
    return missing;
}

/* Does data of this flow go now anyway, and carry its news? */
static int data_follows(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_flow_tx *tx = &flow->tx;
    return tx->unsent != TETHER_NIL && flow->queued >> TETHER_Q_DATA & 1 && flow->paced == 0 &&
           tether_ledger_next(&tx->ledger) + ep->tx.cells[tx->unsent].slots <= tether_ledger_limit(&tx->ledger);
}

static int pay_timer(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t cap = tether_backoff_cap(tether_channel_silence(ep, ch));
    if (tether_purse_pay(&ep->purse, now_ns, 1))
        return 1;
    if (ch->timer_frame_ns && now_ns - ch->timer_frame_ns < cap)
        return 0;
    ch->timer_frame_ns = now_ns; /* one per channel per cap is always affordable */
    return 1;
}

/* A header-only frame about one flow: a receipt where there is one, a timer frame where a clock asks for it. */
int tether_news_send(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_queue *queue = &ch->queues[TETHER_Q_NEWS];
    uint32_t last = queue->tail;
    struct tether_flow *flow;
    while ((flow = tether_queue_pop(ep, queue, TETHER_Q_NEWS)) != NULL) {
        uint64_t next = tether_ledger_next(&flow->tx.ledger), sequence = ch->sequence;
        uint8_t news = flow->news;
        int clock = news & (TETHER_NEWS_REFRESH | TETHER_NEWS_BLOCKED);
        int unmet = (flow->rx.demand > flow->rx.granted && flow->id != 0) || ch->unmet;
        int at_end = tether_flow_node(ep, flow) == last;
        if (news == 0)
            goto next;
        if (data_follows(ep, flow)) {
            flow->news &= (uint8_t)~TETHER_NEWS_BLOCKED; /* data says more than the clock would */
            goto next;
        }
        /* While demand of any flow of the channel is unmet the last receipt is kept for the grant (H1). */
        if (!clock && ch->receipts > (unmet && !(news & (TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER)))) {
            ch->receipts--;
            ch->receipt_ns = now_ns;
            TETHER_COUNT(ep, receipts_spent);
        } else if (clock || news & TETHER_NEWS_DEMAND) {
            if (!pay_timer(ep, ch, now_ns)) {
                flow->news &= (uint8_t)~(TETHER_NEWS_REFRESH | TETHER_NEWS_BLOCKED | TETHER_NEWS_DEMAND);
                tether_timed(ep, ch, flow, now_ns);
                tether_arm(ep, ch, tether_purse_when(&ep->purse, 1));
                goto next;
            }
            if (news & TETHER_NEWS_DEMAND)
                clock = TETHER_NEWS_BLOCKED | clock;
        } else {
            /* Waits for a receipt or a clock; its news bits stay. */
            if (news & (TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER | TETHER_NEWS_GAP))
                tether_enqueue(ep, flow, TETHER_Q_RECEIPT);
            goto next;
        }
        tether_frame_begin(ep, ch, flow, frame, clock & TETHER_NEWS_BLOCKED ? TETHER_FLAG_BLOCKED : 0, 0, next, next,
                           now_ns);
        if (!clock)
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_RECEIPT, .flow = flow->id, .sequence = sequence,
                         .slot = flow->rx.contig, .value = ch->receipts);
        if (clock & TETHER_NEWS_BLOCKED) {
            tether_backoff_sent(&flow->tx.clock, now_ns);
            TETHER_COUNT(ep, blocked_sent);
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_BLOCKED, .flow = flow->id, .sequence = sequence,
                         .slot = next, .count = tether_unfloat16(tether_get16(frame + TETHER_AT_WANT)),
                         .value = flow->tx.clock.tries);
            flow->news &= (uint8_t)~TETHER_NEWS_BLOCKED;
        }
        if (clock & TETHER_NEWS_REFRESH) {
            tether_backoff_sent(&flow->rx.clock, now_ns);
            flow->rx.steady_to = 0;
            TETHER_COUNT(ep, refresh_sent);
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_REFRESH, .flow = flow->id, .sequence = sequence,
                         .slot = flow->rx.contig, .count = tether_get16(frame + TETHER_AT_NACK_COUNT), .value = flow->rx.clock.tries);
        }
        if (clock) {
            ch->unanswered_ns = ch->unanswered_ns ? ch->unanswered_ns : now_ns;
            tether_arm(ep, ch, now_ns + tether_channel_silence(ep, ch));
            if (ch->state == TETHER_CHANNEL_CLOSING && flow->id == 0 && ch->linger)
                ch->linger--;
        }
        return tether_frame_end(ep, ch, frame, 0, frame);
next:
        if (at_end)
            break;
    }
    return 0;
}
