/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.h: what is missing at the receiver of a flow, and whose turn it is to be asked for (RFC 0001, "Repair").
 *
 * Gaps are kept in slot order in a doubly linked list over a pool shared by the endpoint. New gaps arise at the
 * high end only; those never asked for stand behind `fresh`. The others stand in line for their next turn: none is
 * asked for again before one RTT plus the reorder time. No gap is wider than a NackCount can say: wider ones are several.
 * A long pipe has thousands of them open, so each flow also keeps its own in a search tree (a treap, whose shape
 * does not depend on what a peer does): finding one takes about log2(gaps) steps, most often none.
 */
#ifndef TETHER_REPAIR_H
#define TETHER_REPAIR_H

#include <stdint.h>

#include "cells.h"

struct tether_gap {
    uint64_t start, end;  /* slots, end exclusive */
    uint64_t ready_ns;    /* not asked for before this */
    uint32_t next, prev;  /* neighbours in slot order */
    uint32_t left, right, up; /* in the search tree of the flow */
    uint32_t later, earlier;  /* asked for after and before this one; `later` = itself: never asked for */
    uint32_t cell;        /* cell before the gap in the out-of-order list; NIL = none */
    uint32_t broken;      /* a Skip follows the gap */
};

enum {
    TETHER_GAPS_AGAIN = 4,
    TETHER_GAP_NAMINGS = 3 /* frames that name a gap in one turn, the later ones only if they go anyway */
};

struct tether_gap_pool {
    struct tether_gap *gaps; /* [count] */
    uint32_t count, free_head, fresh, free_count;
};

struct tether_gaps {
    uint32_t head, tail;
    uint32_t fresh; /* first gap never asked for; NIL = none. All behind it are fresh too */
    uint32_t first_asked, last_asked; /* those asked for, in the order in which their turn comes again */
    uint32_t root;  /* of the search tree */
    uint32_t hint;  /* where the last search ended */
    uint32_t count;
    uint32_t since_count0; /* frames with a NACK since the last cumulative one */
    struct {
        uint64_t slot;     /* first one of a gap that was named lately */
        uint64_t until_ns; /* and soon: a quarter of the wait for its next turn */
        uint32_t left;     /* frames that may name it once more */
    } again[TETHER_GAPS_AGAIN];
    uint32_t again_at;     /* where the next one goes */
};

int tether_gap_pool_open(struct tether_gap_pool *pool, uint32_t count);
void tether_gap_pool_close(struct tether_gap_pool *pool);

static inline void tether_gaps_init(struct tether_gaps *gaps)
{
    gaps->head = gaps->tail = gaps->fresh = gaps->hint = gaps->root = TETHER_NIL;
    gaps->first_asked = gaps->last_asked = TETHER_NIL;
    gaps->count = 0;
    gaps->since_count0 = 0;
    gaps->again_at = 0;
    for (int i = 0; i < TETHER_GAPS_AGAIN; i++)
        gaps->again[i].left = 0;
}

/*
 * Open [start, end) behind all gaps, in pieces of at most `widest` slots, each with `cell` before it and not to
 * be asked for before ready_ns. 0, or -1 when the pool cannot hold them (nothing changed).
 */
int tether_gaps_open(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t start, uint64_t end,
                     uint64_t widest, uint32_t cell, uint64_t ready_ns);
/* The gap that holds `slot`, or NIL. */
uint32_t tether_gaps_find(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t slot);
/*
 * Take [start, end) out of `gap`, which holds it: the gap shrinks, splits or goes. `cell` (NIL for a Skip) is
 * what now fills it and stands before what is left behind. 0, or -1 when a split needs a gap and the pool is
 * empty (nothing changed).
 */
int tether_gaps_fill(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap, uint64_t start,
                     uint64_t end, uint32_t cell);
void tether_gaps_clear(struct tether_gap_pool *pool, struct tether_gaps *gaps);
/*
 * The gap to ask for now, or NIL; its next turn is not before `again_ns`. A frame that goes when none has its turn names
 * one of the last few once more: that frame may have been lost, and a whole round trip with it. NIL in one frame of eight,
 * so that the cumulative count gets its turn.
 */
uint32_t tether_gaps_ask(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t now_ns, uint64_t again_ns);
/* Earliest time at which _ask may offer one; UINT64_MAX without gaps. */
uint64_t tether_gaps_due(const struct tether_gap_pool *pool, const struct tether_gaps *gaps);

#endif
