/* SPDX-License-Identifier: Apache-2.0 */
/* pipe_end.h: one end of the pipe bench: an endpoint, its half of the pipe, and a buffer of the application. */
#ifndef TETHER_BENCH_PIPE_END_H
#define TETHER_BENCH_PIPE_END_H

#include <stddef.h>
#include <stdint.h>

#include "../carrier/carrier.h"

enum {
    PIPE_IO_BYTES = 65536, /* of one read or write on a byte flow */
    PIPE_FLOWS_MAX = 64,
};

struct pipe_end {
    struct carrier *carrier; /* set before _open; _close closes it */
    tether_endpoint *endpoint;
    uint32_t channel;
    uint16_t flows[PIPE_FLOWS_MAX];
    uint32_t flow_count;
    uint8_t *buffer;
    size_t buffer_bytes;
};

/* An endpoint whose roster holds the other end only. 0 or a negative errno, in words. */
int pipe_end_open(struct pipe_end *end, const struct tether_bench_config *bench, const uint8_t secret[32],
                  const uint8_t peer_secret[32], const struct tether_address *peer);
void pipe_end_close(struct pipe_end *end);
/* What a lane's thread does in one round, without the thread. Returns how many frames moved. */
unsigned pipe_end_pump(struct pipe_end *end, uint64_t now_ns);

#endif
