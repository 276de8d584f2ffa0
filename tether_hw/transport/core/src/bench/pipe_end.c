/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../crypto.h"
#include "../engine/host.h"
#include "../engine/words.h"
#include "pipe_end.h"

enum { SLACK_CELLS = 64 };

int pipe_end_open(struct pipe_end *end, const struct tether_bench_config *bench, const uint8_t secret[32],
                  const uint8_t peer_secret[32], const struct tether_address *peer)
{
    uint32_t cells = bench->ring_frames * 4;
    uint64_t payload = (uint64_t)bench->frame_blocks * TETHER_BLOCK_BYTES;
    uint32_t message_cells = (uint32_t)((bench->message_bytes + payload - 1) / payload);
    if (bench->kind == TETHER_FLOW_MESSAGE)
        cells += 2 * message_cells * (bench->flows + 1);
    struct tether_endpoint_config config = {
        .struct_size = sizeof config,
        .lane = 0,
        .lanes = 1,
        .max_channels = 4,
        .max_flows = PIPE_FLOWS_MAX + 1,
        .rx_cells = cells + SLACK_CELLS,
        .tx_cells = cells + SLACK_CELLS,
        .frame_blocks = bench->frame_blocks,
        .ring_frames = end->carrier->ring_frames,
        .max_message = bench->kind == TETHER_FLOW_MESSAGE ? bench->message_bytes : PIPE_IO_BYTES,
        .rtt_ns = 20000,
        .rate_bps = UINT64_C(10000000000),
        .ciphers = bench->cipher,
        .prefer_cipher = bench->cipher,
        .entropy = host_entropy,
        .lane_addresses = &end->carrier->address,
    };
    memcpy(config.static_secret, secret, 32);
    int status = tether_endpoint_new(&config, &end->endpoint);
    tether_wipe(config.static_secret, 32);
    if (status) {
        end->endpoint = NULL;
        return words_fail(status, "endpoint: %s", tether_strerror(status));
    }
    struct tether_peer other = {.id = 1, .key_count = 1, .hail = *peer, .name = "peer"};
    status = tether_public_key(peer_secret, other.keys[0]);
    if (!status)
        status = tether_endpoint_roster(end->endpoint, host_now_ns(), &other, 1);
    if (!status)
        status = tether_endpoint_counter(end->endpoint, 1, 1 << 20);
    end->buffer_bytes = bench->message_bytes > PIPE_IO_BYTES ? bench->message_bytes : PIPE_IO_BYTES;
    end->buffer = calloc(1, end->buffer_bytes);
    if (!end->buffer)
        status = -ENOMEM;
    return status ? words_fail(status, "endpoint: %s", tether_strerror(status)) : 0;
}

void pipe_end_close(struct pipe_end *end)
{
    tether_endpoint_free(end->endpoint);
    if (end->carrier)
        end->carrier->ops->close(end->carrier);
    free(end->buffer);
}

unsigned pipe_end_pump(struct pipe_end *end, uint64_t now_ns)
{
    struct carrier *carrier = end->carrier;
    struct tether_arrival frames[CARRIER_BATCH];
    unsigned moved = carrier->ops->receive(carrier, frames, CARRIER_BATCH);
    tether_receive_burst(end->endpoint, now_ns, frames, moved);
    carrier->ops->release(carrier);
    struct tether_outlet outlet = {carrier, carrier->ops->reserve, carrier->ops->commit, carrier->frame_bytes};
    moved += tether_transmit_burst(end->endpoint, now_ns, &outlet, CARRIER_BATCH);
    return moved;
}
