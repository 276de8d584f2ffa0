/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transmit.c: which frame goes next. Per channel: Lamp, repairs, Flow 0, news that waits for no data frame, data.
 *
 * Channels take turns frame by frame. Every frame of a flow carries all there is to say about its reverse
 * direction, so news of a flow that sends data anyway costs no frame.
 */
#include "burst.h"
#include "frame.h"

/* What a frame costs of its flow's pace: the blocks that it fills, and its header where it does not fill its slots. */
TETHER_USUAL void charge(struct tether_flow *flow, const struct tether_cell *c, uint32_t blocks, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    tether_pacer_charge(&tx->pacer, blocks + 2 < c->slots ? blocks + 2 : c->slots, now_ns);
    if (tx->unsent == TETHER_NIL && tx->repair_head == TETHER_NIL)
        tx->pacer.grace_ns = 0;
}

/* May a frame of this flow go now? If not, the flow is called when it may. */
static int in_time(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns)
{
    if (flow->tx.pacer.at_ns <= now_ns || flow->id == 0)
        return 1;
    tether_pace_wait(ep, flow);
    return 0;
}

/* Its header is written: it leaves. */
TETHER_USUAL void sent(struct tether_endpoint *ep, struct tether_flow *flow, struct tether_cell *c, uint32_t blocks,
                       uint64_t now_ns)
{
    c->sent_ns = now_ns;
    flow->tx.clock.since_ns = now_ns;
    if (flow->tx.pacer.slot_ns16)
        charge(flow, c, blocks, now_ns);
    TETHER_COUNT(ep, data_frames_sent);
}

/* Seal and hand out a cell, last of all. */
TETHER_USUAL int send_cell(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                           struct tether_cell *c, uint64_t now_ns, uint8_t *frame, uint16_t kind, uint16_t flags)
{
    uint32_t blocks = tether_blocks(c->length);
    tether_frame_begin(ep, ch, flow, frame, c->flags, c->length, c->slot, c->slot + c->slots, now_ns);
    sent(ep, flow, c, blocks, now_ns);
    TETHER_TRACE(ep, ch, now_ns, .kind = kind, .flags = flags, .flow = flow->id, .sequence = ch->sequence,
                 .slot = c->slot, .count = c->slots, .value = c->length);
    return tether_frame_end(ep, ch, c->payload, blocks * TETHER_BLOCK_BYTES, frame);
}

TETHER_RARE static int send_repair(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_queue *queue = &ch->queues[TETHER_Q_REPAIR];
    struct tether_flow *flow;
    while ((flow = tether_queue_pop(ep, queue, TETHER_Q_REPAIR)) != NULL) {
        uint32_t cell;
        if (!in_time(ep, flow, now_ns))
            continue;
        tether_tx_expire(ep, ch, flow, now_ns);
        cell = tether_tx_repair_next(ep, flow);
        if (flow->tx.repair_head != TETHER_NIL)
            tether_queue_push(ep, queue, TETHER_Q_REPAIR, flow);
        if (cell != TETHER_NIL) {
            TETHER_COUNT(ep, repairs_sent);
            flow->tx.busy.repaired += ep->tx.cells[cell].slots;
            return send_cell(ep, ch, flow, &ep->tx.cells[cell], now_ns, frame, TETHER_TRACE_REPAIR, 0);
        }
    }
    return 0;
}

/* The channel's ember for the next cell: 1, or 0 when it is out. */
TETHER_RARE static int take_ember(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                  uint32_t slots)
{
    uint64_t slot;
    if (flow->id == 0 || ch->ember_out || !tether_ledger_ember(&flow->tx.ledger, slots, &slot))
        return 0;
    flow->ember_out = 1;
    flow->ember_end = slot + slots;
    ch->ember_out = tether_flow_slot(ep, flow);
    TETHER_COUNT(ep, embers_sent);
    return 1;
}

