/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that cannot go on after a failure: CHECK prints file, line and expression and ends the program with 1. */
#ifndef TETHER_TEST_CHECK_H
#define TETHER_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: %s: CHECK(%s)\n", __FILE__, __LINE__, __func__, #condition); \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define CHECK_EQ(a, b)                                                                                     \
    do {                                                                                                   \
        long long a_ = (long long)(a), b_ = (long long)(b);                                                \
        if (a_ != b_) {                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s = %lld, %s = %lld\n", __FILE__, __LINE__, __func__, #a, a_, #b, b_); \
            exit(1);                                                                                       \
        }                                                                                                  \
    } while (0)

/* xorshift64*: seeded, so that a failure can be repeated */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

#endif
