/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady.h: the frame that nearly every one is while a flow streams: full, the next of its channel and of its flow,
 * within its grant, and with nothing new to say about the other direction. Part of receive.c, which knows all cases: what
 * is not such a frame goes there, and nothing has happened yet.
 */
#ifndef TETHER_STEADY_H
#define TETHER_STEADY_H

#include "aead.h"
#include "arrive.h"

enum { TETHER_UNSTEADY = 1 }; /* it is not such a frame */

/* receive.c: the round trip that this frame tells. */
void tether_sample(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t echo_ns, uint64_t now_ns);

/* Flags that decide nothing here: GRANT and NACK are informative, ECHO is asked for where an echo is read. */
#define TETHER_STEADY_FLAGS ((uint32_t)(TETHER_FLAG_GRANT | TETHER_FLAG_NACK | TETHER_FLAG_ECHO) << 8)

/* A full frame of this channel, which is up and neither young, nor moving, nor changing its keys? */
TETHER_USUAL int tether_steady_channel(const struct tether_channel *ch, const uint8_t *frame)
{
    static const struct tether_channel plain = {.state = TETHER_CHANNEL_UP, .proven = 1};
    return TETHER_SURE((tether_get32(frame) & ~TETHER_STEADY_FLAGS) == (ch->cut_bytes << 16 | TETHER_WIRE_VERSION)) &&
           TETHER_SURE(tether_get32(frame + TETHER_AT_CHANNEL) == ch->wire) &&
           TETHER_SURE(ch->stance == plain.stance) && TETHER_SURE(ch->next.state == TETHER_NEXT_NONE);
}

/* The next frame of a flow to which nothing has happened (tether_rx_steady), granted, and counted so? */
TETHER_USUAL int tether_steady_place(const struct tether_flow_rx *rx, uint32_t slot)
{
    return TETHER_SURE(slot == (uint32_t)rx->contig) && TETHER_SURE(rx->contig + rx->floor <= rx->steady_to) &&
           TETHER_SURE(rx->outstanding);
}

/* It is here, and believed: everything that tether_rx_next and those around it do for such a frame. */
TETHER_USUAL void tether_steady_take(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                     uint32_t want, uint64_t order, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t least, most;
    int last = 0;
    uint32_t cell = ep->rx_spare, floor = rx->floor, bytes = ch->cut_bytes;
    struct tether_cell *c = &ep->rx.cells[cell];
    ep->rx_spare = ep->rx.free_head; /* there is one */
    ep->rx.free_head = ep->rx.cells[ep->rx_spare].next;
    ep->rx.free_count--;
    c->slot = rx->contig;
    c->length = (uint16_t)bytes;
    c->flags = c->marks = 0;
    c->offset = 0;
    tether_rx_append(ep, rx, cell, cell);
    rx->readable_bytes += bytes;
    rx->arrived += floor;
    rx->contig = rx->high = rx->contig + floor;
    rx->fed_ns = now_ns;
    rx->newest_sequence = order;
    least = rx->contig + ((uint64_t)(want & 1023) << (want >> 10));
    most = least + ((UINT64_C(1) << (want >> 10)) - 1);
    rx->demand = least > rx->demand ? least : rx->demand;
    rx->upper = most > rx->demand ? most : rx->demand;
    rx->clock.since_ns = now_ns;
    TETHER_COUNT(ep, data_frames_received);
    ep->stats.slots_received += floor;
    ep->stats.bytes_received += bytes;
    if (tether_count_came(ep, &ep->accounts[ch->account], flow))
        ep->grant_dirty |= ep->starved != 0;
    if (TETHER_UNLIKELY(--ep->until <= 0)) {
        ep->until++;
        tether_grant_freed(ep);
    }
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    if (TETHER_LIKELY(rx->demand > rx->reserved_to)) { /* then it is more than what is granted, and upper is no less */
        tether_enqueue(ep, flow, TETHER_Q_GRANT);
        if (TETHER_UNLIKELY(rx->outstanding <= rx->regrant_at))
            ep->grant_dirty = 1;
    } else {
        tether_rx_demanded(ep, flow);
        last = rx->contig >= rx->upper;
    }
    tether_receipt_earn(ep, ch);
    if (TETHER_UNLIKELY(rx->untold++ == 0))
        tether_rx_first(ep, ch, flow, now_ns);
    if (TETHER_UNLIKELY(tether_rx_enough(rx) || last))
        tether_rx_tell(ep, ch, flow, last, now_ns);
}