/* A cell whose slots are paid is the last one that was sent. */
TETHER_USUAL void leave(struct tether_endpoint *ep, struct tether_flow *flow, struct tether_cell *c)
{
    struct tether_flow_tx *tx = &flow->tx;
    c->marks |= TETHER_CELL_SENT;
    tether_mile_set(ep, flow, c);
    tx->unsent = c->next;
    tx->unsent_bytes -= c->length;
    tx->unacked_bytes += c->length;
    ep->stats.slots_sent += c->slots;
}

/* The next unsent cell of a flow, paid by its credit (or the ember); NULL when there is none, and nothing has changed. */
TETHER_USUAL struct tether_cell *take_next(struct tether_endpoint *ep, struct tether_channel *ch,
                                           struct tether_flow *flow, uint64_t now_ns, uint16_t *ember)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_cell *c;
    uint64_t slot;
    *ember = 0;
    if (!tether_tx_ready(ep, flow))
        return NULL;
    c = &ep->tx.cells[tx->unsent];
    slot = c->slot; /* of an ember too */
    if (TETHER_UNLIKELY(!tether_ledger_debit(&tx->ledger, c->slots, &slot))) {
        if (!take_ember(ep, ch, flow, c->slots))
            return NULL;
        *ember = TETHER_TRACE_EMBER;
    }
    if (TETHER_BROKEN(ep, slot == c->slot && (slot + c->slots <= tether_ledger_limit(&tx->ledger) ||
                                              (flow->ember_out && slot <= tether_ledger_limit(&tx->ledger)))))
        return NULL; /* I1 */
    leave(ep, flow, c);
    if (TETHER_LIKELY(flow->id != 0)) {
        ep->stats.bytes_sent += c->length;
        if (flow->kind == TETHER_FLOW_MESSAGE) {
            tx->begun = tether_tx_ordinal(tx, c) + 1;
            ep->stats.messages_sent += (c->flags & TETHER_FLAG_END) != 0;
        }
    }
    if (TETHER_UNLIKELY(now_ns >= tx->busy.due_ns))
        tether_busy_round(ep, flow, now_ns);
    tether_timed(ep, ch, flow, now_ns);
    return c;
}

/* Where a frame is seldom, or much else was done for it. */
TETHER_RARE static int send_data(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                 uint64_t now_ns, uint8_t *frame)
{
    struct tether_cell *c;
    uint16_t ember;
    tether_tx_expire(ep, ch, flow, now_ns);
    if (!tether_tx_ready(ep, flow))
        tether_busy_begin(&flow->tx.busy);
    c = take_next(ep, ch, flow, now_ns, &ember);
    return c != NULL ? send_cell(ep, ch, flow, c, now_ns, frame, TETHER_TRACE_SENT, ember) : 0;
}

/* It sends: the next flow's turn. */
TETHER_USUAL void turn(struct tether_endpoint *ep, struct tether_queue *queue, const struct tether_flow *flow)
{
    if (TETHER_LIKELY(flow->tx.unsent != TETHER_NIL))
        tether_queue_turn(ep, queue, TETHER_Q_DATA);
    else
        (void)tether_queue_pop(ep, queue, TETHER_Q_DATA);
}

