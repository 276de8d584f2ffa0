/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bare AF_XDP ceiling: the sender sends the same prepared frames over and over, the receiver gives every buffer
 * straight back. No protocol, no copy, no look at the payload; the same socket set-up, rings, XDP program and system
 * calls as the af_xdp carrier, with frames of the same size. What an engine reaches of this is what the protocol costs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "../carrier/link.h"
#include "../carrier/steer.h"
#include "../carrier/xsk.h"
#include "../engine/host.h"
#include "../engine/words.h"

enum {
    RX_CHUNKS = 4096,
    TX_CHUNKS = 1024,
    BATCH = 64,
    HEADROOM = 64, /* of a frame in its transmit chunk, as in the carrier */
    IDLE_MS_DEFAULT = 500,
    SPIN_NS = 50000,
};

static void prepare(struct xsk *xsk, const struct tether_ceiling_config *config)
{
    struct tether_address to;
    carrier_mac_address(&to, config->destination, LINK_VLAN_NONE);
    for (uint32_t i = 0; i < xsk->tx_chunks; i++) {
        uint8_t *frame = xsk->umem + (size_t)(xsk->rx_chunks + i) * xsk->chunk_bytes + HEADROOM;
        memset(frame, (int)i, config->frame_bytes);
        link_build(frame, config->source, &to);
        struct xdp_desc *desc = xsk_desc(&xsk->tx, i);
        desc->addr = (uint64_t)(xsk->rx_chunks + i) * xsk->chunk_bytes + HEADROOM - 14;
        desc->len = config->frame_bytes + 14u;
        desc->options = 0;
    }
}

/* Descriptors never change: descriptor i is chunk i, and a chunk is free again when it comes back. */
static uint64_t run_send(struct xsk *xsk, const struct tether_ceiling_config *config, uint64_t *elapsed_ns)
{
    uint64_t start = host_now_ns(), now = start, end = start + config->duration_ns, errors = 0;
    uint32_t in_flight = 0;
    uint64_t sent = 0;
    prepare(xsk, config);
    while (now < end) {
        uint32_t done = xsk_ready(&xsk->done, xsk->tx_chunks);
        if (done)
            xsk_consumed(&xsk->done, done);
        in_flight -= done;
        uint32_t fits = xsk->tx_chunks - in_flight;
        if (fits > BATCH)
            fits = BATCH;
        if (fits) {
            xsk_produced(&xsk->tx, fits);
            in_flight += fits;
            sent += fits;
        }
        (void)xsk_kick(xsk, &errors);
        now = host_now_ns();
    }
    for (int i = 0; i < 100 && xsk_kick(xsk, &errors); i++)
        (void)poll(NULL, 0, 1);
    *elapsed_ns = host_now_ns() - start;
    return sent - errors - (xsk->tx.tail - xsk_load(xsk->tx.consumer));
}

static uint64_t run_receive(struct xsk *xsk, const struct tether_ceiling_config *config, uint64_t *elapsed_ns)
{
    uint64_t idle_ns = config->idle_ns ? config->idle_ns : IDLE_MS_DEFAULT * UINT64_C(1000000);
    uint64_t start = host_now_ns(), now = start, first = 0, last = start, received = 0;
    while (now - start < config->duration_ns && (now - last < idle_ns || !received)) {
        uint32_t ready = xsk_ready(&xsk->rx, BATCH);
        now = host_now_ns();
        if (!ready) {
            if (now - last < SPIN_NS) {
                sched_yield();
            } else {
                struct pollfd wait = {.fd = xsk->fd, .events = POLLIN};
                (void)poll(&wait, 1, 1);
            }
            continue;
        }
        for (uint32_t i = 0; i < ready; i++)
            *xsk_addr(&xsk->fill, xsk->fill.tail + i) =
                xsk_desc(&xsk->rx, xsk->rx.head + i)->addr & ~(uint64_t)(xsk->chunk_bytes - 1);
        xsk_consumed(&xsk->rx, ready);
        xsk_produced(&xsk->fill, ready);
        if (!first)
            first = now;
        last = now;
        received += ready;
    }
    *elapsed_ns = first ? last - first : 0;
    return received;
}

static int ceiling_open(const struct tether_ceiling_config *config, struct xsk *xsk, struct steer **steer)
{
    struct netdev device;
    int status = netdev_find(config->device, &device);
    if (status)
        return status;
    if (!device.up)
        return words_fail(-ENETDOWN, "%s is down", device.name);
    uint32_t wire = config->frame_bytes + LINK_HEADER_MAX;
    struct xsk_options options = {
        .queue = config->queue,
        .chunk_bytes = wire <= 2048 - 256 ? 2048 : 4096,
        .rx_chunks = RX_CHUNKS,
        .tx_chunks = TX_CHUNKS,
        .copy_only = config->flags & TETHER_LANE_COPY_ONLY,
    };
    if (wire > 4096 - 256 || wire > device.mtu + LINK_HEADER_MAX)
        return words_fail(-EMSGSIZE, "frames of %u bytes do not fit one buffer or the MTU of %s", config->frame_bytes,
                          device.name);
    /* both ends carry the program: the engine's sender receives too, and veth costs differ with it */
    status = steer_acquire(&device, config->flags & TETHER_LANE_GENERIC_ONLY, false, steer);
    if (status)
        return status;
    status = xsk_open(&device, &options, xsk);
    if (!status) {
        status = steer_connect(*steer, config->queue, xsk->fd);
        if (status)
            xsk_close(xsk);
    }
    if (status)
        steer_release(*steer);
    return status;
}

int tether_bench_xdp_ceiling(const struct tether_ceiling_config *config, struct tether_ceiling_result *result)
{
    if (!config || !result || config->struct_size != sizeof *config || result->struct_size != sizeof *result)
        return words_fail(-EINVAL, "the struct's size is not this library's");
    if ((config->mode != TETHER_CEILING_SEND && config->mode != TETHER_CEILING_RECEIVE) || !config->duration_ns ||
        config->frame_bytes < TETHER_HEADER_BYTES || config->frame_bytes % TETHER_BLOCK_BYTES)
        return words_fail(-EINVAL, "ceiling: mode, duration or frame size (whole blocks of 64) is wrong");
    struct xsk xsk;
    struct steer *steer;
    int status = ceiling_open(config, &xsk, &steer);
    if (status)
        return words_prefix(status, "ceiling");
    if (config->cpu >= 0)
        (void)host_pin(config->cpu);
    uint64_t elapsed_ns = 0;
    uint64_t frames = config->mode == TETHER_CEILING_SEND ? run_send(&xsk, config, &elapsed_ns)
                                                          : run_receive(&xsk, config, &elapsed_ns);
    struct carrier_drops drops;
    xsk_drops(&xsk, &drops);
    memset(result, 0, sizeof *result);
    result->struct_size = sizeof *result;
    result->flags = (xsk.zero_copy ? TETHER_LANE_ZERO_COPY : 0) | (steer_is_native(steer) ? TETHER_LANE_NATIVE_XDP : 0);
    result->frames = frames;
    result->bytes = frames * config->frame_bytes;
    result->elapsed_ns = elapsed_ns;
    result->frames_per_s = elapsed_ns ? (double)frames * 1e9 / (double)elapsed_ns : 0;
    result->payload_bps = result->frames_per_s * (config->frame_bytes - TETHER_HEADER_BYTES) * 8;
    result->ring_full = drops.ring_full;
    result->fill_empty = drops.fill_empty;
    result->kernel_drops = drops.kernel;
    steer_disconnect(steer, config->queue);
    steer_release(steer);
    xsk_close(&xsk);
    return 0;
}
