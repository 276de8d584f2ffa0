/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account.h: who has what of the lane's buffer. Each cell that holds data, each that is reserved and each frame that is
 * granted and has not arrived is counted three times: for its flow, for the peer, and for the lane. Nothing else changes
 * these numbers, so that what the scheduler divides among peers is what they really have.
 */
#ifndef TETHER_ACCOUNT_H
#define TETHER_ACCOUNT_H

#include "endpoint.h"

static inline struct tether_account *tether_account_of(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return &ep->accounts[ep->channels[flow->channel].account];
}

/* Cells with data of this flow: +n or -n. */
static inline void tether_count_held(struct tether_endpoint *ep, struct tether_flow *flow, int64_t n)
{
    flow->rx.held += (uint32_t)n;
    tether_account_of(ep, flow)->held += (uint32_t)n;
    ep->held += (uint32_t)n;
}

/* Cells that nobody else may use: +n or -n. */
static inline void tether_count_reserved(struct tether_endpoint *ep, struct tether_flow *flow, int64_t n)
{
    flow->rx.reserved += (uint32_t)n;
    tether_account_of(ep, flow)->reserved += (uint32_t)n;
    ep->reserved += (uint32_t)n;
}

/* Frames granted and not arrived: +n or -n. A flow that has some, and had none, shares the link from now on. */
static inline void tether_count_outstanding(struct tether_endpoint *ep, struct tether_flow *flow, int64_t n)
{
    uint32_t before = flow->rx.outstanding;
    flow->rx.outstanding += (uint32_t)n;
    tether_account_of(ep, flow)->outstanding += (uint32_t)n;
    ep->outstanding += (uint32_t)n;
    if ((before == 0) != (flow->rx.outstanding == 0))
        tether_pace_share(ep, flow, before == 0);
}

/* A frame has come, or will never come: what was granted and reserved for it is free. */
static inline void tether_count_arrived(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t n)
{
    tether_count_outstanding(ep, flow, -(int64_t)n);
    tether_count_reserved(ep, flow, -(int64_t)n);
}

/* A frame that was granted to a flow of this account is here: its cell, reserved until now, holds data. 1: the last one. */
static inline int tether_count_came(struct tether_endpoint *ep, struct tether_account *account, struct tether_flow *flow)
{
    flow->rx.held++;
    account->held++;
    ep->held++;
    flow->rx.reserved--;
    account->reserved--;
    ep->reserved--;
    account->outstanding--;
    ep->outstanding--;
    if (TETHER_LIKELY(--flow->rx.outstanding != 0))
        return 0;
    tether_pace_share(ep, flow, 0);
    return 1;
}

#endif
