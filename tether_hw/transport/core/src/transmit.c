/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transmit.c: which frame goes next. Per channel: Lamp, repairs, Flow 0, news that waits for no data frame, data.
 *
 * Channels take turns frame by frame. Every frame of a flow carries all there is to say about its reverse
 * direction, so news of a flow that sends data anyway costs no frame.
 */
#include "endpoint.h"

#include <errno.h>

/* The header fields that every frame of a flow carries: grant, NACK or cumulative receipt, stamps. */
static void fill(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                 struct tether_header *header, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t rtt = tether_rtt_now(&ch->rtt);
    uint32_t gap = TETHER_NIL;
    memset(header, 0, sizeof *header);
    header->version = TETHER_WIRE_VERSION;
    header->channel = ch->remote;
    header->sequence = ch->sequence++;
    TETHER_BREAK_I6_BY(ch->sequence -= header->sequence % 16 == 0;)
    header->flow = flow->id;
    header->grant_amount = rx->granted & TETHER_MASK48;
    TETHER_BREAK_I3_BY(if (rx->gaps.count) header->grant_amount = rx->contig & TETHER_MASK48;)
    header->pace = tether_pace_state(ep, flow, now_ns);
    if (rx->granted > rx->told) {
        header->flags |= TETHER_FLAG_GRANT;
        TETHER_COUNT(ep, grants_sent);
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_GRANTED, .flow = flow->id, .sequence = header->sequence,
                     .slot = rx->granted, .count = rx->granted - rx->told, .value = rx->demand);
        rx->told = rx->granted;
    }
    if (__builtin_expect(rx->gaps.count != 0, 0))
        gap = tether_gaps_ask(&ep->gap_pool, &rx->gaps, now_ns,
                              now_ns + rtt + rtt / 64 + ch->reorder_ns); /* the repair may stand behind others */
    header->nack_slot = (uint32_t)rx->contig;
    if (gap != TETHER_NIL) {
        const struct tether_gap *g = &ep->gap_pool.gaps[gap];
        header->nack_slot = (uint32_t)g->start;
        header->nack_count = (uint16_t)(g->end - g->start);
    } else if (flow->news & TETHER_NEWS_REFRESH && rx->gaps.count == 0) {
        uint64_t upto = rx->granted < rx->demand ? rx->granted : rx->demand;
        uint64_t most = UINT16_MAX / rx->floor * rx->floor;
        if (upto > rx->contig && rx->gaps.since_count0 < 7) {
            header->nack_count = (uint16_t)(upto - rx->contig < most ? upto - rx->contig : most);
            rx->gaps.since_count0++;
        } else {
            rx->gaps.since_count0 = 0;
        }
    }
    if (header->nack_count) {
        header->flags |= TETHER_FLAG_NACK;
        TETHER_COUNT(ep, nacks_sent);
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_NACK, .flow = flow->id, .sequence = header->sequence,
                     .slot = tether_expand32(rx->contig, header->nack_slot), .count = header->nack_count);
    }
    rx->untold = 0;
    flow->news &= (uint8_t)~(TETHER_NEWS_ACK | TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER | TETHER_NEWS_DEMAND |
                             TETHER_NEWS_GAP | TETHER_NEWS_REFRESH);
    if (__builtin_expect(rx->gaps.count != 0, 0) && tether_gaps_due(&ep->gap_pool, &rx->gaps) <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_GAP);
    header->timestamp_ns = tether_stamp(ch, now_ns);
    if (ch->peer_stamp_ns && now_ns - ch->peer_stamp_ns <= tether_hold_max(ch, now_ns - ch->peer_stamp_ns)) {
        header->echo_ns = (ch->peer_stamp + (now_ns - ch->peer_stamp_ns)) & TETHER_MASK48;
        header->flags |= TETHER_FLAG_ECHO;
    }
}

/* Seal and hand out. `payload` is whole blocks. */
static int seal(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_header *header,
                const uint8_t *payload, uint32_t length, uint8_t *frame)
{
    uint64_t epoch = tether_epoch(header->sequence);
    struct tether_aead *aead;
    if (__builtin_expect((header->sequence & ((UINT64_C(1) << TETHER_EPOCH_SHIFT) - 1)) == 0, 0))
        (void)tether_keys_advance(&ch->tx_keys, epoch);
    aead = tether_keys_find(&ch->tx_keys, epoch);
    tether_wire_encode(header, frame);
    if (TETHER_BROKEN(ep, aead != NULL) ||
        tether_aead_seal(aead, header->sequence, frame, payload, length, frame + TETHER_HEADER_BYTES,
                         frame + TETHER_AT_TAG))
        return -EIO;
    TETHER_COUNT(ep, frames_sent);
    ch->frames_sent++;
    return (int)(TETHER_HEADER_BYTES + length);
}

