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

/* ------------------------------------------------------------- search tree */

/* Its rank in the heap order: any number that a peer cannot choose will do. */
static uint32_t rank(const struct tether_gap_pool *pool, uint32_t gap)
{
    uint64_t mixed = ((uint64_t)gap + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)pool->gaps;
    return (uint32_t)(mixed * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

static void set_child(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t up, uint32_t old, uint32_t gap)
{
    if (up == TETHER_NIL)
        gaps->root = gap;
    else if (pool->gaps[up].left == old)
        pool->gaps[up].left = gap;
    else
        pool->gaps[up].right = gap;
    if (gap != TETHER_NIL)
        pool->gaps[gap].up = up;
}

/* `gap` takes the place of the node above it. */
static void rotate(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap], *u;
    uint32_t up = g->up, inner;
    u = &pool->gaps[up];
    set_child(pool, gaps, u->up, up, gap);
    if (u->left == gap) {
        inner = u->left = g->right;
        g->right = up;
    } else {
        inner = u->right = g->left;
        g->left = up;
    }
    if (inner != TETHER_NIL)
        pool->gaps[inner].up = up;
    u->up = gap;
}

/* `gap` is in the list already, so its place is beside a neighbour. */
static void tree_insert(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap];
    uint32_t mine = rank(pool, gap);
    g->left = g->right = TETHER_NIL;
    if (g->prev != TETHER_NIL && pool->gaps[g->prev].right == TETHER_NIL) {
        g->up = g->prev;
        pool->gaps[g->prev].right = gap;
    } else if (g->next != TETHER_NIL) {
        g->up = g->next;
        pool->gaps[g->next].left = gap;
    } else {
        g->up = TETHER_NIL;
        gaps->root = gap;
    }
    while (g->up != TETHER_NIL && rank(pool, g->up) < mine)
        rotate(pool, gaps, gap);
}

static void tree_remove(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap];
    while (g->left != TETHER_NIL && g->right != TETHER_NIL)
        rotate(pool, gaps, rank(pool, g->left) > rank(pool, g->right) ? g->left : g->right);
    set_child(pool, gaps, g->up, gap, g->left != TETHER_NIL ? g->left : g->right);
}

/* The last gap that begins at `slot` or before; NIL = none. */
static uint32_t tree_find(const struct tether_gap_pool *pool, const struct tether_gaps *gaps, uint64_t slot)
{
    uint32_t gap = gaps->root, found = TETHER_NIL;
    while (gap != TETHER_NIL) {
        if (pool->gaps[gap].start <= slot) {
            found = gap;
            gap = pool->gaps[gap].right;
        } else {
            gap = pool->gaps[gap].left;
        }
    }
    return found;
}

/* ------------------------------------------------------------ line of turns */

/* `gap` stands behind `before` (NIL = at the head). */
static void line_insert(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap, uint32_t before)
{
    struct tether_gap *g = &pool->gaps[gap];
    g->earlier = before;
    g->later = before == TETHER_NIL ? gaps->first_asked : pool->gaps[before].later;
    if (before == TETHER_NIL)
        gaps->first_asked = gap;
    else
        pool->gaps[before].later = gap;
    if (g->later == TETHER_NIL)
        gaps->last_asked = gap;
    else
        pool->gaps[g->later].earlier = gap;
}

static void line_remove(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap];
    if (g->later == gap)
        return;
    if (g->earlier == TETHER_NIL)
        gaps->first_asked = g->later;
    else
        pool->gaps[g->earlier].later = g->later;
    if (g->later == TETHER_NIL)
        gaps->last_asked = g->earlier;
    else
        pool->gaps[g->later].earlier = g->earlier;
    g->later = gap;
}

/* --------------------------------------------------------------------- list */

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
    tree_insert(pool, gaps, gap);
}

