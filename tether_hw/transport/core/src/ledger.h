/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h: the credit of one direction of one flow (RFC 0001, "Ledger").
 *
 * `next` is the next slot, `limit` the slots granted so far. A debit is one compare-and-swap of `next`,
 * and the value it replaces *is* the slot: there is no moment in which credit is taken but the slot unknown.
 * A grant is a compare-and-swap maximum of `limit`: applied twice by two threads it counts once, and only
 * the one who raised it is told so (and wakes waiters).
 */
#ifndef TETHER_LEDGER_H
#define TETHER_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

#include "breaks.h"
#include "paths.h"

struct tether_ledger {
    _Atomic uint64_t next;
    _Atomic uint64_t limit;
};

static inline void tether_ledger_init(struct tether_ledger *ledger, uint64_t next, uint64_t limit)
{
    atomic_init(&ledger->next, next);
    atomic_init(&ledger->limit, limit);
}

static inline uint64_t tether_ledger_next(const struct tether_ledger *ledger)
{
    return atomic_load_explicit(&ledger->next, memory_order_relaxed);
}

static inline uint64_t tether_ledger_limit(const struct tether_ledger *ledger)
{
    return atomic_load_explicit(&ledger->limit, memory_order_relaxed);
}

/* Take `count` slots: 1 and the first of them in *slot, or 0 when the credit is not there (nothing taken). */
TETHER_USUAL int tether_ledger_debit(struct tether_ledger *ledger, uint64_t count, uint64_t *slot)
{
    uint64_t next = atomic_load_explicit(&ledger->next, memory_order_relaxed);
    do {
        uint64_t limit = atomic_load_explicit(&ledger->limit, memory_order_acquire);
        TETHER_BREAK_I1_BY(limit += 3 * count;)
        if (next > limit || limit - next < count)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&ledger->next, &next, next + count, memory_order_acq_rel,
                                                    memory_order_relaxed));
    *slot = next;
    return 1;
}

/* The ember: one frame beyond the grant, only when nothing of the grant is left unused. 1 or 0. */
static inline int tether_ledger_ember(struct tether_ledger *ledger, uint64_t count, uint64_t *slot)
{
    uint64_t next = atomic_load_explicit(&ledger->next, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&ledger->limit, memory_order_acquire);
    if (next != limit || !atomic_compare_exchange_strong_explicit(&ledger->next, &next, next + count,
                                                                  memory_order_acq_rel, memory_order_relaxed))
        return 0;
    *slot = next;
    return 1;
}

/* A cumulative grant: 1 when it raised the limit, 0 when it was known. Never lowers (I3). */
static inline int tether_ledger_grant(struct tether_ledger *ledger, uint64_t granted)
{
    uint64_t limit = atomic_load_explicit(&ledger->limit, memory_order_relaxed);
    do {
        if (granted <= limit)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&ledger->limit, &limit, granted, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return 1;
}

/* Give up every slot below `end` that was not used (Skip): returns the first of them, and next = end. */
static inline uint64_t tether_ledger_skip(struct tether_ledger *ledger, uint64_t end)
{
    uint64_t next = atomic_load_explicit(&ledger->next, memory_order_relaxed);
    while (next < end && !atomic_compare_exchange_weak_explicit(&ledger->next, &next, end, memory_order_acq_rel,
                                                                memory_order_relaxed))
        continue;
    return next;
}

#endif
