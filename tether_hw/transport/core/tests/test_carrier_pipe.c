/* SPDX-License-Identifier: Apache-2.0 */
/* pipe: whole frames in order, a full ring says no and loses nothing. */
#include "harness.h"

#include <errno.h>

#include "exchange.h"

static void test_exchange(void)
{
    struct carrier *ends[2];
    CHECK(carrier_open_pipe(23 * 64, 256, ends) == 0);
    CHECK(exchange_run(ends[0], ends[1], 5000, 256) == 5000);
    CHECK(exchange_run(ends[1], ends[0], 5000, 1) == 5000);
    for (int i = 0; i < 2; i++)
        ends[i]->ops->close(ends[i]);
}

static void test_full_ring_refuses(void)
{
    struct carrier *ends[2];
    CHECK(carrier_open_pipe(128, 8, ends) == 0);
    for (uint32_t i = 0; i < 8; i++)
        CHECK(exchange_send(ends[0], i, 128, &ends[1]->address) == 1);
    CHECK(exchange_send(ends[0], 8, 128, &ends[1]->address) == 0);
    CHECK(atomic_load(&ends[0]->counters.tx_stalled) == 1);
    struct tether_arrival frames[CARRIER_BATCH];
    CHECK(ends[1]->ops->receive(ends[1], frames, 3) == 3);
    CHECK(exchange_send(ends[0], 8, 128, &ends[1]->address) == 0); /* lent is not released */
    ends[1]->ops->release(ends[1]);
    CHECK(exchange_send(ends[0], 8, 128, &ends[1]->address) == 1);
    CHECK(exchange_drain(ends[1]) == 6);
    /* a reservation that is not committed costs nothing */
    CHECK(ends[0]->ops->reserve(ends[0]) != NULL);
    CHECK(exchange_drain(ends[1]) == 0);
    for (int i = 0; i < 2; i++)
        ends[i]->ops->close(ends[i]);
}

static void test_bad_arguments(void)
{
    struct carrier *ends[2];
    CHECK(carrier_open_pipe(23 * 64, 100, ends) == -EINVAL);
    CHECK(carrier_open_pipe(23 * 64, 0, ends) == -EINVAL);
    CHECK(carrier_open_pipe(100, 64, ends) == -EINVAL);
    CHECK(carrier_open_pipe(64, 64, ends) == -EINVAL);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_exchange);
    RUN(test_full_ring_refuses);
    RUN(test_bad_arguments);
    return HARNESS_RESULT();
}
