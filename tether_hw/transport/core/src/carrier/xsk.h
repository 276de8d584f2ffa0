/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xsk.h: one AF_XDP socket with its own UMEM and its four rings, straight on if_xdp.h. Used by the af_xdp carrier and
 * by the bench's bare ceiling, so that both stand on the same ground.
 */
#ifndef TETHER_XSK_H
#define TETHER_XSK_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "carrier.h"
#include "netdev.h"

/* Later than Linux 6.1's header. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

struct xsk_ring {
    uint32_t *producer, *consumer, *flags;
    void *entries;
    uint32_t mask, size;
    uint32_t head, tail; /* our copies: consumer and producer */
    void *map;
    size_t map_bytes;
};

struct xsk {
    int fd;
    uint8_t *umem;
    size_t umem_bytes;
    uint32_t chunk_bytes;
    uint32_t rx_chunks;      /* chunks 0 .. rx_chunks-1 receive, the following send */
    uint32_t tx_chunks;
    struct xsk_ring rx, tx, fill, done;
    bool zero_copy, need_wakeup, huge_pages;
    char copy_reason[80];    /* why not zero-copy; "" when it is */
};

struct xsk_options {
    uint32_t queue;
    uint32_t chunk_bytes; /* power of two, 2048 or 4096 */
    uint32_t rx_chunks;   /* power of two: receive ring, fill ring and chunks */
    uint32_t tx_chunks;   /* power of two */
    bool copy_only, fragments;
};

/* The fill ring is full when this returns. 0, or negative errno with words. */
int xsk_open(const struct netdev *device, const struct xsk_options *options, struct xsk *xsk);
void xsk_close(struct xsk *xsk);
/*
 * Let the kernel send what stands in the transmit ring; how many descriptors it has not taken yet. `errors` rises by
 * the frames that the device dropped.
 */
uint32_t xsk_kick(struct xsk *xsk, uint64_t *errors);
void xsk_drops(const struct xsk *xsk, struct carrier_drops *drops);

static inline uint32_t xsk_load(const uint32_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void xsk_store(uint32_t *at, uint32_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* Consumer side (rx, done): entries ready from ring->head on. */
static inline uint32_t xsk_ready(struct xsk_ring *ring, uint32_t wanted)
{
    uint32_t ready = ring->tail - ring->head;
    if (ready < wanted) {
        ring->tail = xsk_load(ring->producer);
        ready = ring->tail - ring->head;
    }
    return ready < wanted ? ready : wanted;
}

static inline void xsk_consumed(struct xsk_ring *ring, uint32_t count)
{
    ring->head += count;
    xsk_store(ring->consumer, ring->head);
}

/* Producer side (tx, fill): free entries from ring->tail on. */
static inline uint32_t xsk_room(struct xsk_ring *ring, uint32_t wanted)
{
    uint32_t room = ring->size - (ring->tail - ring->head);
    if (room < wanted) {
        ring->head = xsk_load(ring->consumer);
        room = ring->size - (ring->tail - ring->head);
    }
    return room < wanted ? room : wanted;
}

static inline void xsk_produced(struct xsk_ring *ring, uint32_t count)
{
    ring->tail += count;
    xsk_store(ring->producer, ring->tail);
}

static inline struct xdp_desc *xsk_desc(const struct xsk_ring *ring, uint32_t at)
{
    return (struct xdp_desc *)ring->entries + (at & ring->mask);
}

static inline uint64_t *xsk_addr(const struct xsk_ring *ring, uint32_t at)
{
    return (uint64_t *)ring->entries + (at & ring->mask);
}

#endif
