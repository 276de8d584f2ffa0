/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h: what all test programs share. Without arguments a program runs all of its tests, `NAME...` runs those, and
 * `--list` prints their names. PROVES names the requirements of RFC 0001 that a test function fails for when they break;
 * tools/requirements.py reads it.
 */
#ifndef TETHER_TEST_RUN_H
#define TETHER_TEST_RUN_H

#include <stdio.h>
#include <string.h>

/* Nothing but strings compiles, and at least one. */
#define PROVES(...)                                              \
    do {                                                         \
        static const char *const proves_[] = {__VA_ARGS__};      \
        (void)proves_;                                           \
    } while (0)

static char **run_names;
static int run_name_count, run_listing, run_done;

static inline void run_arguments(int count, char **arguments)
{
    run_listing = count > 1 && strcmp(arguments[1], "--list") == 0;
    run_names = arguments + 1;
    run_name_count = run_listing ? 0 : count - 1;
}

/* Is this test to be run now? */
static inline int run_wanted(const char *test)
{
    int wanted = run_name_count == 0;
    for (int i = 0; i < run_name_count; i++)
        wanted |= strcmp(run_names[i], test) == 0;
    if (!wanted)
        return 0;
    run_done++;
    printf("%s\n", test);
    fflush(stdout);
    return !run_listing;
}

#define RUN(test, ...)          \
    do {                        \
        if (run_wanted(#test))  \
            test(__VA_ARGS__);  \
    } while (0)

/* The exit code of a program whose checks end it themselves: 2 when a name was asked for that it does not have. */
static inline int run_result(void)
{
    if (run_done == 0)
        fprintf(stderr, "no test of this name: try --list\n");
    return run_done ? 0 : 2;
}

#endif
