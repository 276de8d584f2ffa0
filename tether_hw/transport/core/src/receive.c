/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive.c: a frame arrives. Nothing is believed, changed or answered before its tag has verified; the checks
 * before it are look-ups. A refused frame is counted by reason and forgotten.
 */
#include "aead.h"
#include "burst.h"
#include "steady.h"

TETHER_RARE static int zero(const uint8_t *at, size_t length)
{
    uint8_t any = 0;
    for (size_t i = 0; i < length; i++)
        any |= at[i];
    return any == 0;
}

/* A verified frame of an established channel. */
TETHER_USUAL int accept_frame(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_header *header,
                        uint64_t now_ns)
{
    struct tether_flow *flow = tether_flow_find(ep, ch, header->flow);
    uint64_t slot, duplicates = ep->stats.duplicates_received;
    uint32_t used;
    int refused = 0;
    if (TETHER_UNLIKELY(flow == NULL || flow->gone))
        return -TETHER_E_FLOW;
    used = header->length ? flow->rx.floor : 0;
    slot = tether_expand32(flow->rx.contig, header->slot);
    if (TETHER_LIKELY(header->length != 0 && tether_rx_expected(flow, slot) && ch->state == TETHER_CHANNEL_UP)) {
        refused = tether_rx_next(ep, ch, flow, header, slot, now_ns);
    } else if (slot > (uint64_t)INT64_MAX) { /* below the beginning of the flow */
        refused = -TETHER_E_FLOW;
    } else if (ch->state != TETHER_CHANNEL_UP && flow->id != 0) {
        /* After BYE only Flow 0 lives: the others have given their credit back; late frames of theirs deliver nothing. */
        refused = -TETHER_E_FLOW;
    } else if (header->length) {
        refused = tether_rx_data(ep, ch, flow, header, now_ns);
    } else {
        tether_rx_header(ep, ch, flow, header, now_ns);
    }
    if (TETHER_UNLIKELY(refused))
        return refused;
    if (TETHER_TRACED(ep))
        tether_trace_received(ep, ch, header, slot, used, duplicates != ep->stats.duplicates_received, now_ns);
    if (tether_channel_live(ch) && flow->used) {
        tether_rx_steady(&flow->rx);
        tether_tx_reverse(ep, ch, flow, header, now_ns);
    }
    return 0;
}

/* One frame in eight gives an RTT sample, and any that comes a sixteenth of a round trip after the last one. */
TETHER_RARE void tether_sample(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t echo_ns, uint64_t now_ns)
{
    uint64_t rtt_ns = (tether_stamp(ch, now_ns) - echo_ns) & TETHER_MASK48;
    if (rtt_ns >= UINT64_C(1) << 47)
        return;
    tether_rtt_sample(&ch->rtt, rtt_ns);
    tether_brake_sample(ep, ch, rtt_ns, now_ns);
    ch->sample_ns = now_ns + tether_rtt_now(&ch->rtt) / 16;
}

TETHER_USUAL void stamps(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_header *header,
                         uint64_t now_ns)
{
    if (TETHER_LIKELY(header->sequence > ch->peer_stamp_sequence)) {
        ch->peer_stamp_sequence = header->sequence;
        ch->peer_stamp = header->timestamp_ns;
        ch->peer_stamp_ns = now_ns + (now_ns == 0);
    }
    if (((ch->frames_received & 7) == 0 || now_ns >= ch->sample_ns) && header->flags & TETHER_FLAG_ECHO)
        tether_sample(ep, ch, header->echo_ns, now_ns);
}

/* The newest frame comes from where the peer's Manifest says that its lane is: so that is where we send from now on. */
TETHER_RARE static void follow(struct tether_channel *ch, const struct tether_address *from, const struct tether_header *header)
{
    const struct tether_address *said = &ch->peer_addresses[ch->remote_lane];
    if (from == NULL || header->sequence != ch->peer_stamp_sequence || !tether_same_address(from, said))
        return;
    ch->address = *said;
    ch->moves = 0;
}

