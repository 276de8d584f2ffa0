/* SPDX-License-Identifier: Apache-2.0 */
/* flow_calls.c: what the application does with a flow: open, write, read, cancel, close, look. */
#include <errno.h>

#include "schedule.h"

TETHER_API int tether_flow_open_options(tether_endpoint *ep, uint64_t now_ns, uint32_t channel,
                                        const struct tether_flow_options *asked, uint16_t *id)
{
    struct tether_channel *ch = tether_channel_find(ep, channel);
    struct tether_flow_options options;
    struct tether_flow *flow;
    uint16_t free_id;
    int refused;
    if (ch == NULL || ch->state != TETHER_CHANNEL_UP)
        return -ENOTCONN;
    if (asked == NULL || asked->struct_size != sizeof *asked || id == NULL)
        return -EINVAL;
    options = *asked;
    refused = tether_flow_check(ep, ch, &options);
    if (refused)
        return refused;
    if (ch->flow_count + 1 >= ep->flow_nodes || (free_id = tether_ids_next(ep, ch, now_ns)) == 0)
        return -ENOSPC;
    flow = tether_flow_take(ep, ch, free_id, &options, now_ns);
    if (flow == NULL)
        return -ENOSPC;
    if (tether_schedule_admit(ep, flow, options.budget)) {
        tether_flow_release(ep, flow);
        return -EBUSY;
    }
    flow->control = TETHER_CONTROL_DEFINE;
    tether_enqueue(ep, flow, TETHER_Q_CONTROL);
    tether_work(ep, ch);
    *id = flow->id;
    return 0;
}

TETHER_API int tether_flow_open(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint8_t kind, uint64_t bound,
                                uint16_t *id)
{
    struct tether_flow_options options = {.struct_size = sizeof options, .kind = kind, .bound = bound};
    return tether_flow_open_options(ep, now_ns, channel, &options, id);
}

/* Ask for FLOW_WRITABLE when `cells` are free. */
static int64_t again(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cells)
{
    flow->tx.wanted_cells = cells;
    tether_enqueue(ep, flow, TETHER_Q_WRITE);
    return -EAGAIN;
}

/* Byte flows leave a part of the send cells to others. */
static uint32_t byte_room(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    uint32_t most = ep->config.tx_cells - ep->config.tx_cells / 32, room = tether_tx_room(ep);
    most = most > flow->tx.cells ? most - flow->tx.cells : 0;
    return room < most ? room : most;
}

static uint32_t new_cell(struct tether_endpoint *ep, uint64_t now_ns)
{
    uint32_t cell = tether_cells_take(&ep->tx);
    if (cell != TETHER_NIL) {
        ep->tx.cells[cell].marks = 0;
        ep->tx.cells[cell].tags = 0;
        ep->tx.cells[cell].queued_ns = now_ns;
        ep->tx.cells[cell].flags = 0;
        ep->tx_used++;
    }
    return cell;
}

/* Bytes appended to the last unsent cell, which is not full and was not flushed. */
static size_t top_up(struct tether_endpoint *ep, struct tether_flow *flow, const uint8_t *data, size_t length)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_cell *c;
    size_t room;
    uint32_t cell = tx->tail;
    if (length == 0 || tx->unsent == TETHER_NIL || ep->tx.cells[cell].marks & TETHER_CELL_SEALED)
        return 0;
    c = &ep->tx.cells[cell];
    room = flow->cut_bytes - c->length;
    if (length > room)
        length = room;
    memcpy(tether_cell_payload(&ep->tx, cell) + c->length, data, length);
    c->length = (uint16_t)(c->length + length);
    memset(tether_cell_payload(&ep->tx, cell) + c->length, 0,
           (TETHER_BLOCK_BYTES - c->length % TETHER_BLOCK_BYTES) % TETHER_BLOCK_BYTES);
    tx->tail_slot -= c->slots;
    c->slots = (uint16_t)tether_tx_cell_slots(flow, c->length);
    tx->tail_slot += c->slots;
    if (c->length == flow->cut_bytes)
        c->marks |= TETHER_CELL_SEALED;
    return length;
}

