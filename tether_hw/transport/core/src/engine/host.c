/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <sched.h>
#include <sys/random.h>

int host_entropy(void *context, uint8_t *out, size_t length)
{
    (void)context;
    while (length) {
        ssize_t got = getrandom(out, length, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        out += got;
        length -= (size_t)got;
    }
    return 0;
}

int host_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return -EINVAL;
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) ? -errno : 0;
}

bool host_has_cpu(int cpu)
{
    cpu_set_t set;
    return cpu >= 0 && cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_ISSET((size_t)cpu, &set);
}
