/* SPDX-License-Identifier: Apache-2.0 */
/* flow_acked.c: what was sent has arrived: its cells are free. */
#include "endpoint.h"

void tether_tx_free(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    struct tether_cell *c = &ep->tx.cells[cell];
    tether_mile_clear(ep, flow, cell);
    if (flow->id != 0)
        ep->tx_used--;
    flow->tx.cells--;
    if (c->marks & TETHER_CELL_REPAIR)
        c->marks |= TETHER_CELL_DONE; /* given back when the repair queue reaches it */
    else
        tether_cells_give(&ep->tx, cell);
}

void tether_tx_drained(struct tether_endpoint *ep, struct tether_flow *flow)
{
    if (flow->id == 0 || flow->drained_told || flow->tx.head != TETHER_NIL)
        return;
    flow->drained_told = 1;
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_DRAINED);
}

/* Cells went from the front of the queue. */
void tether_tx_moved(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_tx *tx = &flow->tx;
    if (tx->head != TETHER_NIL) {
        ep->tx.cells[tx->head].prev = TETHER_NIL;
        return;
    }
    tx->tail = TETHER_NIL;
    tx->receipted = tx->written;
    tether_tx_drained(ep, flow);
}

static int below(const struct tether_cell *c, uint64_t upto)
{
    return c->slot + c->slots <= upto;
}

/*
 * The cells of a byte flow below `upto` go back as the chain that they are, up to one that waits to be repaired; how many.
 * Milestones are struck off their table on the way.
 */
static uint32_t give_chain(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t upto)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_cell *cells = ep->tx.cells, *last = NULL;
    uint32_t first = tx->head, cell = first, count = 0;
    uint64_t bytes = 0;
    while (cell != tx->unsent && below(&cells[cell], upto)) {
        struct tether_cell *c = &cells[cell];
        if (TETHER_UNLIKELY(c->marks & (TETHER_CELL_REPAIR | TETHER_CELL_MILE))) {
            if (c->marks & TETHER_CELL_REPAIR)
                break;
            tether_mile_end(ep, flow, cell);
        }
        bytes += c->length;
        count++;
        last = c;
        cell = c->next;
    }
    if (last == NULL)
        return 0;
    tx->head = cell;
    tx->cells -= count;
    tx->unacked_bytes -= bytes;
    ep->tx_used -= count;
    tether_cells_give_chain(&ep->tx, first, last, count);
    return count;
}

/* Everything below `upto` has arrived: its cells are free. Was there any? */
int tether_tx_arrived(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t upto)
{
    struct tether_flow_tx *tx = &flow->tx;
    int tags = 0, moved = flow->kind == TETHER_FLOW_BYTES && give_chain(ep, flow, upto);
    while (tx->head != tx->unsent && below(&ep->tx.cells[tx->head], upto)) {
        uint32_t cell = tx->head;
        struct tether_cell *c = &ep->tx.cells[cell];
        tx->head = c->next;
        tx->unacked_bytes -= c->length;
        tags |= flow->id == 0 && c->tags != 0;
        if (flow->kind == TETHER_FLOW_MESSAGE && c->flags & TETHER_FLAG_END)
            tx->receipted = tether_tx_ordinal(tx, c) + 1;
        tether_tx_free(ep, flow, cell);
        moved = 1;
    }
    if (moved)
        tether_tx_moved(ep, flow);
    if (tags)
        tether_control_acked(ep, tether_channel_of(ep, flow));
    return moved;
}
