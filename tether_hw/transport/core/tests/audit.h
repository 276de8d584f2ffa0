/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.h: watches the frames of a pair (pair.h) and judges each by RFC 0001, from the frames alone: what each end has
 * sent, what has reached it, and so what it may send now. It knows nothing of the ends but their keys.
 *
 * Each rule counts how often it was looked at and how often it was broken, so that a test can ask for both.
 */
#ifndef TETHER_TEST_AUDIT_H
#define TETHER_TEST_AUDIT_H

#include "pair.h"

enum { AUDIT_FLOWS = 2048, AUDIT_SEQUENCES = 1 << 22 };

enum audit_rule {
    AUDIT_FRAME,       /* header and whole blocks, no more than the receiver takes, padding zero */
    AUDIT_SEQUENCE,    /* rises from 1 */
    AUDIT_STAMP,       /* one clock with one offset */
    AUDIT_ECHO,        /* the newest Timestamp plus the time held, or nothing */
    AUDIT_FLAGS,       /* each flag only where it may stand */
    AUDIT_WANT,        /* counted from the end of this very frame */
    AUDIT_SLOTS,       /* floor slots each, in order, none twice but as a repair */
    AUDIT_LIMIT,       /* I1: new data within the grant, or the ember */
    AUDIT_EMBER,       /* one ember until the peer's own word covers it */
    AUDIT_GRANT_RISES, /* I3 */
    AUDIT_DEMAND,      /* granted only what was asked for */
    AUDIT_PIECE,       /* raised by whole frames */
    AUDIT_POOL,        /* Flow 0: arrived in order + pool */
    AUDIT_NACKED,      /* I2: a repair was asked for, and after it was sent last */
    AUDIT_SAME,        /* a repair is the frame as first cut */
    AUDIT_RECEIPT,     /* no more header-only frames than receipts and clocks */
    AUDIT_MISSING,     /* a NACK names what has not come, within the grant */
    AUDIT_WHOLE,       /* NackCount 0: everything below has come or was skipped */
    AUDIT_EIGHTH,      /* not eight NACKs in a row */
    AUDIT_TURN,        /* nothing named again within a round trip */
    AUDIT_CUT,         /* messages in full frames, FIRST and END at their ends */
    AUDIT_DECLARED,    /* a message flow declares at most a message beyond its limit */
    AUDIT_PARITY,      /* the initiator opens even flows */
    AUDIT_SKIP,        /* skipped slots were never sent, and unsent ones are skipped */
    AUDIT_DEFINED,     /* nothing about a flow before its DEFINE */
    AUDIT_RULES
};

struct audit_frame {
    uint64_t hash, sent_ns, named_ns;
    uint8_t named; /* in this turn */
    uint8_t sent, asked, arrived, skipped;
};

/* One direction of one flow: what its sender did, and what its receiver said about it. */
struct audit_way {
    struct audit_frame *frames;
    uint64_t room;
    uint64_t next, limit, bound; /* sender: slots; bound in bytes, 0 = bytes */
    uint64_t highest;            /* receiver: end of the highest slot that came or that a high water told, as far as granted */
    uint64_t asked, told;        /* receiver: demand that reached it; GrantAmount it has sent */
    uint64_t asked_skip;         /* end of the last SKIP that reached it */
    uint32_t nacks;              /* in a row */
    uint8_t defined, open, ended, closed, close_came, messages;
};

struct audit_end {
    struct audit_way *ways; /* [AUDIT_FLOWS], what this end sends */
    uint8_t *seen;          /* sequences that this end has accepted */
    uint64_t sequence, offset, sent;
    uint64_t stamp, stamp_sequence, stamp_ns; /* newest of the peer */
    uint64_t earned, spent;
    uint64_t ember_end;
    uint32_t ember_flow;
    uint32_t floor, blocks, cut;              /* of frames from this end */
    struct audit *audit;
    int number;
};

struct audit {
    struct pair *pair;
    struct audit_end end[2];
    uint64_t looked[AUDIT_RULES], broken[AUDIT_RULES];
};

