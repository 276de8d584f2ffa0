/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover.h: frames that arrived on another lane's queue. One bounded ring per receiving lane, any lane may put, only
 * the owner takes. It never waits and never allocates: full is an answer, and the frame counts as an overrun.
 */
#ifndef TETHER_HANDOVER_H
#define TETHER_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "../carrier/carrier.h"

struct handover;

/* `frames` is rounded up to a power of two; a frame takes at most `frame_bytes` bytes. NULL = no memory. */
struct handover *handover_new(uint32_t frames, uint32_t frame_bytes);
void handover_free(struct handover *handover);
/* Copy a frame in; false when the ring is full or the frame too large. Any thread. */
bool handover_put(struct handover *handover, const struct tether_arrival *frame);
/* The oldest frame, lent until handover_done; false when there is none. The owner's thread only. */
bool handover_take(struct handover *handover, struct tether_arrival *frame);
void handover_done(struct handover *handover);
/* Whether handover_take would find a frame; for the decision to sleep. The owner's thread only. */
bool handover_waits(const struct handover *handover);

#endif
