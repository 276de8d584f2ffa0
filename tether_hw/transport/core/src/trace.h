/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h: events for people and tests, and the key log. Without a callback each costs one predictable branch; the
 * arguments are not even computed.
 */
#ifndef TETHER_TRACE_H
#define TETHER_TRACE_H

#include "../include/tether.h"
#include "paths.h"

struct tether_endpoint;
struct tether_channel;
struct tether_flow;

struct tether_told {
    uint16_t kind, flags, flow;
    uint64_t sequence, slot, count, value;
};

TETHER_RARE void tether_trace_put(struct tether_endpoint *ep, const struct tether_channel *ch, uint64_t now_ns,
                                  struct tether_told told);

/* TETHER_TRACE(ep, ch, now_ns, .kind = ..., .slot = ...); `ch` NULL = none, its index is 0. */
#define TETHER_TRACED(ep) __builtin_expect((ep)->config.trace != NULL, 0)
#define TETHER_TRACE(ep, ch, now_ns, ...)                                                        \
    do {                                                                                         \
        if (TETHER_TRACED(ep))                                                                   \
            tether_trace_put(ep, ch, now_ns, (struct tether_told){__VA_ARGS__});                 \
    } while (0)

/* A frame on a channel was accepted; `slot` is the header's, expanded, `used` the slots that it uses. */
void tether_trace_received(struct tether_endpoint *ep, const struct tether_channel *ch,
                           const struct tether_header *header, uint64_t slot, uint32_t used, int duplicate,
                           uint64_t now_ns);
/* What it says about our direction: a limit raised by `raised` (0 = none), a receipt up to `slot` or a NACK from it. */
void tether_trace_told(struct tether_endpoint *ep, const struct tether_channel *ch, const struct tether_flow *flow,
                       const struct tether_header *header, uint64_t raised, uint64_t slot, uint64_t now_ns);

/* Both directions under new keys, from the keys of Split(); `wire` is our index on the wire, `remote` the peer's. */
void tether_keylog_put(struct tether_endpoint *ep, uint32_t wire, uint32_t remote, int initiator, uint16_t cipher,
                       const uint8_t forth[32], const uint8_t back[32]);

#endif
