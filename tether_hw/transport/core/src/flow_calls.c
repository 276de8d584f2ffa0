/* SPDX-License-Identifier: Apache-2.0 */
/* flow_calls.c: what the application does with a flow: open, write, read, cancel, close, look. */
#include <errno.h>

#include "endpoint.h"

static struct tether_flow *lookup(struct tether_endpoint *ep, uint32_t channel, uint16_t id, struct tether_channel **ch)
{
    *ch = tether_channel_find(ep, channel);
    if (*ch == NULL || id == 0)
        return NULL;
    return tether_flow_find(ep, *ch, id);
}

TETHER_API int tether_flow_open(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint8_t kind, uint64_t bound,
                                uint16_t *id)
{
    struct tether_channel *ch = tether_channel_find(ep, channel);
    struct tether_flow *flow;
    uint64_t most;
    if (ch == NULL || ch->state != TETHER_CHANNEL_UP)
        return -ENOTCONN;
    if (kind > TETHER_FLOW_MESSAGE || id == NULL)
        return -EINVAL;
    most = ep->config.max_message < ch->peer_max_message ? ep->config.max_message : ch->peer_max_message;
    if (kind == TETHER_FLOW_BYTES)
        bound = 0;
    else if (bound == 0)
        bound = most;
    if (kind == TETHER_FLOW_MESSAGE &&
        (bound > most || (bound + ch->rx_cut_bytes - 1) / ch->rx_cut_bytes > ep->config.rx_cells))
        return -EMSGSIZE;
    if (ch->flow_count + 1 >= ep->flow_nodes)
        return -ENOSPC;
    for (uint32_t tries = 0; tries < 0x8000; tries++, ch->next_flow_id = (uint16_t)(ch->next_flow_id + 2))
        if (ch->next_flow_id != 0 && tether_flow_find(ep, ch, ch->next_flow_id) == NULL)
            break;
    flow = tether_flow_take(ep, ch, ch->next_flow_id, kind, bound, now_ns);
    if (flow == NULL)
        return -ENOSPC;
    ch->next_flow_id = (uint16_t)(ch->next_flow_id + 2);
    flow->control = TETHER_CONTROL_DEFINE;
    tether_enqueue(ep, flow, TETHER_Q_CONTROL);
    tether_work(ep, ch);
    *id = flow->id;
    return 0;
}

/* Ask for FLOW_WRITABLE when `cells` are free. */
static int64_t again(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cells)
{
    flow->tx.wanted_cells = cells;
    tether_enqueue(ep, flow, TETHER_Q_WRITE);
    return -EAGAIN;
}

/* Byte flows leave an eighth of the send cells to others. */
static uint32_t byte_room(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    uint32_t most = ep->config.tx_cells - ep->config.tx_cells / 8, room = tether_tx_room(ep);
    most = most > flow->tx.cells ? most - flow->tx.cells : 0;
    return room < most ? room : most;
}

static uint32_t new_cell(struct tether_endpoint *ep)
{
    uint32_t cell = tether_cells_take(&ep->tx);
    if (cell != TETHER_NIL) {
        ep->tx.cells[cell].marks = 0;
        ep->tx.cells[cell].tags = 0;
        ep->tx.cells[cell].flags = 0;
        ep->tx_used++;
    }
    return cell;
}

/* Bytes appended to the last unsent cell, which is not full and was not flushed. */
static size_t top_up(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                     const uint8_t *data, size_t length)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_cell *c;
    size_t room;
    uint32_t cell = tx->tail;
    if (length == 0 || tx->unsent == TETHER_NIL || ep->tx.cells[cell].marks & TETHER_CELL_SEALED)
        return 0;
    c = &ep->tx.cells[cell];
    room = ch->cut_bytes - c->length;
    if (length > room)
        length = room;
    memcpy(tether_cell_payload(&ep->tx, cell) + c->length, data, length);
    c->length = (uint16_t)(c->length + length);
    memset(tether_cell_payload(&ep->tx, cell) + c->length, 0,
           (TETHER_BLOCK_BYTES - c->length % TETHER_BLOCK_BYTES) % TETHER_BLOCK_BYTES);
    tx->tail_slot -= c->slots;
    c->slots = (uint16_t)tether_tx_cell_slots(ch, c->length);
    tx->tail_slot += c->slots;
    if (c->length == ch->cut_bytes)
        c->marks |= TETHER_CELL_SEALED;
    return length;
}

