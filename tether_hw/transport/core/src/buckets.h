/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buckets.h: how many Lamps one source may have answered (RFC 0001, "Floods").
 *
 * A table of fixed size, four entries to a place; which place a source has depends on a secret, so nobody can aim at
 * another one's. When all four are taken the source that has most left makes room, and who comes inherits what it had
 * left: a new name never brings new tokens, so a place never lets through more than four sources' worth.
 */
#ifndef TETHER_BUCKETS_H
#define TETHER_BUCKETS_H

#include "crypto.h"

enum { TETHER_SOURCE_PLACES = 256, TETHER_SOURCE_WAYS = 4 };

struct tether_source {
    uint64_t mark;      /* keyed hash of the source; 0 = free */
    uint64_t filled_ns; /* refilled up to here */
    uint64_t frames;
};

struct tether_sources {
    uint8_t secret[TETHER_KEY_SIZE];
    uint64_t burst, ns_per_frame;
    struct tether_source (*places)[TETHER_SOURCE_WAYS];
};

/* 0 or -ENOMEM. The secret is the caller's to fill before the first _pay. */
int tether_sources_open(struct tether_sources *sources, uint64_t burst, uint64_t frames_per_s);
void tether_sources_close(struct tether_sources *sources);
/* One frame from `from` (its port does not count); `proven` sources have a bucket of their own. 1 or 0. */
int tether_sources_pay(struct tether_sources *sources, const struct tether_address *from, int proven, uint64_t now_ns);

#endif
