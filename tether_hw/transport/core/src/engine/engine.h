/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h: the lanes of one node and what they share off the data path. */
#ifndef TETHER_ENGINE_INTERNAL_H
#define TETHER_ENGINE_INTERNAL_H

#include "counter_file.h"
#include "events.h"
#include "lane.h"
#include "scribe.h"
#include "words.h"

struct tether_engine {
    struct tether_engine_config config; /* its strings are not kept */
    uint8_t public_key[32];
    struct lane *lanes;                 /* [config.lanes] */
    struct events events;
    struct counter_file counter;
    struct scribe scribe;
    /* The keeper takes new strides of the counter: that waits for a disk, so no lane does it. */
    pthread_t keeper;
    pthread_mutex_t roster_mutex;       /* one new roster at a time, taken before the lanes' mutexes */
    pthread_mutex_t mutex;              /* what follows; the last to be taken */
    pthread_cond_t wanted;
    struct tether_peer *peers;
    size_t peer_count;
    bool started, stopped, keeping;
    char trouble[WORDS_BYTES];          /* why there is no counter, "" = there is */
};

/* The lane that a frame's destination address names, or NULL. */
struct lane *engine_lane_of(struct tether_engine *engine, const struct tether_address *address);
/* A lane is out of counters. */
void engine_want_counter(struct tether_engine *engine);
/* For calls: the running lane of a handle, or NULL with words and *status set. */
struct lane *engine_lane(tether_engine *engine, uint64_t number, int *status);
/* Words for `status` that the endpoint gave; returns it. */
int engine_words(int status, const char *what);
/* The lane of a handle, or NULL with *status. */
struct lane *engine_handle_lane(struct tether_engine *engine, uint64_t handle, int *status);
/* A status of the endpoint with its words; counts pass. */
int64_t engine_told(int64_t status, const char *what);

#endif
