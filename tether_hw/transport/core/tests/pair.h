/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two endpoints over a pipe in memory, in virtual time: seeded loss, reordering, duplication and blackouts per
 * direction. The invariants are checked on every step.
 */
#ifndef TETHER_TEST_PAIR_H
#define TETHER_TEST_PAIR_H

#include "../src/endpoint.h"
#include "check.h"

#ifndef PAIR_FLIGHT
#define PAIR_FLIGHT 65536 /* frames on the way at most, per direction */
#endif
#ifndef PAIR_FRAME
#define PAIR_FRAME 2048 /* bytes of one frame at most */
#endif
enum { PAIR_EVENTS = 4096 };

struct pair_frame {
    uint64_t at_ns;
    uint32_t length;
    uint8_t bytes[PAIR_FRAME];
};

struct pair_wire {
    struct pair_frame *frames; /* binary heap by (at_ns, order) */
    uint64_t *order;
    uint32_t *heap, *unused;
    uint32_t count, unused_count;
    uint64_t loss_ppm, reorder_ppm, duplicate_ppm;
    uint64_t latency_ns, ns_per_frame, busy_ns;
    uint64_t carried, lost, drop_next;
    int cut;
    int (*filter)(void *context, const uint8_t *frame, size_t length); /* 1 = drop */
    /* what was handed to the receiver, and what it said to it */
    void (*arrived)(void *context, const uint8_t *frame, size_t length, int refused);
    void *context;
};

struct pair {
    tether_endpoint *end[2];
    struct pair_wire wire[2]; /* wire[i] carries what end[i] sends */
    uint8_t secret[2][32], public_key[2][32];
    struct tether_endpoint_config config[2];
    struct tether_address address[2];
    uint64_t now_ns, rng, order;
    uint64_t entropy[2];
    uint32_t channel[2];   /* last one that came up */
    struct tether_event events[2][PAIR_EVENTS];
    uint32_t event_count[2];
    uint64_t last_limit[2];
    int keep_rejects;
};

static inline int pair_entropy(void *context, uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(test_random(context) >> 32);
    return 0;
}

static inline void pair_wire_open(struct pair_wire *wire)
{
    memset(wire, 0, sizeof *wire);
    wire->frames = malloc(PAIR_FLIGHT * sizeof *wire->frames);
    wire->order = malloc(PAIR_FLIGHT * sizeof *wire->order);
    wire->heap = malloc(PAIR_FLIGHT * sizeof *wire->heap);
    wire->unused = malloc(PAIR_FLIGHT * sizeof *wire->unused);
    CHECK(wire->frames && wire->order && wire->heap && wire->unused);
    for (uint32_t i = 0; i < PAIR_FLIGHT; i++)
        wire->unused[wire->unused_count++] = i;
    wire->latency_ns = 20000;
    wire->ns_per_frame = 1000;
}

static inline void pair_wire_close(struct pair_wire *wire)
{
    free(wire->frames);
    free(wire->order);
    free(wire->heap);
    free(wire->unused);
}

static inline int pair_earlier(const struct pair_wire *wire, uint32_t a, uint32_t b)
{
    if (wire->frames[a].at_ns != wire->frames[b].at_ns)
        return wire->frames[a].at_ns < wire->frames[b].at_ns;
    return wire->order[a] < wire->order[b];
}

static inline void pair_wire_push(struct pair *p, struct pair_wire *wire, const uint8_t *bytes, uint32_t length,
                                  uint64_t at_ns)
{
    uint32_t frame, at = wire->count++;
    CHECK(wire->unused_count > 0);
    frame = wire->unused[--wire->unused_count];
    wire->frames[frame].at_ns = at_ns;
    wire->frames[frame].length = length;
    wire->order[frame] = p->order++;
    memcpy(wire->frames[frame].bytes, bytes, length);
    wire->heap[at] = frame;
    while (at > 0 && pair_earlier(wire, wire->heap[at], wire->heap[(at - 1) / 2])) {
        uint32_t up = (at - 1) / 2, swap = wire->heap[at];
        wire->heap[at] = wire->heap[up];
        wire->heap[up] = swap;
        at = up;
    }
}

