/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../crypto.h"
#include "words.h"

enum {
    TEXT_BYTES = 1 << 16,
    LINE_BYTES = 512,
    PAUSE_MS = 5, /* between two looks; at most so late is a line */
};

static int ring_open(struct scribe_ring *ring, uint32_t items, uint32_t item_bytes)
{
    ring->item_bytes = item_bytes;
    ring->mask = items - 1;
    ring->items = calloc(items, item_bytes);
    return ring->items ? 0 : words_fail(-ENOMEM, "no memory for the trace");
}

static void ring_put(struct scribe_ring *ring, const void *item)
{
    uint64_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    if (put - atomic_load_explicit(&ring->taken, memory_order_acquire) > ring->mask) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    memcpy((char *)ring->items + (put & ring->mask) * ring->item_bytes, item, ring->item_bytes);
    atomic_store_explicit(&ring->put, put + 1, memory_order_release);
}

/* The oldest item, lent until ring_taken; NULL when there is none. */
static void *ring_look(struct scribe_ring *ring)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&ring->put, memory_order_acquire))
        return NULL;
    return (char *)ring->items + (taken & ring->mask) * ring->item_bytes;
}

static void ring_taken(struct scribe_ring *ring)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
}

static void put_event(void *context, const struct tether_trace_event *event)
{
    struct scribe_lane *lane = context;
    ring_put(&lane->events, event);
}

static void put_key(void *context, const char *line)
{
    struct scribe_lane *lane = context;
    char item[TETHER_KEYLOG_LINE] = "";
    memcpy(item, line, strnlen(line, sizeof item - 1));
    ring_put(&lane->keys, item);
    tether_wipe(item, sizeof item);
}

void scribe_listen(struct scribe *scribe, uint32_t lane, struct tether_endpoint_config *config)
{
    if (scribe->trace_fd >= 0) {
        config->trace = put_event;
        config->trace_context = &scribe->lanes[lane];
    }
    if (scribe->keylog_fd >= 0) {
        config->keylog = put_key;
        config->keylog_context = &scribe->lanes[lane];
    }
}

/* ------------------------------------------------------------- the thread */

/* 0, or the errno that ended it. */
static int write_all(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t done = write(fd, text, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        text += done;
        length -= (size_t)done;
    }
    return 0;
}

static void flush(struct scribe *scribe)
{
    if (scribe->used && !scribe->trace_full) {
        scribe->trace_full = write_all(scribe->trace_fd, scribe->text, scribe->used) != 0;
        scribe->trace_bytes += scribe->used;
    }
    scribe->used = 0;
}

static void say(struct scribe *scribe, const char *line, int length)
{
    if (length <= 0 || scribe->trace_full)
        return;
    if (scribe->used + (size_t)length > TEXT_BYTES)
        flush(scribe);
    memcpy(scribe->text + scribe->used, line, (size_t)length);
    scribe->used += (size_t)length;
}

static void trace_drops(struct scribe *scribe, uint32_t lane)
{
    struct scribe_ring *ring = &scribe->lanes[lane].events;
    uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    char line[LINE_BYTES];
    if (dropped == ring->told)
        return;
    say(scribe, line, snprintf(line, sizeof line,
                               "{\"event\":\"dropped\",\"node\":\"%s\",\"lane\":%" PRIu32 ",\"events\":%" PRIu64 "}\n",
                               scribe->node, lane, dropped - ring->told));
    ring->told = dropped;
}

/* What is there now, of one lane. */
static bool write_events(struct scribe *scribe, uint32_t number)
{
    struct scribe_ring *ring = &scribe->lanes[number].events;
    const struct tether_trace_event *event;
    char line[LINE_BYTES];
    bool any = false;
    for (uint32_t i = 0; i <= ring->mask && (event = ring_look(ring)) != NULL; i++) {
        if (!scribe->trace_full && scribe->trace_bytes + scribe->used < SCRIBE_TRACE_BYTES) {
            say(scribe, line, tether_trace_line(event, scribe->node, line, sizeof line));
        } else if (!scribe->trace_full) {
            say(scribe, line, snprintf(line, sizeof line,
                                       "{\"event\":\"full\",\"node\":\"%s\",\"bytes\":%" PRIu64 "}\n", scribe->node,
                                       scribe->trace_bytes + scribe->used));
            flush(scribe);
            scribe->trace_full = true;
        }
        ring_taken(ring);
        any = true;
    }
    trace_drops(scribe, number);
    return any;
}

