/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.c: what is stated, and who waits for its time.
 *
 * Flows that may not send yet stand in a heap by their time, so that thousands of them cost a few steps each.
 */
#include "account.h"

/* ------------------------------------------------------------------- stated */

static uint64_t rate_of(const struct tether_endpoint *ep, const struct tether_channel *ch)
{
    uint64_t rate = ep->link_bps;
    return ch->rate_bps && ch->rate_bps < rate ? ch->rate_bps : rate;
}

/* a * b / c without overflow, for b <= c. */
static uint64_t part_of(uint64_t a, uint64_t b, uint64_t c)
{
    while (a > UINT32_MAX || b > UINT32_MAX) {
        if (b > UINT32_MAX) {
            b >>= 8;
            c >>= 8;
        } else {
            return a / c * b;
        }
    }
    return c ? a * b / c : a;
}

/* A flow begins or ceases to have something outstanding: the link is shared among more or fewer. */
void tether_pace_share(struct tether_endpoint *ep, struct tether_flow *flow, int active)
{
    struct tether_account *account = tether_account_of(ep, flow);
    uint64_t kept = flow->budget_bps;
    int lent = tether_lend_peer(account);
    if (active) {
        if (account->active++ == 0) {
            account->rate_bps = rate_of(ep, tether_channel_of(ep, flow));
            ep->active_bps += account->rate_bps;
            ep->active_peers++;
        }
        ep->kept_bps += kept;
    } else {
        if (--account->active == 0) {
            ep->active_bps -= account->rate_bps;
            ep->active_peers--;
        }
        ep->kept_bps -= kept;
    }
    ep->active_flows += active ? 1 : UINT32_MAX;
    if (flow->rx.lend.slots_per_s)
        tether_lend_active(ep, flow, active);
    ep->lender_peers += (uint32_t)(tether_lend_peer(account) - lent);
    if (!active) {
        ep->stated_bps -= flow->rx.stated_bps;
        flow->rx.stated_bps = 0;
    }
    ep->pace_epoch++;
}

/* The link that this flow's peer has for what it sends to us. */
static uint64_t own_of(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_account *account = tether_account_of(ep, flow);
    return account->active ? account->rate_bps : rate_of(ep, tether_channel_of(ep, flow));
}

/*
 * This flow's share of the link in bit/s, as if it were granted to; 0 = none is known. Peers share by the rates of their
 * own links, the flows of a peer share alike; a flow with an admitted budget has at least that.
 */
uint64_t tether_pace_whole(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_account *account = tether_account_of(ep, flow);
    uint64_t link = ep->link_bps, own = own_of(ep, flow);
    uint64_t all = ep->active_bps + (account->active ? 0 : own), share;
    uint32_t flows = account->active + (flow->rx.outstanding == 0);
    if (link == 0 || flow->cut_bytes == 0)
        return 0;
    link -= ep->kept_bps < link / 4 * 3 ? ep->kept_bps : link / 4 * 3;
    share = all > link ? part_of(link, own, all) : own;
    share /= flows ? flows : 1;
    return share > flow->budget_bps ? share : flow->budget_bps;
}

/* What is left of it, or comes to it, where some cannot use theirs; and what the brake leaves. */
static uint64_t share_of(struct tether_endpoint *ep, struct tether_flow *flow)
{
    const struct tether_channel *ch = tether_channel_of(ep, flow);
    uint64_t share = tether_pace_whole(ep, flow), least = ep->link_bps / 64;
    if (__builtin_expect(ep->lenders != 0, 0) && share)
        share = tether_lend_share(ep, flow, share, own_of(ep, flow));
    if (ch->brake.part < TETHER_BRAKE_FREE) {
        uint64_t braked = share / TETHER_BRAKE_FREE * ch->brake.part;
        share = braked > least ? braked : share < least ? share : least;
    }
    return share;
}

static uint64_t slots_of(const struct tether_flow *flow, uint64_t bps)
{
    uint64_t slots = bps / 8 * flow->rx.floor / (flow->cut_bytes + TETHER_FRAME_OVERHEAD);
    return slots ? slots : 1;
}

uint64_t tether_pace_bps(const struct tether_flow *flow, uint64_t slots_per_s)
{
    uint64_t frames = slots_per_s / flow->rx.floor, bits = ((uint64_t)flow->cut_bytes + TETHER_FRAME_OVERHEAD) * 8;
    return frames > UINT64_MAX / bits ? UINT64_MAX : frames * bits;
}

/* Slots per second that this flow may have, as if it were granted to; 0 = no statement. */
uint64_t tether_pace_slots(struct tether_endpoint *ep, struct tether_flow *flow)
{
    uint64_t share = share_of(ep, flow);
    return share ? slots_of(flow, share) : 0;
}

