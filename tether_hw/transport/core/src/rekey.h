/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rekey.h: new keys for a channel that is up (RFC 0001, "Rekey"): a Hail that names the channel, its reply, and the old
 * keys kept for what is still on the way. Everything else of the channel stays where it is, so flows, slots, grants and
 * the application's handle know nothing of it.
 *
 * `next` of a channel holds the keys to come, and after the change the old ones. Sequences begin at 1 with the new
 * keys; inside, a frame's sequence becomes its order, which goes on rising over every change of keys.
 */
#ifndef TETHER_REKEY_H
#define TETHER_REKEY_H

#include "keys.h"
#include "replay.h"

enum tether_next_state {
    TETHER_NEXT_NONE = 0,
    TETHER_NEXT_HAILING,  /* our Hail is out */
    TETHER_NEXT_ANSWERED, /* we answered: the first frame under these keys makes them ours */
    TETHER_NEXT_DRAINING  /* these are the old keys */
};

enum { TETHER_REKEY_FRAMES = 64 }; /* fewer frames than this need no new keys, however old they are */

struct tether_next {
    uint8_t state;
    uint8_t settled;      /* draining: the peer has been heard under the new keys */
    uint8_t heard;        /* draining: the frame in hand came under these keys */
    uint16_t cipher;
    uint32_t wire, remote;
    uint64_t until_ns;    /* hailing: given up then; draining: forgotten then */
    uint64_t order_base;
    uint8_t resume[TETHER_KEY_SIZE];
    struct tether_keys tx_keys, rx_keys;
    struct tether_replay replay;
};

struct tether_endpoint;
struct tether_channel;
struct tether_lamp_tags;

/* The channel that a Hail's REKEY names, if it is this peer's and up; NULL. */
struct tether_channel *tether_rekey_target(struct tether_endpoint *ep, uint32_t wire, const uint8_t key[TETHER_KEY_SIZE],
                                           uint16_t remote_lane);
void tether_rekey_begin(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);
/* Make room for the keys of an answer; they are the caller's to set. 0 or -1. */
int tether_rekey_answer(struct tether_endpoint *ep, struct tether_channel *ch, uint32_t remote, uint16_t cipher);
/* The reply to our Hail has verified, in scratch_noise: 0 or -TETHER_E_*. */
int tether_rekey_replied(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t remote,
                         const struct tether_lamp_tags *tags);
/* A frame has verified: under `next` keys that were waiting for it, or under the current ones. */
void tether_rekey_heard(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, int by_next);
void tether_rekey_end(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);
/* When this channel needs a look for its keys' sake; UINT64_MAX = not at all. */
uint64_t tether_rekey_timer(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);

#endif
