/* SPDX-License-Identifier: Apache-2.0 */
/* netdev.h: what the raw carriers need to know of a network device, by rtnetlink, in the caller's network namespace. */
#ifndef TETHER_NETDEV_H
#define TETHER_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "carrier.h"

struct netdev {
    char name[16];
    uint64_t netns;      /* inode of the network namespace: an index alone names no device */
    uint32_t index;
    uint32_t mtu;
    uint32_t rx_queues;  /* that exist; the active ones may be fewer */
    uint32_t xdp_program; /* id of the attached XDP program of any mode, 0 = none */
    uint8_t mac[6];
    bool up;
};

/* 0, or negative errno with words. */
int netdev_find(const char *name, struct netdev *device);
/*
 * Find the device of a raw lane and settle the lane's MTU and frame size (`carrier->mtu`, `frame_bytes`) on it: it must
 * be up and hold them. 0, or negative errno with words.
 */
int netdev_carry(const struct carrier_options *options, struct netdev *device, struct carrier *carrier);
/*
 * Let the device accept frames to one more unicast MAC address; it does while the returned descriptor is open. A
 * descriptor, or negative errno with words.
 */
int netdev_accept(const struct netdev *device, const uint8_t mac[6]);

#endif
