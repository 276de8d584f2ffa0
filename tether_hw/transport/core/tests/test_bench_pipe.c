/* SPDX-License-Identifier: Apache-2.0 */
/* The pipe bench: every byte arrives, its figures fit each other, bad sizes are refused. No speed is asserted. */
#include <errno.h>
#include <string.h>

#include "../include/tether.h"
#include "harness.h"

static struct tether_bench_config small(uint8_t kind, uint32_t flows, uint16_t cipher)
{
    return (struct tether_bench_config){
        .struct_size = sizeof(struct tether_bench_config),
        .kind = kind,
        .flows = flows,
        .cipher = cipher,
        .bytes = 1 << 20,
        .pings = 50,
        .message_bytes = 20000,
        .cpu = -1,
    };
}

static void test_run(struct tether_bench_config config)
{
    struct tether_bench_result result = {.struct_size = sizeof result};
    int status = tether_bench_pipe(&config, &result);
    if (status)
        fprintf(stderr, "%s\n", tether_engine_error(NULL));
    CHECK(status == 0);
    if (status)
        return;
    CHECK(result.rounds == 5 && result.payload_bytes == 1408 && result.cipher == config.cipher);
    CHECK(result.bytes >= 5 * config.bytes - 5 * 32); /* portions are rounded down */
    CHECK(result.data_frames * result.payload_bytes >= result.bytes);
    CHECK(result.frames >= result.data_frames);
    CHECK(result.goodput_bps > 0 && result.aead_limit_bps > 0 && result.frames_per_s > 0);
    CHECK(result.share_of_aead_limit > 0);
    CHECK(result.rtt_p50_ns > 0 && result.rtt_p50_ns <= result.rtt_p99_ns);
    double low = 1e18, high = 0;
    for (uint32_t i = 0; i < result.rounds; i++) {
        low = result.round_share[i] < low ? result.round_share[i] : low;
        high = result.round_share[i] > high ? result.round_share[i] : high;
    }
    CHECK(low <= result.share_of_aead_limit && result.share_of_aead_limit <= high);
}

static void test_refusals(void)
{
    struct tether_bench_result result = {.struct_size = sizeof result};
    struct tether_bench_config config = small(TETHER_FLOW_BYTES, 1, 0);
    config.rounds = 4;
    CHECK(tether_bench_pipe(&config, &result) == -EINVAL);
    config.rounds = 33;
    CHECK(tether_bench_pipe(&config, &result) == -EINVAL);
    config = small(TETHER_FLOW_BYTES, 1000, 0);
    CHECK(tether_bench_pipe(&config, &result) == -EINVAL);
    config = small(7, 1, 0);
    CHECK(tether_bench_pipe(&config, &result) == -EINVAL);
    config = small(TETHER_FLOW_BYTES, 1, 7);
    CHECK(tether_bench_pipe(&config, &result) < 0);
    config = small(TETHER_FLOW_BYTES, 1, 0);
    config.struct_size++;
    CHECK(tether_bench_pipe(&config, &result) == -EINVAL);
    double bps;
    CHECK(tether_bench_aead(TETHER_CIPHER_AES_256_GCM, 0, 1, &bps) == -EINVAL);
    CHECK(tether_bench_aead(77, 1408, 1, &bps) < 0);
    CHECK(tether_bench_aead(TETHER_CIPHER_CHACHA20_POLY1305, 1408, 1000000, &bps) == 0 && bps > 0);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_run, small(TETHER_FLOW_BYTES, 1, TETHER_CIPHER_AES_256_GCM));
    RUN(test_run, small(TETHER_FLOW_BYTES, 4, TETHER_CIPHER_CHACHA20_POLY1305));
    RUN(test_run, small(TETHER_FLOW_MESSAGE, 3, TETHER_CIPHER_AES_256_GCM));
    RUN(test_refusals);
    return HARNESS_RESULT();
}
