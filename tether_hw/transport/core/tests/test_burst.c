/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bursts are the same as frame by frame: two pairs of endpoints, alike to the last random number, one asked in bursts
 * and one not, hand out the same bytes and count the same, whatever is lost, flows both ways, messages and bytes.
 */
#include "../src/burst.h"
#include "pair.h"
#include "run.h"

enum { BATCH = 64, FLOWS = 3 };

struct carrier {
    unsigned count, room;
    uint8_t frames[BATCH][PAIR_FRAME];
    struct tether_arrival arrivals[BATCH];
};

static uint8_t *reserve(struct carrier *carrier)
{
    return carrier->count < carrier->room ? carrier->frames[carrier->count] : NULL;
}

static void commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    struct tether_arrival *at = &carrier->arrivals[carrier->count];
    at->data = carrier->frames[carrier->count++];
    at->length = (uint32_t)length;
    at->to = *to;
}

static struct pair pairs[2]; /* 0 frame by frame, 1 in bursts */
static struct carrier carriers[2];
static uint16_t flows[2][FLOWS];

static void take(struct pair *p, int end, struct carrier *carrier, int in_bursts)
{
    struct tether_outlet outlet = {carrier, reserve, commit, PAIR_FRAME};
    struct tether_address to;
    int length = 1;
    carrier->count = 0;
    if (in_bursts) {
        (void)tether_transmit_burst(p->end[end], p->now_ns, &outlet, BATCH);
        return;
    }
    while (reserve(carrier) != NULL && length > 0) {
        length = tether_endpoint_transmit(p->end[end], p->now_ns, carrier->frames[carrier->count], PAIR_FRAME, &to);
        if (length > 0)
            commit(carrier, (size_t)length, &to);
    }
}

static void give(struct pair *p, int end, struct carrier *carrier, int in_bursts)
{
    for (unsigned i = 0; i < carrier->count; i++)
        carrier->arrivals[i].from = p->address[1 - end];
    if (in_bursts) {
        tether_receive_burst(p->end[end], p->now_ns, carrier->arrivals, carrier->count);
        return;
    }
    for (unsigned i = 0; i < carrier->count; i++) {
        const struct tether_arrival *at = &carrier->arrivals[i];
        if (at->data != NULL)
            (void)tether_endpoint_receive(p->end[end], p->now_ns, &p->address[1 - end], at->data, at->length);
    }
}

static void write_and_read(struct pair *p, const uint16_t *ids, uint64_t dice)
{
    static uint8_t data[40000];
    for (int f = 0; f < FLOWS; f++) {
        int from = f == 2; /* the third flow goes the other way */
        size_t length = 1 + (size_t)(dice >> 8 * f) % (f == 1 ? 5000 : sizeof data);
        (void)tether_flow_write(p->end[from], p->now_ns, p->channel[from], ids[f], data, length,
                                f == 1 || dice >> 40 & 1 ? TETHER_WRITE_FLUSH : 0);
        if (dice >> (41 + f) & 3)
            while (tether_flow_read(p->end[1 - from], p->now_ns, p->channel[1 - from], ids[f], data, sizeof data, NULL) > 0)
                continue;
    }
    pair_events(p);
}

static void alike(uint64_t seed, uint64_t loss_ppm)
{
    uint64_t rng = seed * 2 + 1;
    struct tether_stats stats[2];
    for (int k = 0; k < 2; k++) {
        pair_open(&pairs[k], seed);
        pair_start(&pairs[k]);
        pair_connect(&pairs[k]);
        for (int f = 0; f < FLOWS; f++)
            CHECK_EQ(tether_flow_open(pairs[k].end[f == 2], pairs[k].now_ns, pairs[k].channel[f == 2],
                                      f == 1 ? TETHER_FLOW_MESSAGE : TETHER_FLOW_BYTES, f == 1 ? 8000 : 0, &flows[k][f]), 0);
        pair_run(&pairs[k], 1000000);
    }
    for (int turn = 0; turn < 400; turn++) {
        uint64_t dice = test_random(&rng), losses[BATCH];
        for (int k = 0; k < 2; k++)
            write_and_read(&pairs[k], flows[k], turn < 300 ? dice : dice & 0xffff0000000000);
        for (int from = 0; from < 2; from++) {
            for (int i = 0; i < BATCH; i++)
                losses[i] = test_random(&rng) % 1000000;
            for (int k = 0; k < 2; k++) {
                carriers[k].room = 1 + dice % BATCH;
                take(&pairs[k], from, &carriers[k], k);
                pairs[k].now_ns += 3000 + dice % 30000;
            }
            CHECK_EQ(carriers[0].count, carriers[1].count);
            for (unsigned i = 0; i < carriers[0].count; i++) {
                CHECK_EQ(carriers[0].arrivals[i].length, carriers[1].arrivals[i].length);
                CHECK(memcmp(carriers[0].frames[i], carriers[1].frames[i], carriers[0].arrivals[i].length) == 0);
                CHECK(tether_same_address(&carriers[0].arrivals[i].to, &carriers[1].arrivals[i].to));
            }
            for (int k = 0; k < 2; k++) {
                for (unsigned i = 0; i < carriers[k].count; i++)
                    if (losses[i] < loss_ppm)
                        carriers[k].arrivals[i].data = NULL;
                give(&pairs[k], 1 - from, &carriers[k], k);
                pair_check(&pairs[k]);
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++)
            stats[k] = pair_stats(&pairs[k], i);
        CHECK(stats[0].data_frames_sent > 500);
        CHECK(memcmp(&stats[0], &stats[1], sizeof stats[0]) == 0);
    }
    for (int k = 0; k < 2; k++)
        pair_close(&pairs[k]);
}

static void without_loss(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        alike(seed, 0);
}

static void with_loss(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        alike(seed, 20000);
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(without_loss);
    RUN(with_loss);
    return run_result();
}
