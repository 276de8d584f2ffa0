/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h: a check that says where and what, goes on, and fails the program at its end. A program that checked nothing fails. */
#ifndef TETHER_TEST_HARNESS_H
#define TETHER_TEST_HARNESS_H

#include <stdio.h>

#include "run.h"

static unsigned long harness_checks, harness_failures;

#define CHECK(condition)                                                                 \
    do {                                                                                 \
        harness_checks++;                                                                \
        if (!(condition)) {                                                              \
            harness_failures++;                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);      \
        }                                                                                \
    } while (0)

/* The exit code of the program. */
#define HARNESS_RESULT() \
    (run_listing || run_done == 0 ? run_result()                                                \
                                  : (printf("%lu checks, %lu failed\n", harness_checks, harness_failures), \
                                     harness_checks == 0 || harness_failures != 0))

#endif
