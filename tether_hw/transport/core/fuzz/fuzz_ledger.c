/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger beside two plain numbers, and the replay window beside a list of everything that was ever marked. */
#include <stdlib.h>

#include "../src/ledger.h"
#include "../src/replay.h"

enum { MARKS_MAX = 512 };

static void must(int condition)
{
    if (!condition)
        __builtin_trap();
}

static void ledger(const uint8_t *data, size_t size)
{
    struct tether_ledger ledger;
    uint64_t next = 0, limit = 0, before_limit;
    tether_ledger_init(&ledger, 0, 0);
    for (; size >= 3; data += 3, size -= 3) {
        uint64_t amount = data[1] | (uint64_t)data[2] << 8, slot = UINT64_MAX;
        before_limit = limit;
        switch (data[0] & 3) {
        case 0: {
            int paid = next <= limit && limit - next >= amount;
            must(tether_ledger_debit(&ledger, amount, &slot) == paid);
            must(!paid || slot == next);
            next += paid ? amount : 0;
            break;
        }
        case 1: { /* around the limit, above and below */
            uint64_t granted = data[0] & 4 ? limit - (amount < limit ? amount : limit) : limit + amount;
            must(tether_ledger_grant(&ledger, granted) == (granted > limit));
            limit = granted > limit ? granted : limit;
            break;
        }
        case 2: {
            int paid = next == limit;
            must(tether_ledger_ember(&ledger, amount, &slot) == paid);
            must(!paid || slot == next);
            next += paid ? amount : 0;
            break;
        }
        default:
            must(tether_ledger_skip(&ledger, next + (data[0] & 4 ? amount : 0)) == next);
            next += data[0] & 4 ? amount : 0;
            break;
        }
        must(limit >= before_limit); /* I3 */
        must(tether_ledger_next(&ledger) == next && tether_ledger_limit(&ledger) == limit);
    }
}

static void replay(const uint8_t *data, size_t size)
{
    static uint64_t bits[TETHER_REPLAY_WORDS(TETHER_REPLAY_MIN << 7)];
    uint64_t marked[MARKS_MAX], newest = 0, sequence;
    struct tether_replay window = {.bits = bits, .window = TETHER_REPLAY_MIN};
    size_t count = 0;
    if (size == 0)
        return;
    window.window <<= data[0] & 7;
    tether_replay_reset(&window);
    for (data++, size--; size >= 3 && count < MARKS_MAX; data += 3, size -= 3) {
        uint64_t step = (data[1] | (uint64_t)data[2] << 8) << (data[0] >> 1 & 15);
        int known = 0, fresh;
        sequence = data[0] & 1 ? newest + step : newest - (step < newest ? step : newest);
        for (size_t i = 0; i < count; i++)
            known |= marked[i] == sequence;
        fresh = sequence != 0 && !known && (sequence > newest || newest - sequence < window.window);
        must(tether_replay_fresh(&window, sequence) == fresh);
        if (!fresh || data[0] & 32) /* 32: it did not verify */
            continue;
        tether_replay_mark(&window, sequence);
        marked[count++] = sequence;
        newest = sequence > newest ? sequence : newest;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    (data[0] & 1 ? ledger : replay)(data + 1, size - 1);
    return 0;
}
