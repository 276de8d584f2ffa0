/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.h: chance that can be taken apart. Every draw is a function of (seed, stream, number), so that a fault which
 * is switched off moves no other draw of the run.
 */
#ifndef TETHER_SIM_RANDOM_H
#define TETHER_SIM_RANDOM_H

#include <stdint.h>

static inline uint64_t sim_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* What a stream is about, in its upper bits; which one of them, in the lower. */
enum sim_stream_kind {
    SIM_DRAW_LOSS = 1, SIM_DRAW_BURST, SIM_DRAW_BURST_LOSS, SIM_DRAW_DUPLICATE, SIM_DRAW_REORDER, SIM_DRAW_CORRUPT,
    SIM_DRAW_TRUNCATE, SIM_DRAW_PLACE, SIM_DRAW_LATER, SIM_DRAW_ENTROPY, SIM_DRAW_IDENTITY, SIM_DRAW_PAYLOAD,
    SIM_DRAW_SIZE, SIM_DRAW_ATTACK
};

static inline uint64_t sim_draw(uint64_t seed, uint32_t kind, uint64_t which, uint64_t number)
{
    uint64_t stream = sim_mix(seed * UINT64_C(0x9e3779b97f4a7c15) + ((uint64_t)kind << 40) + which + 1);
    return sim_mix(stream + number * UINT64_C(0x9e3779b97f4a7c15));
}

static inline int sim_chance(uint64_t seed, uint32_t kind, uint64_t which, uint64_t number, uint32_t ppm)
{
    return ppm && sim_draw(seed, kind, which, number) % 1000000 < ppm;
}

/* Payload: eight bytes at a time, a function of a key and the place. `at` and `length` may be anything. */
static inline uint64_t sim_word(uint64_t key, uint64_t word)
{
    uint64_t x = key + word * UINT64_C(0x9e3779b97f4a7c15);
    return (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

void sim_payload_fill(uint64_t key, uint64_t at, uint8_t *out, uint64_t length);
/* 1 = all bytes are right. */
int sim_payload_right(uint64_t key, uint64_t at, const uint8_t *bytes, uint64_t length);

#endif
