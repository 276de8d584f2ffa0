/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h: waiting on a condition with a limit on the monotonic clock. */
#ifndef TETHER_WAIT_H
#define TETHER_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct wait_limit {
    int64_t timeout_ns; /* 0 = do not wait, < 0 = for ever */
    uint64_t end_ns;
};

void wait_cond_init(pthread_cond_t *condition);
void wait_limit_set(struct wait_limit *limit, int64_t timeout_ns);
/* False when the time is over; true after a wake, which may be spurious. The mutex is held before and after. */
bool wait_on(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct wait_limit *limit);

#endif
