/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier.h: what moves frames between one lane and the world.
 *
 * A carrier is used by one thread (the lane's), except stats and wake. It lends memory instead of copying: received
 * frames stay in the carrier's own buffers until `release`, frames to send are built in place in a buffer that
 * `reserve` lends. `reserve` says no when nothing more can be taken, before the frame exists: so a full ring never
 * costs a frame, its slot or its sequence number.
 */
#ifndef TETHER_CARRIER_H
#define TETHER_CARRIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/tether.h"
#include "../burst.h"

enum {
    CARRIER_BATCH = 64,     /* most frames lent by one receive */
    CARRIER_FRAME_BYTES_MAX = 65536,
    CARRIER_NOTE_BYTES = 256,
    CARRIER_FDS_MAX = 2,
};

struct carrier_options {
    const char *device;
    uint32_t queue;
    uint16_t flags; /* TETHER_LANE_COPY_ONLY, TETHER_LANE_GENERIC_ONLY */
    uint16_t mtu;   /* 0 = the device's */
    struct tether_address address;
    uint32_t ring_frames; /* upper bound, 0 = the carrier's choice */
    uint32_t reserved;
};

/* Written by the lane's thread only, read by anyone. */
struct carrier_counters {
    _Atomic uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes, tx_stalled, tx_errors, foreign;
};

static inline void carrier_count(_Atomic uint64_t *counter, uint64_t amount)
{
    /* one writer: no read-modify-write needed */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

/* Frames that the kernel or device lost for want of our room; cumulative since open. */
struct carrier_drops {
    uint64_t ring_full, fill_empty, kernel;
};

struct carrier;

struct carrier_ops {
    const char *name;
    /* Up to `max` (<= CARRIER_BATCH) frames; the ones of the call before must have been released. */
    unsigned (*receive)(struct carrier *carrier, struct tether_arrival *frames, unsigned max);
    void (*release)(struct carrier *carrier);
    /* Room for one frame (frame_bytes long), or NULL: nothing more can be taken now. */
    uint8_t *(*reserve)(struct carrier *carrier);
    /* Queue what was built in the reserved buffer. To drop a reservation, just do not commit. */
    void (*commit)(struct carrier *carrier, size_t length, const struct tether_address *to);
    /* Hand queued frames to the kernel; how many it has not taken yet (call again, or wait). */
    unsigned (*flush)(struct carrier *carrier);
    void (*drops)(struct carrier *carrier, struct carrier_drops *drops);
    /* Go on under another address of the same kind; an error leaves all as it was. NULL = the carrier cannot. */
    int (*rebind)(struct carrier *carrier, const struct tether_address *address);
    void (*close)(struct carrier *carrier);
};

struct carrier {
    const struct carrier_ops *ops;
    struct tether_address address; /* as bound */
    uint32_t ring_frames;          /* receive frames that can wait without loss */
    uint32_t frame_bytes;          /* largest Tether frame, header included, whole blocks */
    uint32_t queue;
    uint16_t mtu;
    uint16_t flags;                /* TETHER_LANE_ZERO_COPY ... as in lane_info */
    int fd;                        /* poll for POLLIN (and POLLOUT after a stall); -1 = none */
    char device[16];
    char note[CARRIER_NOTE_BYTES]; /* how it was opened */
    struct carrier_counters counters;
};

int carrier_open_udp(const struct carrier_options *options, struct carrier **out);
int carrier_open_af_packet(const struct carrier_options *options, struct carrier **out);
int carrier_open_af_xdp(const struct carrier_options *options, struct carrier **out);
/* Two ends of an in-memory link, each receiving into a ring of `ring_frames`; full = reserve says no. */
int carrier_open_pipe(uint32_t frame_bytes, uint32_t ring_frames, struct carrier *ends[2]);

/*
 * By name, or "auto": af_xdp, then af_packet for a MAC address, udp for an IP address; the note says why. Words of a
 * failure by words_last().
 */
int carrier_open(const char *name, const struct carrier_options *options, struct carrier **out);

/* MAC address of TETHER_ADDRESS_MAC form; vlan 0xffff = none. */
static inline void carrier_mac_address(struct tether_address *address, const uint8_t mac[6], uint16_t vlan)
{
    address->kind = TETHER_ADDRESS_MAC;
    address->length = 8;
    address->reserved = 0;
    for (int i = 0; i < 6; i++)
        address->bytes[i] = mac[i];
    address->bytes[6] = (uint8_t)vlan;
    address->bytes[7] = (uint8_t)(vlan >> 8);
    for (int i = 8; i < 28; i++)
        address->bytes[i] = 0;
}

static inline uint16_t carrier_vlan(const struct tether_address *address)
{
    return (uint16_t)(address->bytes[6] | address->bytes[7] << 8);
}

/* Whole frame that fits into `mtu` bytes of link payload after `overhead`; 0 when no payload block fits. */
static inline uint32_t carrier_frame_fit(uint32_t mtu, uint32_t overhead)
{
    uint32_t room = mtu > overhead ? mtu - overhead : 0;
    uint32_t blocks = room / TETHER_BLOCK_BYTES;
    if (blocks < 2)
        return 0;
    if (blocks > TETHER_FRAME_BLOCKS_MAX + 1)
        blocks = TETHER_FRAME_BLOCKS_MAX + 1;
    return blocks * TETHER_BLOCK_BYTES;
}

#endif