/*
 * Of its share, what is not still used by others: a flow that was told more, when there were fewer, uses that until it
 * hears better. Who comes begins with a 64th, or its share where that is less.
 */
static uint64_t ceded(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    uint64_t link = ep->link_bps, others = ep->stated_bps - flow->rx.stated_bps;
    uint64_t left = link > others ? link - others : 0;
    left = left > link / 64 ? left : link / 64;
    return left < flow->rx.share_bps ? left : flow->rx.share_bps;
}

/* The pace field of a frame of this flow. */
uint16_t tether_pace_anew(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (rx->pace_epoch != ep->pace_epoch) {
        rx->share_bps = share_of(ep, flow);
        rx->pace_epoch = ep->pace_epoch;
        if (rx->share_bps == 0)
            return 0;
    }
    if (rx->stated_bps != rx->share_bps) {
        uint64_t bps = ceded(ep, flow);
        uint16_t pace = tether_float16(slots_of(flow, bps));
        ep->stated_bps += bps - rx->stated_bps;
        rx->stated_bps = bps;
        if (pace != rx->pace)
            TETHER_TRACE(ep, tether_channel_of(ep, flow), now_ns, .kind = TETHER_TRACE_PACE, .flow = flow->id,
                         .value = tether_unfloat16(pace));
        rx->pace = pace;
    }
    return rx->pace;
}

/* Four frames of this flow, at the slower of the paces in force: what we told the peer, and what it told us. */
uint64_t tether_pace_silence(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_flow_rx *rx = &flow->rx;
    uint64_t slots = rx->outstanding ? tether_unfloat16(rx->pace) : 0;
    uint64_t theirs = slots ? (uint64_t)flow->rx.floor * UINT64_C(1000000000) / slots : 0;
    uint64_t ours = tether_pacer_ns(&flow->tx.pacer, flow->tx.floor);
    (void)ep;
    return 4 * (theirs > ours ? theirs : ours);
}

/* -------------------------------------------------------------------- brake */

/*
 * What queue is tolerated: a part of the round trip, but no less than the silence that the nodes say they need, nor than
 * full frames take where the least round trip was that of small ones.
 */
static uint64_t tolerance(const struct tether_channel *ch, uint64_t base_ns)
{
    uint64_t least = base_ns / 8 > ch->silence_floor_ns ? base_ns / 8 : ch->silence_floor_ns, frames = 0;
    if (ch->rate_bps)
        frames = 4 * ((uint64_t)ch->cut_bytes + TETHER_FRAME_OVERHEAD) * 8 * UINT64_C(1000000000) / ch->rate_bps;
    return least > frames ? least : frames;
}

/*
 * What is granted falls with the pace, so a queue of ours becomes shorter a round after each change. A delay that does
 * not is something else: a machine that is slow to wake up, or others' traffic.
 */
static int futile(struct tether_brake *brake, uint64_t excess_ns)
{
    brake->futile = brake->excess_ns && excess_ns > brake->excess_ns / 4 * 3 ? brake->futile + 1 : 0;
    brake->excess_ns = excess_ns;
    if (brake->futile < TETHER_BRAKE_FUTILE)
        return 0;
    brake->futile = 0;
    brake->excess_ns = 0;
    return 1;
}

void tether_brake_sample(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t sample_ns, uint64_t now_ns)
{
    struct tether_brake *brake = &ch->brake;
    uint64_t base = ch->rtt.declared_ns > ch->rtt.min_ns ? ch->rtt.declared_ns : ch->rtt.min_ns, most;
    uint32_t before = brake->part;
    if (sample_ns < brake->least_ns)
        brake->least_ns = sample_ns;
    if (brake->round_ns == 0)
        brake->round_ns = now_ns;
    if (++brake->samples < TETHER_BRAKE_SAMPLES || now_ns - brake->round_ns < tether_rtt_now(&ch->rtt))
        return;
    most = base + tolerance(ch, base);
    if (brake->waits) {
        brake->waits--;
    } else if (brake->least_ns > most && futile(brake, brake->least_ns - base)) {
        brake->part = TETHER_BRAKE_FREE;
        brake->waits = TETHER_BRAKE_REST;
    } else if (brake->least_ns > most) {
        /* Proportional, at most by half: half of a queue is gone when the next round begins. */
        uint64_t part = part_of(brake->part, most, brake->least_ns);
        brake->part = (uint32_t)part > brake->part / 2 ? (uint32_t)part : brake->part / 2;
        brake->part = brake->part > TETHER_BRAKE_LEAST ? brake->part : TETHER_BRAKE_LEAST;
        brake->waits = 1;
        if (brake->part > before / 4 * 3) /* too little to show */
            brake->excess_ns = 0;
    } else {
        brake->excess_ns = 0;
        brake->futile = 0;
    }
    if (brake->least_ns <= most && brake->part < TETHER_BRAKE_FREE && brake->waits == 0) {
        brake->part += brake->part / 16 > 1 ? brake->part / 16 : 1;
        brake->part = brake->part < TETHER_BRAKE_FREE ? brake->part : TETHER_BRAKE_FREE;
    }
    ep->pace_epoch += brake->part != before;
    brake->round_ns = now_ns;
    brake->least_ns = UINT64_MAX;
    brake->samples = 0;
}

