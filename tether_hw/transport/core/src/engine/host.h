/* SPDX-License-Identifier: Apache-2.0 */
/* host.h: the host's clock and randomness, the two things that an endpoint does not have. */
#ifndef TETHER_HOST_H
#define TETHER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t host_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Fill from getrandom(2). 0 or -errno. The signature of tether_endpoint_config.entropy. */
int host_entropy(void *context, uint8_t *out, size_t length);
/* Pin the calling thread; 0 or -errno. */
int host_pin(int cpu);
/* Whether the calling thread may run on it. */
bool host_has_cpu(int cpu);

#endif
