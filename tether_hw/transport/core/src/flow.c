/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c: the flow table of a channel, and the life of a flow in it. */
#include <errno.h>

#include "endpoint.h"

static uint16_t *table_of(struct tether_endpoint *ep, const struct tether_channel *ch)
{
    return ep->table + (size_t)tether_channel_slot(ep, ch) * (ep->table_mask + 1);
}

static uint32_t hash(const struct tether_endpoint *ep, uint16_t id)
{
    return (uint32_t)(id >> 1) * 2654435761u >> 8 & ep->table_mask;
}

struct tether_flow *tether_flow_find(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id)
{
    struct tether_flow *flow = tether_flow_at(ep, ch, ch->last_slot);
    const uint16_t *table;
    if (flow->id == id && flow->used)
        return flow;
    if (id == 0)
        return tether_flow_at(ep, ch, 0);
    table = table_of(ep, ch);
    for (uint32_t at = hash(ep, id); table[at]; at = (at + 1) & ep->table_mask) {
        flow = tether_flow_at(ep, ch, table[at]);
        if (flow->id == id && flow->used) {
            ch->last_slot = table[at];
            return flow;
        }
    }
    return NULL;
}

static void table_rebuild(struct tether_endpoint *ep, struct tether_channel *ch)
{
    uint16_t *table = table_of(ep, ch);
    memset(table, 0, (ep->table_mask + 1) * sizeof *table);
    for (uint32_t i = 1; i < ep->flow_nodes; i++) {
        const struct tether_flow *flow = tether_flow_at(ep, ch, i);
        uint32_t at = hash(ep, flow->id);
        if (!flow->used)
            continue;
        while (table[at])
            at = (at + 1) & ep->table_mask;
        table[at] = (uint16_t)i;
    }
}

/* Everything but id, kind, bound and links to its beginning. */
void tether_flow_setup(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t frames = ch->cut_bytes ? (flow->bound + ch->cut_bytes - 1) / ch->cut_bytes : 0;
    memset(tx, 0, sizeof *tx);
    memset(rx, 0, sizeof *rx);
    tether_ledger_init(&tx->ledger, 0, 0);
    tx->head = tx->tail = tx->unsent = tx->declared_cell = TETHER_NIL;
    tx->repair_head = tx->repair_tail = TETHER_NIL;
    tx->bound_slots = frames * (uint64_t)tether_tx_cell_slots(ch, ch->cut_bytes);
    tx->clock.since_ns = rx->clock.since_ns = now_ns;
    rx->head = rx->tail = rx->ahead = rx->ahead_tail = rx->message_cell = rx->message_prev = TETHER_NIL;
    rx->final = UINT64_MAX;
    rx->bound_slots = frames * ep->floor;
    tether_gaps_init(&rx->gaps);
    flow->flags = flow->news = flow->control = flow->refresh_round = 0;
    flow->close_sent = flow->close_acked = flow->remote_gone = flow->remote_end = flow->mute = flow->write_ended = 0;
    flow->drained_told = 1;
    flow->ember_in = flow->ember_out = 0;
    flow->budget_bps = flow->latency_ns = 0;
    flow->close_reason = 0;
    flow->close_status = 0;
    flow->close_at = 0;
}

/* A flow with this id; NULL when the table is full or a message of `bound` could never be received here. */
struct tether_flow *tether_flow_take(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id, uint8_t kind,
                                     uint64_t bound, uint64_t now_ns)
{
    if (kind == TETHER_FLOW_MESSAGE &&
        (bound == 0 || bound > ep->config.max_message ||
         (bound + ch->rx_cut_bytes - 1) / ch->rx_cut_bytes > ep->config.rx_cells))
        return NULL;
    for (uint32_t i = 1; i < ep->flow_nodes; i++) {
        struct tether_flow *flow = tether_flow_at(ep, ch, i);
        if (flow->used || flow->events)
            continue;
        flow->id = id;
        flow->kind = kind;
        flow->bound = bound;
        flow->channel = tether_channel_slot(ep, ch);
        tether_flow_setup(ep, ch, flow, now_ns);
        flow->used = 1;
        ch->flow_count++;
        table_rebuild(ep, ch);
        return flow;
    }
    return NULL;
}

