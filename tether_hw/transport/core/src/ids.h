/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ids.h: when the id of a flow may be used again (RFC 0001, T-FLW-18 and T-FLW-24). Ours go round in turn and wait for
 * 2 RTT; of the peer's each is remembered for as long after both have closed, so that a DEFINE that comes too early is
 * refused. As many are remembered as a channel can have flows in that time.
 */
#ifndef TETHER_IDS_H
#define TETHER_IDS_H

#include <stdint.h>

enum { TETHER_ID_GROUP = 4096 /* ids that share the time at which one of their flows was gone last */ };

struct tether_ids {
    uint16_t next;  /* of ours */
    uint8_t again;  /* they have been used once: each may be taken again 2 RTT after it was gone */
    uint64_t gone_ns[65536 / TETHER_ID_GROUP];
};

/* The peer's flow of this id: when both ends had said CLOSE. */
struct tether_id_closed {
    uint64_t at_ns;
    uint16_t id;    /* 0 = none */
};

struct tether_endpoint;
struct tether_channel;
struct tether_flow;

void tether_ids_begin(struct tether_endpoint *ep, struct tether_channel *ch);
/* An id of ours for a new flow; 0 = none now. */
uint16_t tether_ids_next(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);
/* Both ends have closed, and know it. */
void tether_ids_gone(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_flow *flow);
/* Has the peer's flow of this id been closed for so short a time that nobody may begin another one? */
int tether_ids_early(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id, uint64_t now_ns);

#endif
