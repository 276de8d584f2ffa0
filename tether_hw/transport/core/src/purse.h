/* SPDX-License-Identifier: Apache-2.0 */
/*
 * purse.h: what may be sent without a grant and without a receipt (RFC 0001, "Purse").
 *
 * A token bucket in frames per endpoint. Lamps and timer frames are paid from it; one timer frame per
 * channel per back-off cap is always affordable, so that other peers' Lamps cannot stop recovery (I7).
 */
#ifndef TETHER_PURSE_H
#define TETHER_PURSE_H

#include <stdint.h>

struct tether_purse {
    uint64_t frames;      /* what is there now */
    uint64_t frames_max;  /* burst */
    uint64_t ns_per_frame;
    uint64_t filled_ns;   /* time up to which it has been refilled */
};

static inline void tether_purse_init(struct tether_purse *purse, uint64_t frames_max, uint64_t frames_per_s)
{
    purse->frames = frames_max;
    purse->frames_max = frames_max;
    purse->ns_per_frame = frames_per_s ? UINT64_C(1000000000) / frames_per_s : UINT64_MAX;
    if (purse->ns_per_frame == 0)
        purse->ns_per_frame = 1;
    purse->filled_ns = 0;
}

static inline void tether_purse_refill(struct tether_purse *purse, uint64_t now_ns)
{
    uint64_t gained;
    if (now_ns <= purse->filled_ns)
        return;
    gained = (now_ns - purse->filled_ns) / purse->ns_per_frame;
    if (gained == 0)
        return;
    if (gained >= purse->frames_max - purse->frames) {
        purse->frames = purse->frames_max;
        purse->filled_ns = now_ns;
    } else {
        purse->frames += gained;
        purse->filled_ns += gained * purse->ns_per_frame;
    }
}

/* Take `frames`: 1, or 0 when they are not there (nothing taken). */
static inline int tether_purse_pay(struct tether_purse *purse, uint64_t now_ns, uint64_t frames)
{
    tether_purse_refill(purse, now_ns);
    if (purse->frames < frames)
        return 0;
    purse->frames -= frames;
    return 1;
}

/* Time at which `frames` will be there. */
static inline uint64_t tether_purse_when(const struct tether_purse *purse, uint64_t frames)
{
    if (purse->frames >= frames)
        return 0;
    if (frames > purse->frames_max || purse->ns_per_frame == UINT64_MAX)
        return UINT64_MAX;
    return purse->filled_ns + (frames - purse->frames) * purse->ns_per_frame;
}

#endif
