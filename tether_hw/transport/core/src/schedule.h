/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.h: who is served first, and what each may take (RFC 0001, "Scheduling"). The mechanism is in grant.c. */
#ifndef TETHER_SCHEDULE_H
#define TETHER_SCHEDULE_H

#include "endpoint.h"

enum { TETHER_ROUND_FLOWS = 64 }; /* that one round looks at: those who wait longest */

struct tether_round {
    uint32_t nodes[TETHER_ROUND_FLOWS]; /* in the order in which they are served */
    uint32_t count;
    uint32_t served;
    uint32_t flows;                     /* that wait, or have something outstanding */
    uint32_t peers;                     /* of them, without those that cannot use their part */
    uint32_t all_peers;                 /* with those */
    uint32_t more;                      /* flows that wait and are not looked at this time */
};

/* Take those who wait longest out of the queue and put them into the order of the policy. */
void tether_schedule_round(struct tether_endpoint *ep, struct tether_round *round);
/* Frames that one flow may have outstanding. */
uint32_t tether_schedule_window(const struct tether_endpoint *ep, const struct tether_flow *flow,
                                const struct tether_round *round);
/* Frames that all flows of one peer may have outstanding. */
uint32_t tether_schedule_peer_window(const struct tether_endpoint *ep, const struct tether_round *round);
/* Cells that one byte flow may hold or have reserved. */
uint32_t tether_schedule_cells(const struct tether_endpoint *ep, const struct tether_round *round);
/* May this flow's peer have `need` cells more for a message? */
int tether_schedule_may_reserve(struct tether_endpoint *ep, const struct tether_flow *flow,
                                const struct tether_round *round, uint64_t need);
/* Free cells that this flow may take: one that is not read leaves a quarter of all to the others. */
uint32_t tether_schedule_free(const struct tether_endpoint *ep, const struct tether_flow *flow,
                              const struct tether_round *round);
/* It got less than it asks for. */
void tether_schedule_starved(struct tether_endpoint *ep, const struct tether_flow *flow);
/* Does another peer's flow go short while this one's peer has what it has? */
int tether_schedule_others_starve(struct tether_endpoint *ep, const struct tether_flow *flow);
/* A DEFINE with a budget: may it be kept? Then it is. 0 or -1. */
int tether_schedule_admit(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t budget_per_s);

#endif
