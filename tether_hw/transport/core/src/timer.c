/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer.c: both lost-frame clocks, delayed receipts, and when to look again (RFC 0001, "Timers").
 *
 * A frame never moves a timer: `timers[]` are lower bounds, and a channel that wakes up too early looks at its
 * flows (only those with something to wait for) and goes back to sleep.
 */
#include "schedule.h"

#include <errno.h>

void tether_arm(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t at_ns)
{
    uint32_t slot = tether_channel_slot(ep, ch);
    if (at_ns < ep->timers[slot])
        ep->timers[slot] = at_ns;
    if (at_ns < ep->timer_ns)
        ep->timer_ns = at_ns;
}

uint64_t tether_channel_silence(struct tether_endpoint *ep, struct tether_channel *ch)
{
    uint64_t frame_ns = ch->rate_bps ? ((uint64_t)ch->cut_bytes + TETHER_FRAME_OVERHEAD) * 8 * UINT64_C(1000000000) / ch->rate_bps : 0;
    (void)ep;
    return tether_silence(&ch->rtt, frame_ns, ch->silence_floor_ns);
}

/* Earliest time at which a timer frame of this channel can be paid. */
static uint64_t payable_ns(const struct tether_endpoint *ep, const struct tether_channel *ch, uint64_t cap_ns)
{
    uint64_t own = ch->timer_frame_ns ? ch->timer_frame_ns + cap_ns : 0;
    uint64_t purse = tether_purse_when(&ep->purse, 1);
    return own < purse ? own : purse;
}

/* Silence of one flow: the channel's, but at a slow pace no less than four of its frames. */
static uint64_t slower(const struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t silence_ns)
{
    uint64_t paced = tether_pace_silence(ep, flow);
    return paced > silence_ns ? paced : silence_ns;
}

static int receiver_misses(const struct tether_flow_rx *rx)
{
    uint64_t upto = rx->granted < rx->demand ? rx->granted : rx->demand;
    return rx->contig < upto || rx->gaps.count;
}

/* A frame that may still grow waits for the application, one behind its DEFINE for Flow 0: neither for the peer's word. */
static int sender_waits(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return flow->tx.head != TETHER_NIL && (flow->tx.head != flow->tx.unsent || tether_tx_ready(ep, flow)) &&
           tether_flow_announced(flow);
}

/* When this flow needs a look; UINT64_MAX = not at all. */
static uint64_t flow_due(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                         uint64_t silence_ns)
{
    uint64_t due = UINT64_MAX, clock = UINT64_MAX, at;
    silence_ns = slower(ep, flow, silence_ns);
    if (flow->rx.untold && !(flow->news & TETHER_NEWS_ACK))
        due = flow->rx.untold_ns + tether_receipt_pause(ch);
    if (flow->rx.gaps.count && ch->receipts && !(flow->news & TETHER_NEWS_GAP)) {
        at = tether_gaps_due(&ep->gap_pool, &flow->rx.gaps);
        due = at < due ? at : due;
    }
    at = tether_tx_expires(ep, flow);
    due = at < due ? at : due;
    at = tether_tx_skip_due(flow);
    due = at < due ? at : due;
    if (receiver_misses(&flow->rx) && !(flow->news & TETHER_NEWS_REFRESH))
        clock = tether_backoff_due(&flow->rx.clock, silence_ns);
    if (sender_waits(ep, flow) && !(flow->news & TETHER_NEWS_BLOCKED)) {
        at = tether_backoff_due(&flow->tx.clock, silence_ns);
        clock = at < clock ? at : clock;
    }
    if (clock != UINT64_MAX) {
        at = payable_ns(ep, ch, tether_backoff_cap(silence_ns));
        clock = at > clock ? at : clock;
    }
    return clock < due ? clock : due;
}

/* Something of this flow depends on time from now on. */
void tether_timed_first(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns)
{
    uint64_t silence, due;
    /* Nothing was awaited before, so the silence begins now. */
    if (flow->tx.clock.tries == 0 && flow->tx.clock.since_ns < now_ns)
        flow->tx.clock.since_ns = now_ns;
    if (flow->rx.clock.tries == 0 && flow->rx.clock.since_ns < now_ns)
        flow->rx.clock.since_ns = now_ns;
    tether_enqueue(ep, flow, TETHER_Q_TIMED);
    silence = tether_channel_silence(ep, ch);
    due = flow_due(ep, ch, flow, silence);
    tether_arm(ep, ch, due < now_ns + silence ? due : now_ns + silence);
}

static uint64_t flow_timer(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                           uint64_t silence_ns, uint64_t now_ns)
{
    uint64_t payable;
    silence_ns = slower(ep, flow, silence_ns);
    payable = payable_ns(ep, ch, tether_backoff_cap(silence_ns));
    tether_tx_expire(ep, ch, flow, now_ns);
    tether_tx_tell_skip(ep, ch, flow, now_ns);
    if (flow->rx.untold && flow->rx.untold_ns + tether_receipt_pause(ch) <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_ACK);
    if (flow->rx.gaps.count && ch->receipts && tether_gaps_due(&ep->gap_pool, &flow->rx.gaps) <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_GAP);
    if (receiver_misses(&flow->rx) && tether_backoff_due(&flow->rx.clock, silence_ns) <= now_ns && payable <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_REFRESH);
    if (sender_waits(ep, flow) && tether_backoff_due(&flow->tx.clock, silence_ns) <= now_ns && payable <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_BLOCKED);
    return flow_due(ep, ch, flow, silence_ns);
}

