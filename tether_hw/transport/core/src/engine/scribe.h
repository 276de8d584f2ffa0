/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scribe.h: the trace and the key log of an engine on their way to files. Each lane puts events into a bounded ring of
 * its own, under its mutex, without a system call; one thread looks at the rings now and then, makes lines of what it
 * finds and writes them. What finds a ring full is dropped and counted, and the count is said in the file.
 */
#ifndef TETHER_SCRIBE_H
#define TETHER_SCRIBE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../include/tether.h"

enum {
    SCRIBE_EVENTS = 1 << 16,      /* of a lane; about 20 ms of the fastest carrier */
    SCRIBE_KEYS = 1 << 8,         /* lines of the key log of a lane */
    SCRIBE_NODE_BYTES = 64,
};
#define SCRIBE_TRACE_BYTES (UINT64_C(4) << 30) /* a trace grows no further: a forgotten one must not fill a disk */

/* What a lane puts in and the thread takes out: one of each, so two counters are enough. */
struct scribe_ring {
    void *items;
    uint32_t item_bytes, mask;
    _Atomic uint64_t put, taken, dropped;
    uint64_t told; /* drops that stand in the file */
};

struct scribe_lane {
    struct scribe_ring events, keys;
};

struct scribe {
    int trace_fd, keylog_fd; /* -1 = not asked for */
    char node[SCRIBE_NODE_BYTES];
    struct scribe_lane *lanes;
    uint32_t lane_count;
    pthread_t thread;
    bool threaded;
    _Atomic bool stopping;
    bool trace_full;
    uint64_t trace_bytes;
    char *text;              /* lines on their way */
    size_t used;
};

void scribe_init(struct scribe *scribe);
/* Makes the files that are asked for (a path or NULL). 0, or negative errno with words. */
int scribe_open(struct scribe *scribe, const char *node, const char *trace_path, const char *keylog_path,
                uint32_t lanes);
int scribe_start(struct scribe *scribe);
/* Writes what waits, ends the thread; the lanes must have stopped. */
void scribe_stop(struct scribe *scribe);
void scribe_close(struct scribe *scribe);

/* Sets the callbacks of a lane's endpoint, as far as files were asked for. */
void scribe_listen(struct scribe *scribe, uint32_t lane, struct tether_endpoint_config *config);

#endif
