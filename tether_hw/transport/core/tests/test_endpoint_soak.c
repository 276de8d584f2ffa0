/* SPDX-License-Identifier: Apache-2.0 */
/* Everything at once, at random and repeatable (soak.h), over a bad pipe.  Usage: test_endpoint_soak [first seed] [seeds] */
#include "soak.h"

static void soaks(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        printf("seed %llu\n", (unsigned long long)seed);
        fflush(stdout);
        soak(seed);
    }
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 12;
    if (first == 0)
        run_arguments(argc, argv);
    RUN(soaks, first ? first : 1, count);
    return run_result();
}
