/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: invariants from the endpoint's own state, after every receive, transmit and timer. Sums are made anew from
 * the flows and held against the endpoint's accounts; what may only grow is held against what it was before.
 */
#include "sim.h"

#include <stdio.h>

#define MUST(condition, invariant, ...)                              \
    do {                                                             \
        if (__builtin_expect(!(condition), 0)) {                     \
            sim_broken(v->sim, (invariant), v->index, __VA_ARGS__);  \
            return;                                                  \
        }                                                            \
    } while (0)

typedef unsigned long long ull;

struct sums {
    uint64_t held, reserved, outstanding, embers, tx_cells, lenders, lent_bps;
};

/* One flow that is in use: its own limits, and what may only grow. */
static void check_flow(struct sim_vertex *v, const struct tether_channel *ch, const struct tether_flow *flow,
                       struct sim_shadow *shadow, struct sums *sums)
{
    const struct tether_endpoint *ep = v->ep;
    uint64_t next = tether_ledger_next(&flow->tx.ledger), limit = tether_ledger_limit(&flow->tx.ledger);
    if (shadow->used && shadow->id == flow->id && shadow->channel == ch->index && shadow->born == ch->born) {
        MUST(flow->rx.granted >= shadow->granted, TETHER_SIM_I3, "flow %u: granted fell from %llu to %llu", flow->id,
             (ull)shadow->granted, (ull)flow->rx.granted);
        MUST(limit >= shadow->limit, TETHER_SIM_I3, "flow %u: limit fell from %llu to %llu", flow->id,
             (ull)shadow->limit, (ull)limit);
    }
    shadow->used = 1;
    shadow->id = flow->id;
    shadow->channel = ch->index;
    shadow->born = ch->born;
    shadow->granted = flow->rx.granted;
    shadow->limit = limit;
    MUST(next <= limit + (flow->ember_out ? TETHER_FRAME_BLOCKS_MAX : 0u), TETHER_SIM_I1,
         "flow %u: next %llu beyond limit %llu", flow->id, (ull)next, (ull)limit);
    MUST(flow->rx.contig <= flow->rx.high, TETHER_SIM_INNER, "flow %u: contig beyond high", flow->id);
    if (flow->id == 0 || tether_flow_slot(ep, flow) == 0)
        return;
    sums->held += flow->rx.held;
    sums->reserved += flow->rx.reserved;
    sums->outstanding += flow->rx.outstanding;
    sums->embers += flow->ember_in;
    sums->tx_cells += flow->tx.cells;
    sums->lenders += flow->rx.outstanding && flow->rx.lend.slots_per_s;
    sums->lent_bps += flow->rx.lend.lent_bps;
    MUST(flow->rx.steady_to == 0 || (flow->rx.steady_to <= flow->rx.granted && flow->rx.gaps.count == 0 &&
                                     flow->rx.final == UINT64_MAX && flow->rx.clock.tries == 0 && !flow->rx.lend.on),
         TETHER_SIM_INNER, "flow %u: news, and frames take the short way up to %llu", flow->id,
         (ull)flow->rx.steady_to);
    MUST(flow->rx.reserved >= flow->rx.outstanding, TETHER_SIM_I4, "flow %u: %u frames granted, %u cells reserved",
         flow->id, flow->rx.outstanding, flow->rx.reserved);
    if (ch->state != TETHER_CHANNEL_UP)
        return; /* it has given everything back; what had arrived may still be read */
    MUST((flow->rx.granted + (flow->ember_in ? flow->rx.floor : 0) - flow->rx.arrived) / flow->rx.floor == flow->rx.outstanding,
         TETHER_SIM_INNER, "flow %u: granted %llu, arrived %llu, but %u frames outstanding", flow->id,
         (ull)flow->rx.granted, (ull)flow->rx.arrived, flow->rx.outstanding);
}

/* What is paid from the purse is no more than it ever held, and one frame per channel and cap of the back-off. */
static void check_purse(struct sim_vertex *v, const struct tether_stats *stats, uint64_t channels)
{
    const struct tether_endpoint *ep = v->ep;
    uint64_t elapsed = sim_clock(v, v->sim->now_ns) - v->born_ns;
    uint64_t refill = (uint64_t)((unsigned __int128)elapsed * ep->config.purse_per_s / UINT64_C(1000000000));
    uint64_t free_ones = channels * (elapsed / tether_backoff_cap(ep->config.silence_ns) + 1) + channels;
    MUST(stats->receipts_spent <= stats->receipts_earned, TETHER_SIM_RECEIPTS, "%llu receipts spent of %llu",
         (ull)stats->receipts_spent, (ull)stats->receipts_earned);
    MUST(stats->blocked_sent + stats->refresh_sent <= 2 * (ep->config.purse_frames + refill + free_ones),
         TETHER_SIM_RECEIPTS, "%llu timer frames in %llu ns", (ull)(stats->blocked_sent + stats->refresh_sent),
         (ull)elapsed);
}

