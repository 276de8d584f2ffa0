/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <string.h>

#include "breaks.h"

enum { P99_EVERY = 1024 };

void tether_rtt_init(struct tether_rtt *rtt, uint64_t declared_ns)
{
    memset(rtt, 0, sizeof *rtt);
    rtt->declared_ns = declared_ns;
    rtt->min_ns = UINT64_MAX;
}

/* Shell sort: qsort of the C library may allocate. */
static void sort(uint64_t *values, uint32_t count)
{
    static const uint32_t steps[] = {57, 23, 10, 4, 1};
    for (uint32_t s = 0; s < sizeof steps / sizeof steps[0]; s++)
        for (uint32_t i = steps[s]; i < count; i++) {
            uint64_t value = values[i];
            uint32_t at = i;
            for (; at >= steps[s] && values[at - steps[s]] > value; at -= steps[s])
                values[at] = values[at - steps[s]];
            values[at] = value;
        }
}

uint64_t tether_rtt_quantile(const struct tether_rtt *rtt, uint32_t per_mille)
{
    uint64_t sorted[TETHER_RTT_SAMPLES];
    uint32_t count = rtt->count < TETHER_RTT_SAMPLES ? rtt->count : TETHER_RTT_SAMPLES;
    if (count == 0)
        return 0;
    memcpy(sorted, rtt->samples_ns, count * sizeof sorted[0]);
    sort(sorted, count);
    return sorted[(uint64_t)(count - 1) * (per_mille > 1000 ? 1000 : per_mille) / 1000];
}

uint64_t tether_rtt_worst(struct tether_rtt *rtt)
{
    /* Early on at every doubling: one slow sample at the beginning (a stopped process) must not stand for 256. */
    uint32_t every = rtt->p99_at < P99_EVERY ? rtt->p99_at : P99_EVERY;
    if (rtt->count && (rtt->p99_ns == 0 || rtt->count - rtt->p99_at >= every)) {
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

static uint64_t due_within(const struct tether_backoff *backoff, uint64_t silence_ns, uint64_t cap_ns)
{
    uint64_t wait = silence_ns > cap_ns >> backoff->tries ? cap_ns : silence_ns << backoff->tries;
    return backoff->since_ns > UINT64_MAX - wait ? UINT64_MAX : backoff->since_ns + wait;
}

uint64_t tether_backoff_due(const struct tether_backoff *backoff, uint64_t silence_ns)
{
    TETHER_BREAK_I7_BY(silence_ns = UINT64_MAX;)
    return due_within(backoff, silence_ns, tether_backoff_cap(silence_ns));
}

uint64_t tether_backoff_hail_due(const struct tether_backoff *backoff, uint64_t silence_ns)
{
    uint64_t cap = UINT64_C(2000000000);
    return due_within(backoff, silence_ns, cap < silence_ns ? silence_ns : cap);
}
