/* SPDX-License-Identifier: Apache-2.0 */
/* The replay window against a plain list of what was seen, for every window and wild jumps. */
#include "../src/replay.h"
#include "check.h"

static void against_list(uint32_t window)
{
    static uint64_t bits[TETHER_REPLAY_WORDS(TETHER_REPLAY_MAX)];
    static uint8_t seen[1 << 20];
    struct tether_replay replay = {.bits = bits, .window = window};
    uint64_t rng = window, base = 1;
    memset(seen, 0, sizeof seen);
    tether_replay_reset(&replay);
    CHECK(!tether_replay_fresh(&replay, 0)); /* never a transport sequence */
    for (int i = 0; i < 200000; i++) {
        uint64_t spread = test_random(&rng) % 64 ? 200 : window * 2, back = test_random(&rng) % (window + 100);
        uint64_t at = test_random(&rng) % 3 ? base + test_random(&rng) % spread : base > back ? base - back : 1;
        int fresh;
        if (at >= sizeof seen)
            break;
        fresh = !seen[at] && (at > replay.newest || replay.newest - at < window);
        CHECK_EQ(tether_replay_fresh(&replay, at), fresh);
        if (!fresh)
            continue;
        tether_replay_mark(&replay, at);
        seen[at] = 1;
        CHECK(!tether_replay_fresh(&replay, at));
        base = replay.newest;
    }
    tether_replay_mark(&replay, UINT64_C(1) << 47); /* a jump beyond everything clears in bounded time */
    CHECK(!tether_replay_fresh(&replay, base));
    CHECK(tether_replay_fresh(&replay, (UINT64_C(1) << 47) - 1));
}

static void windows(void)
{
    PROVES("T-RPW-1", "T-RPW-2");
    for (uint32_t window = TETHER_REPLAY_MIN; window <= TETHER_REPLAY_MAX; window *= 2)
        against_list(window);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(windows);
    return run_result();
}
