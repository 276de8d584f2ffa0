/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "wait.h"

#include <errno.h>

#include "host.h"

void wait_cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void wait_limit_set(struct wait_limit *limit, int64_t timeout_ns)
{
    limit->timeout_ns = timeout_ns;
    limit->end_ns = 0;
    if (timeout_ns > 0) {
        uint64_t now = host_now_ns();
        limit->end_ns = now + (uint64_t)timeout_ns;
        if (limit->end_ns > INT64_MAX) /* centuries: for ever */
            limit->timeout_ns = -1;
    }
}

bool wait_on(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct wait_limit *limit)
{
    if (limit->timeout_ns == 0)
        return false;
    if (limit->timeout_ns < 0) {
        pthread_cond_wait(condition, mutex);
        return true;
    }
    struct timespec end = {(time_t)(limit->end_ns / 1000000000u), (long)(limit->end_ns % 1000000000u)};
    return pthread_cond_timedwait(condition, mutex, &end) != ETIMEDOUT;
}
