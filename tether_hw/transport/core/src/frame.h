/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h: a frame of a flow, data or not: its header, which is written word by word as its fields become known, and its
 * seal. Part of the two places that send them, transmit.c and news.c.
 */
#ifndef TETHER_FRAME_H
#define TETHER_FRAME_H

#include "aead.h"
#include "endpoint.h"

#include <errno.h>

struct tether_missing {
    uint32_t slot;
    uint16_t count;
};

/* news.c: what the frame says is missing, where a gap is open or the receiver's clock asks. */
struct tether_missing tether_frame_missing(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                           int refresh, uint64_t now_ns);

/* What is still to be sent behind `position`: `want`, and that it has been told. */
TETHER_USUAL uint16_t tether_frame_want(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t position)
{
    uint64_t declared = tether_tx_declare(ep, flow), told;
    uint16_t want = tether_float16_rounded(declared > position ? declared - position : 0, &told);
    told += position;
    if (told > flow->tx.told)
        flow->tx.told = told;
    return want;
}

/*
 * The header of the next frame: what every frame of a flow carries (grant, NACK or cumulative receipt, stamps), and
 * `flags`, `length` and `slot`, behind which the flow goes on at `position`.
 */
TETHER_USUAL void tether_frame_begin(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                     uint8_t *frame, uint32_t flags, uint32_t length, uint64_t slot, uint64_t position,
                                     uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t sequence = ch->sequence, granted = rx->granted, stamp, echo = 0, held;
    struct tether_missing missing = {(uint32_t)rx->contig, 0};
    uint16_t want = tether_frame_want(ep, flow, position);
    uint8_t news = flow->news;
    TETHER_BREAK_I3_BY(if (rx->gaps.count) granted = rx->contig;)
    tether_put64(frame + 8, sequence | (uint64_t)want << 48);
    tether_put64(frame + TETHER_AT_FLOW, flow->id | granted << 16);
    if (TETHER_UNLIKELY(flow->tx.busy.flag != 0) && want)
        flags |= TETHER_FLAG_BUSY;
    if (rx->granted > rx->told) {
        flags |= TETHER_FLAG_GRANT;
        TETHER_COUNT(ep, grants_sent);
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_GRANTED, .flow = flow->id, .sequence = sequence,
                     .slot = rx->granted, .count = rx->granted - rx->told, .value = rx->demand);
        rx->told = rx->granted;
    }
    rx->untold = 0;
    flow->news = news & (uint8_t)~(TETHER_NEWS_ACK | TETHER_NEWS_GRANT | TETHER_NEWS_ANSWER | TETHER_NEWS_DEMAND |
                                   TETHER_NEWS_GAP | TETHER_NEWS_REFRESH);
    if (TETHER_UNLIKELY(rx->gaps.count != 0 || news & TETHER_NEWS_REFRESH)) {
        missing = tether_frame_missing(ep, ch, flow, news & TETHER_NEWS_REFRESH, now_ns);
        flags |= missing.count ? TETHER_FLAG_NACK : 0;
    }
    tether_put64(frame + TETHER_AT_SLOT, (uint32_t)slot | (uint64_t)missing.slot << 32);
    held = now_ns - ch->peer_stamp_ns;
    if (TETHER_LIKELY(ch->peer_stamp_ns && held <= tether_hold_max(ch, held))) {
        echo = ch->peer_stamp + held;
        flags |= TETHER_FLAG_ECHO;
    }
    stamp = now_ns + ch->stamp_offset;
    tether_put64(frame + TETHER_AT_NACK_COUNT,
                 missing.count | (uint64_t)tether_pace_state(ep, flow, now_ns) << 16 | stamp << 32);
    tether_put64(frame + 40, (stamp >> 32 & 0xffff) | echo << 16);
    tether_put64(frame, TETHER_WIRE_VERSION | flags << 8 | length << 16 | (uint64_t)ch->remote << 32);
}

/* Seal it under its sequence and hand it out, last of all. `payload` is whole blocks. */
TETHER_USUAL int tether_frame_end(struct tether_endpoint *ep, struct tether_channel *ch, const uint8_t *payload,
                                  uint32_t length, uint8_t *frame)
{
    uint64_t sequence = ch->sequence++;
    struct tether_aead *aead = tether_keys_find(&ch->tx_keys, tether_epoch(sequence));
    TETHER_BREAK_I6_BY(ch->sequence -= sequence % 16 == 0;)
    if (TETHER_BROKEN(ep, aead != NULL))
        return -EIO;
    TETHER_COUNT(ep, frames_sent);
    ch->frames_sent++;
    return tether_frame_aead_seal(aead, sequence, frame, payload, length) ? -EIO : (int)(TETHER_HEADER_BYTES + length);
}

/* What a frame says about the other direction, and when: the next ones of its burst say the same. */
struct tether_again {
    uint64_t head, grant, missing, stamps, echo; /* words 0 to 5 but 1, without what is the frame's own */
};

TETHER_USUAL struct tether_again tether_again_of(const uint8_t *frame)
{
    return (struct tether_again){
        .head = tether_get64(frame) & (UINT64_C(0xffffffff000000ff) | (uint64_t)TETHER_FLAG_ECHO << 8),
        .grant = tether_get64(frame + TETHER_AT_FLOW),
        .missing = tether_get64(frame + TETHER_AT_SLOT) & UINT64_C(0xffffffff00000000),
        .stamps = tether_get64(frame + TETHER_AT_NACK_COUNT) & ~UINT64_C(0xffff),
        .echo = tether_get64(frame + 40)};
}

#endif
