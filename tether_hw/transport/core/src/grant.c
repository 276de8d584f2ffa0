/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grant.c: credit of the lane (RFC 0001, "Grants"). All in frames, because buffers fill by cells.
 *
 *   cells     held + reserved <= rx_cells (+ one per ember that is in): I4
 *   window    granted and not arrived, all flows of the lane, <= 3/4 of the carrier's ring
 *   reach     a flow is granted what its pace brings in one and a half round trips and the silences that the nodes
 *             need: more would not come sooner, and less would leave the link idle
 *   messages  a message flow reserves whole messages or waits; one waiter at a time gathers what becomes free,
 *             so two large messages never hold half of the buffer each
 *   steps     a grant is worth a frame: flows are granted again when 16 frames, or a quarter, have come; up to 64 where
 *             that is no more than an eighth
 *
 * Who is served first, and how much each may take, is the policy's word (schedule.c).
 */
#include "account.h"
#include "flow_rx.h"
#include "schedule.h"

enum { STEP_FRAMES = 16 };

uint32_t tether_grant_free(const struct tether_endpoint *ep)
{
    uint64_t all = (uint64_t)ep->config.rx_cells + ep->embers, used = (uint64_t)ep->held + ep->reserved;
    TETHER_BREAK_I4_BY(used = 0;)
    return used < all ? (uint32_t)(all - used) : 0;
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

static uint64_t floor_up(const struct tether_flow_rx *rx, uint64_t slots)
{
    return (slots + rx->floor - 1) / rx->floor * rx->floor;
}

static void unwait(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    if (ep->waiter != tether_flow_node(ep, flow))
        return;
    ep->waiter = TETHER_NIL;
    ep->grant_dirty = 1; /* the next one's turn to gather */
}

/* Cells reserved beyond `keep` go back. */
static void give_back(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t keep)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t back;
    if (keep < rx->granted)
        keep = rx->granted;
    if (rx->reserved_to > keep) {
        back = (uint32_t)((rx->reserved_to - keep) / rx->floor);
        if (TETHER_BROKEN(ep, rx->reserved >= back))
            return;
        tether_count_reserved(ep, flow, -(int64_t)back);
        rx->reserved_to = keep;
        ep->until -= (int32_t)(back < ep->quantum ? back : ep->quantum);
        ep->grant_dirty |= ep->starved != 0;
    }
}

/* Reservation beyond what is granted and what can still be demanded goes back. */
void tether_grant_release(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t keep = floor_up(rx, rx->upper);
    give_back(ep, flow, keep);
    if (ep->waiter == tether_flow_node(ep, flow) && keep <= rx->reserved_to) {
        rx->whole = rx->reserved_to;
        unwait(ep, flow);
    }
    if (rx->whole > rx->reserved_to)
        rx->whole = rx->reserved_to;
}

static void reserve(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t frames)
{
    tether_count_reserved(ep, flow, frames);
    flow->rx.reserved_to += (uint64_t)frames * flow->rx.floor;
}

/* Message flows: reserve all that is declared, or gather for it, or wait for one's turn. */
static void reserve_whole(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_round *round)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t node = tether_flow_node(ep, flow), there = tether_schedule_free(ep, flow, round);
    int unread = there < tether_grant_free(ep);
    uint64_t target = floor_up(rx, rx->upper), most = rx->granted + rx->bound_slots, need;
    if (target > most)
        target = most;
    if (target <= rx->reserved_to) {
        if (ep->waiter == node)
            ep->waiter = TETHER_NIL;
        rx->whole = rx->reserved_to;
        return;
    }
    need = (target - rx->reserved_to) / rx->floor;
    if ((unread && need > there) || !tether_schedule_may_reserve(ep, flow, round, need)) {
        if (ep->waiter == node) {
            give_back(ep, flow, rx->whole); /* another's turn */
            unwait(ep, flow);
        }
        ep->starved = 1;
        return;
    }
    if (ep->waiter != TETHER_NIL && ep->waiter != node) {
        ep->starved = 1;
        return;
    }
    if (need <= there) {
        reserve(ep, flow, (uint32_t)need);
        rx->whole = rx->reserved_to;
        ep->waiter = TETHER_NIL;
    } else {
        /* What gathers leaves a little for byte flows: whoever waits for one that never ends must not stop all. */
        uint32_t leave = ep->config.rx_cells / 32;
        reserve(ep, flow, there > leave ? there - leave : 0);
        ep->waiter = node;
        ep->starved = 1;
    }
}