static int64_t write_bytes(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                           const uint8_t *data, size_t length, uint32_t flags)
{
    struct tether_flow_tx *tx = &flow->tx;
    size_t done = top_up(ep, ch, flow, data, length);
    uint32_t room = byte_room(ep, flow);
    while (done < length && room-- > 0) {
        size_t piece = length - done < ch->cut_bytes ? length - done : ch->cut_bytes;
        uint32_t cell = new_cell(ep);
        if (cell == TETHER_NIL)
            break;
        memcpy(tether_cell_payload(&ep->tx, cell), data + done, piece);
        ep->tx.cells[cell].length = (uint16_t)piece;
        ep->tx.cells[cell].marks = piece == ch->cut_bytes ? TETHER_CELL_SEALED : 0;
        tether_tx_append(ep, ch, flow, cell);
        done += piece;
    }
    tx->unsent_bytes += done;
    if (done < length) {
        (void)again(ep, flow, ep->config.tx_cells / 16 + 1);
        return done ? (int64_t)done : -EAGAIN;
    }
    if (flags & (TETHER_WRITE_FLUSH | TETHER_WRITE_END) && tx->unsent != TETHER_NIL)
        ep->tx.cells[tx->tail].marks |= TETHER_CELL_SEALED;
    if (flags & TETHER_WRITE_END) {
        flow->write_ended = 1;
        flow->flags |= TETHER_FLOW_LOCAL_END;
        if (tx->unsent != TETHER_NIL) {
            ep->tx.cells[tx->tail].flags |= TETHER_FLAG_END;
        } else { /* nothing left that could carry END */
            flow->control |= TETHER_CONTROL_END;
            tether_enqueue(ep, flow, TETHER_Q_CONTROL);
            tether_work(ep, ch);
        }
    }
    return (int64_t)done;
}

static int64_t write_message(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                             const uint8_t *data, size_t length)
{
    size_t cells = (length + ch->cut_bytes - 1) / ch->cut_bytes, done = 0;
    if (length == 0)
        return -EINVAL;
    if (length > flow->bound || cells > ep->config.tx_cells)
        return -EMSGSIZE;
    if (cells > tether_tx_room(ep))
        return again(ep, flow, (uint32_t)cells);
    while (done < length) {
        size_t piece = length - done < ch->cut_bytes ? length - done : ch->cut_bytes;
        uint32_t cell = new_cell(ep);
        struct tether_cell *c;
        if (TETHER_BROKEN(ep, cell != TETHER_NIL)) /* room was counted */
            return -EAGAIN;
        c = &ep->tx.cells[cell];
        memcpy(tether_cell_payload(&ep->tx, cell), data + done, piece);
        c->length = (uint16_t)piece;
        c->flags = (uint8_t)((done == 0 ? TETHER_FLAG_FIRST : 0) | (done + piece == length ? TETHER_FLAG_END : 0));
        c->marks = TETHER_CELL_SEALED;
        tether_tx_append(ep, ch, flow, cell);
        done += piece;
    }
    flow->tx.unsent_bytes += length;
    return (int64_t)length;
}