/* ------------------------------------------------------------------- obeyed */

static uint64_t at_of(const struct tether_endpoint *ep, uint32_t node)
{
    return ep->flows[node].tx.pacer.at_ns;
}

static void place(struct tether_endpoint *ep, uint32_t at, uint32_t node)
{
    ep->paced[at] = node;
    ep->flows[node].paced = at + 1;
}

static void sift_up(struct tether_endpoint *ep, uint32_t at, uint32_t node)
{
    for (; at > 0 && at_of(ep, ep->paced[(at - 1) / 2]) > at_of(ep, node); at = (at - 1) / 2)
        place(ep, at, ep->paced[(at - 1) / 2]);
    place(ep, at, node);
}

static void sift_down(struct tether_endpoint *ep, uint32_t at, uint32_t node)
{
    for (uint32_t child; (child = 2 * at + 1) < ep->paced_count; at = child) {
        child += child + 1 < ep->paced_count && at_of(ep, ep->paced[child + 1]) < at_of(ep, ep->paced[child]);
        if (at_of(ep, ep->paced[child]) >= at_of(ep, node))
            break;
        place(ep, at, ep->paced[child]);
    }
    place(ep, at, node);
}

/* Whoever waits is called at its time even if it has nothing to send then. */
void tether_pace_wait(struct tether_endpoint *ep, struct tether_flow *flow)
{
    flow->tx.pacer.grace_ns = flow->tx.pacer.burst_ns;
    if (flow->paced == 0)
        sift_up(ep, ep->paced_count++, tether_flow_node(ep, flow));
}

void tether_pace_forget(struct tether_endpoint *ep, struct tether_flow *flow)
{
    uint32_t at = flow->paced, last;
    if (at-- == 0)
        return;
    flow->paced = 0;
    last = ep->paced[--ep->paced_count];
    if (last == tether_flow_node(ep, flow))
        return;
    if (at > 0 && at_of(ep, ep->paced[(at - 1) / 2]) > at_of(ep, last))
        sift_up(ep, at, last);
    else
        sift_down(ep, at, last);
}

/* Everybody whose time has come may send. */
void tether_pace_run(struct tether_endpoint *ep, uint64_t now_ns)
{
    while (ep->paced_count && at_of(ep, ep->paced[0]) <= now_ns) {
        struct tether_flow *flow = &ep->flows[ep->paced[0]];
        struct tether_channel *ch = tether_channel_of(ep, flow);
        tether_pace_forget(ep, flow);
        if (flow->tx.repair_head != TETHER_NIL) {
            tether_enqueue(ep, flow, TETHER_Q_REPAIR);
            tether_work(ep, ch);
        }
        tether_tx_kick(ep, ch, flow, now_ns);
    }
}

/* A new statement: whoever waits may have to wait less, or more. */
void tether_pace_hear(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header,
                      uint64_t now_ns)
{
    struct tether_pacer *pacer = &flow->tx.pacer;
    uint64_t before = pacer->slot_ns16, wait;
    tether_pacer_hear(pacer, header->sequence, header->pace, tether_unfloat16(header->pace),
                      tether_channel_of(ep, flow)->cut_bytes / TETHER_BLOCK_BYTES);
    if (before == pacer->slot_ns16)
        return;
    if (flow->tx.busy.slot_ns16 < pacer->slot_ns16)
        flow->tx.busy.slot_ns16 = pacer->slot_ns16;
    TETHER_TRACE(ep, tether_channel_of(ep, flow), now_ns, .kind = TETHER_TRACE_PACE, .flags = TETHER_TRACE_HEARD,
                 .flow = flow->id, .sequence = header->sequence, .value = tether_unfloat16(header->pace));
    if (flow->paced == 0 || before == 0)
        return;
    /* What is left of the distance becomes shorter or longer as the pace does. */
    wait = pacer->at_ns > now_ns ? pacer->at_ns - now_ns : 0;
    tether_pace_forget(ep, flow);
    pacer->at_ns = now_ns + wait / 256 * (pacer->slot_ns16 * 256 / before);
    tether_pace_wait(ep, flow);
}
