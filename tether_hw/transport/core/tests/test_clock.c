/* SPDX-License-Identifier: Apache-2.0 */
/* Silence, back-off and its cap, quantiles, and the purse. */
#include "../src/clock.h"
#include "../src/purse.h"
#include "check.h"

static void silence(void)
{
    PROVES("T-CLK-4");
    struct tether_rtt rtt;
    tether_rtt_init(&rtt, 5000);
    CHECK_EQ(tether_silence(&rtt, 0, 1000000), 1000000);       /* the floor: a rack hop does not fire at 7.5 us */
    CHECK_EQ(tether_silence(&rtt, 12000, 1000), 48000);        /* four frame times at a slow pace */
    tether_rtt_init(&rtt, UINT64_C(2640000000000));
    CHECK_EQ(tether_silence(&rtt, 0, 1000000), UINT64_C(3960000000000)); /* 44 minutes */
    tether_rtt_init(&rtt, 5000);
    for (int i = 0; i < 300; i++)
        tether_rtt_sample(&rtt, 10000000);
    CHECK_EQ(tether_silence(&rtt, 0, 1000000), 15000000); /* the measured p99 where it is larger */
    CHECK_EQ(rtt.min_ns, 10000000);
    CHECK(rtt.smoothed_ns > 9900000 && rtt.smoothed_ns < 10100000);
}

static void quantiles(void)
{
    PROVES("T-CLK-10");
    struct tether_rtt rtt;
    tether_rtt_init(&rtt, 0);
    CHECK_EQ(tether_rtt_quantile(&rtt, 500), 0);
    for (uint64_t i = 1; i <= 256; i++)
        tether_rtt_sample(&rtt, i * 37 % 257);
    CHECK_EQ(tether_rtt_quantile(&rtt, 0), 1);
    CHECK_EQ(tether_rtt_quantile(&rtt, 500), 128);
    CHECK_EQ(tether_rtt_quantile(&rtt, 1000), 256);
}

static void backoff(void)
{
    PROVES("T-CLK-5");
    struct tether_backoff b = {.since_ns = 100};
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t wait = tether_backoff_due(&b, 1000000) - b.since_ns;
        CHECK(wait >= last && wait <= tether_backoff_cap(1000000));
        CHECK_EQ(wait, i < 6 ? 1000000u << i : 64000000u);
        last = wait;
        tether_backoff_sent(&b, b.since_ns + wait);
    }
    tether_backoff_heard(&b, b.since_ns + 5, 0);
    CHECK_EQ(tether_backoff_due(&b, 1000000) - b.since_ns, 64000000); /* heard, but no progress */
    tether_backoff_heard(&b, b.since_ns + 5, 1);
    CHECK_EQ(tether_backoff_due(&b, 1000000) - b.since_ns, 1000000);
    CHECK_EQ(tether_backoff_cap(UINT64_C(3960000000000)), UINT64_C(3960000000000));
    CHECK_EQ(tether_backoff_cap(100000000), 1000000000);
}

static void purse(void)
{
    PROVES("T-PRS-2");
    struct tether_purse p;
    tether_purse_init(&p, 4, 1000);
    CHECK(tether_purse_pay(&p, 1, 3) && !tether_purse_pay(&p, 1, 2) && tether_purse_pay(&p, 1, 1));
    CHECK(tether_purse_when(&p, 1) > 1 && tether_purse_when(&p, 5) == UINT64_MAX);
    CHECK(!tether_purse_pay(&p, tether_purse_when(&p, 1) - 1, 1));
    CHECK(tether_purse_pay(&p, tether_purse_when(&p, 1), 1));
    CHECK(tether_purse_pay(&p, 1000000000, 4)); /* full again, and no fuller */
    CHECK(!tether_purse_pay(&p, 1000000000, 1));
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(silence);
    RUN(quantiles);
    RUN(backoff);
    RUN(purse);
    return run_result();
}