/*
 * Frames after which the flow is granted again: a part of what it has, but not so few that each costs a frame back.
 * Frames that go back anyway name open gaps again, so while there are gaps they do not become fewer.
 */
static uint32_t step_of(const struct tether_flow_rx *rx, uint32_t outstanding)
{
    if (outstanding / 4 <= STEP_FRAMES)
        return outstanding / 4;
    if (rx->gaps.count)
        return STEP_FRAMES;
    outstanding /= 8;
    return outstanding < STEP_FRAMES ? STEP_FRAMES : outstanding < 4 * STEP_FRAMES ? outstanding : 4 * STEP_FRAMES;
}

static void raise_grant(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t frames, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t step;
    if (rx->reserved_to < rx->granted + (uint64_t)frames * rx->floor)
        reserve(ep, flow, (uint32_t)((rx->granted + (uint64_t)frames * rx->floor - rx->reserved_to) / rx->floor));
    rx->granted += (uint64_t)frames * rx->floor;
    if (flow->ember_in) {
        frames--; /* it has arrived already, in the channel's standing cell */
        tether_count_reserved(ep, flow, -1);
        tether_ember_clear(ep, flow);
    }
    if (rx->outstanding == 0)
        rx->fed_ns = now_ns;
    tether_count_outstanding(ep, flow, frames);
    step = step_of(rx, rx->outstanding);
    rx->tell_after = step < TETHER_RECEIPT_FRAMES ? TETHER_RECEIPT_FRAMES : step;
    rx->regrant_at = rx->outstanding - step - (step == 0 && rx->outstanding);
    tether_rx_steady(rx);
    tether_grant_tell(ep, flow);
    if (TETHER_BROKEN(ep, (uint64_t)ep->held + ep->reserved <=
                              (uint64_t)ep->config.rx_cells + ep->embers + ep->config.max_channels))
        return;
}

/*
 * Frames that the flow's pace brings while a grant goes there, data comes back, and half as long again; and the nodes may
 * be slow to wake up. Of the round trip without a queue: a queue must not feed itself.
 */
