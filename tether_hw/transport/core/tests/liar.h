/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liar.h: end[0] says whatever the test wants, sealed under its keys, and end[1] must keep the rules. Also: what end[1]
 * says to that, opened; and frames kept back and replayed.
 */
#ifndef TETHER_TEST_LIAR_H
#define TETHER_TEST_LIAR_H

#ifndef PAIR_FLIGHT
#define PAIR_FLIGHT 4096
#endif
#include "pair.h"

static struct pair p;

static inline void begin(uint64_t seed)
{
    pair_open(&p, seed);
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
}

/* Seal whatever the header says under the keys of end[0] and hand it to end[1]. */
static inline int say(struct tether_header *header, const uint8_t *payload)
{
    struct tether_channel *ch = tether_channel_find(p.end[0], p.channel[0]);
    uint32_t padded = tether_blocks(header->length) * TETHER_BLOCK_BYTES;
    uint8_t frame[PAIR_FRAME], plain[PAIR_FRAME] = {0};
    CHECK(ch != NULL);
    memcpy(plain, payload, header->length);
    header->version = TETHER_WIRE_VERSION;
    header->channel = ch->remote;
    header->sequence = ch->sequence++;
    tether_wire_encode(header, frame);
    CHECK_EQ(tether_aead_seal(tether_keys_find(&ch->tx_keys, 0), header->sequence, frame, plain, padded,
                              frame + TETHER_HEADER_BYTES, frame + TETHER_AT_TAG), 0);
    return tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, TETHER_HEADER_BYTES + padded);
}

static inline struct tether_channel *theirs(void)
{
    return tether_channel_find(p.end[1], p.channel[1]);
}

/* Tags where end[1] expects the next ones. */
static inline int say_tags(const uint8_t *tags, size_t length)
{
    struct tether_header header = {.length = (uint16_t)length};
    header.slot = (uint32_t)tether_flow_at(p.end[1], theirs(), 0)->rx.contig;
    return say(&header, tags);
}

struct record {
    uint8_t frame[PAIR_FRAME];
    size_t length;
    int keep_back; /* do not let it pass */
    int lamps;     /* Lamps, else all others */
};

static inline int record(void *context, const uint8_t *frame, size_t length)
{
    struct record *r = context;
    if ((frame[1] & TETHER_FLAG_LAMP) != r->lamps)
        return 0;
    if (r->length == 0) {
        memcpy(r->frame, frame, length);
        r->length = length;
    }
    return r->keep_back;
}

static inline int replay(int to, const struct record *r)
{
    uint8_t frame[PAIR_FRAME];
    memcpy(frame, r->frame, r->length);
    return tether_endpoint_receive(p.end[to], p.now_ns, &p.address[1 - to], frame, r->length);
}

static inline void drain(void)
{
    uint8_t frame[PAIR_FRAME];
    struct tether_address to;
    while (tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof frame, &to) > 0)
        continue;
    p.now_ns += 1000000;
}

/* A frame of end[1], opened with the keys that end[0] holds. */
struct heard {
    struct tether_header header;
    uint8_t payload[PAIR_FRAME], bytes[PAIR_FRAME];
    size_t length;
};

/* What end[1] sends now, without handing it to anybody: 1, or 0 when it has nothing to say. Lamps stay as they are. */
static inline int hear(struct heard *h)
{
    struct tether_address to;
    struct tether_channel *ch;
    int length = tether_endpoint_transmit(p.end[1], p.now_ns, h->bytes, sizeof h->bytes, &to);
    CHECK(length >= 0);
    if (length == 0)
        return 0;
    h->length = (size_t)length;
    tether_wire_decode(&h->header, h->bytes);
    if (h->header.flags & TETHER_FLAG_LAMP)
        return 1;
    ch = tether_channel_find(p.end[0], h->header.channel);
    CHECK(ch != NULL);
    CHECK_EQ(tether_aead_unseal(tether_keys_find(&ch->rx_keys, tether_epoch(h->header.sequence)), h->header.sequence,
                                h->bytes, h->bytes + TETHER_HEADER_BYTES, h->length - TETHER_HEADER_BYTES, h->payload,
                                h->header.tag), 0);
    return 1;
}

/* Goes on for `ns` until end[1] sends a frame of this flow; 0 when it sends none. The other flows' frames are lost. */
static inline int hear_flow(struct heard *h, uint16_t flow, uint64_t ns)
{
    for (uint64_t until = p.now_ns + ns;;) {
        uint64_t next;
        while (hear(h))
            if (!(h->header.flags & TETHER_FLAG_LAMP) && h->header.flow == flow)
                return 1;
        next = tether_endpoint_deadline(p.end[1]);
        if (p.now_ns >= until)
            return 0;
        p.now_ns = next > p.now_ns ? next < until ? next : until : p.now_ns + 1;
    }
}

static inline struct tether_flow *define(uint16_t flow, uint8_t kind, uint64_t bound)
{
    struct tether_tag_define tag = {.flow = flow, .kind = kind, .bound = bound};
    uint8_t tags[64];
    CHECK_EQ(say_tags(tags, tether_tag_put_define(tags, &tag)), 0);
    return tether_flow_find(p.end[1], theirs(), flow);
}

#endif
