/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_tx.c: our direction of a flow: the queue of cells, what is declared, what grants and NACKs do to it.
 *
 * One list holds all cells in slot order, the sent ones first; `unsent` is the border. A cell's slot is fixed
 * when it is queued, and a repair sends the cell as it was first cut (I2, design 2.3).
 */
#include "endpoint.h"

#include <errno.h>

enum { WALK_PER_NACK = 256 }; /* steps along the sent cells that one NACK may cost in the long run */

/* Slots that a frame of `length` bytes uses: of 64 << scale bytes each, and at least what a cell of the peer takes. */
uint32_t tether_tx_cell_slots(const struct tether_flow *flow, uint32_t length)
{
    uint32_t slots = (tether_blocks(length) + (1u << flow->scale) - 1) >> flow->scale;
    return slots > flow->tx.floor ? slots : flow->tx.floor;
}

uint32_t tether_tx_room(const struct tether_endpoint *ep)
{
    return ep->config.tx_cells - ep->tx_used;
}

void tether_tx_append(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    struct tether_cell *c = &ep->tx.cells[cell];
    struct tether_flow_tx *tx = &flow->tx;
    uint32_t padding = (TETHER_BLOCK_BYTES - c->length % TETHER_BLOCK_BYTES) % TETHER_BLOCK_BYTES;
    memset(tether_cell_payload(&ep->tx, cell) + c->length, 0, padding);
    c->slots = (uint16_t)tether_tx_cell_slots(flow, c->length);
    c->slot = tx->tail_slot;
    c->next = TETHER_NIL;
    c->prev = tx->tail;
    if (tx->tail == TETHER_NIL)
        tx->head = cell;
    else
        ep->tx.cells[tx->tail].next = cell;
    tx->tail = cell;
    if (tx->unsent == TETHER_NIL) {
        tx->unsent = cell;
        tether_busy_begin(&tx->busy);
    }
    if (tx->declared_cell == TETHER_NIL && tx->tail_slot == tx->declared)
        tx->declared_cell = cell;
    tx->tail_slot += c->slots;
    tx->cells++;
}

/* End of the first message that begins at `cell`, or the end of the queue. */
static uint64_t message_end(const struct tether_endpoint *ep, uint32_t *cell)
{
    uint64_t end = 0;
    while (*cell != TETHER_NIL) {
        const struct tether_cell *c = &ep->tx.cells[*cell];
        end = c->slot + c->slots;
        *cell = c->next;
        if (c->flags & TETHER_FLAG_END)
            break;
    }
    return end;
}

/*
 * Raise what may be declared. Byte flows declare all. Message flows declare whole messages, at most their bound
 * beyond the grant: so what a receiver reserves always ends a message, and no message waits half reserved.
 */
uint64_t tether_tx_declare_more(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint64_t base;
    if (flow->kind == TETHER_FLOW_BYTES) { /* but for a last frame that may still grow (T-FLW-3) */
        const struct tether_cell *last = tx->unsent != TETHER_NIL ? &ep->tx.cells[tx->tail] : NULL;
        tx->declared = tx->tail_slot - (last != NULL && !(last->marks & TETHER_CELL_SEALED) ? last->slots : 0u);
        return tx->declared;
    }
    base = tether_ledger_limit(&tx->ledger);
    if (tx->tail_slot <= base + tx->bound_slots) {
        tx->declared = tx->tail_slot;
        tx->declared_cell = TETHER_NIL;
        tx->next_end = 0;
        return tx->declared;
    }
    while (tx->declared_cell != TETHER_NIL) {
        if (tx->next_end == 0) {
            uint32_t cell = tx->declared_cell;
            tx->next_end = message_end(ep, &cell);
            if (tx->next_end > base + tx->bound_slots)
                break; /* next_end is kept: the walk is made once per message */
            tx->declared_cell = cell;
        } else {
            uint32_t cell;
            if (tx->next_end > base + tx->bound_slots)
                break;
            cell = tx->declared_cell;
            message_end(ep, &cell);
            tx->declared_cell = cell;
        }
        tx->declared = tx->next_end;
        tx->next_end = 0;
    }
    return tx->declared;
}