static inline uint32_t pair_wire_pop(struct pair_wire *wire)
{
    uint32_t frame = wire->heap[0], at = 0;
    wire->heap[0] = wire->heap[--wire->count];
    for (;;) {
        uint32_t least = at, left = 2 * at + 1;
        if (left < wire->count && pair_earlier(wire, wire->heap[left], wire->heap[least]))
            least = left;
        if (left + 1 < wire->count && pair_earlier(wire, wire->heap[left + 1], wire->heap[least]))
            least = left + 1;
        if (least == at)
            break;
        uint32_t swap = wire->heap[at];
        wire->heap[at] = wire->heap[least];
        wire->heap[least] = swap;
        at = least;
    }
    wire->unused[wire->unused_count++] = frame;
    return frame;
}

static inline void pair_endpoint(struct pair *p, int i)
{
    struct tether_peer peer = {.id = (uint32_t)(2 - i), .key_count = 1, .rtt_ns = 40000, .rate_bps = 10000000000};
    CHECK_EQ(tether_endpoint_new(&p->config[i], &p->end[i]), 0);
    memcpy(peer.keys[0], p->public_key[1 - i], 32);
    peer.hail = p->address[1 - i];
    CHECK_EQ(tether_endpoint_roster(p->end[i], p->now_ns, &peer, 1), 0);
}

static inline void pair_open(struct pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->rng = seed * 2 + 1;
    p->now_ns = 1000000000;
    for (int i = 0; i < 2; i++) {
        p->entropy[i] = seed * 2 + 77 + (uint64_t)i * 2;
        for (int k = 0; k < 4; k++)
            test_random(&p->entropy[i]);
        pair_entropy(&p->entropy[i], p->secret[i], 32);
        CHECK_EQ(tether_public_key(p->secret[i], p->public_key[i]), 0);
        p->address[i] = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {(uint8_t)i}};
        pair_wire_open(&p->wire[i]);
        p->config[i] = (struct tether_endpoint_config){.struct_size = sizeof p->config[i], .lane = 0, .lanes = 1,
            .max_channels = 4, .max_flows = 16, .rx_cells = 16384, .tx_cells = 16384, .frame_blocks = 22,
            .ring_frames = 1024, .max_message = 16u << 20, .rtt_ns = 40000, .rate_bps = 10000000000,
            .entropy = pair_entropy, .context = &p->entropy[i], .lane_addresses = &p->address[i]};
        memcpy(p->config[i].static_secret, p->secret[i], 32);
    }
}

static inline void pair_start(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        pair_endpoint(p, i);
        CHECK_EQ(tether_endpoint_counter(p->end[i], UINT64_C(1) << 20, UINT64_C(2) << 20), 0);
    }
}

/* A new process on the same host: state is lost, key and counter file are not. */
static inline void pair_restart(struct pair *p, int i, uint64_t stride)
{
    tether_endpoint_free(p->end[i]);
    pair_endpoint(p, i);
    CHECK_EQ(tether_endpoint_counter(p->end[i], stride << 20, (stride + 1) << 20), 0);
}

static inline void pair_close(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        tether_endpoint_free(p->end[i]);
        pair_wire_close(&p->wire[i]);
    }
}

