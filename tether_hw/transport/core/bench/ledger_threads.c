/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ledger under N threads that debit while one more grants. Every slot must be taken exactly once, none beyond what was
 * granted. Prints debits per second.
 *
 * Usage: ledger_threads THREADS
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../src/ledger.h"

enum { THREADS_MAX = 64, FRAME = 22, DEBITS = 4000000 };

static struct tether_ledger ledger;
static _Atomic int go;

struct worker {
    pthread_t thread;
    uint64_t taken, sum, last;
    int bad;
};

static void *work(void *context)
{
    struct worker *me = context;
    uint64_t slot;
    while (!atomic_load(&go))
        continue;
    for (;;) {
        if (tether_ledger_debit(&ledger, FRAME, &slot)) {
            me->bad |= slot % FRAME != 0 || (me->taken && slot <= me->last) || slot + FRAME > tether_ledger_limit(&ledger);
            me->last = slot;
            me->taken++;
            me->sum += slot / FRAME;
        } else if (tether_ledger_next(&ledger) >= (uint64_t)FRAME * DEBITS) {
            return NULL;
        }
    }
}

int main(int count, char **words)
{
    static struct worker workers[THREADS_MAX];
    int threads = count == 2 ? atoi(words[1]) : 0, bad = 0;
    uint64_t taken = 0, sum = 0;
    struct timespec begin, end;
    double seconds;
    if (threads < 1 || threads > THREADS_MAX) {
        fputs("usage: ledger_threads THREADS\n", stderr);
        return 64;
    }
    tether_ledger_init(&ledger, 0, 0);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    atomic_store(&go, 1);
    for (uint64_t granted = 0; granted < DEBITS; granted += 64) /* a grant for each 64 frames, some of them said twice */
        for (int again = 0; again < 1 + (int)(granted / 64 & 1); again++)
            (void)tether_ledger_grant(&ledger, (granted + 64) * FRAME);
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        taken += workers[i].taken;
        sum += workers[i].sum;
        bad |= workers[i].bad;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("{\"debits\": %llu, \"debits_per_s\": %.0f}\n", (unsigned long long)taken, (double)taken / seconds);
    return bad || taken != DEBITS || sum != (uint64_t)DEBITS * (DEBITS - 1) / 2;
}