/* May the first unsent cell go now, by grant or as the ember? */
static int can_send(const struct tether_endpoint *ep, const struct tether_channel *ch, const struct tether_flow *flow)
{
    const struct tether_flow_tx *tx = &flow->tx;
    uint64_t next, limit;
    if (tx->unsent == TETHER_NIL)
        return 0;
    next = tether_ledger_next(&tx->ledger);
    limit = tether_ledger_limit(&tx->ledger);
    if (next + ep->tx.cells[tx->unsent].slots <= limit)
        return 1;
    return next == limit && ch->ember_out == 0 && flow->id != 0;
}

void tether_tx_kick(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns)
{
    if (!tether_tx_ready(ep, flow) || ch->state != TETHER_CHANNEL_UP || !tether_flow_announced(flow))
        return;
    if (can_send(ep, ch, flow)) {
        tether_enqueue(ep, flow, TETHER_Q_DATA);
        tether_work(ep, ch);
        return;
    }
    flow->tx.pacer.grace_ns = 0;
    /* Nothing of ours will tell the receiver about this demand: say it once now; the clock says it again. */
    if (tether_ledger_limit(&flow->tx.ledger) >= flow->tx.told && tether_tx_declare(ep, flow) > flow->tx.told)
        tether_news(ep, ch, flow, TETHER_NEWS_DEMAND);
    tether_timed(ep, ch, flow, now_ns);
}

static void nack(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                 const struct tether_header *header, uint64_t first, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint64_t end = first + header->nack_count, heard_ns;
    uint32_t cell = tether_mile_find(ep, flow, first, end);
    TETHER_BREAK_I2_BY(end += tx->floor;)
    TETHER_COUNT(ep, nacks_received);
    /* A cell sent after what the peer had heard when it asked is on its way already (its echo says so). */
    if (header->flags & TETHER_FLAG_ECHO) {
        uint64_t age = (tether_stamp(ch, now_ns) - header->echo_ns) & TETHER_MASK48;
        heard_ns = age < now_ns ? now_ns - age : 0;
    } else {
        uint64_t rtt = tether_rtt_now(&ch->rtt);
        heard_ns = rtt < now_ns ? now_ns - rtt : 0;
    }
    for (; cell != TETHER_NIL && cell != tx->unsent && ep->tx.cells[cell].slot < end; cell = ep->tx.cells[cell].next) {
        struct tether_cell *c = &ep->tx.cells[cell];
        if (c->marks & TETHER_CELL_REPAIR || c->sent_ns > heard_ns)
            continue;
        c->marks |= TETHER_CELL_REPAIR;
        c->link = TETHER_NIL;
        if (tx->repair_tail == TETHER_NIL)
            tx->repair_head = cell;
        else
            ep->tx.cells[tx->repair_tail].link = cell;
        tx->repair_tail = cell;
        tether_enqueue(ep, flow, TETHER_Q_REPAIR);
        tether_work(ep, ch);
    }
}

/* The next cell to repair, taken off the queue; NIL = none. Cells that have arrived meanwhile are freed. */
uint32_t tether_tx_repair_next(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_tx *tx = &flow->tx;
    while (tx->repair_head != TETHER_NIL) {
        uint32_t cell = tx->repair_head;
        struct tether_cell *c = &ep->tx.cells[cell];
        tx->repair_head = c->link;
        if (tx->repair_head == TETHER_NIL)
            tx->repair_tail = TETHER_NIL;
        c->marks &= (uint8_t)~TETHER_CELL_REPAIR;
        if (!(c->marks & TETHER_CELL_DONE))
            return cell;
        tether_cells_give(&ep->tx, cell);
    }
    return TETHER_NIL;
}