static inline void pair_check(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct tether_endpoint *ep = p->end[i];
        uint32_t held = 0, reserved = 0, outstanding = 0, embers = 0, used = 0, lenders = 0;
        uint64_t lent_bps = 0;
        CHECK_EQ(ep->stats.invariant_violations, 0);
        for (uint32_t c = 0; c < ep->channel_high; c++)
            for (uint32_t f = 0; f < ep->flow_nodes; f++) {
                const struct tether_flow *flow = tether_flow_at(ep, &ep->channels[c], f);
                if (!flow->used)
                    continue;
                CHECK(flow->rx.contig <= flow->rx.high);
                if (f == 0)
                    continue;
                held += flow->rx.held;
                reserved += flow->rx.reserved;
                outstanding += flow->rx.outstanding;
                embers += flow->ember_in;
                used += flow->tx.cells;
                lenders += flow->rx.outstanding && flow->rx.lend.slots_per_s;
                lent_bps += flow->rx.lend.lent_bps;
                CHECK(flow->rx.steady_to == 0 ||
                      (flow->rx.steady_to <= flow->rx.granted && flow->rx.gaps.count == 0 && flow->rx.clock.tries == 0 &&
                       flow->rx.final == UINT64_MAX && !flow->rx.lend.on));
                CHECK(flow->rx.reserved >= flow->rx.outstanding);
                CHECK(ep->channels[c].state != TETHER_CHANNEL_UP || /* else its credit went back and its slots say nothing */
                      (flow->rx.granted + (flow->ember_in ? flow->rx.floor : 0) - flow->rx.arrived) / flow->rx.floor ==
                          flow->rx.outstanding);
                /* I1 but for the ember */
                CHECK(tether_ledger_next(&flow->tx.ledger) <=
                      tether_ledger_limit(&flow->tx.ledger) + (flow->ember_out ? 1023u : 0u));
            }
        CHECK_EQ(held, ep->held);
        CHECK_EQ(reserved, ep->reserved);
        CHECK_EQ(outstanding, ep->outstanding);
        CHECK_EQ(embers, ep->embers);
        CHECK_EQ(used, ep->tx_used);
        CHECK_EQ(lenders, ep->lenders);
        CHECK_EQ(lent_bps, ep->lent_bps);
        CHECK((uint64_t)held + reserved <= (uint64_t)ep->config.rx_cells + embers + ep->config.max_channels); /* I4 */
        CHECK(outstanding <= ep->window + ep->config.max_channels);
    }
}

static inline void pair_events(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct tether_event event;
        while (tether_endpoint_event(p->end[i], &event)) {
            if (event.kind == TETHER_EVENT_CHANNEL_UP)
                p->channel[i] = event.channel;
            CHECK(p->event_count[i] < PAIR_EVENTS);
            p->events[i][p->event_count[i]++] = event;
        }
        if (p->event_count[i] > PAIR_EVENTS / 2) { /* tests look at what is recent */
            memmove(p->events[i], p->events[i] + PAIR_EVENTS / 4, PAIR_EVENTS / 4 * sizeof p->events[i][0]);
            p->event_count[i] = PAIR_EVENTS / 4;
        }
    }
}

static inline const struct tether_event *pair_seen(const struct pair *p, int i, uint32_t kind)
{
    for (uint32_t e = p->event_count[i]; e > 0; e--)
        if (p->events[i][e - 1].kind == kind)
            return &p->events[i][e - 1];
    return NULL;
}

/* Everything that can happen now happens; then time goes on to the next thing, at most to `until_ns`. */
static inline void pair_step(struct pair *p, uint64_t until_ns)
{
    uint8_t frame[PAIR_FRAME];
    uint64_t next = until_ns;
    for (int i = 0; i < 2; i++) {
        struct pair_wire *wire = &p->wire[i];
        struct tether_address to;
        int length;
        while (wire->busy_ns <= p->now_ns &&
               (length = tether_endpoint_transmit(p->end[i], p->now_ns, frame, sizeof frame, &to)) > 0) {
            uint64_t at = p->now_ns + wire->latency_ns;
            CHECK_EQ(length % 64, 0);
            wire->carried++;
            wire->busy_ns = p->now_ns + wire->ns_per_frame;
            if (wire->cut || (wire->filter && wire->filter(wire->context, frame, (size_t)length)) ||
                test_random(&p->rng) % 1000000 < wire->loss_ppm || wire->drop_next) {
                wire->drop_next -= wire->drop_next != 0;
                wire->lost++;
                continue;
            }
            if (test_random(&p->rng) % 1000000 < wire->reorder_ppm)
                at += test_random(&p->rng) % (wire->latency_ns * 2 + 1);
            pair_wire_push(p, wire, frame, (uint32_t)length, at);
            if (test_random(&p->rng) % 1000000 < wire->duplicate_ppm)
                pair_wire_push(p, wire, frame, (uint32_t)length, at + test_random(&p->rng) % (wire->latency_ns + 1));
        }
    }
    for (int i = 0; i < 2; i++) {
        uint64_t deadline = tether_endpoint_deadline(p->end[i]);
        if (deadline <= p->now_ns)
            deadline = p->wire[i].busy_ns > p->now_ns ? p->wire[i].busy_ns : p->now_ns + 1;
        next = deadline < next ? deadline : next;
        if (p->wire[i].count && p->wire[i].frames[p->wire[i].heap[0]].at_ns < next)
            next = p->wire[i].frames[p->wire[i].heap[0]].at_ns;
    }
    p->now_ns = next > p->now_ns ? next : p->now_ns;
    for (int i = 0; i < 2; i++) {
        struct pair_wire *wire = &p->wire[i];
        while (wire->count && wire->frames[wire->heap[0]].at_ns <= p->now_ns) {
            uint32_t at = pair_wire_pop(wire);
            int refused = tether_endpoint_receive(p->end[1 - i], p->now_ns, &p->address[i], wire->frames[at].bytes,
                                                  wire->frames[at].length);
            if (wire->arrived)
                wire->arrived(wire->context, wire->frames[at].bytes, wire->frames[at].length, refused);
        }
    }
    pair_events(p);
}

