/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lane.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "host.h"

enum {
    LANE_TX_BATCH = 64,         /* frames built before the queue is looked at again */
    LANE_YIELDS = 64,           /* how often the thread steps back for callers in a row */
    LANE_STALL_MS = 1,          /* the carrier takes nothing: look again after this */
    LANE_TROUBLE_MS = 20,       /* the device is down or gone: no hurry */
    LANE_NEAR_NS = 20000,       /* a deadline this near is not worth a sleep */
};

int lane_init(struct lane *lane, struct tether_engine *engine, uint16_t number)
{
    memset(lane, 0, sizeof *lane);
    lane->engine = engine;
    lane->number = number;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&lane->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    lane->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return lane->wake_fd < 0 ? words_fail(-errno, "no eventfd: %s", words_errno(errno)) : 0;
}

void lane_destroy(struct lane *lane)
{
    if (lane->carrier)
        lane->carrier->ops->close(lane->carrier);
    tether_endpoint_free(lane->endpoint);
    handover_free(lane->handover);
    if (lane->wake_fd >= 0)
        close(lane->wake_fd);
    pthread_mutex_destroy(&lane->mutex);
}

void lane_lock(struct lane *lane)
{
    atomic_fetch_add(&lane->callers, 1);
    pthread_mutex_lock(&lane->mutex);
    atomic_fetch_sub(&lane->callers, 1);
}

void lane_kick(struct lane *lane)
{
    /* sequentially consistent, as the thread's side: either it sees the kick or we see it asleep */
    atomic_store(&lane->kicked, 1);
    if (atomic_load(&lane->asleep))
        (void)eventfd_write(lane->wake_fd, 1);
}

void lane_unlock(struct lane *lane, bool kick)
{
    pthread_mutex_unlock(&lane->mutex);
    if (kick)
        lane_kick(lane);
}

void lane_waiter_add(struct lane *lane, struct lane_waiter *waiter, uint32_t channel, uint16_t flow)
{
    wait_cond_init(&waiter->condition);
    waiter->channel = channel;
    waiter->flow = flow;
    waiter->down = false;
    waiter->down_status = 0;
    waiter->instead = 0;
    waiter->what = LANE_WAIT_FLOW;
    waiter->done = false;
    waiter->next = lane->waiters;
    lane->waiters = waiter;
}

void lane_waiter_remove(struct lane *lane, struct lane_waiter *waiter)
{
    struct lane_waiter **at = &lane->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    pthread_cond_destroy(&waiter->condition);
}

int lane_wait(struct lane *lane, struct lane_waiter *waiter, const struct wait_limit *limit)
{
    if (atomic_load(&lane->stopping))
        return -ESHUTDOWN;
    if (limit->timeout_ns == 0)
        return -EAGAIN;
    lane_kick(lane);
    if (!wait_on(&waiter->condition, &lane->mutex, limit))
        return -ETIMEDOUT;
    return atomic_load(&lane->stopping) ? -ESHUTDOWN : 0;
}

/* ------------------------------------------------------------ the thread */