static bool write_keys(struct scribe *scribe, uint32_t number)
{
    struct scribe_ring *ring = &scribe->lanes[number].keys;
    char line[TETHER_KEYLOG_LINE + 1], *item;
    bool any = false;
    while ((item = ring_look(ring)) != NULL) {
        size_t length = strnlen(item, TETHER_KEYLOG_LINE);
        memcpy(line, item, length);
        line[length] = '\n';
        tether_wipe(item, TETHER_KEYLOG_LINE);
        ring_taken(ring);
        (void)write_all(scribe->keylog_fd, line, length + 1);
        any = true;
    }
    tether_wipe(line, sizeof line);
    uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    if (dropped != ring->told) {
        int length = snprintf(line, sizeof line, "# %" PRIu64 " lines were dropped\n", dropped - ring->told);
        (void)write_all(scribe->keylog_fd, line, (size_t)length);
        ring->told = dropped;
    }
    return any;
}

static void write_round(struct scribe *scribe)
{
    for (uint32_t i = 0; i < scribe->lane_count; i++) {
        if (scribe->trace_fd >= 0)
            (void)write_events(scribe, i);
        if (scribe->keylog_fd >= 0)
            (void)write_keys(scribe, i);
    }
    flush(scribe);
}

static void *scribe_main(void *argument)
{
    struct scribe *scribe = argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "tether-scribe");
    while (!atomic_load(&scribe->stopping)) {
        write_round(scribe);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    write_round(scribe);
    return NULL;
}

/* ---------------------------------------------------------- start and stop */

void scribe_init(struct scribe *scribe)
{
    memset(scribe, 0, sizeof *scribe);
    scribe->trace_fd = scribe->keylog_fd = -1;
}

/* A new file, ours alone: never over another, never through a symbolic link. */
static int make_file(const char *path, const char *what, int *fd)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0 && errno == EEXIST)
        return words_fail(-EEXIST, "%s %s: exists; it is never written over", what, path);
    if (*fd < 0)
        return words_fail(-errno, "%s %s: %s", what, path, words_errno(errno));
    return 0;
}

static int begin_trace(struct scribe *scribe)
{
    char line[LINE_BYTES];
    int length = snprintf(line, sizeof line, "{\"schema\":\"tether.trace/1\",\"node\":\"%s\",\"clock\":\"monotonic\"}\n",
                          scribe->node);
    int error = write_all(scribe->trace_fd, line, (size_t)length);
    return error ? words_fail(-error, "the trace cannot be written: %s", words_errno(error)) : 0;
}

int scribe_open(struct scribe *scribe, const char *node, const char *trace_path, const char *keylog_path,
                uint32_t lanes)
{
    int status = 0;
    size_t length = node ? strnlen(node, SCRIBE_NODE_BYTES - 1) : 0;
    for (size_t i = 0; i < length; i++) /* what JSON would have to escape is in no name */
        scribe->node[i] = node[i] >= ' ' && node[i] < 0x7f && node[i] != '"' && node[i] != '\\' ? node[i] : '.';
    if (!trace_path && !keylog_path)
        return 0;
    scribe->text = malloc(TEXT_BYTES);
    scribe->lanes = calloc(lanes, sizeof *scribe->lanes);
    if (!scribe->text || !scribe->lanes)
        return words_fail(-ENOMEM, "no memory for the trace");
    scribe->lane_count = lanes;
    for (uint32_t i = 0; !status && i < lanes; i++) {
        if (trace_path)
            status = ring_open(&scribe->lanes[i].events, SCRIBE_EVENTS, sizeof(struct tether_trace_event));
        if (!status && keylog_path)
            status = ring_open(&scribe->lanes[i].keys, SCRIBE_KEYS, TETHER_KEYLOG_LINE);
    }
    if (!status && trace_path)
        status = make_file(trace_path, "trace", &scribe->trace_fd);
    if (!status && trace_path)
        status = begin_trace(scribe);
    if (!status && keylog_path)
        status = make_file(keylog_path, "key log", &scribe->keylog_fd);
    return status;
}

int scribe_start(struct scribe *scribe)
{
    if (scribe->trace_fd < 0 && scribe->keylog_fd < 0)
        return 0;
    int status = pthread_create(&scribe->thread, NULL, scribe_main, scribe);
    if (status)
        return words_fail(-status, "no thread: %s", words_errno(status));
    scribe->threaded = true;
    return 0;
}

void scribe_stop(struct scribe *scribe)
{
    if (!scribe->threaded)
        return;
    atomic_store(&scribe->stopping, true);
    pthread_join(scribe->thread, NULL);
    scribe->threaded = false;
}

void scribe_close(struct scribe *scribe)
{
    scribe_stop(scribe);
    for (uint32_t i = 0; scribe->lanes && i < scribe->lane_count; i++) {
        struct scribe_lane *lane = &scribe->lanes[i];
        if (lane->keys.items)
            tether_wipe(lane->keys.items, (size_t)(lane->keys.mask + 1) * lane->keys.item_bytes);
        free(lane->keys.items);
        free(lane->events.items);
    }
    free(scribe->lanes);
    free(scribe->text);
    if (scribe->trace_fd >= 0)
        close(scribe->trace_fd);
    if (scribe->keylog_fd >= 0)
        close(scribe->keylog_fd);
    scribe_init(scribe);
}
