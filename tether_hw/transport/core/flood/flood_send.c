/* SPDX-License-Identifier: Apache-2.0 */
/* flood_send.c: many sources, many frames, and a count of what comes back. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../src/engine/host.h"
#include "flood.h"

enum {
    STUCK_NS = 2000000000, /* the victim's counters do not move any more: go on without them */
    POOL = 8192,          /* Lamps made beforehand when only they are sent */
};

/* All that cost a key agreement once they are let in; recorded Hails are too few to be told from one source. */
static const enum flood_kind lamps[] = {FLOOD_INVENTED_HAIL, FLOOD_CHANGED_HAIL, FLOOD_STRANGER};

int flood_send_open(struct flood_sender *sender)
{
    for (uint32_t i = 0; i < FLOOD_SOURCES; i++)
        sender->sockets[i] = -1;
    for (uint32_t i = 0; i < sender->options.sources; i++) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(0x7f000102u + i); /* 127.0.1.2 and on: each source has an address of its own */
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 1 << 20;
        sender->sockets[i] = fd;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&from, sizeof from)) {
            fprintf(stderr, "flood: source %u: %s\n", i, strerror(errno));
            return -1;
        }
    }
    return flood_send_aim(sender, &sender->victim->address);
}

int flood_send_aim(struct flood_sender *sender, const struct tether_address *to)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    memcpy(&name.sin_addr, to->bytes, 4);
    memcpy(&name.sin_port, to->bytes + 4, 2);
    for (uint32_t i = 0; i < sender->options.sources; i++) {
        if (connect(sender->sockets[i], (const struct sockaddr *)&name, sizeof name)) {
            fprintf(stderr, "flood: source %u: %s\n", i, strerror(errno));
            return -1;
        }
    }
    return 0;
}

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Everything that came back to one source. */
static void count_replies(struct flood_sender *sender, int fd)
{
    uint8_t frame[FLOOD_FRAME];
    ssize_t got;
    while ((got = recv(fd, frame, sizeof frame, MSG_DONTWAIT)) >= 0) {
        sender->replies++;
        sender->reply_bytes += (uint64_t)got;
    }
}

static void send_batch(struct flood_sender *sender, int fd, struct flood_frame *const *frames, uint32_t count)
{
    struct mmsghdr messages[FLOOD_BATCH];
    struct iovec vectors[FLOOD_BATCH];
    memset(messages, 0, sizeof messages);
    for (uint32_t i = 0; i < count; i++) {
        vectors[i] = (struct iovec){frames[i]->bytes, frames[i]->length};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (uint32_t at = 0; at < count;) {
        int done = sendmmsg(fd, messages + at, count - at, 0);
        if (done > 0) {
            for (int i = 0; i < done; i++)
                sender->sent_bytes += frames[at + (uint32_t)i]->length;
            sender->sent += (uint64_t)done;
            at += (uint32_t)done;
        } else if (errno != EINTR && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) {
            sender->failed = errno;
            return;
        }
    }
}

static void pause_ns(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&time, NULL);
}

/* Frames that came to the victim, or were lost before its door, and are not its peer's. */
static uint64_t taken_by(struct flood_sender *sender)
{
    struct tether_carrier_stats victim, peer;
    (void)flood_stats(sender->victim, &victim);
    (void)flood_stats(sender->peer, &peer);
    return victim.rx_frames + victim.kernel_drops - peer.tx_frames;
}

/* As fast as the victim takes them: what is sent and not counted there yet stays below what its socket holds. */
static void wait_for_victim(struct flood_sender *sender, uint64_t *base)
{
    uint64_t begun = host_now_ns(), last = 0;
    int64_t ahead = sender->victim->ring_frames / 4; /* the peer's frames need room too */
    for (;;) {
        uint64_t taken = taken_by(sender);
        if ((int64_t)(sender->sent - (taken - *base)) < ahead)
            return;
        if (taken != last) {
            last = taken;
            begun = host_now_ns();
        } else if (host_now_ns() - begun > STUCK_NS) {
            *base = taken - sender->sent; /* some were never counted (no memory in the kernel): from here on */
            return;
        }
        pause_ns(20000);
    }
}

/* At a rate: when the next batch is due. */
static void wait_for_clock(const struct flood_sender *sender, uint64_t begun)
{
    uint64_t due = begun + (uint64_t)((double)sender->sent * 1e9 / sender->options.rate), now = host_now_ns();
    if (due > now)
        pause_ns(due - now);
}

void *flood_send(void *argument)
{
    struct flood_sender *sender = argument;
    static struct flood_frame pool[POOL];
    struct flood_frame *frames[FLOOD_BATCH];
    uint64_t random = sender->options.seed * 2 + 1, base, begun;
    uint32_t most = sender->victim->ring_frames / 8, batch = most < FLOOD_BATCH ? most : FLOOD_BATCH;
    uint32_t socket = 0, made = sender->lamps_only ? POOL : FLOOD_BATCH, next = 0;
    for (uint32_t i = 0; sender->lamps_only && i < POOL; i++)
        flood_make(sender->recording, lamps[i % (sizeof lamps / sizeof lamps[0])], &random, &pool[i]);
    base = taken_by(sender) - sender->sent;
    begun = host_now_ns();
    sender->cpu_seconds = -cpu_seconds();
    while (!sender->failed && !atomic_load(&sender->stopping) &&
           (sender->options.frames == 0 || sender->sent < sender->options.frames)) {
        uint64_t left = sender->options.frames ? sender->options.frames - sender->sent : FLOOD_BATCH;
        uint32_t count = left < batch ? (uint32_t)left : batch;
        for (uint32_t i = 0; i < count; i++) {
            frames[i] = &pool[next++ % made];
            if (sender->lamps_only)
                continue;
            enum flood_kind kind = flood_kind_of(&random);
            flood_make(sender->recording, kind, &random, frames[i]);
            sender->by_kind[kind]++;
        }
        int fd = sender->sockets[socket++ % sender->options.sources];
        send_batch(sender, fd, frames, count);
        count_replies(sender, fd);
        if (sender->options.rate)
            wait_for_clock(sender, begun);
        else
            wait_for_victim(sender, &base);
    }
    sender->seconds = (double)(host_now_ns() - begun) / 1e9;
    sender->cpu_seconds += cpu_seconds();
    pause_ns(200000000); /* answers that are under way */
    for (uint32_t i = 0; i < sender->options.sources; i++)
        count_replies(sender, sender->sockets[i]);
    return NULL;
}

void flood_send_close(struct flood_sender *sender)
{
    for (uint32_t i = 0; i < FLOOD_SOURCES; i++)
        if (sender->sockets[i] >= 0)
            close(sender->sockets[i]);
}
