/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burst.h: what a lane does with an endpoint in each of its rounds: all frames that have come, all that may go. The same
 * as tether_endpoint_receive and _transmit frame by frame; what is the same for the next frame is not asked again.
 */
#ifndef TETHER_BURST_H
#define TETHER_BURST_H

#include "../include/tether.h"

struct carrier;

/* One received frame, lent by its carrier. */
struct tether_arrival {
    uint8_t *data;   /* Tether header; NULL: it is another's, and passed over */
    uint32_t length; /* up to the end of the link's frame: Ethernet padding included */
    uint32_t reserved;
    struct tether_address from;
    struct tether_address to; /* as far as the link tells; kind 0 = not told, then it is the carrier's own */
};

/* Where frames are built: room for one or NULL; and the frame in it is whole. Room that is not used is offered again. */
struct tether_outlet {
    struct carrier *carrier;
    uint8_t *(*reserve)(struct carrier *carrier);
    void (*commit)(struct carrier *carrier, size_t length, const struct tether_address *to);
    size_t frame_bytes; /* of room */
};

void tether_receive_burst(tether_endpoint *ep, uint64_t now_ns, const struct tether_arrival *frames, size_t count);
/* How many frames went, at most `most`. */
unsigned tether_transmit_burst(tether_endpoint *ep, uint64_t now_ns, const struct tether_outlet *outlet, unsigned most);

#endif
