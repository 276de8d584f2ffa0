/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "xsk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../engine/words.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef AF_XDP
#define AF_XDP 44
#endif

enum {
    HUGE_PAGE_BYTES = 2 << 20,
    SEND_BUFFER_BYTES = 16 << 20, /* copy mode charges each frame on its way to the send buffer */
    KICKS_WITHOUT_PROGRESS = 4,
    BUSY_TRIES = 50,
    BUSY_WAIT_MS = 10,
};

static int umem_map(struct xsk *xsk)
{
    size_t rounded = (xsk->umem_bytes + HUGE_PAGE_BYTES - 1) & ~(size_t)(HUGE_PAGE_BYTES - 1);
    void *at = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (at != MAP_FAILED) {
        xsk->huge_pages = true;
        xsk->umem_bytes = rounded;
    } else {
        at = mmap(NULL, xsk->umem_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (at == MAP_FAILED)
            return words_fail(-errno, "no memory for %zu bytes of UMEM: %s", xsk->umem_bytes, words_errno(errno));
    }
    xsk->umem = at;
    return 0;
}

static int umem_register(struct xsk *xsk)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* UMEM is pinned memory; without the right to raise, the limit decides */
    struct xdp_umem_reg region = {
        .addr = (uint64_t)(uintptr_t)xsk->umem,
        .len = (uint64_t)(xsk->rx_chunks + xsk->tx_chunks) * xsk->chunk_bytes,
        .chunk_size = xsk->chunk_bytes,
    };
    if (setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_REG, &region, sizeof region))
        return words_fail(-errno, "cannot register %llu bytes of UMEM: %s%s", (unsigned long long)region.len,
                          words_errno(errno), errno == ENOBUFS ? " (RLIMIT_MEMLOCK is too low)" : "");
    return 0;
}

static int ring_map(int fd, struct xsk_ring *ring, const struct xdp_ring_offset *offset, uint32_t entries,
                    size_t entry_bytes, uint64_t page)
{
    ring->map_bytes = offset->desc + entries * entry_bytes;
    ring->map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)page);
    if (ring->map == MAP_FAILED) {
        ring->map = NULL;
        return words_fail(-errno, "cannot map a ring of %u entries: %s", entries, words_errno(errno));
    }
    uint8_t *base = ring->map;
    ring->producer = (uint32_t *)(void *)(base + offset->producer);
    ring->consumer = (uint32_t *)(void *)(base + offset->consumer);
    ring->flags = (uint32_t *)(void *)(base + offset->flags);
    ring->entries = base + offset->desc;
    ring->size = entries;
    ring->mask = entries - 1;
    ring->head = xsk_load(ring->consumer);
    ring->tail = xsk_load(ring->producer);
    return 0;
}

static int ring_set(int fd, int option, uint32_t entries)
{
    int count = (int)entries;
    if (setsockopt(fd, SOL_XDP, option, &count, sizeof count))
        return words_fail(-errno, "cannot make a ring of %u entries: %s", entries, words_errno(errno));
    return 0;
}