static void count(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/*
 * Whose frame this is. A channel's index names its lane; a Hail has no channel yet and goes by the address that it was
 * sent to. What was sent to no address of ours (flooded by a switch, seen in promiscuous mode) is foreign whatever it
 * says.
 */
static struct lane *owner_of(struct lane *lane, const struct tether_arrival *frame)
{
    struct lane *addressed = lane;
    bool mine = frame->to.kind == 0 ||
                (frame->to.kind == lane->carrier->address.kind && frame->to.kind != TETHER_ADDRESS_MAC) ||
                memcmp(frame->to.bytes, lane->carrier->address.bytes, 6) == 0;
    if (!mine)
        addressed = engine_lane_of(lane->engine, &frame->to);
    if (!addressed || frame->length < TETHER_HEADER_BYTES)
        return addressed;
    uint32_t index; /* channel, little-endian at offset 4 */
    memcpy(&index, frame->data + 4, sizeof index);
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
        index = __builtin_bswap32(index);
    if (index == 0)
        return addressed;
    uint32_t number = index & 0xff;
    if (number == lane->number || number >= lane->engine->config.lanes)
        return lane; /* an index of no lane of ours is refused there as unknown */
    return &lane->engine->lanes[number];
}

static void hand_over(struct lane *from, struct lane *to, const struct tether_arrival *frame)
{
    count(&from->misdirected, 1);
    if (handover_put(to->handover, frame)) {
        count(&to->handed_over, 1);
        lane_kick(to);
    } else {
        count(&to->handover_full, 1);
    }
}

static void wake_waiters(struct lane *lane, const struct tether_event *event)
{
    for (struct lane_waiter *waiter = lane->waiters; waiter; waiter = waiter->next) {
        if (waiter->what == LANE_WAIT_EARLY && event->kind == TETHER_EVENT_EARLY_DONE &&
            waiter->peer_id == event->peer_id && waiter->remote_lane == event->extra) {
            waiter->done = true;
            waiter->status = event->status;
            pthread_cond_signal(&waiter->condition);
        }
        if (waiter->what != LANE_WAIT_FLOW || waiter->channel != event->channel)
            continue;
        bool of_channel = event->kind == TETHER_EVENT_CHANNEL_UP || event->kind == TETHER_EVENT_CHANNEL_DOWN;
        if (!of_channel && waiter->flow != event->flow)
            continue;
        if (event->kind == TETHER_EVENT_CHANNEL_DOWN) {
            waiter->down = true;
            waiter->down_status = event->status;
            waiter->instead = (uint32_t)event->value;
        }
        pthread_cond_signal(&waiter->condition);
    }
}

static void collect_events(struct lane *lane)
{
    struct tether_event event;
    while (tether_endpoint_event(lane->endpoint, &event) > 0) {
        if (event.kind == TETHER_EVENT_NEED_COUNTER) {
            atomic_store(&lane->counter_need, event.value + 1);
            engine_want_counter(lane->engine);
            continue;
        }
        event.lane = lane->number;
        wake_waiters(lane, &event);
        (void)events_put(&lane->engine->events, &event);
    }
}

/* Callers wait for the mutex: let them have it, within bounds. */
static void step_back(struct lane *lane)
{
    for (int i = 0; i < LANE_YIELDS && atomic_load_explicit(&lane->callers, memory_order_relaxed); i++)
        sched_yield();
}

static unsigned take_handed_over(struct lane *lane, uint64_t now)
{
    struct tether_arrival frame;
    unsigned taken = 0;
    while (taken < CARRIER_BATCH && handover_take(lane->handover, &frame)) {
        (void)tether_endpoint_receive(lane->endpoint, now, &frame.from, frame.data, frame.length);
        handover_done(lane->handover);
        taken++;
    }
    return taken;
}

/* Poll until a frame, a kick or the deadline. */
static void lane_sleep(struct lane *lane, uint64_t now, uint64_t deadline, unsigned left)
{
    uint64_t wait_ns = deadline > now ? deadline - now : 0;
    uint64_t longest = left ? LANE_STALL_MS * UINT64_C(1000000) : UINT64_C(1000000000);
    if (wait_ns > longest)
        wait_ns = longest;
    struct pollfd fds[2] = {{.fd = lane->wake_fd, .events = POLLIN}, {.fd = lane->carrier->fd, .events = POLLIN}};
    atomic_store(&lane->asleep, 1);
    if (!atomic_load(&lane->kicked) && !handover_waits(lane->handover)) {
        struct timespec time = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        count(&lane->sleeps, 1);
        (void)ppoll(fds, lane->carrier->fd >= 0 ? 2 : 1, &time, NULL);
    }
    atomic_store(&lane->asleep, 0);
    if (fds[0].revents & POLLIN) {
        eventfd_t value;
        (void)eventfd_read(lane->wake_fd, &value);
        count(&lane->wakes, 1);
    }
    if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
        int error;
        socklen_t length = sizeof error;
        (void)getsockopt(lane->carrier->fd, SOL_SOCKET, SO_ERROR, &error, &length); /* reading clears it */
        if (!(fds[1].revents & POLLIN))
            (void)poll(fds, 1, LANE_TROUBLE_MS);
    }
}

