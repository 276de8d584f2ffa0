/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood_bench.c: what a flood of Lamps costs the engine's legitimate peer. Each round measures its goodput three times:
 * without a flood, with one to the engine, and with the same one to a socket that nobody reads. The flooder is a thread
 * of this machine: the last figure is what sending and delivering so many datagrams costs by itself, whoever they are
 * for, and cpu_of_the_flooder is the share of one core that it took.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../src/engine/host.h"
#include "flood.h"

enum { SETTLE_US = 1500000, LAMP_FACTOR = 10 };

struct stream {
    struct flood_node *peer;
    _Atomic bool stopping;
    int failed;
};

static void *stream_main(void *argument)
{
    static uint8_t data[1 << 18];
    struct stream *stream = argument;
    uint16_t flow;
    if (tether_engine_flow_open(stream->peer->engine, stream->peer->channel, TETHER_FLOW_BYTES, 0, &flow)) {
        stream->failed = 1;
        return NULL;
    }
    while (!atomic_load(&stream->stopping))
        (void)tether_engine_flow_write(stream->peer->engine, stream->peer->channel, flow, data, sizeof data, 0,
                                       100000000);
    return NULL;
}

static double goodput(struct flood_node *victim, double seconds)
{
    uint64_t begun = host_now_ns(), first = atomic_load(&victim->bytes_read);
    usleep((useconds_t)(seconds * 1e6));
    return (double)(atomic_load(&victim->bytes_read) - first) * 8e9 / (double)(host_now_ns() - begun);
}

static int ascending(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(const double *values, uint32_t count)
{
    double sorted[FLOOD_ROUNDS];
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, ascending);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void list(const char *name, const double *values, uint32_t count)
{
    printf(" \"%s\": [", name);
    for (uint32_t i = 0; i < count; i++)
        printf("%s%.4g", i ? ", " : "", values[i]);
    printf("],\n");
}

/* Goodput while the sender floods the address at which it aims; 0 when it could not. */
static double flooded_goodput(struct flood_sender *sender, const struct tether_address *aim, double *rate, double *cpu)
{
    pthread_t flooder;
    double got;
    atomic_store(&sender->stopping, false);
    sender->sent = 0;
    if (flood_send_aim(sender, aim) || pthread_create(&flooder, NULL, flood_send, sender))
        return 0;
    usleep(200000); /* Lamps are made and on their way */
    got = goodput(sender->victim, sender->options.seconds);
    atomic_store(&sender->stopping, true);
    pthread_join(flooder, NULL);
    *rate = (double)sender->sent / sender->seconds;
    *cpu = sender->cpu_seconds / sender->seconds;
    usleep(SETTLE_US); /* what the flood left in the socket, and the clocks of what it cost the stream */
    return got;
}

/* A socket on the same machine that takes nothing: its number, or -1. */
static int deaf_socket(struct tether_address *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 4096;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (const struct sockaddr *)&name, length) || getsockname(fd, (struct sockaddr *)&name, &length)) {
        close(fd);
        return -1;
    }
    *address = (struct tether_address){.kind = TETHER_ADDRESS_UDP4, .length = 6};
    memcpy(address->bytes, &name.sin_addr, 4);
    memcpy(address->bytes + 4, &name.sin_port, 2);
    return fd;
}

struct rounds {
    double quiet[FLOOD_ROUNDS], flooded[FLOOD_ROUNDS], beside[FLOOD_ROUNDS], share[FLOOD_ROUNDS];
    double beside_share[FLOOD_ROUNDS], rate[FLOOD_ROUNDS], cpu[FLOOD_ROUNDS];
};

static void report(const struct flood_sender *sender, const struct rounds *found, uint64_t dropped)
{
    uint32_t rounds = sender->options.rounds;
    printf("{\n \"schema\": \"tether.flood.bench/1\",\n \"lamp_per_s\": %u,\n \"flood_per_s_wanted\": %u,\n"
           " \"sources\": %u,\n \"rounds\": %u,\n \"seconds\": %.2f,\n", sender->options.lamp_per_s,
           sender->options.rate, sender->options.sources, rounds, sender->options.seconds);
    list("round_flood_per_s", found->rate, rounds);
    list("round_cpu_of_the_flooder", found->cpu, rounds);
    list("round_quiet_bps", found->quiet, rounds);
    list("round_flooded_bps", found->flooded, rounds);
    list("round_beside_bps", found->beside, rounds);
    list("round_share", found->share, rounds);
    list("round_share_beside", found->beside_share, rounds);
    printf(" \"dropped_by_the_kernel\": %" PRIu64 ",\n \"flood_per_s\": %.0f,\n \"cpu_of_the_flooder\": %.3f,\n"
           " \"quiet_bps\": %.4g,\n \"flooded_bps\": %.4g,\n \"beside_bps\": %.4g,\n \"share\": %.3f,\n"
           " \"share_beside\": %.3f\n}\n", dropped, median(found->rate, rounds), median(found->cpu, rounds),
           median(found->quiet, rounds), median(found->flooded, rounds), median(found->beside, rounds),
           median(found->share, rounds), median(found->beside_share, rounds));
}

int flood_bench(struct flood_node *victim, struct flood_node *peer, struct flood_sender *sender)
{
    static struct rounds found;
    struct stream stream = {.peer = peer};
    struct tether_carrier_stats before, after;
    struct tether_address deaf;
    uint32_t rounds = sender->options.rounds;
    pthread_t streamer;
    int fd = deaf_socket(&deaf);
    sender->lamps_only = true;
    sender->options.frames = 0;
    sender->options.rate = sender->options.rate ? sender->options.rate : LAMP_FACTOR * sender->options.lamp_per_s;
    if (fd < 0 || pthread_create(&streamer, NULL, stream_main, &stream))
        return 2;
    usleep(500000);
    (void)flood_stats(victim, &before);
    for (uint32_t i = 0; i < rounds; i++) {
        double rate, cpu;
        found.quiet[i] = goodput(victim, sender->options.seconds);
        found.flooded[i] = flooded_goodput(sender, &victim->address, &found.rate[i], &found.cpu[i]);
        found.beside[i] = flooded_goodput(sender, &deaf, &rate, &cpu);
        found.share[i] = found.quiet[i] > 0 ? found.flooded[i] / found.quiet[i] : 0;
        found.beside_share[i] = found.quiet[i] > 0 ? found.beside[i] / found.quiet[i] : 0;
    }
    close(fd);
    atomic_store(&stream.stopping, true);
    pthread_join(streamer, NULL);
    struct tether_stats stats = flood_stats(victim, &after);
    flood_promise(!stream.failed && median(found.quiet, rounds) > 0, "no goodput without a flood", 0, 0);
    flood_promise(stats.invariant_violations == 0, "invariants broken", stats.invariant_violations, 0);
    report(sender, &found, after.kernel_drops - before.kernel_drops);
    return flood_broken();
}
