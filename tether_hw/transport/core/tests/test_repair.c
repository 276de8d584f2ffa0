/* SPDX-License-Identifier: Apache-2.0 */
/* The gap list against a bitmap of what is missing; turns, pauses and the cumulative frame in eight. */
#include "../src/repair.h"
#include "check.h"

enum { SPAN = 4000 };

static struct tether_gap_pool pool;

static void against_bitmap(void)
{
    uint64_t rng = 5;
    for (int round = 0; round < 200; round++) {
        struct tether_gaps gaps;
        uint8_t missing[SPAN] = {0};
        uint64_t high = 0, left = 0;
        tether_gaps_init(&gaps);
        while (high < SPAN - 200) {
            uint64_t end = high + 1 + test_random(&rng) % 90;
            CHECK_EQ(tether_gaps_open(&pool, &gaps, high, end, 20, TETHER_NIL, 0), 0);
            memset(missing + high, 1, end - high);
            left += end - high;
            high = end + 1 + test_random(&rng) % 50;
        }
        while (left) {
            uint64_t at = test_random(&rng) % SPAN, end = at + 1;
            uint32_t gap = tether_gaps_find(&pool, &gaps, at);
            CHECK_EQ(gap != TETHER_NIL, missing[at]);
            if (gap == TETHER_NIL)
                continue;
            while (end < pool.gaps[gap].end && test_random(&rng) % 4)
                end++;
            CHECK_EQ(tether_gaps_fill(&pool, &gaps, gap, at, end, TETHER_NIL), 0);
            memset(missing + at, 0, end - at);
            left -= end - at;
        }
        CHECK_EQ(gaps.count, 0);
        CHECK_EQ(gaps.head, TETHER_NIL);
        CHECK_EQ(pool.free_count, pool.count);
    }
}

static void turns(void)
{
    PROVES("T-NCK-2", "T-NCK-3");
    struct tether_gaps gaps;
    uint64_t asked[10] = {0}, cumulative = 0;
    tether_gaps_init(&gaps);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(tether_gaps_open(&pool, &gaps, i * 10, i * 10 + 5, 100, TETHER_NIL, 1000), 0);
    CHECK_EQ(tether_gaps_ask(&pool, &gaps, 999, 5000), TETHER_NIL); /* reorder time */
    CHECK_EQ(tether_gaps_due(&pool, &gaps), 1000);
    for (int i = 0; i < 12; i++) {
        uint32_t gap = tether_gaps_ask(&pool, &gaps, 1000, 5000);
        if (gap == TETHER_NIL)
            cumulative++;
        else
            asked[pool.gaps[gap].start / 10]++;
    }
    CHECK(cumulative >= 1);
    for (int i = 0; i < 10; i++)
        CHECK(asked[i] >= 1 && asked[i] <= 2); /* each in its turn, before one of them once more */
    CHECK_EQ(tether_gaps_due(&pool, &gaps), 5000);
    for (int i = 0; i < 100; i++) {
        uint32_t gap = tether_gaps_ask(&pool, &gaps, 2000, 9000);
        if (gap != TETHER_NIL)
            asked[pool.gaps[gap].start / 10]++;
    }
    for (int i = 0; i < 10; i++)
        CHECK_EQ(asked[i], i < 6 ? 1 : 3); /* of a turn, the last four were in three frames, and none in more */
    CHECK_EQ(tether_gaps_ask(&pool, &gaps, 4999, 9000), TETHER_NIL);
    CHECK_EQ(tether_gaps_due(&pool, &gaps), 5000);
    CHECK(tether_gaps_ask(&pool, &gaps, 5000, 9000) != TETHER_NIL);
    tether_gaps_clear(&pool, &gaps);
    CHECK_EQ(pool.free_count, pool.count);
}

static void full_pool(void)
{
    PROVES("T-NCK-10");
    struct tether_gaps gaps;
    uint32_t gap;
    tether_gaps_init(&gaps);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 0, pool.count + 1, 1, TETHER_NIL, 0), -1);
    CHECK_EQ(pool.free_count, pool.count);
    CHECK_EQ(tether_gaps_open(&pool, &gaps, 0, pool.count * 4, 4, TETHER_NIL, 0), 0);
    gap = tether_gaps_find(&pool, &gaps, 41);
    CHECK_EQ(tether_gaps_fill(&pool, &gaps, gap, 41, 42, TETHER_NIL), -1); /* a split needs a gap */
    CHECK_EQ(pool.gaps[gap].end - pool.gaps[gap].start, 4);
    tether_gaps_clear(&pool, &gaps);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    CHECK_EQ(tether_gap_pool_open(&pool, 1024), 0);
    RUN(against_bitmap);
    RUN(turns);
    RUN(full_pool);
    tether_gap_pool_close(&pool);
    return run_result();
}