static uint64_t say_want(struct tether_endpoint *ep, struct tether_flow *flow, struct tether_header *header,
                         uint64_t position)
{
    uint64_t declared = tether_tx_declare(ep, flow), told;
    header->want = tether_float16(declared > position ? declared - position : 0);
    told = position + tether_unfloat16(header->want);
    if (told > flow->tx.told)
        flow->tx.told = told;
    if (__builtin_expect(flow->tx.busy.flag != 0, 0) && header->want)
        header->flags |= TETHER_FLAG_BUSY;
    return told;
}

/* `kind` of the trace, and its flags. */
/* What a frame costs of its flow's pace: the blocks that it fills, and its header where it does not fill its slots. */
static void charge(struct tether_flow *flow, const struct tether_cell *cell, uint32_t cut_bytes, uint64_t now_ns)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint32_t blocks = tether_blocks(cell->length) + 2;
    tether_pacer_charge(&tx->pacer, blocks < cell->slots ? blocks : cell->slots, cut_bytes / TETHER_BLOCK_BYTES, now_ns);
    if (tx->unsent == TETHER_NIL && tx->repair_head == TETHER_NIL)
        tx->pacer.late = 0;
}

/* May a frame of this flow go now? If not, the flow is called when it may. */
static int in_time(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t now_ns)
{
    if (flow->tx.pacer.at_ns <= now_ns || flow->id == 0)
        return 1;
    tether_pace_wait(ep, flow);
    return 0;
}

static int send_cell(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint32_t cell,
                     uint64_t now_ns, uint8_t *frame, uint16_t kind, uint16_t flags)
{
    struct tether_cell *c = &ep->tx.cells[cell];
    struct tether_header header;
    fill(ep, ch, flow, &header, now_ns);
    header.flags = (uint8_t)(header.flags | c->flags);
    header.length = c->length;
    header.slot = (uint32_t)c->slot;
    say_want(ep, flow, &header, c->slot + c->slots);
    c->sent_ns = now_ns;
    flow->tx.clock.since_ns = now_ns;
    if (flow->tx.pacer.slot_ns16)
        charge(flow, c, ch->cut_bytes, now_ns);
    TETHER_COUNT(ep, data_frames_sent);
    TETHER_TRACE(ep, ch, now_ns, .kind = kind, .flags = flags, .flow = flow->id, .sequence = header.sequence,
                 .slot = c->slot, .count = c->slots, .value = c->length);
    return seal(ep, ch, &header, tether_cell_payload(&ep->tx, cell), tether_blocks(c->length) * TETHER_BLOCK_BYTES,
                frame);
}

static int send_repair(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
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
            return send_cell(ep, ch, flow, cell, now_ns, frame, TETHER_TRACE_REPAIR, 0);
        }
    }
    return 0;
}

/* The next unsent cell of a flow, if its credit (or the ember) is there. */
static int send_data(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns,
                     uint8_t *frame)
{
    struct tether_flow_tx *tx = &flow->tx;
    uint16_t ember = 0;
    struct tether_cell *c;
    uint64_t slot;
    uint32_t cell;
    tether_tx_expire(ep, ch, flow, now_ns);
    if (!tether_tx_ready(ep, flow)) {
        tether_busy_begin(&tx->busy);
        return 0;
    }
    c = &ep->tx.cells[cell = tx->unsent];
    if (!tether_ledger_debit(&tx->ledger, c->slots, &slot)) {
        if (flow->id == 0 || ch->ember_out || !tether_ledger_ember(&tx->ledger, c->slots, &slot))
            return 0;
        ember = TETHER_TRACE_EMBER;
        flow->ember_out = 1;
        flow->ember_end = slot + c->slots;
        ch->ember_out = tether_flow_slot(ep, flow);
        TETHER_COUNT(ep, embers_sent);
    }
    if (TETHER_BROKEN(ep, slot == c->slot && slot + c->slots <= tether_ledger_limit(&tx->ledger) +
                                                                    (flow->ember_out ? c->slots : 0u)))
        return 0; /* I1 */
    c->marks |= TETHER_CELL_SENT | TETHER_CELL_SEALED;
    tether_mile_set(ep, flow, cell);
    tx->unsent = c->next;
    tx->unsent_bytes -= c->length;
    tx->unacked_bytes += c->length;
    ep->stats.slots_sent += c->slots;
    if (flow->id != 0) {
        ep->stats.bytes_sent += c->length;
        tx->begun = flow->kind == TETHER_FLOW_MESSAGE ? tether_tx_ordinal(tx, c) + 1 : 0;
        ep->stats.messages_sent += flow->kind == TETHER_FLOW_MESSAGE && c->flags & TETHER_FLAG_END;
    }
    if (__builtin_expect(now_ns >= tx->busy.due_ns, 0))
        tether_busy_round(ep, flow, now_ns);
    tether_timed(ep, ch, flow, now_ns);
    return send_cell(ep, ch, flow, cell, now_ns, frame, TETHER_TRACE_SENT, ember);
}