TETHER_API int64_t tether_flow_write(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id,
                                     const void *data, size_t length, uint32_t flags)
{
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    int64_t done;
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (ch->state != TETHER_CHANNEL_UP || flow->write_ended ||
        flow->flags & (TETHER_FLOW_LOCAL_CLOSED | TETHER_FLOW_REMOTE_CLOSED))
        return -EPIPE;
    if ((data == NULL && length) || length > INT32_MAX || flags & ~(TETHER_WRITE_FLUSH | TETHER_WRITE_END))
        return -EINVAL;
    if (flow->kind == TETHER_FLOW_MESSAGE && flags & TETHER_WRITE_END)
        return -EINVAL;
    if (flow->kind == TETHER_FLOW_MESSAGE)
        done = write_message(ep, ch, flow, data, length);
    else
        done = write_bytes(ep, ch, flow, data, length, flags);
    if (done > 0)
        flow->drained_told = 0;
    if (done >= 0)
        tether_tx_kick(ep, ch, flow, now_ns);
    return done;
}

static int64_t read_message(struct tether_endpoint *ep, struct tether_flow *flow, uint8_t *data, size_t capacity)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t size = ep->rx.cells[rx->head].sent_ns;
    size_t done = 0;
    int end = 0;
    if (size > capacity)
        return -EMSGSIZE;
    while (!end) {
        uint32_t cell = rx->head;
        struct tether_cell *c = &ep->rx.cells[cell];
        memcpy(data + done, tether_cell_payload(&ep->rx, cell), c->length);
        done += c->length;
        end = c->flags & TETHER_FLAG_END;
        rx->delivered = c->slot + ep->floor;
        rx->head = c->next;
        if (rx->message_prev == cell)
            rx->message_prev = TETHER_NIL;
        tether_rx_free(ep, flow, cell);
    }
    if (rx->head == TETHER_NIL)
        rx->tail = TETHER_NIL;
    rx->readable_messages--;
    rx->readable_bytes -= size;
    return (int64_t)size;
}

static int64_t read_bytes(struct tether_endpoint *ep, struct tether_flow *flow, uint8_t *data, size_t capacity)
{
    struct tether_flow_rx *rx = &flow->rx;
    size_t done = 0;
    while (rx->head != TETHER_NIL && done < capacity) {
        uint32_t cell = rx->head;
        struct tether_cell *c = &ep->rx.cells[cell];
        size_t piece = (size_t)c->length - c->offset;
        if (piece > capacity - done)
            piece = capacity - done;
        memcpy(data + done, tether_cell_payload(&ep->rx, cell) + c->offset, piece);
        done += piece;
        c->offset = (uint16_t)(c->offset + piece);
        if (c->offset < c->length)
            break;
        rx->delivered = c->slot + ep->floor;
        rx->head = c->next;
        tether_rx_free(ep, flow, cell);
    }
    if (rx->head == TETHER_NIL)
        rx->tail = TETHER_NIL;
    rx->readable_bytes -= done;
    return (int64_t)done;
}

/* The peer has closed, and what it had sent before is here (or can no longer come). */
static int nothing_follows(const struct tether_channel *ch, const struct tether_flow *flow)
{
    return flow->flags & TETHER_FLOW_REMOTE_CLOSED &&
           (ch->state != TETHER_CHANNEL_UP || flow->rx.contig >= flow->rx.final);
}

TETHER_API int64_t tether_flow_read(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id, void *data,
                                    size_t capacity, uint32_t *flags)
{
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    int64_t done;
    if (flags != NULL)
        *flags = 0;
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (flow->mute)
        return -EPIPE;
    if (data == NULL && capacity)
        return -EINVAL;
    if (flow->kind == TETHER_FLOW_MESSAGE ? flow->rx.readable_messages == 0 : flow->rx.readable_bytes == 0) {
        if (flow->flags & TETHER_FLOW_REMOTE_END && flow->kind == TETHER_FLOW_BYTES) {
            if (flags != NULL)
                *flags = TETHER_READ_END;
            return 0;
        }
        return nothing_follows(ch, flow) ? -EPIPE : -EAGAIN;
    }
    if (flow->kind == TETHER_FLOW_MESSAGE)
        done = read_message(ep, flow, data, capacity);
    else
        done = read_bytes(ep, flow, data, capacity);
    if (done > 0)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_DELIVERED, .flow = flow->id, .slot = flow->rx.delivered,
                     .value = (uint64_t)done);
    if (done > 0 && flags != NULL && flow->kind == TETHER_FLOW_BYTES && flow->rx.readable_bytes == 0 &&
        flow->flags & TETHER_FLOW_REMOTE_END)
        *flags = TETHER_READ_END;
    if (flow->remote_gone && flow->rx.readable_bytes == 0)
        tether_flow_settle(ep, flow);
    return done;
}