/* The channel to which an index on the wire leads, by its present keys or by those to come or to go. */
static struct tether_channel *by_wire(struct tether_endpoint *ep, uint32_t wire)
{
    uint32_t slot = wire >> 8 & (TETHER_CHANNELS_MAX - 1);
    struct tether_channel *ch = &ep->channels[slot];
    if (slot >= ep->channel_high || ch->state == TETHER_CHANNEL_FREE || ch->state == TETHER_CHANNEL_DEAD)
        return NULL;
    return ch->wire == wire || (ch->next.state != TETHER_NEXT_NONE && ch->next.wire == wire) ? ch : NULL;
}

/* A frame that passed all look-ups is opened, and then believed. */
TETHER_USUAL int open_frame(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_header *header,
                            uint32_t padded, int by_next, uint64_t now_ns, const struct tether_address *from,
                            const uint8_t *frame)
{
    struct tether_keys *keys = by_next ? &ch->next.rx_keys : &ch->rx_keys;
    struct tether_replay *replay = by_next ? &ch->next.replay : &ch->replay;
    uint64_t epoch = tether_epoch(header->sequence);
    struct tether_aead *aead;
    uint8_t *plain;
    int refused;
    if (TETHER_UNLIKELY(!tether_replay_fresh(replay, header->sequence)))
        return -TETHER_E_REPLAY;
    aead = tether_keys_find(keys, epoch);
    if (TETHER_UNLIKELY(aead == NULL))
        return -TETHER_E_EPOCH;
    plain = tether_cell_payload(&ep->rx, ep->rx_spare);
    if (TETHER_UNLIKELY(tether_frame_aead_unseal(aead, header->sequence, frame, padded, plain)))
        return -TETHER_E_AUTH;
    tether_replay_mark(replay, header->sequence);
    if (padded != header->length && !zero(plain + header->length, padded - header->length))
        return -TETHER_E_PADDING;
    if (TETHER_UNLIKELY(tether_keys_newer(keys, epoch)))
        (void)tether_keys_advance(keys, epoch);
    if (TETHER_UNLIKELY(ch->next.state != TETHER_NEXT_NONE)) {
        ch->next.heard = by_next && ch->next.state == TETHER_NEXT_DRAINING;
        tether_rekey_heard(ep, ch, now_ns, by_next);
    }
    header->sequence += tether_order_base(ch); /* from here on its order, which rises over a change of keys too */
    if (TETHER_UNLIKELY(!ch->proven))
        tether_channel_confirmed(ep, ch, now_ns);
    ch->unanswered_ns = 0;
    stamps(ep, ch, header, now_ns);
    if (TETHER_UNLIKELY(ch->moves))
        follow(ch, from, header);
    refused = accept_frame(ep, ch, header, now_ns);
    if (TETHER_UNLIKELY(refused))
        return refused;
    TETHER_COUNT(ep, frames_received);
    ch->frames_received++;
    return 0;
}