void sim_check(struct sim_vertex *v)
{
    const struct tether_endpoint *ep = v->ep;
    struct sums sums = {0};
    if (ep == NULL || v->sim->stop)
        return;
    v->sim->result.checks++;
    for (uint32_t c = 0; c < ep->channel_high; c++) {
        const struct tether_channel *ch = &ep->channels[c];
        struct sim_shadow *shadow = v->shadow + (size_t)c * ep->flow_nodes;
        if (ch->state == TETHER_CHANNEL_FREE) {
            for (uint32_t f = 0; f < ep->flow_nodes; f++)
                shadow[f].used = 0;
            continue;
        }
        for (uint32_t f = 0; f < ep->flow_nodes; f++) {
            const struct tether_flow *flow = tether_flow_at(ep, ch, f);
            if (flow->used)
                check_flow(v, ch, flow, &shadow[f], &sums);
            else
                shadow[f].used = 0;
        }
    }
    if (v->sim->stop)
        return;
    MUST(ep->stats.invariant_violations == 0, TETHER_SIM_INNER, "the core counts %llu violations",
         (ull)ep->stats.invariant_violations);
    MUST(sums.held == ep->held && sums.reserved == ep->reserved && sums.outstanding == ep->outstanding &&
             sums.embers == ep->embers && sums.tx_cells == ep->tx_used,
         TETHER_SIM_INNER, "sums: held %llu/%u reserved %llu/%u outstanding %llu/%u embers %llu/%u cells %llu/%u",
         (ull)sums.held, ep->held, (ull)sums.reserved, ep->reserved, (ull)sums.outstanding, ep->outstanding,
         (ull)sums.embers, ep->embers, (ull)sums.tx_cells, ep->tx_used);
    MUST(sums.lenders == ep->lenders && sums.lent_bps == ep->lent_bps && ep->lenders <= ep->active_flows &&
             ep->lender_peers <= ep->active_peers,
         TETHER_SIM_INNER, "%llu flows lend %llu bit/s, the accounts say %u and %llu", (ull)sums.lenders,
         (ull)sums.lent_bps, ep->lenders, (ull)ep->lent_bps);
    MUST(sums.held + sums.reserved <= (uint64_t)ep->config.rx_cells + sums.embers + ep->config.max_channels,
         TETHER_SIM_I4, "%llu cells held and %llu reserved of %u", (ull)sums.held, (ull)sums.reserved,
         ep->config.rx_cells);
    MUST(ep->rx.free_count >= sums.outstanding, TETHER_SIM_I4, "%llu frames granted, %u cells free",
         (ull)sums.outstanding, ep->rx.free_count);
    MUST(sums.outstanding <= (uint64_t)ep->window + ep->config.max_channels, TETHER_SIM_I4,
         "%llu frames granted, the ring allows %u", (ull)sums.outstanding, ep->window);
    check_purse(v, &ep->stats, ep->channel_high);
    if (sums.held + sums.reserved > v->result.peak_cells)
        v->result.peak_cells = sums.held + sums.reserved;
    if (sums.outstanding > v->result.peak_outstanding)
        v->result.peak_outstanding = sums.outstanding;
}

/* Who holds on to something: the first flow that is not as a quiet one. */
static void name_flow(const struct tether_endpoint *ep, char *text, size_t size)
{
    for (uint32_t c = 0; c < ep->channel_high; c++)
        for (uint32_t f = 0; f < ep->flow_nodes; f++) {
            const struct tether_flow *flow = tether_flow_at(ep, &ep->channels[c], f);
            if (!flow->used || ep->channels[c].state == TETHER_CHANNEL_FREE ||
                (f && !flow->rx.reserved && !flow->rx.held && !flow->tx.cells && !flow->rx.gaps.count) ||
                (!f && flow->rx.granted - flow->rx.arrived == (uint64_t)TETHER_CONTROL_FRAMES * ep->floor &&
                 flow->tx.head == TETHER_NIL))
                continue;
            (void)snprintf(text, size,
                           "; channel %u (state %u) flow %u flags %x mute %u: granted %llu arrived %llu contig %llu "
                           "demand %llu upper %llu final %lld reserved %u held %u gaps %u; next %llu limit %llu cells %u",
                           c, ep->channels[c].state, flow->id, flow->flags, flow->mute, (ull)flow->rx.granted,
                           (ull)flow->rx.arrived, (ull)flow->rx.contig, (ull)flow->rx.demand, (ull)flow->rx.upper,
                           (long long)flow->rx.final, flow->rx.reserved, flow->rx.held, flow->rx.gaps.count,
                           (ull)tether_ledger_next(&flow->tx.ledger), (ull)tether_ledger_limit(&flow->tx.ledger),
                           flow->tx.cells);
            return;
        }
}

/* I8: no demand and quiet, so what is granted is the standing amounts, and every cell is free. */
void sim_check_quiet(struct sim_vertex *v)
{
    const struct tether_endpoint *ep = v->ep;
    struct tether_stats stats = {.struct_size = sizeof stats};
    char who[256] = "";
    if (ep == NULL || v->sim->stop)
        return;
    tether_endpoint_stats(ep, &stats);
    name_flow(ep, who, sizeof who);
    MUST(stats.grants_outstanding_slots == stats.standing_slots, TETHER_SIM_I8,
         "quiet, and %llu slots are granted where %llu stand%s", (ull)stats.grants_outstanding_slots,
         (ull)stats.standing_slots, who);
    MUST(ep->reserved == 0, TETHER_SIM_I8, "quiet, and %u cells are reserved%s", ep->reserved, who);
    MUST(ep->held == 0, TETHER_SIM_I8, "quiet and everything read, and %u cells are held%s", ep->held, who);
    MUST(ep->tx_used == 0, TETHER_SIM_I8, "quiet, and %u send cells are in use%s", ep->tx_used, who);
    MUST(ep->gap_pool.free_count == ep->gap_pool.count, TETHER_SIM_I8, "quiet, and %u gaps are open%s",
         ep->gap_pool.count - ep->gap_pool.free_count, who);
}