/* Run until `done` says so; fails the test after `limit_ns` of virtual time. */
static inline void pair_until(struct pair *p, int (*done)(struct pair *, void *), void *context, uint64_t limit_ns)
{
    uint64_t until = p->now_ns + limit_ns;
    uint32_t steps = 0;
    while (!done(p, context)) {
        pair_step(p, until);
        if (++steps % 64 == 0)
            pair_check(p);
        if (p->now_ns >= until) {
            fprintf(stderr, "nothing after %llu ns\n", (unsigned long long)limit_ns);
            CHECK(done(p, context));
        }
    }
    pair_check(p);
}

static inline void pair_run(struct pair *p, uint64_t ns)
{
    uint64_t until = p->now_ns + ns;
    while (p->now_ns < until)
        pair_step(p, until);
    pair_check(p);
}

static inline int pair_both_up(struct pair *p, void *context)
{
    (void)context;
    for (int i = 0; i < 2; i++) {
        struct tether_channel *ch = tether_channel_find(p->end[i], p->channel[i]);
        if (ch == NULL || ch->state != TETHER_CHANNEL_UP)
            return 0;
    }
    return 1;
}

static inline void pair_connect(struct pair *p)
{
    uint32_t channel;
    CHECK_EQ(tether_channel_open(p->end[0], p->now_ns, 2, 0, NULL, &channel), 0);
    pair_until(p, pair_both_up, NULL, 20000000000);
}

static inline struct tether_stats pair_stats(const struct pair *p, int i)
{
    struct tether_stats stats = {.struct_size = sizeof stats};
    tether_endpoint_stats(p->end[i], &stats);
    return stats;
}

/* Two ends with a channel between them that has been up for a moment, and `bytes` to send over it. */
static inline void pair_begin(struct pair *p, uint64_t seed, uint8_t *bytes, size_t size)
{
    pair_open(p, seed);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)test_random(&p->rng);
    pair_start(p);
    pair_connect(p);
    pair_run(p, 2000000);
}

/* I8: no demand and quiet, so what is granted is the standing amounts, and every cell is free. */
static inline void pair_quiet(struct pair *p)
{
    pair_run(p, 3000000000);
    for (int i = 0; i < 2; i++) {
        struct tether_stats stats = pair_stats(p, i);
        CHECK_EQ(stats.grants_outstanding_slots, stats.standing_slots);
        CHECK_EQ(stats.reserved_cells, 0);
        CHECK_EQ(stats.invariant_violations, 0);
        CHECK_EQ(p->end[i]->held, 0);
        CHECK_EQ(p->end[i]->tx_used, 0);
        CHECK_EQ(p->end[i]->gap_pool.free_count, p->end[i]->gap_pool.count);
    }
}

#endif
