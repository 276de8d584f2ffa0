/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c: the flow table of a channel, and the life of a flow in it. */
#include <errno.h>

#include "endpoint.h"
#include "flow_rx.h"

static uint16_t *table_of(struct tether_endpoint *ep, const struct tether_channel *ch)
{
    return ep->table + (size_t)tether_channel_slot(ep, ch) * (ep->table_mask + 1);
}

static uint32_t hash(const struct tether_endpoint *ep, uint16_t id)
{
    return (uint32_t)(id >> 1) * 2654435761u >> 8 & ep->table_mask;
}

struct tether_flow *tether_flow_search(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id)
{
    struct tether_flow *flow;
    const uint16_t *table;
    if (id == 0)
        return tether_flow_at(ep, ch, 0);
    table = table_of(ep, ch);
    for (uint32_t at = hash(ep, id); table[at]; at = (at + 1) & ep->table_mask) {
        flow = tether_flow_at(ep, ch, table[at]);
        if (flow->id == id && flow->used) {
            ch->last = flow;
            return flow;
        }
    }
    return NULL;
}

/* What the application names; *ch is NULL when there is no such channel. */
struct tether_flow *tether_flow_lookup(struct tether_endpoint *ep, uint32_t channel, uint16_t id,
                                       struct tether_channel **ch)
{
    *ch = tether_channel_find(ep, channel);
    if (*ch == NULL || id == 0)
        return NULL;
    return tether_flow_find(ep, *ch, id);
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

/* Payload of a full frame of a flow whose slots are 64 << scale bytes: whole slots. */
static uint32_t cut_bytes(const struct tether_channel *ch, uint8_t scale)
{
    return (ch->cut_bytes / TETHER_BLOCK_BYTES >> scale << scale) * TETHER_BLOCK_BYTES;
}

/* The largest message that fits our cells on this channel, whose frames may be smaller than they are (T-MSG-8). */
uint64_t tether_message_most(const struct tether_endpoint *ep, const struct tether_channel *ch, uint8_t scale)
{
    uint64_t cells = (uint64_t)ep->config.rx_cells * cut_bytes(ch, scale);
    return cells < ep->config.max_message ? cells : ep->config.max_message;
}

/* The largest of a flow: a scale that does not fill the frames needs more of the peer's cells too (T-MSG-7). */
static uint64_t most_bytes(const struct tether_endpoint *ep, const struct tether_channel *ch, uint8_t scale)
{
    uint64_t own = tether_message_most(ep, ch, scale), peer = ch->peer_max_message;
    if (cut_bytes(ch, scale) < ch->cut_bytes)
        peer = peer / ch->cut_bytes * cut_bytes(ch, scale);
    return own < peer ? own : peer;
}

/*
 * Can there be such a flow on this channel? 0, -EINVAL, -EMSGSIZE. A bound of 0 becomes the most that both ends allow:
 * the opener's short form, never what a DEFINE says.
 */
int tether_flow_check(const struct tether_endpoint *ep, const struct tether_channel *ch,
                      struct tether_flow_options *options)
{
    uint32_t blocks = ch->cut_bytes / TETHER_BLOCK_BYTES;
    uint64_t most;
    if (options->kind > TETHER_FLOW_MESSAGE || options->reliability > TETHER_FLOW_EXPIRING ||
        options->order > TETHER_FLOW_UNORDERED)
        return -EINVAL;
    if (options->scale > (blocks < TETHER_JUMBO_BLOCKS ? 1u : TETHER_FLOW_SCALE_MAX) || blocks >> options->scale == 0)
        return -EINVAL;
    if (options->reliability == TETHER_FLOW_EXPIRING ? options->deadline_ns == 0 : options->deadline_ns != 0)
        return -EINVAL;
    if (options->kind == TETHER_FLOW_BYTES) {
        options->bound = 0;
        return 0;
    }
    most = most_bytes(ep, ch, options->scale);
    if (options->bound == 0)
        options->bound = most;
    return options->bound == 0 || options->bound > most ? -EMSGSIZE : 0;
}

/* Everything but id, kind, bound and links to its beginning. */
void tether_flow_setup(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t cut = cut_bytes(ch, flow->scale), peer_floor = (uint32_t)ch->peer_floor >> flow->scale;
    uint64_t frames = cut ? flow->bound / cut + (flow->bound % cut != 0) : 0;
    memset(tx, 0, sizeof *tx);
    memset(rx, 0, sizeof *rx);
    tether_ledger_init(&tx->ledger, 0, 0);
    tx->head = tx->tail = tx->unsent = tx->declared_cell = TETHER_NIL;
    tx->repair_head = tx->repair_tail = TETHER_NIL;
    flow->cut_bytes = cut;
    tx->floor = peer_floor ? peer_floor : 1;
    tx->bound_slots = frames * tether_tx_cell_slots(flow, cut);
    tx->clock.since_ns = rx->clock.since_ns = now_ns;
    rx->head = rx->tail = rx->ahead = rx->ahead_tail = rx->message_cell = rx->message_prev = TETHER_NIL;
    rx->fragments = TETHER_NIL;
    rx->final = rx->end = UINT64_MAX;
    rx->floor = ep->floor >> flow->scale ? ep->floor >> flow->scale : 1;
    rx->bound_slots = frames * rx->floor;
    rx->tell_after = TETHER_RECEIPT_FRAMES;
    tether_gaps_init(&rx->gaps);
    flow->flags = flow->news = flow->refresh_round = 0;
    flow->control = 0;
    flow->close_sent = flow->close_acked = flow->remote_gone = flow->remote_end = flow->mute = flow->write_ended = 0;
    flow->drained_told = 1;
    flow->ember_in = flow->ember_out = flow->gone = 0;
    flow->unheard = 1;
    flow->budget_bps = 0;
    flow->close_reason = 0;
    flow->close_status = 0;
    flow->close_at = flow->closed_ns = 0;
}

/* A flow with this id and checked options; NULL when the table is full. */
struct tether_flow *tether_flow_take(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id,
                                     const struct tether_flow_options *options, uint64_t now_ns)
{
    for (uint32_t i = 1; i < ep->flow_nodes; i++) {
        struct tether_flow *flow = tether_flow_at(ep, ch, i);
        if (flow->used || flow->events)
            continue;
        flow->id = id;
        flow->kind = options->kind;
        flow->reliability = options->reliability;
        flow->order = options->order;
        flow->scale = options->scale;
        flow->bound = options->bound;
        flow->budget = options->budget;
        flow->latency_ns = options->latency_ns;
        flow->deadline_ns = options->deadline_ns;
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
    uint32_t head, tail;
    uint64_t bytes = rx->readable_bytes, messages = rx->readable_messages;
    tether_tx_drop(ep, flow);
    if (ch->ember_out && ch->ember_out == tether_flow_slot(ep, flow))
        ch->ember_out = 0;
    flow->ember_out = 0;
    tether_ledger_grant(&flow->tx.ledger, tether_ledger_next(&flow->tx.ledger)); /* nothing more is sent */
    tether_rx_break_message(ep, flow);
    head = rx->head; /* kept aside from the drop */
    tail = rx->tail;
    rx->head = TETHER_NIL;
    tether_rx_drop(ep, flow);
    flow->mute = mute;
    rx->head = head;
    rx->tail = tail;
    rx->readable_bytes = bytes;
    rx->readable_messages = messages;
    rx->demand = rx->upper = rx->granted;
    tether_unqueue_all(ep, flow);
    flow->news = 0;
    flow->control = 0;
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
    ep->admitted_bps -= flow->budget_bps;
    flow->budget_bps = 0;
    flow->events &= 1u << TETHER_EVENT_FLOW_CLOSED | 1u << TETHER_EVENT_MESSAGE_UNKNOWN;
    if (!flow->events)
        tether_queue_remove(ep, &ep->queues[TETHER_Q_EVENT], TETHER_Q_EVENT, flow);
    ch->flow_count--;
    if (ch->last == flow)
        ch->last = tether_flow_at(ep, ch, 0);
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
    if (!flow->close_acked)
        return;
    if (!flow->gone) {
        flow->gone = 1; /* on the wire; what is unread stays until it is read */
        tether_ids_gone(ep, ch, flow);
    }
    if (readable(flow))
        return;
    if (flow->flags & TETHER_FLOW_LOCAL_CLOSED || !(flow->events >> TETHER_EVENT_FLOW_CLOSED & 1))
        tether_flow_release(ep, flow);
}