/* Will these words say nothing when they come again? Then they are known by sight. */
static void remember(struct tether_flow *flow, const struct tether_header *header, int meant)
{
    struct tether_flow_tx *tx = &flow->tx;
    int settled = meant && header->nack_count == 0 && (header->pace == 0 || header->pace == tx->pacer.wire) &&
                  tether_distance48(header->grant_amount, tether_ledger_limit(&tx->ledger)) <= 0;
    flow->unheard = !settled;
    tx->heard_grant = (uint64_t)flow->id | header->grant_amount << 16;
    tx->heard_receipt = header->nack_slot | (uint64_t)header->pace << 48;
}

/* What every verified frame says about our direction: its grant, and what has arrived or is missing. */
void tether_tx_reverse(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       const struct tether_header *header, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint64_t limit = tether_ledger_limit(&tx->ledger), next = tether_ledger_next(&tx->ledger);
    int64_t raise = tether_distance48(header->grant_amount, limit);
    uint64_t slot = tether_expand32_below(next, header->nack_slot);
    int progress = 0;
    if (header->pace)
        tether_pace_hear(ep, flow, header, now_ns);
    /* granted - first missing < 2^31, or slots would alias: a peer that says more is not believed. */
    if (raise > 0 && (tx->head == TETHER_NIL ||
                      limit + (uint64_t)raise - ep->tx.cells[tx->head].slot < UINT64_C(1) << 31))
        progress = tether_ledger_grant(&tx->ledger, limit + (uint64_t)raise);
    if (TETHER_TRACED(ep))
        tether_trace_told(ep, ch, flow, header, progress ? (uint64_t)raise : 0, slot, now_ns);
    if (slot <= next && header->nack_count == 0) /* above: wrapped below the beginning, nothing that a peer can mean */
        progress |= tether_tx_arrived(ep, flow, slot);
    else if (slot <= next)
        nack(ep, ch, flow, header, slot, now_ns);
    /* The ember is ours again when the peer's own word covers it (after a Skip our limit says nothing about that). */
    if (flow->ember_out && tether_distance48(header->grant_amount, flow->ember_end) >= 0 &&
        tether_ledger_limit(&tx->ledger) >= flow->ember_end) {
        flow->ember_out = 0;
        ch->ember_out = 0;
        progress = 1;
    }
    if (progress && tx->clock.tries) /* the back-off ends, so the clock may fire earlier than it was armed for */
        tether_arm(ep, ch, now_ns + tether_channel_silence(ep, ch));
    tether_backoff_heard(&tx->clock, now_ns, progress);
    remember(flow, header, slot <= next);
    if (!progress)
        return;
    if (tx->unsent != TETHER_NIL)
        tether_tx_kick(ep, ch, flow, now_ns);
    else
        tether_tx_drained(ep, flow);
    if (ep->queues[TETHER_Q_WRITE].head != TETHER_NIL)
        tether_tx_wake(ep);
    if (flow->id != 0)
        return;
    if (ch->state == TETHER_CHANNEL_CLOSING && tx->head == TETHER_NIL && flow->control == 0)
        ch->linger = 0; /* BYE has arrived */
    if (ch->state == TETHER_CHANNEL_CLOSING || ch->queues[TETHER_Q_CONTROL].head != TETHER_NIL)
        tether_work(ep, ch);
}

/* Cells are free: tell the applications that wait for that many. */
void tether_tx_wake(struct tether_endpoint *ep)
{
    struct tether_flow *flow;
    while ((flow = tether_queue_peek(ep, &ep->queues[TETHER_Q_WRITE])) != NULL &&
           tether_tx_room(ep) >= flow->tx.wanted_cells) {
        tether_queue_pop(ep, &ep->queues[TETHER_Q_WRITE], TETHER_Q_WRITE);
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_WRITABLE);
    }
}

