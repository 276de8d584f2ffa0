/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame costs: two endpoints in one thread hand each other frames, without a carrier, in steady state. bench/core.py
 * runs it under callgrind, which collects inside the measured_* functions only: the application's and the carrier's calls
 * of one end, `send` or `receive`, in bursts as a lane makes them. One byte flow, full frames, every byte written and read.
 *
 * Usage: core_cost send|receive FRAMES CIPHER GBPS      CIPHER: 1 ChaCha20-Poly1305, 2 AES-256-GCM; prints what went
 *
 * The link's rate decides how many frames a turn of 10 us has: 33 at 40 Gb/s, and no more than a batch; 8 at 10 Gb/s.
 */
#include "../src/burst.h"
#include "../tests/pair.h"

enum { PIECE = 16 * 1408, BATCH = 32, WARM_UP = 2000 };

static struct pair pair;
static uint16_t flow;
static uint8_t out[PIECE], in[PIECE], frames[BATCH][PAIR_FRAME];
static struct tether_arrival arrivals[BATCH];

/* As much of a carrier as an endpoint sees: room for a batch of frames. */
struct carrier {
    unsigned count;
    const struct tether_address *from;
};

static uint8_t *reserve(struct carrier *carrier)
{
    return carrier->count < BATCH ? frames[carrier->count] : NULL;
}

static void commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    (void)to;
    arrivals[carrier->count] = (struct tether_arrival){.data = frames[carrier->count], .length = (uint32_t)length,
                                                       .from = *carrier->from};
    carrier->count++;
}

#define MEASURED __attribute__((noinline, noclone))
MEASURED int64_t measured_write(int end);
MEASURED int64_t measured_read(int end);
MEASURED unsigned measured_transmit(int end);
MEASURED void measured_receive(int end, unsigned count);
MEASURED int64_t other_write(int end);
MEASURED int64_t other_read(int end);
MEASURED unsigned other_transmit(int end);
MEASURED void other_receive(int end, unsigned count);

/* The same calls under two names: those of the end that is looked at, and all others. */
#define CALLS(prefix)                                                                                              \
    int64_t prefix##_write(int end)                                                                                \
    {                                                                                                              \
        return tether_flow_write(pair.end[end], pair.now_ns, pair.channel[end], flow, out, sizeof out, 0);         \
    }                                                                                                              \
    int64_t prefix##_read(int end)                                                                                 \
    {                                                                                                              \
        return tether_flow_read(pair.end[end], pair.now_ns, pair.channel[end], flow, in, sizeof in, NULL);         \
    }                                                                                                              \
    unsigned prefix##_transmit(int end)                                                                            \
    {                                                                                                              \
        struct carrier carrier = {.from = &pair.address[end]};                                                     \
        struct tether_outlet outlet = {&carrier, reserve, commit, PAIR_FRAME};                                     \
        return tether_transmit_burst(pair.end[end], pair.now_ns, &outlet, BATCH);                                  \
    }                                                                                                              \
    void prefix##_receive(int end, unsigned count)                                                                 \
    {                                                                                                              \
        tether_receive_burst(pair.end[end], pair.now_ns, arrivals, count);                                         \
    }
CALLS(measured)
CALLS(other)

/* One turn of both ends: write, a batch of frames there, what comes back, read; 10 us of virtual time. */
static void turn(int looked_at)
{
    int64_t got;
    while ((looked_at == 0 ? measured_write(0) : other_write(0)) > 0)
        continue;
    for (int from = 0; from < 2; from++) {
        unsigned count = (looked_at == from ? measured_transmit : other_transmit)(from);
        pair.now_ns += 5000;
        (looked_at == 1 - from ? measured_receive : other_receive)(1 - from, count);
    }
    while ((got = looked_at == 1 ? measured_read(1) : other_read(1)) > 0)
        continue;
    pair_events(&pair);
}

/* Both ends know the other's link as one of so much. */
static void rate(uint64_t bps)
{
    for (int i = 0; i < 2; i++) {
        struct tether_peer peer = {.id = (uint32_t)(2 - i), .key_count = 1, .rtt_ns = 40000, .rate_bps = bps};
        memcpy(peer.keys[0], pair.public_key[1 - i], 32);
        peer.hail = pair.address[1 - i];
        CHECK_EQ(tether_endpoint_roster(pair.end[i], pair.now_ns, &peer, 1), 0);
    }
}

static uint64_t data_frames(void)
{
    return pair_stats(&pair, 0).data_frames_sent;
}

int main(int count, char **words)
{
    int looked_at = count == 5 && strcmp(words[1], "send") == 0 ? 0 : 1;
    uint64_t wanted, begin;
    struct tether_stats before, after;
    if (count != 5) {
        fputs("usage: core_cost send|receive FRAMES CIPHER GBPS\n", stderr);
        return 64;
    }
    wanted = strtoull(words[2], NULL, 10);
    pair_open(&pair, 1);
    for (int i = 0; i < 2; i++) {
        pair.config[i].ciphers = TETHER_CIPHER_CHACHA20_POLY1305 | TETHER_CIPHER_AES_256_GCM;
        pair.config[i].prefer_cipher = (uint16_t)strtoul(words[3], NULL, 10);
        pair.config[i].rx_cells = pair.config[i].tx_cells = 4096;
        pair.config[i].rate_bps = strtoull(words[4], NULL, 10) * 1000000000;
    }
    pair_start(&pair);
    rate(pair.config[0].rate_bps);
    pair_connect(&pair);
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&pair, 1000000);
    begin = data_frames();
    for (uint64_t stuck = 0; data_frames() - begin < WARM_UP; stuck++) {
        CHECK(stuck < 1000000);
        turn(2);
    }
    before = pair_stats(&pair, 1);
    begin = data_frames();
    for (uint64_t stuck = 0; data_frames() - begin < wanted; stuck++) {
        CHECK(stuck < 1000000);
        turn(looked_at);
    }
    after = pair_stats(&pair, 1);
    printf("data_frames %llu header_frames %llu repairs %llu\n", (unsigned long long)(data_frames() - begin),
           (unsigned long long)(after.frames_sent - before.frames_sent),
           (unsigned long long)pair_stats(&pair, 0).repairs_sent);
    pair_check(&pair);
    pair_close(&pair);
    return 0;
}
