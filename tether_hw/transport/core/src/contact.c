/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contact.c: contact windows and RTT tables.
 *
 * A frame may leave when our window is open and the peer's will be when it gets there. Outside, nothing is sent and
 * every clock of the channel stands still: when contact comes back, all that was counted from is moved by the time
 * that it was away. Plans of the peer are kept on our own clock, moved by the way there: its tag carries a reading of
 * its clock together with the Timestamp of that moment, and its newest Timestamp tells how much later it is.
 */
#include "endpoint.h"

#include <errno.h>

/* Is `at` in a window? Then *change is its end, else the next beginning; without windows always, and for ever. */
static int in_window(const struct tether_plan *plan, uint64_t at_ns, uint64_t *change)
{
    *change = UINT64_MAX;
    if (plan->count == 0)
        return 1;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t end = plan->at[i] > UINT64_MAX - plan->value[i] ? UINT64_MAX : plan->at[i] + plan->value[i];
        if (at_ns < plan->at[i]) {
            *change = plan->at[i] < *change ? plan->at[i] : *change;
        } else if (at_ns < end) {
            *change = end;
            return 1;
        }
    }
    return 0;
}

int tether_contact_own(const struct tether_endpoint *ep, uint64_t now_ns, uint64_t *change)
{
    uint64_t next;
    int open = in_window(&ep->windows, now_ns, &next);
    if (!open && change != NULL)
        *change = next;
    return open;
}

/* The table's value now; 0 = says nothing. *change is when the next one holds. */
static uint64_t in_table(const struct tether_plan *plan, uint64_t at_ns, uint64_t *change)
{
    uint64_t value = 0;
    *change = UINT64_MAX;
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->at[i] <= at_ns)
            value = plan->value[i];
        else
            *change = plan->at[i] < *change ? plan->at[i] : *change;
    }
    return value;
}

static uint64_t moved(uint64_t at_ns, uint64_t by_ns)
{
    return at_ns && at_ns <= UINT64_MAX - by_ns ? at_ns + by_ns : at_ns;
}

/* Contact is back: every clock goes on from where it stood. */
static void go_on(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t away_ns, uint64_t now_ns)
{
    uint64_t latest = now_ns + tether_rtt_now(&ch->rtt) + ch->reorder_ns;
    ch->unanswered_ns = moved(ch->unanswered_ns, away_ns);
    ch->timer_frame_ns = moved(ch->timer_frame_ns, away_ns);
    ch->hail_clock.since_ns = moved(ch->hail_clock.since_ns, away_ns);
    ch->expire_ns = moved(ch->expire_ns, away_ns);
    for (uint32_t i = 0; i < ep->flow_nodes; i++) {
        struct tether_flow *flow = tether_flow_at(ep, ch, i);
        struct tether_flow_rx *rx = &flow->rx;
        if (!flow->used)
            continue;
        flow->tx.clock.since_ns = moved(flow->tx.clock.since_ns, away_ns);
        tether_busy_begin(&flow->tx.busy);
        rx->clock.since_ns = moved(rx->clock.since_ns, away_ns);
        rx->untold_ns = moved(rx->untold_ns, away_ns);
        rx->fed_ns = moved(rx->fed_ns, away_ns);
        for (uint32_t gap = rx->gaps.head; gap != TETHER_NIL; gap = ep->gap_pool.gaps[gap].next) {
            struct tether_gap *g = &ep->gap_pool.gaps[gap];
            uint64_t ready = moved(g->ready_ns, away_ns);
            g->ready_ns = ready < latest ? ready : latest;
        }
        if (i)
            tether_tx_kick(ep, ch, flow, now_ns);
    }
    tether_work(ep, ch);
}