/* One round: take what has come, send what may go. Returns how many frames moved. */
static unsigned lane_round(struct lane *lane, uint64_t now, uint64_t *deadline)
{
    struct carrier *carrier = lane->carrier;
    struct tether_arrival frames[CARRIER_BATCH];
    unsigned received = carrier->ops->receive(carrier, frames, CARRIER_BATCH);
    if (received) {
        /* first the frames of other lanes, outside our mutex */
        for (unsigned i = 0; i < received; i++) {
            struct lane *owner = owner_of(lane, &frames[i]);
            if (owner == lane)
                continue;
            if (owner)
                hand_over(lane, owner, &frames[i]);
            else
                count(&lane->foreign, 1);
            frames[i].data = NULL;
        }
    }
    step_back(lane);
    pthread_mutex_lock(&lane->mutex);
    tether_receive_burst(lane->endpoint, now, frames, received);
    carrier->ops->release(carrier);
    unsigned moved = received + take_handed_over(lane, now);
    struct tether_outlet outlet = {carrier, carrier->ops->reserve, carrier->ops->commit, carrier->frame_bytes};
    moved += tether_transmit_burst(lane->endpoint, now, &outlet, LANE_TX_BATCH);
    collect_events(lane);
    *deadline = tether_endpoint_deadline(lane->endpoint);
    pthread_mutex_unlock(&lane->mutex);
    return moved;
}

/* Somebody moves the lane: what is queued goes from where it is still expected to come from. */
static void lane_rebind(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    (void)lane->carrier->ops->flush(lane->carrier);
    lane->move_status = lane->carrier->ops->rebind(lane->carrier, &lane->move_to);
    snprintf(lane->move_words, sizeof lane->move_words, "%s", lane->move_status ? words_last() : "");
    lane->config.address = lane->carrier->address;
    atomic_store(&lane->moving, 0);
    for (struct lane_waiter *waiter = lane->waiters; waiter; waiter = waiter->next)
        if (waiter->what == LANE_WAIT_MOVE)
            pthread_cond_signal(&waiter->condition);
    pthread_mutex_unlock(&lane->mutex);
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    struct carrier *carrier = lane->carrier;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals belong to the application's threads */
    char name[16];
    snprintf(name, sizeof name, "tether-lane%u", lane->number & 0xffu);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1000UL); /* ns; the default of 50 us is many round trips of a rack */
    if (lane->config.cpu >= 0)
        (void)host_pin(lane->config.cpu);
    uint64_t last = host_now_ns();
    while (!atomic_load_explicit(&lane->stopping, memory_order_acquire)) {
        atomic_store(&lane->kicked, 0);
        if (__builtin_expect(atomic_load_explicit(&lane->moving, memory_order_relaxed), 0))
            lane_rebind(lane);
        uint64_t now = host_now_ns();
        uint64_t deadline;
        unsigned moved = lane_round(lane, now, &deadline);
        unsigned left = carrier->ops->flush(carrier);
        if (moved) {
            last = now;
            continue;
        }
        if (atomic_load(&lane->kicked) || (!left && deadline <= now + LANE_NEAR_NS))
            continue;
        if (now - last < lane->spin_ns)
            sched_yield(); /* spin, but not at the cost of a thread that has work */
        else
            lane_sleep(lane, now, deadline, left);
    }
    return NULL;
}

int lane_start(struct lane *lane)
{
    int status = pthread_create(&lane->thread, NULL, lane_main, lane);
    if (status)
        return words_fail(-status, "no thread for lane %u: %s", lane->number, words_errno(status));
    lane->threaded = true;
    return 0;
}

void lane_stop(struct lane *lane)
{
    atomic_store(&lane->stopping, 1);
    if (lane->threaded) {
        lane_kick(lane);
        pthread_join(lane->thread, NULL);
        lane->threaded = false;
    }
    lane_lock(lane);
    for (struct lane_waiter *waiter = lane->waiters; waiter; waiter = waiter->next)
        pthread_cond_signal(&waiter->condition);
    lane_unlock(lane, false);
}
