/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <stdlib.h>
#include <string.h>

enum { P99_EVERY = 64 };

void tether_rtt_init(struct tether_rtt *rtt, uint64_t declared_ns)
{
    memset(rtt, 0, sizeof *rtt);
    rtt->declared_ns = declared_ns;
    rtt->min_ns = UINT64_MAX;
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

uint64_t tether_rtt_quantile(const struct tether_rtt *rtt, uint32_t per_mille)
{
    uint64_t sorted[TETHER_RTT_SAMPLES];
    uint32_t count = rtt->count < TETHER_RTT_SAMPLES ? rtt->count : TETHER_RTT_SAMPLES;
    if (count == 0)
        return 0;
    memcpy(sorted, rtt->samples_ns, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], compare_u64);
    return sorted[(uint64_t)(count - 1) * (per_mille > 1000 ? 1000 : per_mille) / 1000];
}

uint64_t tether_rtt_worst(struct tether_rtt *rtt)
{
    if (rtt->count && (rtt->p99_ns == 0 || rtt->count - rtt->p99_at >= P99_EVERY)) {
        rtt->p99_ns = tether_rtt_quantile(rtt, 990);
        rtt->p99_at = rtt->count;
    }
    return rtt->p99_ns > rtt->declared_ns ? rtt->p99_ns : rtt->declared_ns;
}

uint64_t tether_silence(struct tether_rtt *rtt, uint64_t frame_ns, uint64_t floor_ns)
{
    uint64_t worst = tether_rtt_worst(rtt);
    uint64_t silence = worst + worst / 2;
    if (silence < 4 * frame_ns)
        silence = 4 * frame_ns;
    return silence < floor_ns ? floor_ns : silence;
}

uint64_t tether_backoff_cap(uint64_t silence_ns)
{
    uint64_t cap = silence_ns > UINT64_MAX / 64 ? UINT64_MAX : silence_ns * 64;
    if (cap > UINT64_C(1000000000))
        cap = UINT64_C(1000000000);
    return cap < silence_ns ? silence_ns : cap;
}

uint64_t tether_backoff_due(const struct tether_backoff *backoff, uint64_t silence_ns)
{
    uint64_t cap = tether_backoff_cap(silence_ns);
    uint64_t wait = backoff->tries >= 6 || silence_ns > cap >> backoff->tries ? cap : silence_ns << backoff->tries;
    return backoff->since_ns > UINT64_MAX - wait ? UINT64_MAX : backoff->since_ns + wait;
}