/* 0: taken; -TETHER_E_AUTH: forged; TETHER_UNSTEADY: for receive.c. */
TETHER_USUAL int tether_steady(struct tether_endpoint *ep, uint64_t now_ns, const uint8_t *frame, size_t length)
{
    struct tether_channel *ch = ep->heard;
    struct tether_flow *flow = ch->last;
    struct tether_flow_tx *tx = &flow->tx;
    struct tether_keys *keys = &ch->rx_keys;
    uint64_t numbers, sequence, order;
    if (TETHER_ODD(length != ch->cut_bytes + (size_t)TETHER_HEADER_BYTES))
        return TETHER_UNSTEADY;
    numbers = tether_get64(frame + 8);
    sequence = numbers & TETHER_MASK48;
    if (TETHER_ODD(!tether_steady_channel(ch, frame)) || TETHER_ODD(!tether_flow_plain(flow)) ||
        TETHER_ODD(tether_get64(frame + TETHER_AT_FLOW) != tx->heard_grant) ||
        TETHER_ODD(tether_get64(frame + TETHER_AT_NACK_SLOT) != tx->heard_receipt) ||
        TETHER_ODD(!tether_steady_place(&flow->rx, tether_get32(frame + TETHER_AT_SLOT))))
        return TETHER_UNSTEADY;
    /* The next one, and none of 64 that begins a word of the replay window: so of no new epoch either. */
    if (TETHER_ODD(sequence != ch->replay.newest + 1) || TETHER_ODD((sequence & 63) == 0) ||
        TETHER_ODD(keys->now_epoch != tether_epoch(sequence)) || TETHER_ODD(ep->rx.free_head == TETHER_NIL) ||
        TETHER_ODD(ep->config.trace != NULL) || TETHER_ODD(now_ns == 0) ||
        TETHER_ODD(numbers >> 58 > 20)) /* a want below 2^30 */
        return TETHER_UNSTEADY;
    if (TETHER_ODD(tether_frame_aead_unseal(&keys->contexts[keys->now], sequence, frame, ch->cut_bytes,
                                            tether_cell_payload(&ep->rx, ep->rx_spare)) != 0))
        return -TETHER_E_AUTH;
    ch->replay.newest = sequence;
    ch->replay.bits[sequence / 64 & ch->replay.mask] |= UINT64_C(1) << (sequence & 63);
    order = sequence + ch->order_base;
    ch->unanswered_ns = 0;
    ch->peer_stamp_sequence = order;
    ch->peer_stamp = tether_get64(frame + TETHER_AT_TIMESTAMP); /* above 48 bits something: its users count modulo 2^48 */
    ch->peer_stamp_ns = now_ns;
    if (TETHER_UNLIKELY((ch->frames_received & 7) == 0 || now_ns >= ch->sample_ns) && frame[TETHER_AT_FLAGS] & TETHER_FLAG_ECHO)
        tether_sample(ep, ch, tether_get64(frame + 40) >> 16, now_ns);
    tether_steady_take(ep, ch, flow, tether_get16(frame + TETHER_AT_WANT), order, now_ns);
    if (tether_get16(frame + TETHER_AT_PACE))
        tx->pacer.sequence = order;
    tx->clock.since_ns = now_ns;
    TETHER_COUNT(ep, frames_received);
    ch->frames_received++;
    return 0;
}

#endif
