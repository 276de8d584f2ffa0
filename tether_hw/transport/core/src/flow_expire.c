/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_expire.c: expiring flows: what is older than its deadline is not worth a frame any more (T-EXP in RFC 0001).
 *
 * The queue is in the order in which it was written, so what has expired is its beginning: sent and not receipted,
 * or not sent at all. One Skip names all of it; the receiver keeps what had arrived and waits for nothing of the rest.
 */
#include "endpoint.h"

/* When the first cell in the queue expires; UINT64_MAX = nothing waits. */
uint64_t tether_tx_expires(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_cell *c;
    if (flow->reliability != TETHER_FLOW_EXPIRING || flow->tx.head == TETHER_NIL)
        return UINT64_MAX;
    c = &ep->tx.cells[flow->tx.head];
    if (!(c->marks & TETHER_CELL_SEALED)) /* still being written */
        return UINT64_MAX;
    return c->queued_ns > UINT64_MAX - flow->deadline_ns ? UINT64_MAX : c->queued_ns + flow->deadline_ns;
}

/* Say by a Skip that [first, end) will not come; everything pending that does not touch it has gone first. 0 or -1. */
int tether_tx_skip(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t first,
                   uint64_t end, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    int touches = tx->skip_end == first || (flow->reliability == TETHER_FLOW_EXPIRING && tx->skip_end <= end &&
                                            ep->tx.cells[tx->head].slot == first);
    /*
     * An earlier Skip still waits and data went between: one tag cannot say both, so the earlier one goes first. What
     * expires is all that has no receipt, so there one Skip can say it.
     */
    if (flow->control & TETHER_CONTROL_SKIP && !touches) {
        tether_enqueue(ep, flow, TETHER_Q_CONTROL);
        (void)tether_control_compose(ep, ch, now_ns);
        if (flow->control & TETHER_CONTROL_SKIP)
            return -1;
    }
    if (!(flow->control & TETHER_CONTROL_SKIP))
        tx->skip_first = first;
    tx->skip_end = end;
    tether_ledger_grant(&tx->ledger, end);
    tether_ledger_skip(&tx->ledger, end);
    tx->declared = tx->declared > end ? tx->declared : end;
    tx->told = tx->told > end ? tx->told : end;
    flow->control |= TETHER_CONTROL_SKIP;
    tether_tx_tell_skip(ep, ch, flow, now_ns);
    return 0;
}

/* When the Skip that waits may be told; UINT64_MAX = none. Of an expiring flow eight in a deadline are enough. */
uint64_t tether_tx_skip_due(const struct tether_flow *flow)
{
    if (!(flow->control & TETHER_CONTROL_SKIP) || flow->queued >> TETHER_Q_CONTROL & 1)
        return UINT64_MAX;
    return flow->tx.skip_ns ? flow->tx.skip_ns + flow->deadline_ns / 8 : 0;
}

void tether_tx_tell_skip(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns)
{
    uint64_t due = tether_tx_skip_due(flow);
    if (due == UINT64_MAX)
        return;
    if (due > now_ns) {
        tether_timed(ep, ch, flow, now_ns);
        tether_arm(ep, ch, due);
        return;
    }
    flow->tx.skip_ns = now_ns;
    tether_enqueue(ep, flow, TETHER_Q_CONTROL);
    tether_work(ep, ch);
}

/* Drop what has expired. */
void tether_tx_expire_old(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                          uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint64_t first, end;
    int last = 0;
    if (tether_tx_expires(ep, flow) > now_ns || ch->state != TETHER_CHANNEL_UP)
        return;
    first = end = ep->tx.cells[tx->head].slot;
    for (uint32_t cell = tx->head; cell != TETHER_NIL; cell = ep->tx.cells[cell].next) {
        const struct tether_cell *c = &ep->tx.cells[cell];
        if (!(c->marks & TETHER_CELL_SEALED) || now_ns - c->queued_ns < flow->deadline_ns)
            break;
        end = c->slot + c->slots;
    }
    if (tether_tx_skip(ep, ch, flow, first, end, now_ns)) {
        tether_arm(ep, ch, now_ns + tether_channel_silence(ep, ch)); /* no place on Flow 0 for the Skip yet */
        return;
    }
    while (tx->head != TETHER_NIL && ep->tx.cells[tx->head].slot < end) {
        uint32_t cell = tx->head;
        struct tether_cell *c = &ep->tx.cells[cell];
        tx->dropped += flow->kind == TETHER_FLOW_MESSAGE && c->flags & TETHER_FLAG_END;
        last = flow->kind == TETHER_FLOW_BYTES && c->flags & TETHER_FLAG_END;
        if (cell == tx->unsent) {
            tx->unsent = c->next;
            tx->unsent_bytes -= c->length;
        } else {
            tx->unacked_bytes -= c->length;
        }
        if (cell == tx->declared_cell)
            tx->declared_cell = c->next;
        tx->head = c->next;
        tether_tx_free(ep, flow, cell);
    }
    if (tx->declared == end)
        tx->declared_cell = tx->unsent;
    tx->next_end = 0;
    tether_tx_moved(ep, flow);
    if (last) { /* END went with it */
        flow->control |= TETHER_CONTROL_END;
        tether_enqueue(ep, flow, TETHER_Q_CONTROL);
    }
    if (tx->unsent != TETHER_NIL)
        tether_tx_kick(ep, ch, flow, now_ns);
    tether_tx_wake(ep);
}