static int64_t write_bytes(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                           const uint8_t *data, size_t length, uint32_t flags, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    size_t done = top_up(ep, flow, data, length);
    uint32_t room = byte_room(ep, flow);
    while (done < length && room-- > 0) {
        size_t piece = length - done < flow->cut_bytes ? length - done : flow->cut_bytes;
        uint32_t cell = new_cell(ep, now_ns);
        if (cell == TETHER_NIL)
            break;
        memcpy(tether_cell_payload(&ep->tx, cell), data + done, piece);
        ep->tx.cells[cell].length = (uint16_t)piece;
        ep->tx.cells[cell].marks = piece == flow->cut_bytes ? TETHER_CELL_SEALED : 0;
        tether_tx_append(ep, flow, cell);
        done += piece;
    }
    tx->unsent_bytes += done;
    if (done < length) {
        (void)again(ep, flow, (ep->config.tx_cells < 1024 ? ep->config.tx_cells / 16 : 64) + 1);
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

static int64_t write_message(struct tether_endpoint *ep, struct tether_flow *flow, const uint8_t *data, size_t length,
                             uint64_t now_ns)
{
    size_t cells = (length + flow->cut_bytes - 1) / flow->cut_bytes, done = 0;
    if (length == 0)
        return -EINVAL;
    if (length > flow->bound || cells > ep->config.tx_cells)
        return -EMSGSIZE;
    if (cells > tether_tx_room(ep))
        return again(ep, flow, (uint32_t)cells);
    while (done < length) {
        size_t piece = length - done < flow->cut_bytes ? length - done : flow->cut_bytes;
        uint32_t cell = new_cell(ep, now_ns);
        struct tether_cell *c;
        if (TETHER_BROKEN(ep, cell != TETHER_NIL)) /* room was counted */
            return -EAGAIN;
        c = &ep->tx.cells[cell];
        memcpy(tether_cell_payload(&ep->tx, cell), data + done, piece);
        c->length = (uint16_t)piece;
        c->flags = (uint8_t)((done == 0 ? TETHER_FLAG_FIRST : 0) | (done + piece == length ? TETHER_FLAG_END : 0));
        c->marks = TETHER_CELL_SEALED;
        c->ordinal = (uint32_t)flow->tx.written;
        tether_tx_append(ep, flow, cell);
        done += piece;
    }
    flow->tx.written++;
    flow->tx.unsent_bytes += length;
    return (int64_t)length;
}

TETHER_API int64_t tether_flow_write(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id,
                                     const void *data, size_t length, uint32_t flags)
{
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
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
    if (tether_flow_positioned(flow) && (flags & (TETHER_WRITE_FLUSH | TETHER_WRITE_END)) == TETHER_WRITE_FLUSH)
        return -EINVAL; /* only the last frame may be short */
    if (flow->kind == TETHER_FLOW_MESSAGE)
        done = write_message(ep, flow, data, length, now_ns);
    else
        done = write_bytes(ep, ch, flow, data, length, flags, now_ns);
    if (done > 0)
        flow->drained_told = 0;
    if (done >= 0)
        tether_tx_kick(ep, ch, flow, now_ns);
    return done;
}

TETHER_API int tether_flow_cancel(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id)
{
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
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
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
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
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
    uint32_t room;
    if (state->struct_size != sizeof *state)
        return -EINVAL;
    if (flow == NULL)
        return -EBADF;
    memset(state, 0, sizeof *state);
    state->struct_size = sizeof *state;
    state->kind = flow->kind;
    state->flags = flow->flags;
    state->reliability = flow->reliability;
    state->order = flow->order;
    state->scale = flow->scale;
    state->bound = flow->bound;
    state->unsent_bytes = flow->tx.unsent_bytes;
    state->unacknowledged_bytes = flow->tx.unacked_bytes;
    state->readable_bytes = flow->rx.readable_bytes;
    state->readable_messages = flow->rx.readable_messages;
    room = flow->kind == TETHER_FLOW_BYTES ? byte_room(ep, flow) : tether_tx_room(ep);
    state->writable_bytes = (uint64_t)room * flow->cut_bytes;
    state->sent_slots = tether_ledger_next(&flow->tx.ledger);
    state->limit_slots = tether_ledger_limit(&flow->tx.ledger);
    state->granted_slots = flow->rx.granted;
    state->arrived_slots = flow->rx.contig;
    state->delivered_slots = flow->rx.delivered;
    state->demand_slots = flow->rx.demand;
    state->skipped_slots = flow->rx.skipped;
    state->budget = flow->budget;
    state->latency_ns = flow->latency_ns;
    state->deadline_ns = flow->deadline_ns;
    state->messages_written = flow->tx.written;
    state->messages_begun = flow->tx.begun;
    state->messages_receipted = flow->tx.receipted;
    state->messages_dropped = flow->tx.dropped;
    return 0;
}
