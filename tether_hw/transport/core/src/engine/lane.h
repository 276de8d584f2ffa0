/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.h: one hardware queue: a carrier, an endpoint and the thread that moves frames between them. Everything of the
 * endpoint happens under the lane's mutex; the carrier belongs to the thread alone. Lanes meet only in the handover
 * rings and in the engine's event queue, neither of which is on the path of a frame that arrived where it belongs.
 */
#ifndef TETHER_LANE_H
#define TETHER_LANE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../carrier/carrier.h"
#include "handover.h"
#include "wait.h"
#include "words.h"

struct tether_engine;

/* What a call waits for. */
enum lane_wait_for { LANE_WAIT_FLOW, LANE_WAIT_EARLY, LANE_WAIT_MOVE };

/* A call that waits for a channel or flow of this lane. On the caller's stack, in the lane's list, under its mutex. */
struct lane_waiter {
    struct lane_waiter *next;
    pthread_cond_t condition;
    uint32_t channel;
    uint16_t flow;
    bool down;          /* the channel went down while waiting, with: */
    int32_t down_status;
    uint32_t instead;   /* with -EISCONN: the channel that stands */
    enum lane_wait_for what;
    uint32_t peer_id;   /* LANE_WAIT_EARLY: to whom, and what became of it */
    uint16_t remote_lane;
    bool done;
    int32_t status;
};

/* What is declared of a link's future: contact windows, or its round trips. */
struct lane_plan {
    struct tether_window pairs[TETHER_WINDOWS_MAX];
    size_t count;
};

struct lane {
    struct tether_engine *engine;
    struct tether_lane_config config; /* strings not kept */
    uint16_t number;
    bool present, threaded;
    struct carrier *carrier;
    tether_endpoint *endpoint;
    struct handover *handover;
    struct lane_waiter *waiters;
    struct lane_plan windows, rtt_table; /* declared before there is an endpoint */
    struct tether_address move_to;    /* with `moving`, under the mutex */
    int move_status;
    char move_words[WORDS_BYTES];
    uint64_t spin_ns;
    pthread_t thread;
    int wake_fd;
    pthread_mutex_t mutex;
    _Atomic uint32_t callers;         /* threads that want the mutex: the lane's own steps back */
    _Atomic uint32_t kicked, asleep, stopping;
    _Atomic uint32_t moving;          /* the thread shall bind its carrier to move_to */
    _Atomic uint64_t counter_need;    /* 0 = none, else 1 + the least counter that is of use */
    _Atomic uint64_t misdirected, foreign, handed_over, handover_full, sleeps, wakes;
};

/* Mutex and eventfd; the carrier follows by the engine. 0 or -errno. */
int lane_init(struct lane *lane, struct tether_engine *engine, uint16_t number);
void lane_destroy(struct lane *lane);
int lane_start(struct lane *lane);
/* Ask the thread to end, then wait for it and wake every waiting call. */
void lane_stop(struct lane *lane);

/* Tell the endpoint what was declared before it was there. */
int lane_declare(struct lane *lane);

/* For calls of other threads. lane_unlock with `kick` tells the thread that there may be something to send. */
void lane_lock(struct lane *lane);
void lane_unlock(struct lane *lane, bool kick);
void lane_kick(struct lane *lane);

/* Under the mutex: */
void lane_waiter_add(struct lane *lane, struct lane_waiter *waiter, uint32_t channel, uint16_t flow);
void lane_waiter_remove(struct lane *lane, struct lane_waiter *waiter);
/* 0 after a wake, -ETIMEDOUT, -EAGAIN (limit of 0) or -ESHUTDOWN. The thread is kicked first. */
int lane_wait(struct lane *lane, struct lane_waiter *waiter, const struct wait_limit *limit);

#endif
