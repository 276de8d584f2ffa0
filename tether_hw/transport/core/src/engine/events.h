/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h: what the lanes tell the application. One queue per engine, bounded, a set besides: an event that waits
 * already (same lane, kind, channel, flow) is not added again, so a slow reader loses nothing but repetition. It holds
 * every event that the open channels can have at once; an application that reads none at all and opens channel after
 * channel loses the oldest, which belong to channels that are long gone, and never holds up a lane.
 */
#ifndef TETHER_EVENTS_H
#define TETHER_EVENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../include/tether.h"

struct events {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct tether_event *ring; /* [mask + 1] */
    uint32_t *set;             /* hash table of ring positions + 1, [2 * (mask + 1)] */
    uint32_t mask, head, tail;
    int fd;                    /* eventfd, readable while head != tail */
    bool signalled, stopped;
};

int events_open(struct events *events, uint32_t capacity);
void events_close(struct events *events);
/* True when the oldest event had to go to make room. */
bool events_put(struct events *events, const struct tether_event *event);
/* Up to `capacity`; waits as long as `timeout_ns` says. Count, or -ESHUTDOWN once stopped and empty. */
int events_take(struct events *events, int64_t timeout_ns, struct tether_event *out, size_t capacity);
/* Wake everybody; events that wait can still be taken. */
void events_stop(struct events *events);

#endif
