/* SPDX-License-Identifier: Apache-2.0 */
/* busy.c: what is said once in a round, and what is made of it. */
#include "busy.h"

#include "account.h"

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --------------------------------------------------------------------- said */

/* Did the uplink leave credit unused that the pace did not forbid to use? */
static int left_unused(const struct tether_busy *busy, uint64_t next, uint64_t now_ns)
{
    uint64_t used = next - busy->next, paid = used + busy->repaired;
    if (used >= busy->credit)
        return 0;
    if (busy->slot_ns16 == 0)
        return 1;
    return paid <= UINT64_MAX / busy->slot_ns16 && paid * busy->slot_ns16 >> 16 < (now_ns - busy->begun_ns) / 8 * 7;
}

void tether_busy_round(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_busy *busy = &tx->busy;
    const struct tether_channel *ch = tether_channel_of(ep, flow);
    uint64_t next = tether_ledger_next(&tx->ledger), limit = tether_ledger_limit(&tx->ledger);
    uint64_t length = greater(tether_rtt_now(&ch->rtt), ch->silence_floor_ns);
    if (flow->id == 0)
        return; /* it has its pool */
    busy->flag = busy->due_ns && left_unused(busy, next, now_ns) ? TETHER_FLAG_BUSY : 0;
    busy->begun_ns = now_ns;
    busy->next = next;
    busy->credit = limit > next ? limit - next : 0;
    busy->repaired = 0;
    busy->slot_ns16 = tx->pacer.slot_ns16;
    busy->due_ns = now_ns + greater(length, tether_pacer_ns(&tx->pacer, TETHER_BUSY_FRAMES * (uint64_t)tx->floor));
}

/* --------------------------------------------------------------------- lent */

int tether_lend_peer(const struct tether_account *account)
{
    return account->lenders != 0 && account->lenders == account->active;
}

/* Flows with something outstanding to which something can be lent. */
static uint32_t takers(const struct tether_endpoint *ep)
{
    return ep->active_flows - ep->lenders;
}

static void note_lent(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t bps)
{
    struct tether_lend *lend = &flow->rx.lend;
    if (bps == lend->lent_bps)
        return;
    ep->lent_bps += bps - lend->lent_bps;
    lend->lent_bps = bps;
    ep->pace_epoch++;
}

/* One of those who lend begins or ceases to have something outstanding. */
void tether_lend_active(struct tether_endpoint *ep, struct tether_flow *flow, int active)
{
    uint32_t one = active ? 1 : UINT32_MAX;
    tether_account_of(ep, flow)->lenders += one;
    ep->lenders += one;
    if (!active)
        note_lent(ep, flow, 0);
}

static void keep(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t slots_per_s)
{
    struct tether_account *account = tether_account_of(ep, flow);
    struct tether_lend *lend = &flow->rx.lend;
    int before = tether_lend_peer(account), was = lend->slots_per_s != 0, is = slots_per_s != 0;
    lend->slots_per_s = slots_per_s;
    if (was != is && flow->rx.outstanding)
        tether_lend_active(ep, flow, is);
    ep->lender_peers += (uint32_t)(tether_lend_peer(account) - before);
    if (was || is) {
        ep->pace_epoch++;
        ep->grant_dirty |= ep->starved != 0;
    }
}

uint64_t tether_lend_slots(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return takers(ep) ? flow->rx.lend.slots_per_s : 0;
}

uint64_t tether_lend_share(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t share_bps, uint64_t most_bps)
{
    const struct tether_flow_rx *rx = &flow->rx;
    uint32_t others = takers(ep);
    uint64_t kept;
    if (rx->lend.slots_per_s == 0) {
        others += rx->outstanding == 0;
        share_bps += ep->lent_bps / (others ? others : 1);
        return share_bps < most_bps ? share_bps : most_bps;
    }
    kept = others ? greater(tether_pace_bps(flow, rx->lend.slots_per_s), ep->link_bps / 64) : share_bps;
    kept = kept < share_bps ? kept : share_bps;
    if (rx->outstanding)
        note_lent(ep, flow, share_bps - kept);
    return kept;
}

/* Is it as much as the flow would have if nothing of it were lent? */
static int whole(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slots_per_s, uint64_t length_ns)
{
    uint64_t share = tether_pace_whole(ep, flow), frames = slots_per_s / flow->rx.floor, us = length_ns / 1000 + 1;
    if (share)
        return tether_pace_bps(flow, slots_per_s) >= share;
    return frames > UINT64_MAX / us || frames * us / 1000000 >= ep->window;
}

void tether_lend_heard(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header)
{
    const struct tether_channel *ch = tether_channel_of(ep, flow);
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_lend *lend = &rx->lend;
    uint64_t now_ns = ep->now_ns, length_ns = greater(tether_rtt_now(&ch->rtt), ch->silence_floor_ns), slots;
    uint64_t elapsed_ns = now_ns - lend->round_ns, came = rx->arrived - lend->arrived;
    int busy = header->flags & TETHER_FLAG_BUSY && header->want != 0;
    if (lend->on && elapsed_ns < length_ns)
        return;
    lend->round_ns = now_ns;
    lend->arrived = rx->arrived;
    if (!lend->on) {
        lend->on = (uint8_t)busy;
        return; /* a round to see how much comes */
    }
    if (busy) {
        slots = came < UINT64_C(1) << 34 ? came * UINT64_C(1000000000) / elapsed_ns : came;
        slots = greater(slots + slots / 3, (uint64_t)rx->floor * UINT64_C(1000000000) / elapsed_ns + 1);
    } else { /* twice as much for every round that passed */
        uint64_t rounds = elapsed_ns / length_ns;
        slots = rounds < 32 && lend->slots_per_s < UINT64_C(1) << 31 ? lend->slots_per_s << rounds : UINT64_MAX / 2;
        slots = lend->slots_per_s ? slots : UINT64_MAX / 2;
    }
    if (whole(ep, flow, slots, length_ns)) {
        lend->on = (uint8_t)busy;
        slots = 0;
    }
    keep(ep, flow, slots);
}