TETHER_RARE static int channel_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_flow *flow, *control = tether_flow_at(ep, ch, 0);
    struct tether_queue *queue = &ch->queues[TETHER_Q_DATA];
    int length;
    if (__builtin_expect(ch->away_ns != 0, 0))
        return 0; /* out of contact */
    if (__builtin_expect(ch->hail_due, 0)) {
        length = tether_hail_transmit(ep, ch, now_ns, frame);
        if (length)
            return length;
    }
    if (!tether_channel_live(ch))
        return 0;
    if (__builtin_expect(ch->sequence >= TETHER_MASK48, 0)) { /* no sequence twice (I6): only a new Hail goes on */
        tether_channel_down(ep, ch, now_ns, -EOVERFLOW, 0);
        tether_channel_reap(ep, ch);
        return 0;
    }
    if (tether_epoch_border(ch->sequence))
        (void)tether_keys_advance(&ch->tx_keys, tether_epoch(ch->sequence));
    if (ch->last_word || (ch->state == TETHER_CHANNEL_CLOSING && ch->linger == 0)) {
        length = 0;
        if (ch->last_word && ch->receipts) {
            tether_news(ep, ch, control, TETHER_NEWS_ANSWER);
            length = tether_news_send(ep, ch, now_ns, frame);
        }
        tether_channel_reap(ep, ch);
        return length;
    }
    if (ch->queues[TETHER_Q_REPAIR].head != TETHER_NIL && (length = send_repair(ep, ch, now_ns, frame)) != 0)
        return length;
    if (ch->queues[TETHER_Q_CONTROL].head != TETHER_NIL)
        (void)tether_control_compose(ep, ch, now_ns);
    if (control->tx.unsent != TETHER_NIL && (length = send_data(ep, ch, control, now_ns, frame)) != 0)
        return length;
    if (ch->queues[TETHER_Q_NEWS].head != TETHER_NIL && (length = tether_news_send(ep, ch, now_ns, frame)) != 0)
        return length;
    while ((flow = tether_queue_peek(ep, queue)) != NULL) {
        length = flow->tx.pacer.at_ns <= now_ns || flow->id == 0 ? send_data(ep, ch, flow, now_ns, frame) : 0;
        if (length != 0) {
            turn(ep, queue, flow);
            return length;
        }
        (void)tether_queue_pop(ep, queue, TETHER_Q_DATA);
        if (!in_time(ep, flow, now_ns))
            continue;
        tether_tx_kick(ep, ch, flow, now_ns);
        if (flow->queued >> TETHER_Q_DATA & 1)
            break; /* it can send, so something else failed: try again later */
    }
    return ch->queues[TETHER_Q_NEWS].head != TETHER_NIL ? tether_news_send(ep, ch, now_ns, frame) : 0;
}

/* What is not for a channel, or for none that is known, goes before all else. */
TETHER_RARE static int answer(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to)
{
    const struct tether_answer *answer = &ep->answers[ep->answer_first];
    int length = (int)answer->length;
    if (!tether_contact_own(ep, now_ns, NULL)) {
        ep->answer_count = 0; /* who asked did so out of contact, and asks again */
        return 0;
    }
    memcpy(frame, answer->frame, answer->length);
    *to = answer->to;
    ep->answer_first = (ep->answer_first + 1) % TETHER_ANSWERS;
    ep->answer_count--;
    TETHER_COUNT(ep, frames_sent);
    TETHER_COUNT(ep, lamps_sent);
    TETHER_TRACE(ep, NULL, now_ns, .kind = TETHER_TRACE_LAMP, .count = (uint64_t)length / TETHER_BLOCK_BYTES);
    return length;
}

/* Every channel that may have a frame, in turn. */
TETHER_RARE static int any(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to)
{
    struct tether_queue *work = &ep->queues[TETHER_Q_WORK];
    struct tether_flow *node;
    while ((node = tether_queue_pop(ep, work, TETHER_Q_WORK)) != NULL) {
        struct tether_channel *ch = tether_channel_of(ep, node);
        struct tether_address address = ch->address;
        int length = channel_transmit(ep, ch, now_ns, frame);
        if (length > 0) {
            *to = address;
            tether_work(ep, ch); /* behind the others */
            return length;
        }
    }
    return 0;
}

/* Whose turn it is, found by number, which costs more than to see that it is who had the turn before. 0: nobody's. */
TETHER_RARE static int recall_channel(struct tether_endpoint *ep)
{
    uint32_t node = ep->queues[TETHER_Q_WORK].head; /* channels stand in line by their Flow 0 */
    if (node == TETHER_NIL)
        return 0;
    ep->spoke_node = node;
    ep->spoke = tether_channel_of(ep, &ep->flows[node]);
    return 1;
}

