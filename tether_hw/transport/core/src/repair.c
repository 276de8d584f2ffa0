/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include <errno.h>
#include <stdlib.h>

int tether_gap_pool_open(struct tether_gap_pool *pool, uint32_t count)
{
    pool->gaps = calloc(count, sizeof *pool->gaps);
    pool->count = count;
    pool->free_head = TETHER_NIL;
    pool->fresh = 0;
    pool->free_count = count;
    return pool->gaps == NULL ? -ENOMEM : 0;
}

void tether_gap_pool_close(struct tether_gap_pool *pool)
{
    free(pool->gaps);
    pool->gaps = NULL;
}

static uint32_t take(struct tether_gap_pool *pool)
{
    uint32_t gap = pool->free_head;
    if (gap != TETHER_NIL)
        pool->free_head = pool->gaps[gap].next;
    else if (pool->fresh < pool->count)
        gap = pool->fresh++;
    else
        return TETHER_NIL;
    pool->free_count--;
    return gap;
}

static void give(struct tether_gap_pool *pool, uint32_t gap)
{
    pool->gaps[gap].next = pool->free_head;
    pool->free_head = gap;
    pool->free_count++;
}

/* Insert `gap` behind `after` (NIL = at the head). */
static void insert(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap, uint32_t after)
{
    struct tether_gap *g = &pool->gaps[gap];
    g->prev = after;
    g->next = after == TETHER_NIL ? gaps->head : pool->gaps[after].next;
    if (after == TETHER_NIL)
        gaps->head = gap;
    else
        pool->gaps[after].next = gap;
    if (g->next == TETHER_NIL)
        gaps->tail = gap;
    else
        pool->gaps[g->next].prev = gap;
    gaps->count++;
}

static void drop(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap];
    if (gaps->fresh == gap)
        gaps->fresh = g->next;
    if (gaps->turn == gap)
        gaps->turn = g->next;
    if (gaps->hint == gap)
        gaps->hint = g->next;
    if (g->prev == TETHER_NIL)
        gaps->head = g->next;
    else
        pool->gaps[g->prev].next = g->next;
    if (g->next == TETHER_NIL)
        gaps->tail = g->prev;
    else
        pool->gaps[g->next].prev = g->prev;
    gaps->count--;
    give(pool, gap);
}

int tether_gaps_open(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t start, uint64_t end,
                     uint64_t widest, uint32_t cell, uint64_t ready_ns)
{
    if (start >= end || widest == 0 || (end - start - 1) / widest >= pool->free_count) /* rounded up without overflow */
        return -1;
    while (start < end) {
        uint32_t gap = take(pool);
        struct tether_gap *g = &pool->gaps[gap];
        uint64_t piece = end - start < widest ? end - start : widest;
        *g = (struct tether_gap){.start = start, .end = start + piece, .ready_ns = ready_ns, .cell = cell};
        insert(pool, gaps, gap, gaps->tail);
        if (gaps->fresh == TETHER_NIL)
            gaps->fresh = gap;
        start += piece;
    }
    return 0;
}

uint32_t tether_gaps_find(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t slot)
{
    uint32_t gap = gaps->hint != TETHER_NIL ? gaps->hint : gaps->head;
    /* Repairs come in the order in which gaps took their turns, so the neighbour is nearly always the one. */
    while (gap != TETHER_NIL && pool->gaps[gap].start > slot)
        gap = pool->gaps[gap].prev;
    if (gap == TETHER_NIL)
        return TETHER_NIL;
    while (gap != TETHER_NIL && pool->gaps[gap].end <= slot)
        gap = pool->gaps[gap].next;
    if (gap == TETHER_NIL)
        return TETHER_NIL;
    gaps->hint = gap;
    return pool->gaps[gap].start <= slot ? gap : TETHER_NIL;
}

int tether_gaps_fill(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap, uint64_t start,
                     uint64_t end, uint32_t cell)
{
    struct tether_gap *g = &pool->gaps[gap];
    uint32_t before = g->cell, behind = g->next;
    uint32_t filler = cell == TETHER_NIL ? before : cell;
    if (start > g->start && end < g->end) {
        uint32_t rest = take(pool);
        struct tether_gap *r;
        if (rest == TETHER_NIL)
            return -1;
        r = &pool->gaps[rest];
        *r = (struct tether_gap){.start = end, .end = g->end, .ready_ns = g->ready_ns, .cell = filler,
                                 .broken = g->broken};
        insert(pool, gaps, rest, gap);
        g->end = start;
        g->broken = 0;
    } else if (start > g->start) {
        g->end = start;
        g->broken = 0;
    } else if (end < g->end) {
        g->start = end;
        g->cell = filler;
    } else {
        drop(pool, gaps, gap);
    }
    /* Where only Skips lie between gaps, several gaps follow the same cell. */
    for (; cell != TETHER_NIL && behind != TETHER_NIL && pool->gaps[behind].cell == before;
         behind = pool->gaps[behind].next)
        pool->gaps[behind].cell = cell;
    return 0;
}

void tether_gaps_clear(struct tether_gap_pool *pool, struct tether_gaps *gaps)
{
    while (gaps->head != TETHER_NIL)
        drop(pool, gaps, gaps->head);
    tether_gaps_init(gaps);
}

/* The asked gap whose turn it is: `turn`, or the head again at the end of the round. */
static uint32_t turn_of(const struct tether_gaps *gaps)
{
    uint32_t gap = gaps->turn == TETHER_NIL || gaps->turn == gaps->fresh ? gaps->head : gaps->turn;
    return gap == gaps->fresh ? TETHER_NIL : gap;
}

uint32_t tether_gaps_ask(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t now_ns, uint64_t again_ns)
{
    uint32_t gap = gaps->fresh;
    if (gaps->count == 0)
        return TETHER_NIL;
    if (gap != TETHER_NIL && pool->gaps[gap].ready_ns <= now_ns) {
        if (gaps->since_count0 >= 7)
            goto cumulative;
        gaps->fresh = pool->gaps[gap].next;
    } else {
        gap = turn_of(gaps);
        if (gap == TETHER_NIL || pool->gaps[gap].ready_ns > now_ns || gaps->since_count0 >= 7)
            goto cumulative;
        gaps->turn = pool->gaps[gap].next;
    }
    pool->gaps[gap].ready_ns = again_ns;
    gaps->since_count0++;
    return gap;
cumulative:
    gaps->since_count0 = 0;
    return TETHER_NIL;
}

uint64_t tether_gaps_due(const struct tether_gap_pool *pool, const struct tether_gaps *gaps)
{
    uint64_t due = UINT64_MAX;
    uint32_t asked;
    if (gaps->count == 0)
        return due;
    asked = turn_of(gaps);
    if (gaps->fresh != TETHER_NIL)
        due = pool->gaps[gaps->fresh].ready_ns;
    if (asked != TETHER_NIL && pool->gaps[asked].ready_ns < due)
        due = pool->gaps[asked].ready_ns;
    return due;
}