/* Does data of this flow go now anyway, and carry its news? */
static int data_follows(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    const struct tether_flow_tx *tx = &flow->tx;
    return tx->unsent != TETHER_NIL && flow->queued >> TETHER_Q_DATA & 1 && flow->paced == 0 &&
           tether_ledger_next(&tx->ledger) + ep->tx.cells[tx->unsent].slots <= tether_ledger_limit(&tx->ledger);
}

static int pay_timer(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t cap = tether_backoff_cap(tether_channel_silence(ep, ch));
    if (tether_purse_pay(&ep->purse, now_ns, 1))
        return 1;
    if (ch->timer_frame_ns && now_ns - ch->timer_frame_ns < cap)
        return 0;
    ch->timer_frame_ns = now_ns; /* one per channel per cap is always affordable */
    return 1;
}

/* A header-only frame about one flow: a receipt where there is one, a timer frame where a clock asks for it. */
static int send_news(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_queue *queue = &ch->queues[TETHER_Q_NEWS];
    uint32_t last = queue->tail;
    struct tether_flow *flow;
    while ((flow = tether_queue_pop(ep, queue, TETHER_Q_NEWS)) != NULL) {
        struct tether_header header;
        uint8_t news = flow->news;
        int clock = news & (TETHER_NEWS_REFRESH | TETHER_NEWS_BLOCKED);
        int unmet = (flow->rx.demand > flow->rx.granted && flow->id != 0) || ch->unmet;
        int at_end = tether_flow_node(ep, flow) == last;
        if (news == 0)
            goto next;
        if (data_follows(ep, flow)) {
            flow->news &= (uint8_t)~TETHER_NEWS_BLOCKED; /* data says more than the clock would */
            goto next;
        }
        /* While demand of any flow of the channel is unmet the last receipt is kept for the grant (H1). */
        if (!clock && ch->receipts > (unmet && !(news & (TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER)))) {
            ch->receipts--;
            ch->receipt_ns = now_ns;
            TETHER_COUNT(ep, receipts_spent);
        } else if (clock || news & TETHER_NEWS_DEMAND) {
            if (!pay_timer(ep, ch, now_ns)) {
                flow->news &= (uint8_t)~(TETHER_NEWS_REFRESH | TETHER_NEWS_BLOCKED | TETHER_NEWS_DEMAND);
                tether_timed(ep, ch, flow, now_ns);
                tether_arm(ep, ch, tether_purse_when(&ep->purse, 1));
                goto next;
            }
            if (news & TETHER_NEWS_DEMAND)
                clock = TETHER_NEWS_BLOCKED | clock;
        } else {
            /* Waits for a receipt or a clock; its news bits stay. */
            if (news & (TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER | TETHER_NEWS_GAP))
                tether_enqueue(ep, flow, TETHER_Q_RECEIPT);
            goto next;
        }
        fill(ep, ch, flow, &header, now_ns);
        header.slot = (uint32_t)tether_ledger_next(&flow->tx.ledger);
        say_want(ep, flow, &header, tether_ledger_next(&flow->tx.ledger));
        if (!clock)
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_RECEIPT, .flow = flow->id, .sequence = header.sequence,
                         .slot = flow->rx.contig, .value = ch->receipts);
        if (clock & TETHER_NEWS_BLOCKED) {
            header.flags |= TETHER_FLAG_BLOCKED;
            tether_backoff_sent(&flow->tx.clock, now_ns);
            TETHER_COUNT(ep, blocked_sent);
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_BLOCKED, .flow = flow->id, .sequence = header.sequence,
                         .slot = tether_ledger_next(&flow->tx.ledger), .count = tether_unfloat16(header.want),
                         .value = flow->tx.clock.tries);
            flow->news &= (uint8_t)~TETHER_NEWS_BLOCKED;
        }
        if (clock & TETHER_NEWS_REFRESH) {
            tether_backoff_sent(&flow->rx.clock, now_ns);
            TETHER_COUNT(ep, refresh_sent);
            TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_REFRESH, .flow = flow->id, .sequence = header.sequence,
                         .slot = flow->rx.contig, .count = header.nack_count, .value = flow->rx.clock.tries);
        }
        if (clock) {
            ch->unanswered_ns = ch->unanswered_ns ? ch->unanswered_ns : now_ns;
            tether_arm(ep, ch, now_ns + tether_channel_silence(ep, ch));
            if (ch->state == TETHER_CHANNEL_CLOSING && flow->id == 0 && ch->linger)
                ch->linger--;
        }
        return seal(ep, ch, &header, frame, 0, frame);
