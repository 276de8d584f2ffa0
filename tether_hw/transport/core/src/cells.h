/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells.h: a fixed pool of frame-sized buffers with a last-in-first-out free list.
 *
 * Memory is reserved once. Untouched cells cost no pages, and the cell freed last is used first, so that a
 * lightly loaded endpoint lives in the cache whatever the size of its pool.
 */
#ifndef TETHER_CELLS_H
#define TETHER_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "paths.h"

#define TETHER_NIL UINT32_MAX

/* What is known of the payload in one cell; the payload itself is in the arena. One cache line, found by a shift. */
struct tether_cell {
    uint64_t slot;     /* first slot of the frame */
    uint64_t sent_ns;  /* tx: our Timestamp of the last sending, endpoint clock; rx: bytes of the message (first cell) */
    uint32_t next;     /* list of the flow; free list */
    uint32_t prev;     /* tx only */
    uint32_t link;     /* tx: repair queue; rx: end of a fragment, the next one of its bucket */
    uint16_t length;   /* payload bytes */
    uint16_t slots;    /* slots used (at least the peer's floor) */
    uint8_t flags;     /* FIRST, END as on the wire */
    uint8_t marks;     /* TETHER_CELL_* */
    uint16_t offset;   /* rx byte flow: bytes of it that were read */
    union {
        uint32_t tags;    /* tx Flow 0: what control state rides in this cell */
        uint32_t ordinal; /* tx message flows: of its message, low bits */
        uint32_t other;   /* rx: end of a fragment, its other end */
    };
    uint32_t mile;     /* tx milestone: the next one of its bucket */
    uint32_t owner;    /* its flow (tx: milestones; rx: ends of fragments) */
    uint64_t queued_ns; /* tx of expiring flows: when it was written */
    uint8_t *payload;
};

enum {
    TETHER_CELL_SENT = 1,    /* tx: has been sent once */
    TETHER_CELL_REPAIR = 2,  /* tx: stands in the repair queue */
    TETHER_CELL_DONE = 4,    /* tx: acknowledged while in the repair queue; freed when popped */
    TETHER_CELL_SEALED = 8,  /* tx: flushed or full: nothing may be appended */
    TETHER_CELL_MILE = 32,   /* tx: a milestone, from which NACKs find cells nearby */
    TETHER_CELL_BROKEN = 16  /* rx: a Skip follows: a message open behind it will never end */
};

_Static_assert(sizeof(struct tether_cell) <= 64, "one cache line");

struct tether_cells {
    uint8_t *arena;               /* [count * stride], 64-byte aligned */
    struct tether_cell *cells;    /* [count] */
    uint32_t stride;              /* bytes of one cell, whole blocks */
    uint32_t count;
    uint32_t free_head;           /* cells given back */
    uint32_t fresh;               /* cells never used are [fresh, count) */
    uint32_t free_count;
    uint32_t reserved;
};

/* 0, -EINVAL, -ENOMEM */
int tether_cells_open(struct tether_cells *cells, uint32_t count, uint32_t stride);
/* Wipes what was used. */
void tether_cells_close(struct tether_cells *cells);

static inline uint8_t *tether_cell_payload(const struct tether_cells *cells, uint32_t cell)
{
    return cells->cells[cell].payload;
}

/* One that was never used. */
uint32_t tether_cells_fresh(struct tether_cells *cells);

/* A cell, or TETHER_NIL when none is free. Its fields but `payload` are undefined. */
static inline uint32_t tether_cells_take(struct tether_cells *cells)
{
    uint32_t cell = cells->free_head;
    if (TETHER_UNLIKELY(cell == TETHER_NIL))
        return tether_cells_fresh(cells);
    cells->free_head = cells->cells[cell].next;
    cells->free_count--;
    return cell;
}

static inline void tether_cells_give(struct tether_cells *cells, uint32_t cell)
{
    cells->cells[cell].next = cells->free_head;
    cells->free_head = cell;
    cells->free_count++;
}

/* The same for `count` cells that follow each other by `next`, from `first` to `last`. */
static inline void tether_cells_give_chain(struct tether_cells *cells, uint32_t first, struct tether_cell *last,
                                           uint32_t count)
{
    last->next = cells->free_head;
    cells->free_head = first;
    cells->free_count += count;
}

#endif
