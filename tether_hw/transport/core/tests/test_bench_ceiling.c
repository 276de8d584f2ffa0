/* SPDX-License-Identifier: Apache-2.0 */
/* The bare AF_XDP ceiling between two namespaces: frames arrive, the two ends' counts agree, refusals in words. */
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "lab.h"
#include "tether.h"

static struct tether_ceiling_config make(uint32_t mode, uint64_t duration_ns)
{
    return (struct tether_ceiling_config){
        .struct_size = sizeof(struct tether_ceiling_config),
        .mode = mode,
        .device = "data0",
        .cpu = mode == TETHER_CEILING_SEND ? 0 : 1,
        .frame_bytes = 23 * 64,
        .source = {2, 0, 0, 0, 0, 1},
        .destination = {2, 0, 0, 0, 0, 2},
        .duration_ns = duration_ns,
        .idle_ns = 300000000,
    };
}

static void test_pair(uint64_t duration_ns)
{
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        lab_enter(1);
        struct tether_ceiling_config config = make(TETHER_CEILING_RECEIVE, duration_ns + 3000000000u);
        struct tether_ceiling_result result = {.struct_size = sizeof result};
        int status = tether_bench_xdp_ceiling(&config, &result);
        if (status)
            fprintf(stderr, "%s\n", tether_engine_error(NULL));
        _exit(status || write(pipes[1], &result, sizeof result) != sizeof result);
    }
    usleep(300000); /* the receiver is there */
    lab_enter(0);
    struct tether_ceiling_config config = make(TETHER_CEILING_SEND, duration_ns);
    struct tether_ceiling_result sent = {.struct_size = sizeof sent}, received;
    CHECK(tether_bench_xdp_ceiling(&config, &sent) == 0);
    CHECK(read(pipes[0], &received, sizeof received) == sizeof received);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(sent.frames > 1000 && received.frames > 1000);
    CHECK(received.frames + received.ring_full + received.kernel_drops <= sent.frames);
    CHECK(sent.bytes == sent.frames * config.frame_bytes);
    CHECK(received.flags & TETHER_LANE_NATIVE_XDP);
    printf("sent %.0f/s received %.0f/s (%.2f Gbit/s payload), lost at the receiver %llu\n", sent.frames_per_s,
           received.frames_per_s, received.payload_bps / 1e9,
           (unsigned long long)(received.ring_full + received.kernel_drops));
    close(pipes[0]);
    close(pipes[1]);
}

static void test_refusals(void)
{
    struct tether_ceiling_config config = make(TETHER_CEILING_SEND, 1000000);
    struct tether_ceiling_result result = {.struct_size = sizeof result};
    config.frame_bytes = 24 * 64; /* above the MTU */
    CHECK(tether_bench_xdp_ceiling(&config, &result) == -EMSGSIZE);
    config.frame_bytes = 100;
    CHECK(tether_bench_xdp_ceiling(&config, &result) == -EINVAL);
    config.frame_bytes = 128;
    config.device = "nothere0";
    CHECK(tether_bench_xdp_ceiling(&config, &result) == -ENODEV);
    CHECK(strstr(tether_engine_error(NULL), "nothere0") != NULL);
    config.struct_size--;
    CHECK(tether_bench_xdp_ceiling(&config, &result) == -EINVAL);
}

int main(int count, char **arguments)
{
    uint64_t milliseconds = count > 1 ? strtoull(arguments[1], NULL, 10) : 0;
    if (milliseconds == 0)
        run_arguments(count, arguments);
    lab_open(1, 1500);
    RUN(test_pair, (milliseconds ? milliseconds : 200) * 1000000u);
    RUN(test_refusals);
    return HARNESS_RESULT();
}