next:
        if (at_end)
            break;
    }
    return 0;
}

static int channel_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
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
    if (ch->last_word || (ch->state == TETHER_CHANNEL_CLOSING && ch->linger == 0)) {
        length = 0;
        if (ch->last_word && ch->receipts) {
            tether_news(ep, ch, control, TETHER_NEWS_ANSWER);
            length = send_news(ep, ch, now_ns, frame);
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
    if (ch->queues[TETHER_Q_NEWS].head != TETHER_NIL && (length = send_news(ep, ch, now_ns, frame)) != 0)
        return length;
    while ((flow = tether_queue_peek(ep, queue)) != NULL) {
        length = flow->tx.pacer.at_ns <= now_ns || flow->id == 0 ? send_data(ep, ch, flow, now_ns, frame) : 0;
        if (length != 0) {
            if (flow->tx.unsent != TETHER_NIL)
                tether_queue_turn(ep, queue, TETHER_Q_DATA);
            else
                (void)tether_queue_pop(ep, queue, TETHER_Q_DATA);
            return length;
        }
        (void)tether_queue_pop(ep, queue, TETHER_Q_DATA);
        if (!in_time(ep, flow, now_ns))
            continue;
        tether_tx_kick(ep, ch, flow, now_ns);
        if (flow->queued >> TETHER_Q_DATA & 1)
            break; /* it can send, so something else failed: try again later */
    }
    return ch->queues[TETHER_Q_NEWS].head != TETHER_NIL ? send_news(ep, ch, now_ns, frame) : 0;
}

TETHER_API int tether_endpoint_transmit(tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, size_t capacity,
                                        struct tether_address *to)
{
    struct tether_queue *work = &ep->queues[TETHER_Q_WORK];
    struct tether_flow *node;
    if (capacity < ((size_t)ep->config.frame_blocks + 1) * TETHER_BLOCK_BYTES || capacity < TETHER_HEADER_BYTES + 320)
        return -EINVAL;
    ep->now_ns = now_ns;
    if (now_ns >= ep->timer_ns)
        tether_timers_run(ep, now_ns);
    if (ep->paced_count)
        tether_pace_run(ep, now_ns);
    if (ep->grant_dirty)
        tether_grant_run(ep, now_ns);
    if (now_ns >= ep->greetings.due_ns && tether_contact_own(ep, now_ns, &ep->greetings.due_ns)) {
        int length = tether_warm_transmit(ep, now_ns, frame, to);
        if (length)
            return length;
    }
    if (ep->answer_count && !tether_contact_own(ep, now_ns, NULL))
        ep->answer_count = 0; /* who asked did so out of contact, and asks again */
    if (ep->answer_count) {
        const struct tether_answer *answer = &ep->answers[ep->answer_first];
        int length = (int)answer->length;
        memcpy(frame, answer->frame, answer->length);
        *to = answer->to;
        ep->answer_first = (ep->answer_first + 1) % TETHER_ANSWERS;
        ep->answer_count--;
        TETHER_COUNT(ep, frames_sent);
        TETHER_COUNT(ep, lamps_sent);
        TETHER_TRACE(ep, NULL, now_ns, .kind = TETHER_TRACE_LAMP, .count = (uint64_t)length / TETHER_BLOCK_BYTES);
        return length;
    }
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