static uint64_t reach(struct tether_endpoint *ep, struct tether_flow *flow)
{
    const struct tether_channel *ch = tether_channel_of(ep, flow);
    uint64_t rtt = ch->rtt.min_ns != UINT64_MAX ? ch->rtt.min_ns : 0;
    uint64_t pace = tether_pace_slots(ep, flow), us; /* in slots: a frame may take seconds */
    pace = pace ? pace : tether_lend_slots(ep, flow);
    if (pace == 0 || ep->windows.count || ch->peer_windows.count) /* ahead, for the next window too */
        return UINT32_MAX;
    rtt = rtt > ch->rtt.declared_ns ? rtt : ch->rtt.declared_ns;
    us = (rtt + rtt / 2 + 4 * ch->silence_floor_ns) / 1000;
    return us > UINT64_MAX / (pace + 1) ? UINT32_MAX : pace * us / 1000000 / flow->rx.floor + 2;
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* Frames that flows of messages and bytes may have outstanding, and that are free for this one. */
static uint32_t piece_for(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_round *round,
                          uint32_t *cap)
{
    const struct tether_flow_rx *rx = &flow->rx;
    const struct tether_account *account = tether_account_of(ep, flow);
    uint32_t left = ep->outstanding < ep->window ? ep->window - ep->outstanding : 0, piece, peer;
    *cap = least(tether_schedule_window(ep, flow, round), reach(ep, flow));
    *cap = *cap ? *cap : 1;
    peer = tether_schedule_peer_window(ep, round);
    piece = *cap > rx->outstanding ? *cap - rx->outstanding : 0;
    piece = least(piece, peer > account->outstanding ? peer - account->outstanding : 0);
    piece = least(piece, round->flows == 1 ? left : (left + 1) / 2); /* whoever comes next finds a share */
    if (flow->kind == TETHER_FLOW_BYTES) {
        uint32_t mine = rx->held + rx->reserved, share = tether_schedule_cells(ep, round);
        if (ep->waiter != TETHER_NIL)
            share = share < 2 ? share : 2; /* a message gathers: a trickle only */
        piece = least(piece, share > mine ? share - mine : 0);
        piece = least(piece, tether_schedule_free(ep, flow, round));
    }
    return piece;
}

/* 1 = it got all that it asks for now. */
static int grant_one(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_round *round,
                     uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t target = rx->demand / rx->floor * rx->floor, want;
    uint64_t most = rx->contig + ((UINT64_C(1) << 31) - 1) / rx->floor * rx->floor;
    uint32_t cap, piece;
    if (flow->kind == TETHER_FLOW_MESSAGE) {
        reserve_whole(ep, flow, round);
        target = target < rx->whole ? target : rx->whole;
    }
    target = target < most ? target : most; /* slots would alias (T-SER-5) */
    if (target <= rx->granted)
        return rx->demand <= rx->granted;
    want = (target - rx->granted) / rx->floor;
    piece = piece_for(ep, flow, round, &cap);
    if (piece >= want) {
        raise_grant(ep, flow, (uint32_t)want, now_ns);
        return 1;
    }
    ep->starved = 1;
    /* No silly little steps, except for a flow that has nothing at all. */
    if (piece == 0 || (rx->outstanding > 0 && piece < STEP_FRAMES && piece < cap / 8))
        return 0;
    raise_grant(ep, flow, piece, now_ns);
    return 0;
}

static int asks(const struct tether_flow *flow)
{
    const struct tether_flow_rx *rx = &flow->rx;
    return !flow->mute && (rx->demand / rx->floor * rx->floor > rx->granted || floor_up(rx, rx->upper) > rx->reserved_to);
}

/* One round over those who ask for more, in the order of the policy. */
void tether_grant_run(struct tether_endpoint *ep, uint64_t now_ns)
{
    struct tether_queue *queue = &ep->queues[TETHER_Q_GRANT];
    struct tether_round round;
    uint32_t gaps = 0;
    ep->grant_dirty = 0;
    ep->until = (int32_t)least(ep->quantum, TETHER_QUANTUM_GAPS);
    ep->starved = 0;
    tether_schedule_round(ep, &round);
    for (uint32_t i = 0; i < round.count; i++) {
        struct tether_flow *flow = &ep->flows[round.nodes[i]];
        uint64_t before = flow->rx.granted;
        gaps |= flow->rx.gaps.count;
        if (!asks(flow))
            continue;
        if (!grant_one(ep, flow, &round, now_ns))
            tether_schedule_starved(ep, flow);
        if (flow->rx.outstanding) /* the grant itself may be lost: the receiver's clock runs from here */
            tether_timed(ep, tether_channel_of(ep, flow), flow, now_ns);
        /* Who got nothing keeps its place among those who wait longest. */
        if (flow->rx.granted == before && asks(flow))
            tether_queue_push(ep, queue, TETHER_Q_GRANT, flow);
        else
            round.nodes[round.served++] = round.nodes[i];
    }
    for (uint32_t i = 0; i < round.served; i++)
        if (asks(&ep->flows[round.nodes[i]]))
            tether_queue_push(ep, queue, TETHER_Q_GRANT, &ep->flows[round.nodes[i]]);
    if (gaps == 0 && ep->quantum > TETHER_QUANTUM_GAPS)
        ep->until += (int32_t)(ep->quantum - TETHER_QUANTUM_GAPS);
    ep->starved |= round.more; /* there are more than one round looks at */
    if (round.more && round.served)
        ep->grant_dirty = 1;
}
