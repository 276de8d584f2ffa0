/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.h: early data to a peer with whom a channel has ended (RFC 0001, "Warm Lamp"): one message in one Lamp, no round
 * trip and no key agreement before it. Only for what the application may see repeated or lost without harm.
 *
 *   resume    = BLAKE2s-256(initiator's Split key, "tether/1 resume" || responder's)    kept when the channel ends
 *   lamp key  = BLAKE2s-256(resume, "tether/1 warm" || role || counter u64 || salt)     one Lamp, and one for its answer
 *
 * The salt is 16 fresh random bytes in the Lamp, and the counter is durable before it is used, so a restored image
 * repeats no (key, nonce). A strike register per ended channel knows the last 1024 counters: what it has seen is
 * answered and not delivered again, what is older than it knows is refused, and the sender hails instead.
 */
#ifndef TETHER_WARM_H
#define TETHER_WARM_H

#include "crypto.h"
#include "replay.h"

enum {
    TETHER_SALT_SIZE = 16,
    TETHER_WARM_HEAD = 24,      /* of the payload: salt, then the counter as the first sealed bytes */
    TETHER_WARM_ANSWER = 128,   /* the answer's frame */
    TETHER_WARM_SAID = 16,      /* ... and its `length`, which no Lamp has */
    TETHER_STRIKE_WINDOW = 1024,
    TETHER_EARLY_QUEUE = 16,    /* messages that wait for the application */
    TETHER_WARM_TRIES = 5
};
#define TETHER_WARM_LIFE_NS UINT64_C(3600000000000)

enum { TETHER_WARM_TAKEN = 0, TETHER_WARM_REFUSED = 1 };

struct tether_warm {
    uint32_t wire, remote;    /* indices of the channel that ended; wire 0 = no entry */
    uint32_t peer_id;
    uint16_t remote_lane;
    uint8_t initiator;        /* of that channel */
    uint8_t pending;          /* a Lamp of ours is out */
    uint8_t tries;
    uint8_t told;             /* event: the Lamp's outcome */
    uint16_t blocks;          /* payload of that Lamp */
    uint8_t resume[TETHER_KEY_SIZE], peer_key[TETHER_KEY_SIZE];
    struct tether_address address;
    uint64_t until_ns, due_ns, counter;
    uint32_t budget;          /* bytes of a message that the peer takes; 0 = none */
    int32_t status;
    struct tether_replay strikes;
    uint8_t *frame;           /* our Lamp, repeated byte for byte */
};

struct tether_early {
    uint32_t peer_id, length;
    uint8_t *data;
};

struct tether_greetings {
    struct tether_warm *warm; /* [max_channels], by the slot of `wire` */
    uint64_t *bits;
    uint8_t *frames;
    struct tether_early early[TETHER_EARLY_QUEUE];
    uint8_t *early_bytes;
    uint32_t early_first, early_count, early_told; /* told: events that the application has had of those that wait */
    struct tether_aead sealing, opening;
    uint64_t due_ns;          /* lower bound of the next try */
    uint32_t outcomes;        /* entries whose event waits */
};

struct tether_endpoint;
struct tether_channel;

int tether_warm_open(struct tether_endpoint *ep);
void tether_warm_close(struct tether_endpoint *ep);
/* The channel ends and may be greeted again. */
void tether_warm_keep(struct tether_endpoint *ep, const struct tether_channel *ch, uint64_t now_ns);
/* A Lamp for a channel that has ended, or the answer to ours. 0 or -TETHER_E_*. */
int tether_warm_receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct tether_header *header, const uint8_t *frame, size_t length);
/* The next Lamp that is due: its length, or 0. */
int tether_warm_transmit(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to);
/* The next event of this mechanism: 1 or 0. */
int tether_warm_event(struct tether_endpoint *ep, struct tether_event *event);
/* The key of a Lamp or (`answer`) of its answer, sent by the initiator of the ended channel or not. 0 or -EIO. */
int tether_warm_key(const uint8_t resume[TETHER_KEY_SIZE], int answer, int initiator, uint64_t counter,
                    const uint8_t salt[TETHER_SALT_SIZE], uint8_t key[TETHER_KEY_SIZE]);

#endif
