/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger under four threads: every slot is taken once, never beyond the limit, and a grant counts once. */
#include <pthread.h>

#include "../src/ledger.h"
#include "check.h"

enum { THREADS = 4, SLOTS = 200000 };

static struct tether_ledger ledger;
static uint8_t taken[SLOTS + 64];
static _Atomic uint32_t raised, over;

static void *worker(void *argument)
{
    uint64_t count = 1 + (uint64_t)(uintptr_t)argument, slot;
    while (tether_ledger_next(&ledger) + count <= SLOTS) {
        if (tether_ledger_debit(&ledger, count, &slot)) {
            if (slot + count > tether_ledger_limit(&ledger))
                atomic_fetch_add(&over, 1);
            for (uint64_t i = slot; i < slot + count && i < SLOTS; i++)
                taken[i]++;
        } else {
            /* all threads apply the same cumulative grant: only one of them raised it */
            uint64_t limit = (tether_ledger_limit(&ledger) / 100 + 1) * 100;
            atomic_fetch_add(&raised, (uint32_t)tether_ledger_grant(&ledger, limit > SLOTS ? SLOTS : limit));
        }
    }
    return NULL;
}

static void threads(void)
{
    PROVES("T-LED-1", "T-LED-2");
    pthread_t thread[THREADS];
    tether_ledger_init(&ledger, 0, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, worker, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(over, 0);
    CHECK(raised <= SLOTS / 100);
    for (uint64_t i = 0; i < tether_ledger_next(&ledger); i++)
        CHECK_EQ(taken[i], 1);
    CHECK(tether_ledger_next(&ledger) <= tether_ledger_limit(&ledger));
}

static void alone(void)
{
    PROVES("T-LED-1", "T-LED-2");
    struct tether_ledger l;
    uint64_t slot = 99;
    tether_ledger_init(&l, 0, 44);
    CHECK(!tether_ledger_ember(&l, 22, &slot)); /* credit is left */
    CHECK(tether_ledger_debit(&l, 22, &slot) && slot == 0);
    CHECK(!tether_ledger_debit(&l, 23, &slot));
    CHECK(tether_ledger_debit(&l, 22, &slot) && slot == 22);
    CHECK(!tether_ledger_debit(&l, 1, &slot));
    CHECK(tether_ledger_ember(&l, 22, &slot) && slot == 44);
    CHECK(!tether_ledger_ember(&l, 22, &slot)); /* one only */
    CHECK(!tether_ledger_debit(&l, 1, &slot));  /* next is beyond the limit */
    CHECK(!tether_ledger_grant(&l, 44));
    CHECK(tether_ledger_grant(&l, 88));
    CHECK(!tether_ledger_grant(&l, 66)); /* never lowered */
    CHECK_EQ(tether_ledger_limit(&l), 88);
    CHECK_EQ(tether_ledger_skip(&l, 88), 66);
    CHECK_EQ(tether_ledger_next(&l), 88);
    CHECK_EQ(tether_ledger_skip(&l, 80), 88);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(alone);
    RUN(threads);
    return run_result();
}
