/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol's own cost: two endpoints over an in-memory pipe in one thread, as an application would use them, every
 * byte written to a flow and read from it. The yardstick is the raw AEAD on the same core, run in small portions
 * between the portions of the transfer, so that both see the same clock speed and the same neighbours.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../carrier/carrier.h"
#include "../engine/host.h"
#include "../engine/words.h"
#include "aead.h"
#include "pipe_end.h"

enum {
    PORTIONS = 32, /* of a round, AEAD and transfer in turn */
    PING_BYTES = 64,
    STUCK_NS = 2000000000,
};

struct bench {
    struct tether_bench_config config;
    struct pipe_end ends[2]; /* 0 writes, 1 reads */
    uint32_t next_write;
    uint64_t written, read;
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static int compare_double(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(const double *values, uint32_t count)
{
    double sorted[TETHER_BENCH_ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_double);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void drain_events(struct bench *bench)
{
    struct tether_event event;
    for (int i = 0; i < 2; i++) {
        struct pipe_end *end = &bench->ends[i];
        while (tether_endpoint_event(end->endpoint, &event) > 0) {
            if (event.kind == TETHER_EVENT_CHANNEL_UP)
                end->channel = event.channel;
            if (event.kind == TETHER_EVENT_FLOW_OPENED && end->flow_count < PIPE_FLOWS_MAX)
                end->flows[end->flow_count++] = event.flow;
        }
    }
}

static unsigned pump(struct bench *bench)
{
    uint64_t now = host_now_ns();
    unsigned moved = pipe_end_pump(&bench->ends[0], now);
    moved += pipe_end_pump(&bench->ends[1], now);
    return moved;
}

static int stuck(uint64_t since)
{
    return host_now_ns() - since > STUCK_NS;
}

static int bench_connect(struct bench *bench)
{
    uint64_t start = host_now_ns();
    uint32_t channel;
    struct pipe_end *writer = &bench->ends[0], *reader = &bench->ends[1];
    int status = tether_channel_open(writer->endpoint, start, 1, 0, NULL, &channel);
    if (status)
        return words_fail(status, "channel: %s", tether_strerror(status));
    while (!writer->channel || !reader->channel) {
        pump(bench);
        drain_events(bench);
        if (stuck(start))
            return words_fail(-ETIMEDOUT, "the two endpoints found no channel");
    }
    /* the last flow is the ping-pong's */
    for (uint32_t i = 0; i <= bench->config.flows; i++) {
        uint8_t kind = i == bench->config.flows ? TETHER_FLOW_MESSAGE : bench->config.kind;
        uint64_t bound = kind == TETHER_FLOW_MESSAGE
                             ? i == bench->config.flows ? PING_BYTES : bench->config.message_bytes : 0;
        status = tether_flow_open(writer->endpoint, host_now_ns(), writer->channel, kind, bound, &writer->flows[i]);
        if (status)
            return words_fail(status, "flow: %s", tether_strerror(status));
        writer->flow_count++;
        while (reader->flow_count < writer->flow_count) {
            pump(bench);
            drain_events(bench);
            if (stuck(start))
                return words_fail(-ETIMEDOUT, "the flow did not arrive");
        }
    }
    return 0;
}

/* Write what fits on the flows in turn, up to `limit` bytes altogether. */
static int64_t feed(struct bench *bench, uint64_t limit)
{
    struct pipe_end *end = &bench->ends[0];
    for (uint32_t tried = 0; tried < bench->config.flows && bench->written < limit; tried++) {
        uint16_t flow = end->flows[bench->next_write++ % bench->config.flows];
        uint64_t left = limit - bench->written;
        size_t length = bench->config.kind == TETHER_FLOW_MESSAGE ? bench->config.message_bytes : PIPE_IO_BYTES;
        if (length > left && bench->config.kind == TETHER_FLOW_BYTES)
            length = (size_t)left;
        int64_t took = tether_flow_write(end->endpoint, host_now_ns(), end->channel, flow, end->buffer, length,
                                         length == left ? TETHER_WRITE_FLUSH : 0);
        if (took > 0)
            bench->written += (uint64_t)took;
        else if (took != -EAGAIN)
            return words_fail((int)took, "write: %s", tether_strerror((int)took));
    }
    for (uint32_t i = 0; bench->written == limit && i < bench->config.flows; i++) /* nothing follows to fill their frames */
        (void)tether_flow_write(end->endpoint, host_now_ns(), end->channel, end->flows[i], NULL, 0, TETHER_WRITE_FLUSH);
    return 0;
}

static int64_t consume(struct bench *bench)
{
    struct pipe_end *end = &bench->ends[1];
    for (uint32_t i = 0; i < bench->config.flows; i++) {
        for (;;) {
            int64_t got = tether_flow_read(end->endpoint, host_now_ns(), end->channel, end->flows[i], end->buffer,
                                           end->buffer_bytes, NULL);
            if (got == -EAGAIN || got == 0)
                break;
            if (got < 0)
                return words_fail((int)got, "read: %s", tether_strerror((int)got));
            bench->read += (uint64_t)got;
        }
    }
    return 0;
}

/* `bytes` through the flows; the time it took. */
static int64_t transfer(struct bench *bench, uint64_t bytes, uint64_t *elapsed)
{
    uint64_t start = host_now_ns(), moved_at = start;
    uint64_t limit = bench->written + bytes;
    if (bench->config.kind == TETHER_FLOW_MESSAGE) /* whole messages */
        limit = (limit + bench->config.message_bytes - 1) / bench->config.message_bytes * bench->config.message_bytes;
    while (bench->read < limit) {
        int64_t status = feed(bench, limit);
        unsigned moved = pump(bench);
        if (!status)
            status = consume(bench);
        if (status)
            return status;
        drain_events(bench);
        if (moved)
            moved_at = host_now_ns();
        else if (stuck(moved_at))
            return words_fail(-ETIMEDOUT, "the transfer stands still at %llu of %llu bytes",
                              (unsigned long long)bench->read, (unsigned long long)limit);
    }
    *elapsed += host_now_ns() - start;
    return 0;
}

static int64_t ping(struct bench *bench, uint64_t *rtt)
{
    uint64_t start = host_now_ns();
    for (int side = 0; side < 2; side++) {
        struct pipe_end *from = &bench->ends[side], *to = &bench->ends[!side];
        uint16_t flow = from->flows[bench->config.flows];
        int64_t status = tether_flow_write(from->endpoint, host_now_ns(), from->channel, flow, from->buffer, PING_BYTES,
                                           TETHER_WRITE_FLUSH);
        if (status < 0)
            return words_fail((int)status, "ping: %s", tether_strerror((int)status));
        while ((status = tether_flow_read(to->endpoint, host_now_ns(), to->channel, flow, to->buffer, to->buffer_bytes,
                                          NULL)) == -EAGAIN) {
            pump(bench);
            if (stuck(start))
                return words_fail(-ETIMEDOUT, "a ping was not answered");
        }
        if (status < 0)
            return words_fail((int)status, "ping: %s", tether_strerror((int)status));
    }
    *rtt = host_now_ns() - start;
    drain_events(bench);
    return 0;
}

static int64_t bench_round(struct bench *bench, struct bench_aead *aead, uint32_t round,
                           struct tether_bench_result *result)
{
    uint64_t frames = bench->config.bytes / aead->length / PORTIONS + 1;
    uint64_t aead_ns = 0, transfer_ns = 0, before = bench->read;
    for (int portion = 0; portion < PORTIONS; portion++) {
        uint64_t took = bench_aead_run(aead, frames);
        if (!took)
            return words_fail(-EBADMSG, "a sealed frame did not open");
        aead_ns += took;
        int64_t status = transfer(bench, bench->config.bytes / PORTIONS, &transfer_ns);
        if (status)
            return status;
    }
    uint64_t bytes = bench->read - before;
    result->bytes += bytes;
    result->round_goodput_bps[round] = (double)bytes * 8e9 / (double)transfer_ns;
    result->round_aead_bps[round] = (double)(frames * PORTIONS * aead->length) * 8e9 / (double)aead_ns;
    result->round_share[round] = result->round_goodput_bps[round] / result->round_aead_bps[round];
    return 0;
}

static int64_t bench_run(struct bench *bench, struct bench_aead *aead, uint64_t *rtts,
                         struct tether_bench_result *result)
{
    double frame_rates[TETHER_BENCH_ROUNDS_MAX], p50[TETHER_BENCH_ROUNDS_MAX], p99[TETHER_BENCH_ROUNDS_MAX];
    uint64_t warm_up = 0;
    int64_t status = transfer(bench, bench->config.bytes / 16 + 1, &warm_up);
    for (uint32_t round = 0; !status && round < bench->config.rounds; round++) {
        struct tether_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
        tether_endpoint_stats(bench->ends[0].endpoint, &before);
        uint64_t bytes_before = result->bytes;
        status = bench_round(bench, aead, round, result);
        tether_endpoint_stats(bench->ends[0].endpoint, &after);
        double seconds = (double)(result->bytes - bytes_before) * 8 / result->round_goodput_bps[round];
        uint64_t data_frames = after.data_frames_sent - before.data_frames_sent;
        result->frames += after.frames_sent - before.frames_sent + after.frames_received - before.frames_received;
        result->data_frames += data_frames;
        frame_rates[round] = (double)data_frames / seconds;
        for (uint32_t i = 0; !status && i < bench->config.pings; i++)
            status = ping(bench, &rtts[i]);
        qsort(rtts, bench->config.pings, sizeof *rtts, compare_u64);
        p50[round] = (double)rtts[bench->config.pings / 2];
        p99[round] = (double)rtts[(uint64_t)bench->config.pings * 99 / 100];
    }
    if (status)
        return status;
    result->rounds = bench->config.rounds;
    result->frames_per_s = median(frame_rates, result->rounds);
    result->goodput_bps = median(result->round_goodput_bps, result->rounds);
    result->aead_limit_bps = median(result->round_aead_bps, result->rounds);
    result->share_of_aead_limit = median(result->round_share, result->rounds);
    result->rtt_p50_ns = median(p50, result->rounds);
    result->rtt_p99_ns = median(p99, result->rounds);
    return 0;
}

static int bench_config(struct tether_bench_config *config)
{
    config->frame_blocks = config->frame_blocks ? config->frame_blocks : 22;
    config->cipher = config->cipher ? config->cipher : TETHER_CIPHER_AES_256_GCM;
    config->flows = config->flows ? config->flows : 1;
    config->message_bytes = config->message_bytes ? config->message_bytes : 65536;
    config->rounds = config->rounds ? config->rounds : 5;
    config->ring_frames = config->ring_frames ? config->ring_frames : 1024;
    config->bytes = config->bytes ? config->bytes : UINT64_C(64) << 20;
    config->pings = config->pings ? config->pings : 2000;
    if (config->flows >= PIPE_FLOWS_MAX || config->rounds < 5 || config->rounds > TETHER_BENCH_ROUNDS_MAX ||
        config->kind > TETHER_FLOW_MESSAGE || config->frame_blocks > TETHER_FRAME_BLOCKS_MAX ||
        config->ring_frames > 65536 || config->bytes < PORTIONS || config->pings > 1000000 ||
        config->message_bytes > 64 << 20)
        return words_fail(-EINVAL, "bench: 1 to %d flows, 5 to %u rounds, frames of 1 to %u blocks, messages to 64 MiB",
                          PIPE_FLOWS_MAX - 1, TETHER_BENCH_ROUNDS_MAX, TETHER_FRAME_BLOCKS_MAX);
    return 0;
}

static int bench_open(struct bench *bench)
{
    uint8_t secrets[2][32];
    struct carrier *carriers[2];
    int status = host_entropy(NULL, secrets[0], sizeof secrets);
    if (status)
        return words_fail(status, "no randomness: %s", words_errno(status));
    status = carrier_open_pipe((bench->config.frame_blocks + 1u) * TETHER_BLOCK_BYTES, bench->config.ring_frames,
                               carriers);
    if (status)
        return status;
    bench->ends[0].carrier = carriers[0];
    bench->ends[1].carrier = carriers[1];
    for (int i = 0; !status && i < 2; i++)
        status = pipe_end_open(&bench->ends[i], &bench->config, secrets[i], secrets[!i], &carriers[!i]->address);
    tether_wipe(secrets, sizeof secrets);
    return status ? status : bench_connect(bench);
}

static void bench_close(struct bench *bench)
{
    for (int i = 0; i < 2; i++)
        pipe_end_close(&bench->ends[i]);
}

int tether_bench_pipe(const struct tether_bench_config *config, struct tether_bench_result *result)
{
    if (!config || !result || config->struct_size != sizeof *config || result->struct_size != sizeof *result)
        return words_fail(-EINVAL, "the struct's size is not this library's");
    struct bench bench = {.config = *config};
    struct bench_aead aead;
    cpu_set_t cpus;
    int status = bench_config(&bench.config);
    if (status)
        return status;
    size_t payload = (size_t)bench.config.frame_blocks * TETHER_BLOCK_BYTES;
    if (payload > UINT16_MAX)
        payload = UINT16_MAX / TETHER_BLOCK_BYTES * TETHER_BLOCK_BYTES;
    status = bench_aead_open(&aead, bench.config.cipher, payload);
    if (status)
        return status;
    bool pinned = bench.config.cpu >= 0 && sched_getaffinity(0, sizeof cpus, &cpus) == 0 &&
                  host_pin(bench.config.cpu) == 0;
    uint64_t *rtts = calloc(bench.config.pings, sizeof *rtts);
    memset(result, 0, sizeof *result);
    result->struct_size = sizeof *result;
    result->payload_bytes = (uint32_t)payload;
    result->cipher = bench.config.cipher;
    result->frame_blocks = bench.config.frame_blocks;
    int64_t outcome = rtts ? bench_open(&bench) : words_fail(-ENOMEM, "no memory");
    if (!outcome)
        outcome = bench_run(&bench, &aead, rtts, result);
    bench_close(&bench);
    bench_aead_close(&aead);
    free(rtts);
    if (pinned)
        (void)sched_setaffinity(0, sizeof cpus, &cpus);
    return (int)outcome;
}
