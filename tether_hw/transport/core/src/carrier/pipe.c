/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe: an in-memory link for one thread (benches, simulation, tests). Two rings of frames, one per direction. A
 * receiver's ring that is full makes the sender's `reserve` say no, so nothing is lost by the link itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/words.h"
#include "carrier.h"

struct pipe_ring {
    uint8_t *frames;    /* [size] of `stride` bytes */
    uint32_t *lengths;  /* [size] */
    uint32_t size, mask, stride;
    uint32_t head, tail; /* consumer, producer; free running */
};

struct pipe_link {
    struct pipe_ring rings[2]; /* [i] = towards end i */
    unsigned ends;             /* still open */
};

struct pipe_carrier {
    struct carrier base;
    struct pipe_link *link;
    struct pipe_ring *in, *out;
    struct tether_address peer;
    uint32_t lent;
};

static unsigned pipe_receive(struct carrier *carrier, struct tether_arrival *frames, unsigned max)
{
    struct pipe_carrier *pipe = (struct pipe_carrier *)carrier;
    struct pipe_ring *ring = pipe->in;
    uint32_t count = ring->tail - ring->head;
    if (count > max)
        count = max;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (ring->head + i) & ring->mask;
        frames[i].data = ring->frames + (size_t)at * ring->stride;
        frames[i].length = ring->lengths[at];
        frames[i].from = pipe->peer;
        frames[i].to = carrier->address;
        bytes += ring->lengths[at];
    }
    pipe->lent = count;
    carrier_count(&carrier->counters.rx_frames, count);
    carrier_count(&carrier->counters.rx_bytes, bytes);
    return count;
}

static void pipe_release(struct carrier *carrier)
{
    struct pipe_carrier *pipe = (struct pipe_carrier *)carrier;
    pipe->in->head += pipe->lent;
    pipe->lent = 0;
}

static uint8_t *pipe_reserve(struct carrier *carrier)
{
    struct pipe_ring *ring = ((struct pipe_carrier *)carrier)->out;
    if (ring->tail - ring->head == ring->size) {
        carrier_count(&carrier->counters.tx_stalled, 1);
        return NULL;
    }
    return ring->frames + (size_t)(ring->tail & ring->mask) * ring->stride;
}

static void pipe_commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    struct pipe_ring *ring = ((struct pipe_carrier *)carrier)->out;
    (void)to;
    ring->lengths[ring->tail & ring->mask] = (uint32_t)length;
    ring->tail++;
    carrier_count(&carrier->counters.tx_frames, 1);
    carrier_count(&carrier->counters.tx_bytes, length);
}

static unsigned pipe_flush(struct carrier *carrier)
{
    (void)carrier;
    return 0;
}

static void pipe_drops(struct carrier *carrier, struct carrier_drops *drops)
{
    (void)carrier;
    memset(drops, 0, sizeof *drops);
}

static void pipe_link_free(struct pipe_link *link)
{
    for (int i = 0; i < 2; i++) {
        free(link->rings[i].frames);
        free(link->rings[i].lengths);
    }
    free(link);
}

static void pipe_close(struct carrier *carrier)
{
    struct pipe_carrier *pipe = (struct pipe_carrier *)carrier;
    if (--pipe->link->ends == 0)
        pipe_link_free(pipe->link);
    free(pipe);
}

static const struct carrier_ops pipe_ops = {
    .name = "pipe",
    .receive = pipe_receive,
    .release = pipe_release,
    .reserve = pipe_reserve,
    .commit = pipe_commit,
    .flush = pipe_flush,
    .drops = pipe_drops,
    .close = pipe_close,
};

int carrier_open_pipe(uint32_t frame_bytes, uint32_t ring_frames, struct carrier *ends[2])
{
    if (!ring_frames || (ring_frames & (ring_frames - 1)) || frame_bytes < 2 * TETHER_BLOCK_BYTES ||
        frame_bytes % TETHER_BLOCK_BYTES || frame_bytes > CARRIER_FRAME_BYTES_MAX)
        return words_fail(-EINVAL, "pipe: %u frames of %u bytes: the ring is a power of two, the frame whole blocks",
                          ring_frames, frame_bytes);
    struct pipe_link *link = calloc(1, sizeof *link);
    struct pipe_carrier *pipes[2] = {calloc(1, sizeof *pipes[0]), calloc(1, sizeof *pipes[1])};
    bool whole = link && pipes[0] && pipes[1];
    for (int i = 0; whole && i < 2; i++) {
        struct pipe_ring *ring = &link->rings[i];
        ring->size = ring_frames;
        ring->mask = ring_frames - 1;
        ring->stride = frame_bytes;
        ring->frames = aligned_alloc(64, (size_t)ring_frames * frame_bytes);
        ring->lengths = calloc(ring_frames, sizeof *ring->lengths);
        whole = ring->frames && ring->lengths;
    }
    if (!whole) {
        if (link)
            pipe_link_free(link);
        free(pipes[0]);
        free(pipes[1]);
        return words_fail(-ENOMEM, "pipe: no memory for two rings of %u frames", ring_frames);
    }
    link->ends = 2;
    for (int i = 0; i < 2; i++) {
        struct pipe_carrier *pipe = pipes[i];
        pipe->link = link;
        pipe->in = &link->rings[i];
        pipe->out = &link->rings[!i];
        pipe->base.ops = &pipe_ops;
        pipe->base.address = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {(uint8_t)i}};
        pipe->peer = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {(uint8_t)!i}};
        pipe->base.ring_frames = ring_frames;
        pipe->base.frame_bytes = frame_bytes;
        pipe->base.mtu = (uint16_t)(frame_bytes > UINT16_MAX ? UINT16_MAX : frame_bytes);
        pipe->base.fd = -1;
        ends[i] = &pipe->base;
    }
    return 0;
}
