/* SPDX-License-Identifier: Apache-2.0 */
/* Expiring flows: what is too old is skipped, the reader learns of the hole, and nothing waits for it. */
#include "kinds.h"

static struct pair pair;
static struct kinds k;

static int all_accounted(struct pair *p, void *context)
{
    struct kinds *q = context;
    struct tether_flow_state state = {.struct_size = sizeof state};
    kinds_step(p, q);
    if (q->written < q->total || tether_flow_state(p->end[0], p->channel[0], q->flow, &state))
        return 0;
    return state.unsent_bytes == 0 && state.unacknowledged_bytes == 0;
}

static struct tether_flow_state state_of(int end)
{
    struct tether_flow_state state = {.struct_size = sizeof state};
    CHECK_EQ(tether_flow_state(pair.end[end], pair.channel[end], k.flow, &state), 0);
    return state;
}

/* A link that cannot carry it all: what comes is young, what is missing is known, and the two make the whole. */
static void too_much(uint8_t kind, uint8_t order, uint64_t loss, uint64_t seed)
{
    uint64_t whole = 0;
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++)
        pair.wire[i].loss_ppm = loss;
    pair_start(&pair);
    pair_connect(&pair);
    pair.wire[0].ns_per_frame = 100000; /* 10,000 frames a second */
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = kind, .order = order,
               .reliability = TETHER_FLOW_EXPIRING, .deadline_ns = 5000000},
               kind == TETHER_FLOW_MESSAGE ? 2000 : 1408 * 5000);
    k.most = 5000;
    k.every_ns = kind == TETHER_FLOW_MESSAGE ? 100000 : 1000000; /* about three times what the link takes */
    pair_until(&pair, all_accounted, &k, UINT64_C(60000000000));
    pair_run(&pair, 1000000000);
    kinds_read(&k);
    if (kind == TETHER_FLOW_MESSAGE) {
        struct tether_flow_state out = state_of(0);
        CHECK(out.messages_dropped > 100);
        CHECK(k.got > 100);
        CHECK(k.got + out.messages_dropped >= k.total); /* late ones may have come before their Skip */
        CHECK_EQ(out.messages_receipted, k.total);
    } else {
        for (uint64_t at = 0; at < k.total; at++) {
            CHECK(k.there[at] == 1 || k.there[at] == 2 || order == TETHER_FLOW_UNORDERED);
            whole += k.there[at] == 1;
        }
        CHECK_EQ(whole, k.got);
        CHECK(k.got > 100000 && k.got < k.total);
        CHECK(k.ended);
    }
    CHECK(k.holes > 0);
    CHECK(state_of(1).skipped_slots > 0);
    CHECK(pair_seen(&pair, 1, TETHER_EVENT_FLOW_HOLE) != NULL);
    pair_quiet(&pair); /* every credit is back */
    kinds_close(&k);
    pair_close(&pair);
}

static void ordered_messages(void)
{
    PROVES("T-EXP-1", "T-EXP-3", "T-SKP-9");
    too_much(TETHER_FLOW_MESSAGE, TETHER_FLOW_ORDERED, 0, 1);
    too_much(TETHER_FLOW_MESSAGE, TETHER_FLOW_ORDERED, 50000, 2);
}

static void unordered_messages(void)
{
    PROVES("T-EXP-1", "T-EXP-3", "T-SKP-9", "T-FLW-21");
    too_much(TETHER_FLOW_MESSAGE, TETHER_FLOW_UNORDERED, 0, 3);
    too_much(TETHER_FLOW_MESSAGE, TETHER_FLOW_UNORDERED, 50000, 4);
}

static void bytes(void)
{
    PROVES("T-EXP-1", "T-EXP-2", "T-EXP-3", "T-FLW-20");
    too_much(TETHER_FLOW_BYTES, TETHER_FLOW_ORDERED, 0, 5);
    too_much(TETHER_FLOW_BYTES, TETHER_FLOW_ORDERED, 50000, 6);
}

static void unordered_bytes(void)
{
    PROVES("T-EXP-3", "T-FLW-22");
    too_much(TETHER_FLOW_BYTES, TETHER_FLOW_UNORDERED, 50000, 7);
}

/* All that never left, END with it, is a hole, and it is told before the end: to who stops at TETHER_READ_END too. */
static void hole_before_the_end(void)
{
    PROVES("T-EXP-2", "T-EXP-3");
    for (uint8_t order = 0; order < 2; order++) {
        uint64_t holes = 0, got = 0, offset;
        uint8_t data[20000];
        uint32_t flags = 0;
        pair_open(&pair, 20 + order);
        pair_start(&pair);
        pair_connect(&pair);
        pair.wire[0].ns_per_frame = 2000000;
        kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_BYTES, .order = order,
                   .reliability = TETHER_FLOW_EXPIRING, .deadline_ns = 20000000}, 1408 * 300);
        kinds_write(&k);
        CHECK_EQ(k.written, k.total);
        pair_run(&pair, 1000000000);
        while (!(flags & TETHER_READ_END)) {
            int64_t n = tether_flow_read_at(pair.end[1], pair.now_ns, pair.channel[1], k.flow, &offset, data, sizeof data,
                                            &flags);
            CHECK(n >= 0);
            holes += flags & TETHER_READ_HOLE ? (uint64_t)n : 0;
            got += flags & TETHER_READ_HOLE ? 0 : (uint64_t)n;
        }
        CHECK(got > 0 && holes > 0);
        CHECK_EQ(got + holes, k.total);
        kinds_close(&k);
        pair_close(&pair);
    }
}

/* One message is lost for good: those behind it are not held up beyond its deadline. */
static int second_lost(void *context, const uint8_t *frame, size_t length)
{
    struct tether_header header;
    (void)context;
    tether_header_decode(&header, frame);
    return length > 64 && header.flow == k.flow && header.slot == 22;
}

static void nothing_waits(void)
{
    PROVES("T-EXP-1");
    uint64_t from;
    pair_open(&pair, 8);
    pair_start(&pair);
    pair_connect(&pair);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE,
               .reliability = TETHER_FLOW_EXPIRING, .deadline_ns = 20000000}, 10);
    k.most = 1400;
    pair.wire[0].filter = second_lost;
    from = pair.now_ns;
    while (k.got < 9) {
        pair_step(&pair, from + 1000000000);
        kinds_step(&pair, &k);
        CHECK(pair.now_ns < from + 1000000000);
    }
    CHECK(!k.seen[1]);
    CHECK(pair.now_ns - from < 20000000 + 5000000);
    CHECK(state_of(0).messages_dropped >= 1); /* those behind it too: they arrived, but no receipt can say so */
    pair.wire[0].filter = NULL;
    kinds_close(&k);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(ordered_messages);
    RUN(unordered_messages);
    RUN(bytes);
    RUN(unordered_bytes);
    RUN(hole_before_the_end);
    RUN(nothing_waits);
    return run_result();
}