/* How long timer frames may go unanswered. */
uint64_t tether_channel_patience(struct tether_endpoint *ep, struct tether_channel *ch)
{
    uint64_t patience = UINT64_C(10000000000), silence_ns = tether_channel_silence(ep, ch);
    return silence_ns > patience / TETHER_UNANSWERED_SILENCES ? silence_ns * TETHER_UNANSWERED_SILENCES : patience;
}

/* Has nothing been heard for so long that the peer has forgotten the channel (a restart), or is gone? */
static int gone(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    return ch->unanswered_ns && now_ns > ch->unanswered_ns &&
           now_ns - ch->unanswered_ns >= tether_channel_patience(ep, ch);
}

/* Credit that its peer asked for, has, and does not use, while another peer goes short of it. */
static int hoarded(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t silence_ns, uint64_t now_ns)
{
    uint64_t patience = TETHER_HOARD_NS;
    silence_ns = slower(ep, flow, silence_ns);
    if (silence_ns > patience / TETHER_UNANSWERED_SILENCES)
        patience = silence_ns * TETHER_UNANSWERED_SILENCES;
    return flow->rx.outstanding && flow->id != 0 && now_ns > flow->rx.fed_ns && now_ns - flow->rx.fed_ns >= patience &&
           tether_schedule_others_starve(ep, flow);
}

static uint64_t channel_timer(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_queue *queue = &ch->queues[TETHER_Q_TIMED];
    uint64_t silence, next = UINT64_MAX;
    uint32_t last = queue->tail;
    if (ch->state == TETHER_CHANNEL_UNCONFIRMED) {
        if (ch->expire_ns <= now_ns) {
            tether_channel_release(ep, ch);
            return UINT64_MAX;
        }
        return ch->expire_ns;
    }
    if (ch->state == TETHER_CHANNEL_HAILING) {
        next = tether_backoff_hail_due(&ch->hail_clock, tether_channel_silence(ep, ch));
        if (next > now_ns && ch->hails_sent)
            return next;
        if (ep->counter_next >= ep->counter_limit)
            return UINT64_MAX; /* tether_endpoint_counter wakes it */
        ch->hail_due = 1;
        tether_work(ep, ch);
        next = tether_purse_when(&ep->purse, 2);
        return next > now_ns ? next : UINT64_MAX; /* sending arms it again */
    }
    if (!tether_channel_live(ch))
        return UINT64_MAX;
    silence = tether_channel_silence(ep, ch);
    if (gone(ep, ch, now_ns)) {
        int closing = ch->state == TETHER_CHANNEL_CLOSING;
        if (!closing)
            tether_channel_down(ep, ch, now_ns, -ETIMEDOUT, 0);
        tether_channel_reap(ep, ch);
        return UINT64_MAX;
    }
    next = tether_rekey_timer(ep, ch, now_ns);
    while (queue->head != TETHER_NIL) {
        struct tether_flow *flow = tether_queue_pop(ep, queue, TETHER_Q_TIMED);
        uint32_t node = tether_flow_node(ep, flow);
        uint64_t due = flow_timer(ep, ch, flow, silence, now_ns);
        if (hoarded(ep, flow, silence, now_ns)) {
            tether_channel_fail(ep, ch, now_ns, TETHER_BYE_HOARD);
            return now_ns + silence;
        }
        /* News that is pending needs no timer itself, but what follows from it does: whoever is listed is looked at. */
        if (due == UINT64_MAX && (flow->news || flow->rx.untold || flow->rx.gaps.count ||
                                  receiver_misses(&flow->rx) || sender_waits(ep, flow)))
            due = now_ns + silence;
        if (due != UINT64_MAX)
            tether_enqueue(ep, flow, TETHER_Q_TIMED);
        next = due < next ? due : next;
        if (node == last)
            break;
    }
    return next;
}

void tether_timers_run(struct tether_endpoint *ep, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    tether_purse_refill(&ep->purse, now_ns);
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        if (ep->timers[slot] <= now_ns) {
            ep->timers[slot] = UINT64_MAX;
            ep->timer_ns = UINT64_MAX;
            struct tether_channel *ch = &ep->channels[slot];
            uint64_t change = tether_contact_run(ep, ch, now_ns);
            uint64_t due = ch->away_ns ? change : channel_timer(ep, ch, now_ns);
            due = due < change ? due : change;
            if (due < ep->timers[slot])
                ep->timers[slot] = due;
        }
        next = ep->timers[slot] < next ? ep->timers[slot] : next;
    }
    ep->timer_ns = next;
}

TETHER_API uint64_t tether_endpoint_deadline(const tether_endpoint *ep)
{
    uint64_t due = ep->timer_ns;
    if (ep->grant_dirty || ep->answer_count || ep->queues[TETHER_Q_WORK].head != TETHER_NIL)
        return 0;
    if (ep->greetings.due_ns < due)
        due = ep->greetings.due_ns;
    if (ep->paced_count && ep->flows[ep->paced[0]].tx.pacer.at_ns < due)
        due = ep->flows[ep->paced[0]].tx.pacer.at_ns;
    return due;
}
