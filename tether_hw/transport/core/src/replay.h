/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h: sequences seen on one channel and direction: a bitmap window that slides with the newest.
 *
 * _fresh is asked before decryption (a duplicate costs no AEAD), _mark is called after verification only,
 * so that a forged sequence cannot move the window. At most 65,536 wide: slots cannot alias inside it.
 */
#ifndef TETHER_REPLAY_H
#define TETHER_REPLAY_H

#include <stdint.h>

enum { TETHER_REPLAY_MIN = 64, TETHER_REPLAY_MAX = 65536, TETHER_REPLAY_DEFAULT = 8192 };

/* Twice the window, so that entering a new word never wipes bits that still count. */
#define TETHER_REPLAY_WORDS(window) ((window) / 64 * 2)

struct tether_replay {
    uint64_t newest;   /* highest sequence marked; 0 = none (0 is never a transport sequence) */
    uint64_t *bits;    /* [TETHER_REPLAY_WORDS(window)] */
    uint32_t window;   /* power of two */
    uint32_t mask;     /* TETHER_REPLAY_WORDS(window) - 1: asked of channels only (steady.h) */
};

static inline int tether_replay_fresh(const struct tether_replay *replay, uint64_t sequence)
{
    if (sequence > replay->newest)
        return 1;
    if (sequence == 0 || replay->newest - sequence >= replay->window)
        return 0;
    return !(replay->bits[(sequence / 64) & (TETHER_REPLAY_WORDS(replay->window) - 1)] >> (sequence & 63) & 1);
}

static inline void tether_replay_mark(struct tether_replay *replay, uint64_t sequence)
{
    uint64_t word = sequence / 64, mask = TETHER_REPLAY_WORDS(replay->window) - 1;
    if (sequence > replay->newest) {
        uint64_t newest_word = replay->newest / 64;
        uint64_t steps = word - newest_word;
        if (steps > mask + 1)
            steps = mask + 1;
        for (uint64_t i = 1; i <= steps; i++)
            replay->bits[(newest_word + i) & mask] = 0;
        replay->newest = sequence;
    }
    replay->bits[word & mask] |= UINT64_C(1) << (sequence & 63);
}

static inline void tether_replay_reset(struct tether_replay *replay)
{
    replay->newest = 0;
    for (uint32_t i = 0; i < TETHER_REPLAY_WORDS(replay->window); i++)
        replay->bits[i] = 0;
}

#endif