#define AUDIT(a, rule, condition)                                                                              \
    do {                                                                                                       \
        (a)->looked[rule]++;                                                                                   \
        if (!(condition) && (a)->broken[rule]++ < 3)                                                           \
            fprintf(stderr, "%s:%d: end %d, flow %u, sequence %llu: not so: %s\n", __FILE__, __LINE__, e->number, \
                    h->flow, (unsigned long long)h->sequence, #condition);                                     \
    } while (0)

static inline struct audit_frame *audit_frame(struct audit_way *way, uint64_t number)
{
    if (number >= way->room) {
        uint64_t room = number * 2 + 64;
        way->frames = realloc(way->frames, room * sizeof *way->frames);
        CHECK(way->frames != NULL);
        memset(way->frames + way->room, 0, (room - way->room) * sizeof *way->frames);
        way->room = room;
    }
    return &way->frames[number];
}

/* The payload in clear, with the keys of the end that receives it; 0 when it no longer holds them. */
static inline int audit_open(struct audit_end *e, const struct tether_header *h, const uint8_t *frame, size_t length,
                             uint8_t *plain)
{
    struct tether_endpoint *to = e->audit->pair->end[1 - e->number];
    struct tether_channel *ch = tether_channel_find(to, h->channel);
    struct tether_aead *aead = ch ? tether_keys_find(&ch->rx_keys, tether_epoch(h->sequence)) : NULL;
    if (ch && ch->cut_bytes < e->cut)
        e->cut = ch->cut_bytes; /* the Hail that was answered was a smaller one: no frame alone tells it */
    return aead != NULL && tether_aead_unseal(aead, h->sequence, frame, frame + TETHER_HEADER_BYTES,
                                              (uint32_t)(length - TETHER_HEADER_BYTES), plain, h->tag) == 0;
}

static inline uint64_t audit_hash(const struct tether_header *h, const uint8_t *plain)
{
    uint64_t hash = 14695981039346656037u ^ (h->flags & (TETHER_FLAG_FIRST | TETHER_FLAG_END)) ^ h->length << 16;
    for (uint32_t i = 0; i < h->length; i++)
        hash = (hash ^ plain[i]) * 1099511628211u;
    return hash;
}

/* Slots that this end skips: up to `end`. What was not said by a SKIP at the end is found by audit_close. */
static inline void audit_jump(struct audit_way *way, uint64_t end)
{
    way->next = end > way->next ? end : way->next;
    way->limit = end > way->limit ? end : way->limit;
    way->open = 0;
}

static inline void audit_tags(struct audit_end *e, const struct tether_header *h, const uint8_t *plain, int arrived)
{
    struct audit *a = e->audit;
    struct tether_tag_cursor cursor = {.at = plain, .left = h->length};
    struct tether_tag tag;
    int got;
    while ((got = tether_tag_next(&cursor, &tag)) > 0) {
        if (tag.type == TETHER_TAG_DEFINE && tag.define.flow < AUDIT_FLOWS) {
            AUDIT(a, AUDIT_PARITY, (tag.define.flow & 1) == e->number && tag.define.flow != 0);
            a->end[arrived ? 1 - e->number : e->number].ways[tag.define.flow].defined = 1;
            for (int i = 0; i < 2; i++) {
                a->end[i].ways[tag.define.flow].messages = tag.define.kind == TETHER_FLOW_MESSAGE;
                a->end[i].ways[tag.define.flow].bound = tag.define.bound;
            }
        } else if (tag.type == TETHER_TAG_SKIP && tag.skip.flow < AUDIT_FLOWS) {
            struct audit_way *way = &e->ways[tag.skip.flow];
            uint64_t end = tag.skip.first + tag.skip.count;
            for (uint64_t at = tag.skip.first; at < end; at += e->floor) {
                struct audit_frame *f = audit_frame(way, at / e->floor);
                if (!arrived)
                    AUDIT(a, AUDIT_SKIP, !f->sent);
                f->skipped = 1;
            }
            if (!arrived)
                AUDIT(a, AUDIT_SKIP, tag.skip.count && tag.skip.first % e->floor == 0 && tag.skip.count % e->floor == 0);
            else
                way->asked_skip = end > way->asked_skip ? end : way->asked_skip;
        } else if (tag.type == TETHER_TAG_CLOSE && tag.close.flow < AUDIT_FLOWS && tag.close.reason) {
            e->ways[tag.close.flow].closed = 1;
            e->ways[tag.close.flow].close_came |= arrived ? 1 : 0;
        }
    }
    if (!arrived)
        AUDIT(a, AUDIT_FLAGS, got == 0);
}

static inline void audit_data(struct audit_end *e, const struct tether_header *h, const uint8_t *plain, uint64_t now_ns)
{
    struct audit *a = e->audit;
    struct audit_way *way = &e->ways[h->flow];
    uint64_t slot = h->slot, end = slot + e->floor, hash = audit_hash(h, plain);
    struct audit_frame *f;
    AUDIT(a, AUDIT_SLOTS, slot % e->floor == 0);
    f = audit_frame(way, slot / e->floor);
    if (f->sent) {
        AUDIT(a, AUDIT_SAME, f->hash == hash);
        AUDIT(a, AUDIT_NACKED, f->asked);
        f->asked = 0;
        f->sent_ns = now_ns;
        return;
    }
    AUDIT(a, AUDIT_SLOTS, slot >= way->next && !f->skipped);
    if (slot > way->next)
        audit_jump(way, slot);
    if (end > way->limit) {
        AUDIT(a, AUDIT_LIMIT, h->flow != 0 && slot == way->limit);
        AUDIT(a, AUDIT_EMBER, e->ember_flow == 0 || a->end[1 - e->number].ways[e->ember_flow].close_came);
        e->ember_flow = h->flow;
        e->ember_end = end;
    } else {
        AUDIT(a, AUDIT_LIMIT, end <= way->limit);
    }
    *f = (struct audit_frame){.hash = hash, .sent_ns = now_ns, .sent = 1, .arrived = f->arrived};
    way->next = end;
    if (h->flow == 0)
        return;
    if (way->messages) {
        AUDIT(a, AUDIT_CUT, !way->open == !!(h->flags & TETHER_FLAG_FIRST));
        AUDIT(a, AUDIT_CUT, h->length == e->cut || h->flags & TETHER_FLAG_END);
        way->open = !(h->flags & TETHER_FLAG_END);
    } else {
        AUDIT(a, AUDIT_CUT, !(h->flags & TETHER_FLAG_FIRST) && !way->ended);
        way->ended = (h->flags & TETHER_FLAG_END) != 0;
    }
}

/* What the frame says about the other direction of its flow. */
static inline void audit_reverse(struct audit_end *e, const struct tether_header *h, uint64_t now_ns)
{
    struct audit *a = e->audit;
    struct audit_end *peer = &a->end[1 - e->number];
    struct audit_way *back = &peer->ways[h->flow];
    uint64_t last = back->told, rtt = a->pair->wire[0].latency_ns + a->pair->wire[1].latency_ns;
    uint64_t declared = a->pair->config[0].rtt_ns; /* counts until there is a sample */
    uint64_t first = h->nack_slot / peer->floor, end = first + h->nack_count / peer->floor;
    rtt = rtt < declared ? rtt : declared;
    AUDIT(a, AUDIT_GRANT_RISES, h->grant_amount >= last);
    back->told = h->grant_amount > last ? h->grant_amount : last;
    AUDIT(a, AUDIT_PIECE, back->told == last || back->told - last >= peer->floor);
    if (h->flow == 0) {
        uint64_t contig = 0;
        while (audit_frame(back, contig)->arrived)
            contig++;
        AUDIT(a, AUDIT_POOL, h->grant_amount == (contig + a->pair->end[e->number]->pool_frames) * peer->floor);
    } else if (back->told > last && !back->closed) {
        uint64_t most = back->asked > back->asked_skip ? back->asked : back->asked_skip;
        AUDIT(a, AUDIT_DEMAND, back->told <= most);
    }
    if (h->nack_count == 0) {
        back->nacks = 0;
        for (uint64_t i = 0; i < first && !back->closed; i++) /* nobody repairs what was closed */
            AUDIT(a, AUDIT_WHOLE, audit_frame(back, i)->arrived || audit_frame(back, i)->skipped);
        return;
    }
    AUDIT(a, AUDIT_MISSING, h->nack_slot % peer->floor == 0 && h->nack_count % peer->floor == 0);
    AUDIT(a, AUDIT_MISSING, end * peer->floor <= (back->told > back->highest ? back->told : back->highest));
    back->nacks += h->nack_slot < back->highest; /* else the receiver's clock asks, and no gap is open */
    AUDIT(a, AUDIT_EIGHTH, back->nacks < 8);
    for (uint64_t i = first; i < end; i++) {
        struct audit_frame *f = audit_frame(back, i);
        AUDIT(a, AUDIT_MISSING, !f->arrived);
        if (i * peer->floor >= back->highest)
            continue; /* the receiver's clock: it knows of no gap there */
        if (f->named_ns == 0 || now_ns - f->named_ns >= rtt - rtt / 16) {
            f->named_ns = now_ns;
            f->named = 0;
        }
        AUDIT(a, AUDIT_TURN, ++f->named <= 3);
    }
}

/* A frame leaves: the filter of its wire. */
static inline int audit_sent(void *context, const uint8_t *frame, size_t length)
{
    static uint8_t plain[PAIR_FRAME];
    struct audit_end *e = context;
    struct audit *a = e->audit;
    struct pair *p = a->pair;
    struct tether_header header, *h = &header;
    struct tether_stats stats = pair_stats(p, e->number);
    struct audit_way *way;
    uint64_t position, held;
    tether_wire_decode(h, frame);
    if (h->flags & TETHER_FLAG_LAMP || h->flow >= AUDIT_FLOWS || !audit_open(e, h, frame, length, plain))
        return 0;
    way = &e->ways[h->flow];
    AUDIT(a, AUDIT_FRAME, length == TETHER_HEADER_BYTES + tether_blocks(h->length) * 64u);
    AUDIT(a, AUDIT_FRAME, tether_blocks(h->length) <= e->blocks && h->version == 1);
    for (size_t i = h->length; i < length - TETHER_HEADER_BYTES; i++)
        AUDIT(a, AUDIT_FRAME, plain[i] == 0);
    AUDIT(a, AUDIT_SEQUENCE, e->sent == 0 ? h->sequence == 1 : h->sequence > e->sequence);
    e->sequence = h->sequence;
    if (e->sent++ == 0)
        e->offset = (h->timestamp_ns - p->now_ns) & TETHER_MASK48;
    AUDIT(a, AUDIT_STAMP, ((h->timestamp_ns - p->now_ns) & TETHER_MASK48) == e->offset);
    held = p->now_ns - e->stamp_ns;
    if (h->flags & TETHER_FLAG_ECHO)
        AUDIT(a, AUDIT_ECHO, e->stamp_ns && h->echo_ns == ((e->stamp + held) & TETHER_MASK48));
    else
        AUDIT(a, AUDIT_ECHO, h->echo_ns == 0 && (e->stamp_ns == 0 || held > 1000000));
    AUDIT(a, AUDIT_FLAGS, !(h->flags & TETHER_FLAG_BLOCKED) || h->length == 0);
    AUDIT(a, AUDIT_FLAGS, !(h->flags & (TETHER_FLAG_FIRST | TETHER_FLAG_END)) || (h->length && h->flow));
    AUDIT(a, AUDIT_DEFINED, h->flow == 0 || way->defined);
    if (h->length) {
        audit_data(e, h, plain, p->now_ns);
        if (h->flow == 0)
            audit_tags(e, h, plain, 0);
    } else {
        AUDIT(a, AUDIT_SLOTS, h->slot >= way->next);
        if (h->slot > way->next)
            audit_jump(way, h->slot);
        if (!(h->flags & TETHER_FLAG_BLOCKED))
            e->spent++;
        AUDIT(a, AUDIT_RECEIPT, e->spent <= e->earned + stats.refresh_sent);
    }
    position = h->slot + (h->length ? e->floor : 0);
    if (h->flow && !way->closed) {
        const struct tether_channel *ch = tether_channel_find(p->end[e->number], p->channel[e->number]);
        const struct tether_flow *flow =
            ch ? tether_flow_find(p->end[e->number], (struct tether_channel *)(uintptr_t)ch, h->flow) : NULL;
        uint64_t told = position + tether_unfloat16(h->want);
        if (flow != NULL && !way->messages) { /* all that is queued is declared, but a last frame that may still grow */
            const struct tether_endpoint *ep = p->end[e->number];
            const struct tether_cell *last = flow->tx.unsent != TETHER_NIL ? &ep->tx.cells[flow->tx.tail] : NULL;
            uint64_t queued = flow->tx.tail_slot - (last && !(last->marks & TETHER_CELL_SEALED) ? last->slots : 0u);
            AUDIT(a, AUDIT_WANT, told <= queued && queued <= position + tether_unfloat16_ceiling(h->want));
        }
        if (way->messages && (h->length == 0 || position == way->next)) /* a repair may go before the SKIP that explains it */
            AUDIT(a, AUDIT_DECLARED, h->want == 0 || told <= (way->limit > way->next ? way->limit : way->next) +
                                                                 (way->bound + e->cut - 1) / e->cut * e->floor);
    }
    audit_reverse(e, h, p->now_ns);
    return 0;
}

/* A frame has arrived at the other end, which took or refused it. */
static inline void audit_arrived(void *context, const uint8_t *frame, size_t length, int refused)
{
    static uint8_t plain[PAIR_FRAME];
    struct audit_end *e = context, *to = &e->audit->end[1 - e->number];
    struct tether_header header, *h = &header;
    struct audit_way *way, *back;
    uint64_t now_ns = e->audit->pair->now_ns, told;
    int verified = refused == 0 || refused == -TETHER_E_FLOW || refused == -TETHER_E_GRANT || refused == -TETHER_E_CELLS;
    tether_wire_decode(h, frame);
    if (h->flags & TETHER_FLAG_LAMP || h->flow >= AUDIT_FLOWS || !verified)
        return;
    if (h->sequence > to->stamp_sequence) {
        to->stamp_sequence = h->sequence;
        to->stamp = h->timestamp_ns;
        to->stamp_ns = now_ns;
    }
    if (refused)
        return;
    way = &e->ways[h->flow];
    back = &to->ways[h->flow];
    told = h->slot + (h->length ? e->floor : 0) + tether_unfloat16(h->want);
    way->asked = told > way->asked ? told : way->asked;
    to->earned += h->length || h->flags & TETHER_FLAG_BLOCKED;
    if (h->length) {
        audit_frame(way, h->slot / e->floor)->arrived = 1;
        if (h->slot + e->floor > way->highest)
            way->highest = h->slot + e->floor;
        if (h->flow == 0 && audit_open(e, h, frame, length, plain))
            audit_tags(e, h, plain, 1);
    } else {
        uint64_t water = h->slot < way->told ? h->slot : way->told;
        way->highest = water > way->highest ? water : way->highest;
    }
    if (h->grant_amount > back->limit)
        back->limit = h->grant_amount;
    if (to->ember_flow == h->flow && h->flow && h->grant_amount >= to->ember_end)
        to->ember_flow = 0;
    if (h->nack_count) {
        uint64_t age = (now_ns + to->offset - h->echo_ns) & TETHER_MASK48;
        uint64_t heard = h->flags & TETHER_FLAG_ECHO ? now_ns - age : now_ns;
        for (uint32_t i = h->nack_slot / to->floor; i < (h->nack_slot + h->nack_count) / to->floor; i++) {
            struct audit_frame *f = audit_frame(back, i);
            f->asked |= f->sent && f->sent_ns <= heard;
        }
    }
}

/* Attach to a pair that has not sent anything yet. */
static inline void audit_begin(struct audit *a, struct pair *p)
{
    a->pair = p;
    for (int i = 0; i < 2; i++) {
        struct audit_end *e = &a->end[i];
        uint16_t own = p->config[i].frame_blocks, other = p->config[1 - i].frame_blocks;
        *e = (struct audit_end){.audit = a, .number = i, .floor = other, .blocks = other};
        e->cut = (uint32_t)(own < other ? own : other) * 64;
        e->ways = calloc(AUDIT_FLOWS, sizeof *e->ways);
        CHECK(e->ways != NULL);
        e->ways[0].limit = (uint64_t)p->end[1 - i]->pool_frames * e->floor;
        p->wire[i].filter = audit_sent;
        p->wire[i].arrived = audit_arrived;
        p->wire[i].context = e;
    }
}

/* Everything that was jumped over has been named by a SKIP or ended by a CLOSE. */
static inline void audit_close(struct audit *a)
{
    for (int i = 0; i < 2; i++) {
        struct audit_end *e = &a->end[i];
        for (uint32_t flow = 0; flow < AUDIT_FLOWS; flow++) {
            struct audit_way *way = &e->ways[flow];
            struct tether_header header = {.flow = (uint16_t)flow}, *h = &header;
            for (uint64_t at = 0; at * e->floor < way->next && !way->closed; at++)
                AUDIT(a, AUDIT_SKIP, way->frames[at].sent || way->frames[at].skipped);
            free(way->frames);
        }
        free(e->ways);
    }
}

#endif
