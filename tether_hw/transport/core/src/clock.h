/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: round-trip times, silence and back-off (RFC 0001, "Timers").
 *
 * Every RTT is measured on one's own clock: the peer returns our Timestamp plus the time it held it.
 * Loss never enters: timers derive from the declared constant of the link and from what was measured.
 */
#ifndef TETHER_CLOCK_H
#define TETHER_CLOCK_H

#include <stdint.h>

enum { TETHER_RTT_SAMPLES = 256 };

struct tether_rtt {
    uint64_t declared_ns;
    uint64_t smoothed_ns; /* 0 = no sample yet */
    uint64_t min_ns;      /* UINT64_MAX = no sample yet */
    uint64_t p99_ns;      /* of the ring, as of the last _p99 */
    uint32_t count;       /* samples ever, saturating */
    uint32_t p99_at;      /* count at which p99_ns was taken */
    uint64_t samples_ns[TETHER_RTT_SAMPLES];
};

struct tether_backoff {
    uint64_t since_ns;    /* silence is counted from here */
    uint32_t tries;       /* timer frames since the last progress */
    uint32_t reserved;
};

void tether_rtt_init(struct tether_rtt *rtt, uint64_t declared_ns);
static inline void tether_rtt_sample(struct tether_rtt *rtt, uint64_t sample_ns)
{
    rtt->samples_ns[rtt->count & (TETHER_RTT_SAMPLES - 1)] = sample_ns;
    rtt->count += 1 + (rtt->count == UINT32_MAX ? UINT32_C(0) - TETHER_RTT_SAMPLES : 0);
    rtt->min_ns = sample_ns < rtt->min_ns ? sample_ns : rtt->min_ns;
    /* RFC 6298's weights: 7/8 old, 1/8 new */
    rtt->smoothed_ns = rtt->smoothed_ns ? rtt->smoothed_ns - rtt->smoothed_ns / 8 + sample_ns / 8 : sample_ns | 1;
}
/* The sample at `per_mille` of the last 256 (500 = median); 0 without samples. */
uint64_t tether_rtt_quantile(const struct tether_rtt *rtt, uint32_t per_mille);
/* The larger of the declared and the measured p99; recomputed at most once per 1,024 samples. */
uint64_t tether_rtt_worst(struct tether_rtt *rtt);
/* Smoothed, or declared as long as nothing was measured; at least 1. */
static inline uint64_t tether_rtt_now(const struct tether_rtt *rtt)
{
    uint64_t now = rtt->smoothed_ns ? rtt->smoothed_ns : rtt->declared_ns;
    return now ? now : 1;
}

/* Silence = max(1.5 x worst RTT, 4 frame times, floor). */
uint64_t tether_silence(struct tether_rtt *rtt, uint64_t frame_ns, uint64_t floor_ns);
/* Cap of the back-off: 64 silences but at most 1 s, and never below one silence. */
uint64_t tether_backoff_cap(uint64_t silence_ns);
/* When the next timer frame is due: since + silence x 2^tries, capped. */
uint64_t tether_backoff_due(const struct tether_backoff *backoff, uint64_t silence_ns);
/*
 * The same for a Hail, whose back-off goes on to 2 s: only the reply to the newest Hail counts, so a cap below the
 * real round trip, which nobody has measured yet, would never let one through.
 */
uint64_t tether_backoff_hail_due(const struct tether_backoff *backoff, uint64_t silence_ns);

/* What was heard: any frame of the flow restarts the silence, progress ends the back-off. */
static inline void tether_backoff_heard(struct tether_backoff *backoff, uint64_t now_ns, int progress)
{
    backoff->since_ns = now_ns > backoff->since_ns ? now_ns : backoff->since_ns;
    backoff->tries = progress ? 0 : backoff->tries;
}

static inline void tether_backoff_sent(struct tether_backoff *backoff, uint64_t now_ns)
{
    backoff->since_ns = now_ns;
    backoff->tries += backoff->tries < 63;
}

#endif