uint64_t tether_contact_run(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t own, theirs, change, ours_rtt, their_rtt, later;
    int open = in_window(&ep->windows, now_ns, &own) & in_window(&ch->peer_windows, now_ns, &theirs);
    change = own < theirs ? own : theirs;
    ours_rtt = in_table(&ep->rtt_table, now_ns, &later);
    change = later < change ? later : change;
    their_rtt = in_table(&ch->peer_rtt_table, now_ns, &later);
    change = later < change ? later : change;
    ours_rtt = ours_rtt > their_rtt ? ours_rtt : their_rtt;
    if (ours_rtt)
        ch->rtt.declared_ns = ours_rtt;
    if (!open && ch->away_ns == 0) {
        ch->away_ns = now_ns ? now_ns : 1;
    } else if (open && ch->away_ns) {
        uint64_t away = now_ns - ch->away_ns;
        ch->away_ns = 0;
        go_on(ep, ch, away, now_ns);
    }
    return change;
}

/* What the peer says about its own clock, on ours, for frames that we send. */
void tether_contact_take(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_tag_plan *tag,
                         int windows, uint64_t now_ns)
{
    struct tether_plan *plan = windows ? &ch->peer_windows : &ch->peer_rtt_table;
    uint64_t later = (ch->peer_stamp - tag->stamp) & TETHER_MASK48, reading;
    if (later >> 47) /* a stamp of the future: no reading of that clock */
        later = 0;
    reading = tag->clock_ns + later + (now_ns - ch->peer_stamp_ns) + ch->rtt.declared_ns; /* when what we send now is there */
    plan->count = 0;
    for (uint32_t i = 0; i < tag->count && i < TETHER_PLAN_MAX; i++) {
        uint64_t at = tether_get64(tag->pairs + 16 * (size_t)i), value = tether_get64(tag->pairs + 16 * (size_t)i + 8);
        if (at >= reading) {
            at = at - reading > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + (at - reading);
        } else {
            uint64_t gone = reading - at;
            if (gone > now_ns) { /* before our clock began */
                value = windows ? value > gone - now_ns ? value - (gone - now_ns) : 0 : value;
                gone = now_ns;
            }
            at = now_ns - gone;
        }
        plan->at[plan->count] = at;
        plan->value[plan->count++] = value;
    }
    tether_arm(ep, ch, now_ns);
}

static int declare(struct tether_endpoint *ep, struct tether_plan *plan, const struct tether_window *windows,
                   size_t count, uint16_t control, uint64_t now_ns)
{
    if (count > TETHER_PLAN_MAX || (windows == NULL && count))
        return -EINVAL;
    for (size_t i = 1; i < count; i++)
        if (windows[i].start_ns < windows[i - 1].start_ns)
            return -EINVAL;
    if (ep->greetings.warm != NULL && ep->greetings.due_ns > now_ns)
        ep->greetings.due_ns = now_ns; /* what waits for contact is looked at anew */
    plan->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        plan->at[i] = windows[i].start_ns;
        plan->value[i] = windows[i].length_ns;
    }
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        struct tether_flow *flow = tether_flow_at(ep, ch, 0);
        if (ch->state == TETHER_CHANNEL_FREE || ch->state == TETHER_CHANNEL_DEAD)
            continue;
        tether_arm(ep, ch, now_ns);
        if (ch->state != TETHER_CHANNEL_UP)
            continue;
        flow->control |= control;
        tether_enqueue(ep, flow, TETHER_Q_CONTROL);
        tether_work(ep, ch);
    }
    return 0;
}

TETHER_API int tether_endpoint_windows(tether_endpoint *ep, uint64_t now_ns, const struct tether_window *windows,
                                       size_t count)
{
    return declare(ep, &ep->windows, windows, count, TETHER_CONTROL_WINDOWS, now_ns);
}

TETHER_API int tether_endpoint_rtt_table(tether_endpoint *ep, uint64_t now_ns, const struct tether_window *entries,
                                         size_t count)
{
    return declare(ep, &ep->rtt_table, entries, count, TETHER_CONTROL_TABLE, now_ns);
}
