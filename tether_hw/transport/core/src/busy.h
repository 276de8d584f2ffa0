/* SPDX-License-Identifier: Apache-2.0 */
/*
 * busy.h: credit that its holder cannot use is lent to others (RFC 0001, "BUSY").
 *
 * A sender that other receivers have granted to as well may hold more credit than its uplink carries. It looks once in a
 * round at what it used: less than it had, and less than the pace allowed, is BUSY. The receiver then states a pace, and
 * grants, a third above what really comes, and gives the rest to flows that are not BUSY, for as long as there are any.
 */
#ifndef TETHER_BUSY_H
#define TETHER_BUSY_H

#include <stdint.h>

enum { TETHER_BUSY_FRAMES = 16 }; /* that a round has time for at least */

/* Our word, for one flow that we send on. */
struct tether_busy {
    uint64_t due_ns;    /* when the round ends; 0 = one begins with the next frame, UINT64_MAX = never */
    uint64_t begun_ns;
    uint64_t next;      /* slot to use next when it began */
    uint64_t credit;    /* slots that the grant had left then */
    uint64_t repaired;  /* slots sent again since */
    uint64_t slot_ns16; /* slowest pace in force since; 0 = none */
    uint8_t flag;       /* TETHER_FLAG_BUSY, or 0 */
};

/* The peer's word, for one flow that we receive. */
struct tether_lend {
    uint64_t round_ns;    /* when the round began */
    uint64_t arrived;     /* slots that had arrived then */
    uint64_t slots_per_s; /* what the flow keeps; 0 = all */
    uint64_t lent_bps;    /* what of its share of the link others have */
    uint8_t on;           /* looked at with every frame */
};

static inline void tether_busy_begin(struct tether_busy *busy)
{
    busy->due_ns = 0;
    busy->flag = 0;
}

struct tether_account;
struct tether_endpoint;
struct tether_flow;
struct tether_header;

/* A frame with new data leaves, and the round is over (or none has begun). */
void tether_busy_round(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns);
/* The newest frame of a flow: does it say BUSY, or is some of the flow's share lent? */
void tether_lend_heard(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header);
/* Of a share of the link: what the flow keeps of it, or has beside it. */
uint64_t tether_lend_share(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t share_bps, uint64_t most_bps);
/* Slots per second that the flow keeps; 0 = nothing of it is lent. */
uint64_t tether_lend_slots(const struct tether_endpoint *ep, const struct tether_flow *flow);
/* A flow of which something is lent begins or ceases to have something outstanding. */
void tether_lend_active(struct tether_endpoint *ep, struct tether_flow *flow, int active);
/* Are all active flows of a peer lent of? */
int tether_lend_peer(const struct tether_account *account);

#endif