/* Any frame: each check in its turn, so that a refused one is counted under its reason. */
TETHER_RARE static int receive_any(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                                   uint8_t *frame, size_t length)
{
    struct tether_header header;
    struct tether_channel *ch;
    uint32_t padded;
    int by_next;
    if (length < TETHER_HEADER_BYTES)
        return -TETHER_E_SHORT;
    tether_wire_decode(&header, frame);
    if (header.version != TETHER_WIRE_VERSION)
        return -TETHER_E_VERSION;
    padded = tether_blocks(header.length) * TETHER_BLOCK_BYTES;
    if (length < TETHER_HEADER_BYTES + padded)
        return -TETHER_E_SHORT;
    if (header.channel == 0)
        return tether_hail_receive(ep, now_ns, from, &header, frame, length);
    ch = by_wire(ep, header.channel);
    if (header.flags & TETHER_FLAG_LAMP && ch != NULL && length <= (TETHER_FRAME_BLOCKS_MAX + 2) * TETHER_BLOCK_BYTES)
        return tether_hail_reply(ep, ch, now_ns, &header, frame, length);
    if (header.flags & TETHER_FLAG_LAMP && ch == NULL)
        return tether_warm_receive(ep, now_ns, from, &header, frame, length);
    /* Carriers may hand over the padding of a short link frame, never a whole block more. */
    if (length >= TETHER_HEADER_BYTES + padded + TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    if (ch == NULL)
        return -TETHER_E_STRANGER;
    by_next = header.channel != ch->wire;
    if (ch->state == TETHER_CHANNEL_HAILING || (by_next && ch->next.state == TETHER_NEXT_HAILING))
        return -TETHER_E_STATE;
    if (padded > ep->floor * TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    return open_frame(ep, ch, &header, padded, by_next, now_ns, from, frame);
}

/* Nearly every frame is of a channel that is up, under its present keys, and as long as it says. */
TETHER_RARE static int receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from, uint8_t *frame,
                         size_t length)
{
    struct tether_header header;
    struct tether_channel *ch;
    uint32_t padded, slot;
    if (TETHER_UNLIKELY(length < TETHER_HEADER_BYTES))
        return receive_any(ep, now_ns, from, frame, length);
    tether_wire_decode_fields(&header, frame);
    slot = header.channel >> 8 & (TETHER_CHANNELS_MAX - 1);
    ch = &ep->channels[slot];
    padded = (header.length + TETHER_BLOCK_BYTES - 1u) & ~(TETHER_BLOCK_BYTES - 1u);
    if (TETHER_UNLIKELY(slot >= ep->channel_high || ch->wire != header.channel || ch->state != TETHER_CHANNEL_UP ||
                        header.version != TETHER_WIRE_VERSION || header.flags & TETHER_FLAG_LAMP ||
                        length - TETHER_HEADER_BYTES - padded >= TETHER_BLOCK_BYTES ||
                        padded > ep->floor * TETHER_BLOCK_BYTES))
        return receive_any(ep, now_ns, from, frame, length);
    ep->heard = ch;
    return open_frame(ep, ch, &header, padded, 0, now_ns, from, frame);
}

TETHER_RARE static void reject(struct tether_endpoint *ep, uint64_t now_ns, const uint8_t *frame, size_t length, int refused)
{
    struct tether_header header = {0};
    ep->stats.rejects[-refused - TETHER_E_SHORT]++;
    if (!TETHER_TRACED(ep))
        return;
    if (length >= TETHER_HEADER_BYTES)
        tether_wire_decode(&header, frame);
    TETHER_TRACE(ep, tether_channel_find(ep, header.channel), now_ns, .kind = TETHER_TRACE_REJECTED,
                 .flow = header.flow, .sequence = header.sequence, .value = (uint64_t)-refused);
}

/* A frame that does not just go on as the last one did, or that was forged. */
TETHER_RARE static int unsteady(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                                uint8_t *frame, size_t length, int refused)
{
    if (refused == TETHER_UNSTEADY)
        refused = receive(ep, now_ns, from, frame, length);
    if (__builtin_expect(refused <= -TETHER_E_SHORT && refused > -TETHER_E_END_, 0))
        reject(ep, now_ns, frame, length, refused);
    return refused;
}

TETHER_API int tether_endpoint_receive(tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                                       uint8_t *frame, size_t length)
{
    int refused;
    ep->now_ns = now_ns;
    refused = tether_steady(ep, now_ns, frame, length);
    return refused ? unsteady(ep, now_ns, from, frame, length, refused) : 0;
}

void tether_receive_burst(tether_endpoint *ep, uint64_t now_ns, const struct tether_arrival *frames, size_t count)
{
    ep->now_ns = now_ns;
    for (const struct tether_arrival *at = frames; at < frames + count; at++) {
        int refused;
        if (at->data == NULL)
            continue;
        refused = tether_steady(ep, now_ns, at->data, at->length);
        if (TETHER_UNLIKELY(refused))
            (void)unsteady(ep, now_ns, &at->from, at->data, at->length, refused);
    }
}