TETHER_API int tether_flow_message_size(const tether_endpoint *cep, uint32_t channel, uint16_t id, uint64_t *size)
{
    struct tether_endpoint *ep = (struct tether_endpoint *)(uintptr_t)cep;
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (flow->kind != TETHER_FLOW_MESSAGE)
        return -EINVAL;
    if (flow->mute)
        return -EPIPE;
    if (flow->rx.readable_messages == 0)
        return nothing_follows(ch, flow) ? -EPIPE : -EAGAIN;
    *size = ep->rx.cells[flow->rx.head].sent_ns;
    return 0;
}

TETHER_API int tether_flow_cancel(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id)
{
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    if (flow == NULL)
        return -EBADF;
    if (flow->kind != TETHER_FLOW_MESSAGE)
        return -EOPNOTSUPP;
    if (ch->state != TETHER_CHANNEL_UP || flow->flags & TETHER_FLOW_LOCAL_CLOSED)
        return -EPIPE;
    return tether_tx_cancel(ep, ch, flow, now_ns);
}

TETHER_API int tether_flow_close(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id)
{
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    (void)now_ns;
    if (flow == NULL)
        return -EBADF;
    if (flow->flags & TETHER_FLOW_LOCAL_CLOSED)
        return -EALREADY;
    flow->flags |= TETHER_FLOW_LOCAL_CLOSED;
    if (ch->state != TETHER_CHANNEL_UP) {
        tether_flow_release(ep, flow);
        return 0;
    }
    tether_tx_truncate(ep, flow);
    flow->tx.declared = flow->tx.tail_slot;
    tether_rx_mute(ep, flow);
    if (flow->remote_gone) /* the peer drops what it has not got through when it hears of this */
        tether_rx_finish(ep, flow, flow->rx.final);
    else
        tether_grant_release(ep, flow);
    if (!flow->close_sent) {
        flow->control |= TETHER_CONTROL_CLOSE;
        tether_enqueue(ep, flow, TETHER_Q_CONTROL);
        tether_work(ep, ch);
    }
    tether_flow_settle(ep, flow);
    return 0;
}

TETHER_API int tether_flow_state(const tether_endpoint *cep, uint32_t channel, uint16_t id,
                                 struct tether_flow_state *state)
{
    struct tether_endpoint *ep = (struct tether_endpoint *)(uintptr_t)cep;
    struct tether_channel *ch;
    struct tether_flow *flow = lookup(ep, channel, id, &ch);
    uint32_t room;
    if (state->struct_size != sizeof *state)
        return -EINVAL;
    if (flow == NULL)
        return -EBADF;
    memset(state, 0, sizeof *state);
    state->struct_size = sizeof *state;
    state->kind = flow->kind;
    state->flags = flow->flags;
    state->bound = flow->bound;
    state->unsent_bytes = flow->tx.unsent_bytes;
    state->unacknowledged_bytes = flow->tx.unacked_bytes;
    state->readable_bytes = flow->rx.readable_bytes;
    state->readable_messages = flow->rx.readable_messages;
    room = flow->kind == TETHER_FLOW_BYTES ? byte_room(ep, flow) : tether_tx_room(ep);
    state->writable_bytes = (uint64_t)room * ch->cut_bytes;
    state->sent_slots = tether_ledger_next(&flow->tx.ledger);
    state->limit_slots = tether_ledger_limit(&flow->tx.ledger);
    state->granted_slots = flow->rx.granted;
    state->arrived_slots = flow->rx.contig;
    state->delivered_slots = flow->rx.delivered;
    state->demand_slots = flow->rx.demand;
    return 0;
}
