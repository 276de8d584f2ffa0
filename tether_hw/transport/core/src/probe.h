/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h: how large a frame the path carries (RFC 0001, "Path MTU"). A Hail is as large as the largest frame, and its
 * reply too, so a channel that comes up has proved its frame size both ways. What is not answered is tried smaller.
 *
 * Silence may also mean that nobody is there yet. So large and small Hails take turns until the first answer; an answer
 * to a small one only says that the peer lives, and then every size gets three tries from the largest down.
 *
 * New keys are asked for by a Hail as large as the channel's frames: a path that became narrower meanwhile loses those
 * without a word, and answers everything that is small.
 */
#ifndef TETHER_PROBE_H
#define TETHER_PROBE_H

#include <stdint.h>

enum {
    TETHER_PROBE_TRIES = 3,
    TETHER_PROBE_AGAIN = 8, /* tries of the channel's own size that must fail, by a peer that lives, to end a channel */
    TETHER_PROBE_NEVER = 8  /* payload blocks: smaller frames are not tried */
};

struct tether_probe {
    uint32_t sent;  /* Hails while nobody has answered */
    uint8_t alive;  /* somebody has answered */
    uint8_t rung, tries;
};

/* Payload blocks of the next Hail, at most `own`. */
uint16_t tether_probe_next(struct tether_probe *probe, uint16_t own);
/* The same of a channel that is up and has frames of `own` blocks: does the path still carry them? */
uint16_t tether_probe_again(struct tether_probe *probe, uint16_t own);
/* A Hail of `blocks` was answered: 1 = this is the frame size, 0 = larger ones are to be tried first. */
int tether_probe_answered(struct tether_probe *probe, uint16_t blocks, uint16_t own);

#endif