static int rings_open(struct xsk *xsk)
{
    int fd = xsk->fd;
    int status = ring_set(fd, XDP_UMEM_FILL_RING, xsk->rx_chunks);
    if (!status)
        status = ring_set(fd, XDP_UMEM_COMPLETION_RING, xsk->tx_chunks);
    if (!status)
        status = ring_set(fd, XDP_RX_RING, xsk->rx_chunks);
    if (!status)
        status = ring_set(fd, XDP_TX_RING, xsk->tx_chunks);
    if (status)
        return status;
    struct xdp_mmap_offsets offsets;
    socklen_t length = sizeof offsets;
    if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) || length != sizeof offsets)
        return words_fail(-EOPNOTSUPP, "this kernel's AF_XDP rings have no flags (5.4 or later needed)");
    status = ring_map(fd, &xsk->rx, &offsets.rx, xsk->rx_chunks, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
    if (!status)
        status = ring_map(fd, &xsk->tx, &offsets.tx, xsk->tx_chunks, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
    if (!status)
        status = ring_map(fd, &xsk->fill, &offsets.fr, xsk->rx_chunks, 8, XDP_UMEM_PGOFF_FILL_RING);
    if (!status)
        status = ring_map(fd, &xsk->done, &offsets.cr, xsk->tx_chunks, 8, XDP_UMEM_PGOFF_COMPLETION_RING);
    return status;
}

static int try_bind(struct xsk *xsk, const struct netdev *device, const struct xsk_options *options, int flags)
{
    struct sockaddr_xdp name = {
        .sxdp_family = AF_XDP,
        .sxdp_flags = (uint16_t)(flags | XDP_USE_NEED_WAKEUP | (options->fragments ? XDP_USE_SG : 0)),
        .sxdp_ifindex = device->index,
        .sxdp_queue_id = options->queue,
    };
    return bind(xsk->fd, (struct sockaddr *)&name, sizeof name) ? -errno : 0;
}

/* The kernel gives a queue back a moment after its socket was closed. */
static int patient_bind(struct xsk *xsk, const struct netdev *device, const struct xsk_options *options, int flags)
{
    int status = try_bind(xsk, device, options, flags);
    for (int i = 0; status == -EBUSY && i < BUSY_TRIES; i++) {
        (void)poll(NULL, 0, BUSY_WAIT_MS);
        status = try_bind(xsk, device, options, flags);
    }
    return status;
}

static int socket_bind(struct xsk *xsk, const struct netdev *device, const struct xsk_options *options)
{
    int status = -EOPNOTSUPP;
    if (options->copy_only)
        snprintf(xsk->copy_reason, sizeof xsk->copy_reason, "not wanted");
    else
        status = patient_bind(xsk, device, options, XDP_ZEROCOPY);
    if (status == 0) {
        xsk->zero_copy = true;
        return 0;
    }
    if (!options->copy_only)
        snprintf(xsk->copy_reason, sizeof xsk->copy_reason, "refused by the driver: %s", words_errno(status));
    if (status != -EBUSY)
        status = patient_bind(xsk, device, options, XDP_COPY);
    if (status == -EBUSY)
        return words_fail(status, "queue %u of %s has an AF_XDP socket already", options->queue, device->name);
    if (status == -EINVAL && options->queue >= device->rx_queues)
        return words_fail(status, "%s has %u receive queues, there is no queue %u", device->name, device->rx_queues,
                          options->queue);
    if (status == -EINVAL && options->fragments)
        return words_fail(status, "this kernel's AF_XDP takes no frames of several buffers: lower the MTU");
    if (status)
        return words_fail(status, "cannot bind AF_XDP to queue %u of %s: %s", options->queue, device->name,
                          words_errno(status));
    return 0;
}

int xsk_open(const struct netdev *device, const struct xsk_options *options, struct xsk *xsk)
{
    memset(xsk, 0, sizeof *xsk);
    xsk->chunk_bytes = options->chunk_bytes;
    xsk->rx_chunks = options->rx_chunks;
    xsk->tx_chunks = options->tx_chunks;
    xsk->umem_bytes = (size_t)(options->rx_chunks + options->tx_chunks) * options->chunk_bytes;
    xsk->need_wakeup = true;
    xsk->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (xsk->fd < 0)
        return words_fail(-errno, "no AF_XDP socket: %s%s", words_errno(errno),
                          errno == EPERM ? " (needs CAP_NET_RAW)" : "");
    int bytes = SEND_BUFFER_BYTES;
    if (setsockopt(xsk->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes))
        (void)setsockopt(xsk->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    int status = umem_map(xsk);
    if (!status)
        status = umem_register(xsk);
    if (!status)
        status = rings_open(xsk);
    if (!status)
        status = socket_bind(xsk, device, options);
    if (status) {
        xsk_close(xsk);
        return status;
    }
    for (uint32_t i = 0; i < xsk->rx_chunks; i++)
        *xsk_addr(&xsk->fill, i) = (uint64_t)i * xsk->chunk_bytes;
    xsk_produced(&xsk->fill, xsk->rx_chunks);
    return 0;
}

static void ring_unmap(struct xsk_ring *ring)
{
    if (ring->map)
        munmap(ring->map, ring->map_bytes);
}

void xsk_close(struct xsk *xsk)
{
    ring_unmap(&xsk->rx);
    ring_unmap(&xsk->tx);
    ring_unmap(&xsk->fill);
    ring_unmap(&xsk->done);
    if (xsk->fd >= 0)
        close(xsk->fd);
    if (xsk->umem)
        munmap(xsk->umem, xsk->umem_bytes);
    memset(xsk, 0, sizeof *xsk);
    xsk->fd = -1;
}

uint32_t xsk_kick(struct xsk *xsk, uint64_t *errors)
{
    struct xsk_ring *tx = &xsk->tx;
    unsigned idle = 0;
    for (;;) {
        uint32_t before = xsk_load(tx->consumer);
        tx->head = before;
        if (before == tx->tail)
            return 0;
        if (!(xsk_load(tx->flags) & XDP_RING_NEED_WAKEUP))
            return tx->tail - before; /* the driver is at work on its own */
        /* in copy mode one call moves a batch of at most 32 frames and says EAGAIN when there are more */
        ssize_t status = sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
        if (status < 0 && errno == EBUSY)
            ++*errors; /* taken from the ring, dropped by the device */
        else if (status < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
            return tx->tail - xsk_load(tx->consumer); /* device down */
        if (xsk->zero_copy)
            return tx->tail - xsk_load(tx->consumer);
        if (xsk_load(tx->consumer) == before && ++idle == KICKS_WITHOUT_PROGRESS)
            return tx->tail - before;
    }
}

void xsk_drops(const struct xsk *xsk, struct carrier_drops *drops)
{
    struct xdp_statistics statistics;
    socklen_t length = sizeof statistics;
    memset(&statistics, 0, sizeof statistics);
    memset(drops, 0, sizeof *drops);
    if (getsockopt(xsk->fd, SOL_XDP, XDP_STATISTICS, &statistics, &length))
        return;
    drops->ring_full = statistics.rx_ring_full;
    drops->fill_empty = statistics.rx_fill_ring_empty_descs;
    drops->kernel = statistics.rx_dropped;
}