/* Drop the queue from `cell` on, which is sent or the first unsent one; it ends at `slot`. */
static void cut_off(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell, uint64_t slot)
{
    struct tether_flow_tx *tx = &flow->tx;
    int sent = cell != tx->unsent;
    tx->tail = ep->tx.cells[cell].prev;
    if (tx->tail == TETHER_NIL)
        tx->head = TETHER_NIL;
    else
        ep->tx.cells[tx->tail].next = TETHER_NIL;
    while (cell != TETHER_NIL) {
        const struct tether_cell *c = &ep->tx.cells[cell];
        uint32_t following = c->next;
        sent = sent && cell != tx->unsent;
        tx->unacked_bytes -= sent ? c->length : 0u;
        tx->dropped += flow->kind == TETHER_FLOW_MESSAGE && c->flags & TETHER_FLAG_END;
        tether_tx_free(ep, flow, cell);
        cell = following;
    }
    tx->unsent = tx->declared_cell = TETHER_NIL;
    tx->unsent_bytes = 0;
    tx->next_end = 0;
    tx->tail_slot = slot;
    if (tx->head == TETHER_NIL)
        tx->receipted = tx->written;
    tether_tx_drained(ep, flow);
    tether_tx_wake(ep);
}

/* Drop every cell that was not sent; the queue ends at `next`. */
void tether_tx_truncate(struct tether_endpoint *ep, struct tether_flow *flow)
{
    if (flow->tx.unsent != TETHER_NIL)
        cut_off(ep, flow, flow->tx.unsent, tether_ledger_next(&flow->tx.ledger));
}

/* Drop what was not sent completely. Declared or granted slots that will not be used are Skipped. */
int tether_tx_cancel(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint64_t next = tether_ledger_next(&tx->ledger), end = tether_ledger_limit(&tx->ledger), first = next;
    uint32_t cell = tx->unsent;
    if (cell == TETHER_NIL)
        return 0;
    TETHER_BREAK_I8_BY(tether_tx_truncate(ep, flow); return 0;)
    /* Where order does not tell the receiver that a message stands half sent, the Skip names all of it. */
    if (flow->reliability == TETHER_FLOW_EXPIRING || flow->order == TETHER_FLOW_UNORDERED)
        while (!(ep->tx.cells[cell].flags & TETHER_FLAG_FIRST) && ep->tx.cells[cell].prev != TETHER_NIL) {
            cell = ep->tx.cells[cell].prev;
            first = ep->tx.cells[cell].slot;
        }
    end = tx->declared > end ? tx->declared : end;
    end = end > next ? end : next;
    /* Nothing to give back, but a message may stand half sent: its receiver must know that it will not end. */
    if (end == first)
        end += tx->floor;
    if (tether_tx_skip(ep, ch, flow, first, end, now_ns))
        return -EAGAIN;
    cut_off(ep, flow, cell, end);
    tx->declared = end;
    return 0;
}

/* Messages without a receipt, and those never sent, go back to who wrote them, unless it has closed the flow itself. */
static void unknown(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_tx *tx = &flow->tx;
    if (flow->id == 0 || flow->kind != TETHER_FLOW_MESSAGE || flow->flags & TETHER_FLOW_LOCAL_CLOSED ||
        tx->receipted == tx->written)
        return;
    flow->unknown_first = tx->receipted;
    flow->unknown_count = tx->begun > tx->receipted ? tx->begun - tx->receipted : 0;
    TETHER_BREAK_UNKNOWN_BY(flow->unknown_count /= 2;)
    flow->unsent_count = tx->written - tx->receipted - flow->unknown_count;
    tx->receipted = tx->written;
    tether_event_set(ep, flow, TETHER_EVENT_MESSAGE_UNKNOWN);
}

/* The flow ends: every cell goes back, sent or not. */
void tether_tx_drop(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint32_t cell = tx->head;
    unknown(ep, flow);
    while (cell != TETHER_NIL) {
        uint32_t following = ep->tx.cells[cell].next;
        tether_tx_free(ep, flow, cell);
        cell = following;
    }
    tx->head = tx->tail = tx->unsent = tx->declared_cell = TETHER_NIL;
    tx->unsent_bytes = tx->unacked_bytes = 0;
    while (tether_tx_repair_next(ep, flow) != TETHER_NIL)
        TETHER_VIOLATION(ep); /* all of them were done */
    tether_tx_wake(ep);
}
