/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wait.h"
#include "words.h"

int events_open(struct events *events, uint32_t capacity)
{
    uint32_t size = 64;
    while (size < capacity && size < 1u << 20)
        size *= 2;
    memset(events, 0, sizeof *events);
    events->mask = size - 1;
    events->ring = calloc(size, sizeof *events->ring);
    events->set = calloc(2 * (size_t)size, sizeof *events->set);
    events->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&events->mutex, NULL);
    wait_cond_init(&events->filled);
    if (!events->ring || !events->set || events->fd < 0) {
        events_close(events);
        return words_fail(-ENOMEM, "no memory for %u events", size);
    }
    return 0;
}

void events_close(struct events *events)
{
    if (events->fd >= 0)
        close(events->fd);
    free(events->ring);
    free(events->set);
    pthread_cond_destroy(&events->filled);
    pthread_mutex_destroy(&events->mutex);
}

static bool same(const struct tether_event *a, const struct tether_event *b)
{
    return a->kind == b->kind && a->channel == b->channel && a->flow == b->flow && a->lane == b->lane &&
           a->peer_id == b->peer_id;
}

static uint32_t set_mask(const struct events *events)
{
    return events->mask * 2 + 1;
}

static uint32_t place_of(const struct events *events, const struct tether_event *event)
{
    uint64_t key = (uint64_t)event->channel << 32 | (uint64_t)event->flow << 16 | (uint64_t)event->lane << 8 |
                   event->kind;
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & set_mask(events);
}

/* Where the event stands in the set, or the free place where it would. The set is never more than half full. */
static uint32_t set_find(const struct events *events, const struct tether_event *event)
{
    uint32_t at = place_of(events, event);
    while (events->set[at] && !same(&events->ring[(events->set[at] - 1) & events->mask], event))
        at = (at + 1) & set_mask(events);
    return at;
}

/* Open addressing without tombstones: what hashed past the hole moves back into it. */
static void set_remove(struct events *events, uint32_t hole)
{
    uint32_t at = hole;
    events->set[hole] = 0;
    for (;;) {
        at = (at + 1) & set_mask(events);
        if (!events->set[at])
            return;
        uint32_t home = place_of(events, &events->ring[(events->set[at] - 1) & events->mask]);
        if (((at - home) & set_mask(events)) >= ((at - hole) & set_mask(events))) {
            events->set[hole] = events->set[at];
            events->set[at] = 0;
            hole = at;
        }
    }
}

bool events_put(struct events *events, const struct tether_event *event)
{
    bool evicted = false;
    pthread_mutex_lock(&events->mutex);
    uint32_t at = set_find(events, event);
    if (events->set[at]) {
        struct tether_event *standing = &events->ring[(events->set[at] - 1) & events->mask];
        *standing = *event; /* the newest status and value */
    } else {
        if (events->tail - events->head > events->mask) {
            set_remove(events, set_find(events, &events->ring[events->head & events->mask]));
            events->head++;
            evicted = true;
            at = set_find(events, event); /* the removal may have moved the free place */
        }
        events->ring[events->tail & events->mask] = *event;
        events->set[at] = (events->tail & events->mask) + 1;
        events->tail++;
        if (!events->signalled) {
            events->signalled = true;
            (void)eventfd_write(events->fd, 1);
        }
        pthread_cond_broadcast(&events->filled);
    }
    pthread_mutex_unlock(&events->mutex);
    return evicted;
}

int events_take(struct events *events, int64_t timeout_ns, struct tether_event *out, size_t capacity)
{
    struct wait_limit limit;
    wait_limit_set(&limit, timeout_ns);
    pthread_mutex_lock(&events->mutex);
    while (events->head == events->tail && !events->stopped) {
        if (!wait_on(&events->filled, &events->mutex, &limit))
            break;
    }
    int count = 0;
    while (events->head != events->tail && (size_t)count < capacity) {
        struct tether_event *event = &events->ring[events->head & events->mask];
        set_remove(events, set_find(events, event));
        out[count++] = *event;
        events->head++;
    }
    if (events->head == events->tail && events->signalled && !events->stopped) {
        eventfd_t value;
        (void)eventfd_read(events->fd, &value);
        events->signalled = false;
    }
    if (!count && events->stopped)
        count = -ESHUTDOWN;
    pthread_mutex_unlock(&events->mutex);
    return count;
}

void events_stop(struct events *events)
{
    pthread_mutex_lock(&events->mutex);
    events->stopped = true;
    if (!events->signalled) {
        events->signalled = true;
        (void)eventfd_write(events->fd, 1);
    }
    pthread_cond_broadcast(&events->filled);
    pthread_mutex_unlock(&events->mutex);
}