static void drop(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint32_t gap)
{
    struct tether_gap *g = &pool->gaps[gap];
    tree_remove(pool, gaps, gap);
    line_remove(pool, gaps, gap);
    if (gaps->fresh == gap)
        gaps->fresh = g->next;
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
        *g = (struct tether_gap){.start = start, .end = start + piece, .ready_ns = ready_ns, .cell = cell, .later = gap};
        insert(pool, gaps, gap, gaps->tail);
        if (gaps->fresh == TETHER_NIL)
            gaps->fresh = gap;
        start += piece;
    }
    return 0;
}

uint32_t tether_gaps_find(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t slot)
{
    uint32_t gap = gaps->hint;
    /* Repairs come in the order in which gaps took their turns, so it is nearly always the one, or the next one. */
    if (gap != TETHER_NIL && pool->gaps[gap].end <= slot)
        gap = pool->gaps[gap].next;
    if (gap == TETHER_NIL || pool->gaps[gap].start > slot || pool->gaps[gap].end <= slot)
        gap = tree_find(pool, gaps, slot);
    if (gap == TETHER_NIL)
        return TETHER_NIL;
    gaps->hint = gap;
    return slot < pool->gaps[gap].end ? gap : TETHER_NIL;
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
                                 .broken = g->broken, .later = rest};
        insert(pool, gaps, rest, gap);
        if (g->later != gap)
            line_insert(pool, gaps, rest, gap);
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

/* One that was named lately and is still open; the one named first comes first. */
static uint32_t once_more(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t now_ns)
{
    for (uint32_t i = 0; i < TETHER_GAPS_AGAIN; i++) {
        uint32_t at = (gaps->again_at + i) % TETHER_GAPS_AGAIN, gap;
        if (gaps->again[at].left == 0 || gaps->again[at].until_ns < now_ns)
            continue;
        gap = tree_find(pool, gaps, gaps->again[at].slot);
        if (gap != TETHER_NIL && gaps->again[at].slot < pool->gaps[gap].end) {
            gaps->again[at].left--;
            return gap;
        }
        gaps->again[at].left = 0;
    }
    return TETHER_NIL;
}

uint32_t tether_gaps_ask(struct tether_gap_pool *pool, struct tether_gaps *gaps, uint64_t now_ns, uint64_t again_ns)
{
    uint32_t gap = gaps->fresh;
    if (gaps->count == 0)
        return TETHER_NIL;
    if (gap == TETHER_NIL || pool->gaps[gap].ready_ns > now_ns)
        gap = gaps->first_asked;
    if (gaps->since_count0 >= 7) {
        gaps->since_count0 = 0;
        return TETHER_NIL;
    }
    if (gap == TETHER_NIL || pool->gaps[gap].ready_ns > now_ns) {
        gap = once_more(pool, gaps, now_ns);
        gaps->since_count0 = gap == TETHER_NIL ? 0 : gaps->since_count0 + 1;
        return gap;
    }
    if (gap == gaps->fresh)
        gaps->fresh = pool->gaps[gap].next;
    line_remove(pool, gaps, gap);
    line_insert(pool, gaps, gap, gaps->last_asked);
    pool->gaps[gap].ready_ns = again_ns;
    gaps->since_count0++;
    for (uint32_t i = 0; i < TETHER_GAPS_AGAIN; i++) /* what is left of its last turn */
        if (gaps->again[i].slot >= pool->gaps[gap].start && gaps->again[i].slot < pool->gaps[gap].end)
            gaps->again[i].left = 0;
    gaps->again[gaps->again_at].slot = pool->gaps[gap].start;
    gaps->again[gaps->again_at].until_ns = now_ns + (again_ns - now_ns) / 4;
    gaps->again[gaps->again_at].left = TETHER_GAP_NAMINGS - 1;
    gaps->again_at = (gaps->again_at + 1) % TETHER_GAPS_AGAIN;
    return gap;
}

uint64_t tether_gaps_due(const struct tether_gap_pool *pool, const struct tether_gaps *gaps)
{
    uint64_t due = UINT64_MAX;
    if (gaps->fresh != TETHER_NIL)
        due = pool->gaps[gaps->fresh].ready_ns;
    if (gaps->first_asked != TETHER_NIL && pool->gaps[gaps->first_asked].ready_ns < due)
        due = pool->gaps[gaps->first_asked].ready_ns;
    return due;
}
