/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.c: the policies.
 *
 *   fair      in turn; peers have equal shares of the window and of the cells, flows of a peer have equal shares of its
 *   srpt      who needs least to be done is first; one grant in eight goes to who waits longest, so that none starves
 *   reserved  flows with an admitted budget first, those that asked for the least latency before the others; then fair
 *
 * A peer that is alone may have nearly all of both: the rest is there for whoever comes next.
 */
#include "schedule.h"

#include "account.h"

enum { SPARE_PART = 32, OLDEST_PART = 8, UNREAD_PART = 4 };

static void sort(struct tether_round *round, const uint64_t *keys, uint32_t from)
{
    uint64_t key[TETHER_ROUND_FLOWS];
    memcpy(key, keys, round->count * sizeof key[0]);
    for (uint32_t i = from + 1; i < round->count; i++) { /* insertion: stable, and no more than 64 */
        uint64_t k = key[i];
        uint32_t node = round->nodes[i], at = i;
        for (; at > from && key[at - 1] > k; at--) {
            key[at] = key[at - 1];
            round->nodes[at] = round->nodes[at - 1];
        }
        key[at] = k;
        round->nodes[at] = node;
    }
}

static uint64_t key_of(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    if (ep->config.grant_policy == TETHER_POLICY_SRPT)
        return flow->rx.demand > flow->rx.arrived ? flow->rx.demand - flow->rx.arrived : 0;
    if (flow->budget_bps == 0)
        return UINT64_MAX;
    return flow->latency_ns ? flow->latency_ns : UINT64_MAX - 1;
}

void tether_schedule_round(struct tether_endpoint *ep, struct tether_round *round)
{
    struct tether_queue *queue = &ep->queues[TETHER_Q_GRANT];
    struct tether_flow *flow;
    uint64_t keys[TETHER_ROUND_FLOWS];
    uint32_t idle = 0;
    memset(round, 0, sizeof *round);
    round->all_peers = ep->active_peers;
    round->peers = ep->active_peers - ep->lender_peers;
    ep->round++;
    while (round->count < TETHER_ROUND_FLOWS && (flow = tether_queue_pop(ep, queue, TETHER_Q_GRANT)) != NULL) {
        struct tether_account *account = tether_account_of(ep, flow);
        if (!flow->used || tether_channel_of(ep, flow)->state != TETHER_CHANNEL_UP)
            continue;
        if (account->round != ep->round && !flow->rx.lend.slots_per_s) {
            account->round = ep->round;
            round->all_peers += account->active == 0;
            round->peers += account->active == 0 || tether_lend_peer(account);
        }
        idle += flow->rx.outstanding == 0 && !flow->rx.lend.slots_per_s;
        keys[round->count] = key_of(ep, flow);
        round->nodes[round->count++] = tether_flow_node(ep, flow);
    }
    round->more = queue->head != TETHER_NIL;
    /* Those that cannot use their part do not count, unless there are no others. */
    round->flows = ep->active_flows - ep->lenders + idle;
    round->flows = round->flows ? round->flows : ep->active_flows ? ep->active_flows : 1;
    round->all_peers = round->all_peers ? round->all_peers : 1;
    round->peers = round->peers ? round->peers : round->all_peers;
    /* The first of them waits longest: under srpt it is first in one round of eight. */
    if (ep->config.grant_policy != TETHER_POLICY_FAIR)
        sort(round, keys, ep->config.grant_policy == TETHER_POLICY_SRPT && ep->round % OLDEST_PART == 0);
    ep->starved_account = UINT32_MAX;
    ep->starved_others = 0;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t tether_schedule_window(const struct tether_endpoint *ep, const struct tether_flow *flow,
                                const struct tether_round *round)
{
    uint32_t all = ep->window;
    /* srpt: the shortest ones fill the link; the pace holds back what is beyond it */
    if (round->flows == 1 || ep->config.grant_policy == TETHER_POLICY_SRPT || flow->budget_bps)
        return all - most(all / SPARE_PART, 1);
    return most(all / (round->flows + 1), 1);
}

uint32_t tether_schedule_peer_window(const struct tether_endpoint *ep, const struct tether_round *round)
{
    uint32_t all = ep->window;
    return round->peers == 1 ? all : most(all / round->peers, 1);
}

uint32_t tether_schedule_cells(const struct tether_endpoint *ep, const struct tether_round *round)
{
    uint32_t all = ep->config.rx_cells;
    if (round->flows == 1)
        return all - most(all / SPARE_PART, 1);
    return most((all - all / 4) / round->flows, 1);
}

int tether_schedule_may_reserve(struct tether_endpoint *ep, const struct tether_flow *flow,
                                const struct tether_round *round, uint64_t need)
{
    const struct tether_account *account = tether_account_of(ep, flow);
    uint64_t has = (uint64_t)account->held + account->reserved;
    uint64_t share = ep->config.rx_cells / round->all_peers;
    return round->all_peers == 1 || has == 0 || has + need <= share || has == flow->rx.held + flow->rx.reserved;
}

/* Cells of what its application could read and has not. */
static uint64_t unread(const struct tether_flow *flow)
{
    const struct tether_flow_rx *rx = &flow->rx;
    uint64_t frames = flow->cut_bytes ? rx->readable_bytes / flow->cut_bytes : 0;
    if (flow->kind == TETHER_FLOW_MESSAGE)
        return frames > rx->readable_messages ? frames : rx->readable_messages;
    frames = rx->contig > rx->delivered ? (rx->contig - rx->delivered) / rx->floor : 0;
    return flow->order == TETHER_FLOW_UNORDERED || frames > rx->held ? rx->held : frames;
}

uint32_t tether_schedule_free(const struct tether_endpoint *ep, const struct tether_flow *flow,
                              const struct tether_round *round)
{
    uint32_t there = tether_grant_free(ep), leave = ep->config.rx_cells / UNREAD_PART;
    if (there == 0 || unread(flow) < most(leave / round->flows, 1))
        return there;
    return there > leave ? there - leave : 0;
}

void tether_schedule_starved(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    uint32_t account = tether_channel_of(ep, flow)->account;
    if (ep->starved_account == UINT32_MAX)
        ep->starved_account = account;
    else if (ep->starved_account != account)
        ep->starved_others = 1;
}

int tether_schedule_others_starve(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    uint32_t account = tether_channel_of(ep, flow)->account;
    return ep->starved && ep->starved_account != UINT32_MAX && (ep->starved_account != account || ep->starved_others);
}

int tether_schedule_admit(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t budget_per_s)
{
    uint64_t bps = budget_per_s > UINT64_MAX / 8 ? UINT64_MAX : budget_per_s * 8;
    uint64_t most_bps = ep->link_bps / 4 * 3;
    flow->budget_bps = 0;
    if (ep->config.grant_policy != TETHER_POLICY_RESERVED || bps == 0)
        return 0;
    if (bps > most_bps || ep->admitted_bps > most_bps - bps)
        return -1;
    flow->budget_bps = bps;
    ep->admitted_bps += bps;
    return 0;
}
