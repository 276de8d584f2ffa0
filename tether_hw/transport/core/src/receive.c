/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive.c: a frame arrives. Nothing is believed, changed or answered before its tag has verified; the checks
 * before it are look-ups. A refused frame is counted by reason and forgotten.
 */
#include "endpoint.h"

static int zero(const uint8_t *at, size_t length)
{
    uint8_t any = 0;
    for (size_t i = 0; i < length; i++)
        any |= at[i];
    return any == 0;
}

/* A verified frame of an established channel. */
static int accept_frame(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_header *header,
                        uint64_t now_ns)
{
    struct tether_flow *flow = tether_flow_find(ep, ch, header->flow);
    uint64_t slot, duplicates = ep->stats.duplicates_received;
    uint32_t used;
    int refused = 0;
    if (__builtin_expect(flow == NULL || flow->gone, 0))
        return -TETHER_E_FLOW;
    /* A slot below the beginning of the flow would be a huge one. */
    used = header->length ? flow->rx.floor : 0;
    slot = tether_expand32(flow->rx.contig, header->slot);
    if (__builtin_expect(slot > (uint64_t)INT64_MAX, 0))
        return -TETHER_E_FLOW;
    /* After BYE only Flow 0 lives: the others have given their credit back, and late frames of theirs deliver nothing. */
    if (__builtin_expect(ch->state != TETHER_CHANNEL_UP && flow->id != 0, 0))
        return -TETHER_E_FLOW;
    if (header->length) {
        refused = tether_rx_data(ep, ch, flow, header, now_ns);
        if (refused)
            return refused;
    } else {
        tether_rx_header(ep, ch, flow, header, now_ns);
    }
    if (TETHER_TRACED(ep))
        tether_trace_received(ep, ch, header, slot, used, duplicates != ep->stats.duplicates_received, now_ns);
    if (tether_channel_live(ch) && flow->used)
        tether_tx_reverse(ep, ch, flow, header, now_ns);
    return 0;
}

static void stamps(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_header *header, uint64_t now_ns)
{
    if (header->sequence > ch->peer_stamp_sequence) {
        ch->peer_stamp_sequence = header->sequence;
        ch->peer_stamp = header->timestamp_ns;
        ch->peer_stamp_ns = now_ns ? now_ns : 1;
    }
    if (header->flags & TETHER_FLAG_ECHO) {
        uint64_t sample = (tether_stamp(ch, now_ns) - header->echo_ns) & TETHER_MASK48;
        if (sample < UINT64_C(1) << 47) {
            tether_rtt_sample(&ch->rtt, sample);
            tether_brake_sample(ep, ch, sample, now_ns);
        }
    }
}

/* The newest frame comes from where the peer's Manifest says that its lane is: so that is where we send from now on. */
static void follow(struct tether_channel *ch, const struct tether_address *from, const struct tether_header *header)
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

static int receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from, uint8_t *frame,
                   size_t length)
{
    struct tether_header header;
    struct tether_channel *ch;
    struct tether_aead *aead;
    struct tether_keys *keys;
    struct tether_replay *replay;
    int by_next;
    uint32_t padded;
    uint64_t epoch;
    uint8_t *plain;
    int refused;
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
    keys = by_next ? &ch->next.rx_keys : &ch->rx_keys;
    replay = by_next ? &ch->next.replay : &ch->replay;
    if (ch->state == TETHER_CHANNEL_HAILING || (by_next && ch->next.state == TETHER_NEXT_HAILING))
        return -TETHER_E_STATE;
    if (padded > (uint32_t)ep->config.frame_blocks * TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    if (!tether_replay_fresh(replay, header.sequence))
        return -TETHER_E_REPLAY;
    epoch = tether_epoch(header.sequence);
    aead = tether_keys_find(keys, epoch);
    if (aead == NULL)
        return -TETHER_E_EPOCH;
    plain = tether_cell_payload(&ep->rx, ep->rx_spare);
    if (tether_aead_unseal(aead, header.sequence, frame, frame + TETHER_HEADER_BYTES, padded, plain, header.tag))
        return -TETHER_E_AUTH;
    tether_replay_mark(replay, header.sequence);
    if (padded != header.length && !zero(plain + header.length, padded - header.length))
        return -TETHER_E_PADDING;
    if (__builtin_expect(tether_keys_newer(keys, epoch), 0))
        (void)tether_keys_advance(keys, epoch);
    if (__builtin_expect(ch->next.state != TETHER_NEXT_NONE, 0)) {
        ch->next.heard = by_next && ch->next.state == TETHER_NEXT_DRAINING;
        tether_rekey_heard(ep, ch, now_ns, by_next);
    }
    header.sequence += tether_order_base(ch); /* from here on its order, which rises over a change of keys too */
    if (__builtin_expect(!ch->proven, 0))
        tether_channel_confirmed(ep, ch, now_ns);
    ch->unanswered_ns = 0;
    stamps(ep, ch, &header, now_ns);
    if (__builtin_expect(ch->moves, 0))
        follow(ch, from, &header);
    refused = accept_frame(ep, ch, &header, now_ns);
    if (refused)
        return refused;
    TETHER_COUNT(ep, frames_received);
    ch->frames_received++;
    return 0;
}

static void reject(struct tether_endpoint *ep, uint64_t now_ns, const uint8_t *frame, size_t length, int refused)
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

TETHER_API int tether_endpoint_receive(tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                                       uint8_t *frame, size_t length)
{
    int refused;
    ep->now_ns = now_ns;
    refused = receive(ep, now_ns, from, frame, length);
    if (__builtin_expect(refused <= -TETHER_E_SHORT && refused > -TETHER_E_END_, 0))
        reject(ep, now_ns, frame, length, refused);
    return refused;
}