TETHER_RARE static int recall_flow(struct tether_endpoint *ep, struct tether_channel *ch)
{
    uint32_t node = ch->queues[TETHER_Q_DATA].head;
    if (node == TETHER_NIL)
        return 0;
    ch->spoke_node = node;
    ch->spoke = &ep->flows[node];
    return 1;
}

/*
 * What nearly every call does: nothing stands in the first channel's queues but data, and its first flow may send. Where
 * this is not so, or that flow cannot, nothing has happened yet, and `any` finds what goes.
 */
TETHER_USUAL int stream(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to)
{
    struct tether_queue *work = &ep->queues[TETHER_Q_WORK], *queue;
    struct tether_channel *ch;
    struct tether_flow *control, *flow;
    struct tether_cell *c;
    uint16_t ember;
    if (TETHER_UNLIKELY(work->head != ep->spoke_node) && !recall_channel(ep))
        return any(ep, now_ns, frame, to);
    ch = ep->spoke;
    queue = &ch->queues[TETHER_Q_DATA];
    if (TETHER_UNLIKELY(queue->head != ch->spoke_node) && !recall_flow(ep, ch))
        return any(ep, now_ns, frame, to);
    flow = ch->spoke;
    control = ch->control;
    if (TETHER_UNLIKELY(ch->state != TETHER_CHANNEL_UP || ch->away_ns != 0 || ch->hail_due || ch->last_word ||
                        tether_epoch_border(ch->sequence)))
        return any(ep, now_ns, frame, to);
    if (TETHER_UNLIKELY((ch->queues[TETHER_Q_REPAIR].head & ch->queues[TETHER_Q_CONTROL].head &
                         ch->queues[TETHER_Q_NEWS].head & control->tx.unsent) != TETHER_NIL))
        return any(ep, now_ns, frame, to);
    if (TETHER_UNLIKELY(flow->reliability == TETHER_FLOW_EXPIRING || flow->tx.pacer.at_ns > now_ns))
        return any(ep, now_ns, frame, to);
    c = take_next(ep, ch, flow, now_ns, &ember);
    if (TETHER_UNLIKELY(c == NULL))
        return any(ep, now_ns, frame, to);
    *to = ch->address;
    turn(ep, queue, flow);
    tether_queue_turn(ep, work, TETHER_Q_WORK);
    return send_cell(ep, ch, flow, c, now_ns, frame, TETHER_TRACE_SENT, ember);
}

/* What is due at any call, before the first frame of it. */
TETHER_USUAL int transmit(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to)
{
    int length;
    ep->now_ns = now_ns;
    if (now_ns >= ep->timer_ns)
        tether_timers_run(ep, now_ns);
    if (ep->paced_count)
        tether_pace_run(ep, now_ns);
    if (ep->grant_dirty)
        tether_grant_run(ep, now_ns);
    if (TETHER_UNLIKELY(now_ns >= ep->greetings.due_ns) && tether_contact_own(ep, now_ns, &ep->greetings.due_ns) &&
        (length = tether_warm_transmit(ep, now_ns, frame, to)) != 0)
        return length;
    if (TETHER_UNLIKELY(ep->answer_count != 0) && (length = answer(ep, now_ns, frame, to)) != 0)
        return length;
    return stream(ep, now_ns, frame, to);
}

TETHER_API int tether_endpoint_transmit(tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, size_t capacity,
                                        struct tether_address *to)
{
    return capacity < ep->frame_room ? -EINVAL : transmit(ep, now_ns, frame, to);
}