/* Off the network: cells that nobody will read or repair go back, what is in order stays readable. */
void tether_flow_drop(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_channel *ch = tether_channel_of(ep, flow);
    uint8_t mute = flow->mute;
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t head = rx->head, tail = rx->tail, held = 0;
    uint64_t bytes = rx->readable_bytes, messages = rx->readable_messages;
    tether_tx_drop(ep, flow);
    if (ch->ember_out && ch->ember_out == tether_flow_slot(ep, flow))
        ch->ember_out = 0;
    flow->ember_out = 0;
    tether_ledger_grant(&flow->tx.ledger, tether_ledger_next(&flow->tx.ledger)); /* nothing more is sent */
    if (rx->message_cell != TETHER_NIL) { /* a message that will not end */
        uint32_t cell = rx->message_cell;
        tail = rx->message_prev;
        if (tail == TETHER_NIL)
            head = TETHER_NIL;
        else
            ep->rx.cells[tail].next = TETHER_NIL;
        while (cell != TETHER_NIL) {
            uint32_t following = ep->rx.cells[cell].next;
            tether_rx_free(ep, flow, cell);
            cell = following;
        }
        rx->message_cell = TETHER_NIL;
        rx->message_bytes = 0;
    }
    rx->head = TETHER_NIL; /* kept aside from the drop */
    tether_rx_drop(ep, flow);
    (void)held;
    flow->mute = mute;
    rx->head = head;
    rx->tail = tail;
    rx->readable_bytes = bytes;
    rx->readable_messages = messages;
    rx->demand = rx->upper = rx->granted;
    tether_unqueue_all(ep, flow);
    flow->news = flow->control = 0;
}

/* The node is free; events that are still to be told keep it from being taken again. */
void tether_flow_release(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_channel *ch = tether_channel_of(ep, flow);
    if (!flow->used)
        return;
    tether_flow_drop(ep, flow);
    tether_rx_mute(ep, flow);
    flow->used = 0;
    flow->events &= 1u << TETHER_EVENT_FLOW_CLOSED;
    if (!flow->events)
        tether_queue_remove(ep, &ep->queues[TETHER_Q_EVENT], TETHER_Q_EVENT, flow);
    ch->flow_count--;
    if (ch->last_slot == tether_flow_slot(ep, flow))
        ch->last_slot = 0;
    table_rebuild(ep, ch);
    if (ch->state == TETHER_CHANNEL_DEAD && ch->flow_count == 0 && tether_flow_at(ep, ch, 0)->events == 0)
        ch->state = TETHER_CHANNEL_FREE;
}

static int readable(const struct tether_flow *flow)
{
    return flow->rx.readable_bytes != 0;
}

/* Free the flow when both ends have closed, our word of it has arrived, and nobody has anything left to fetch. */
void tether_flow_settle(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_channel *ch = tether_channel_of(ep, flow);
    struct tether_flow_rx *rx = &flow->rx;
    if (!flow->used || flow->id == 0)
        return;
    if (flow->remote_end && rx->contig >= rx->final && flow->kind == TETHER_FLOW_BYTES &&
        !(flow->flags & TETHER_FLOW_REMOTE_END)) {
        flow->flags |= TETHER_FLOW_REMOTE_END;
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    }
    if (ch->state != TETHER_CHANNEL_UP || !flow->remote_gone || rx->contig < rx->final)
        return;
    /* Everything of the peer is here: our own close tells it so. */
    if (!flow->close_sent && !(flow->control & TETHER_CONTROL_CLOSE)) {
        flow->control |= TETHER_CONTROL_CLOSE;
        tether_enqueue(ep, flow, TETHER_Q_CONTROL);
        tether_work(ep, ch);
        if (!(flow->flags & TETHER_FLOW_LOCAL_CLOSED)) /* who met the last gap with -EAGAIN meets -EPIPE now */
            tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    }
    if (!flow->close_acked || readable(flow))
        return;
    if (flow->flags & TETHER_FLOW_LOCAL_CLOSED || !(flow->events >> TETHER_EVENT_FLOW_CLOSED & 1))
        tether_flow_release(ep, flow);
}