/* Is the flow that sent the last frame alone in line, and nothing asks for a frame but its data? */
TETHER_USUAL struct tether_flow *alone(struct tether_endpoint *ep)
{
    const struct tether_queue *work = &ep->queues[TETHER_Q_WORK];
    struct tether_channel *ch = ep->spoke;
    struct tether_flow *flow = ch->spoke;
    const struct tether_queue *queue = &ch->queues[TETHER_Q_DATA];
    return work->head == ep->spoke_node && work->tail == work->head && queue->head == ch->spoke_node &&
                   queue->tail == queue->head && ch->state == TETHER_CHANNEL_UP && !ch->away_ns && !ch->hail_due && !ch->last_word &&
                   (ch->queues[TETHER_Q_REPAIR].head & ch->queues[TETHER_Q_CONTROL].head & ch->queues[TETHER_Q_NEWS].head &
                    ch->control->tx.unsent) == TETHER_NIL && tether_flow_plain(flow) && flow->rx.gaps.count == 0 && flow->tx.busy.flag == 0 &&
                   ep->answer_count == 0 && !ep->grant_dirty && ep->paced_count == 0 && !TETHER_TRACED(ep)
               ? flow
               : NULL;
}

/* Its next frame, if it may go now; 0: not so, and nothing has happened. */
TETHER_USUAL int go_on(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       const struct tether_again *again, uint64_t now_ns, uint8_t *frame)
{
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_cell *c = &ep->tx.cells[tx->unsent];
    uint32_t blocks = tether_blocks(c->length);
    uint64_t slot;
    if (TETHER_UNLIKELY(!(c->marks & TETHER_CELL_SEALED) || tx->pacer.at_ns > now_ns || now_ns >= tx->busy.due_ns ||
                        tether_epoch_border(ch->sequence) || !tether_ledger_debit(&tx->ledger, c->slots, &slot)))
        return 0;
    if (TETHER_BROKEN(ep, slot == c->slot)) /* I1; the debit has looked at the limit */
        return 0;
    leave(ep, flow, c);
    ep->stats.bytes_sent += c->length;
    tether_put64(frame, again->head | (uint64_t)c->flags << 8 | (uint64_t)c->length << 16);
    tether_put64(frame + 8, ch->sequence | (uint64_t)tether_frame_want(ep, flow, slot + c->slots) << 48);
    tether_put64(frame + TETHER_AT_FLOW, again->grant);
    tether_put64(frame + TETHER_AT_SLOT, (uint32_t)slot | again->missing);
    tether_put64(frame + TETHER_AT_NACK_COUNT, again->stamps);
    tether_put64(frame + 40, again->echo);
    sent(ep, flow, c, blocks, now_ns);
    return tether_frame_end(ep, ch, c->payload, blocks * TETHER_BLOCK_BYTES, frame);
}

unsigned tether_transmit_burst(tether_endpoint *ep, uint64_t now_ns, const struct tether_outlet *outlet, unsigned most)
{
    unsigned went = 0;
    while (went < most && outlet->frame_bytes >= ep->frame_room) {
        struct tether_address to;
        struct tether_channel *ch;
        struct tether_flow *flow;
        struct tether_again again;
        uint8_t *frame = outlet->reserve(outlet->carrier);
        int length = frame ? transmit(ep, now_ns, frame, &to) : 0;
        if (length <= 0)
            break;
        again = tether_again_of(frame);
        outlet->commit(outlet->carrier, (size_t)length, &to);
        went++;
        ch = ep->spoke;
        flow = alone(ep);
        if (flow == NULL || (uint16_t)again.grant != flow->id || again.head >> 32 != ch->remote)
            continue;
        while (went < most && flow->tx.unsent != TETHER_NIL) {
            frame = outlet->reserve(outlet->carrier);
            length = frame ? go_on(ep, ch, flow, &again, now_ns, frame) : 0;
            if (TETHER_UNLIKELY(length <= 0))
                break;
            outlet->commit(outlet->carrier, (size_t)length, &ch->address);
            went++;
        }
        if (flow->tx.unsent == TETHER_NIL)
            (void)tether_queue_pop(ep, &ch->queues[TETHER_Q_DATA], TETHER_Q_DATA);
    }
    return went;
}
