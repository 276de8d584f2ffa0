/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, T-FLW-24: an id of the peer's that was closed a moment ago is refused, and later it is not. */
#include "liar.h"

static const uint8_t data[1408];

/* Tags that end[1] says, read up to the first CLOSE of `flow`: its reason, or -1 when it says none. */
static int closes(uint16_t flow)
{
    struct heard heard;
    while (hear(&heard)) {
        struct tether_tag_cursor cursor = {.at = heard.payload, .left = heard.header.length};
        struct tether_tag tag;
        while (heard.header.flow == 0 && heard.header.length && tether_tag_next(&cursor, &tag) > 0)
            if (tag.type == TETHER_TAG_CLOSE && tag.close.flow == flow)
                return (int)tag.close.reason;
    }
    return -1;
}

static void say_close(uint16_t flow, uint64_t final)
{
    struct tether_tag_close close = {.flow = flow, .reason = TETHER_CLOSE_CLOSED, .final = final};
    uint8_t tags[64];
    CHECK_EQ(say_tags(tags, tether_tag_put_close(tags, &close)), 0);
}

/* All that end[1] has said on Flow 0 has arrived. */
static void say_receipt(void)
{
    struct tether_flow *control = tether_flow_at(p.end[1], theirs(), 0);
    struct tether_header header = {.slot = (uint32_t)control->rx.contig};
    header.nack_slot = (uint32_t)tether_ledger_next(&control->tx.ledger);
    CHECK_EQ(say(&header, data), 0);
}

static uint64_t rtt(void)
{
    return tether_rtt_now(&theirs()->rtt);
}

/* A flow of the peer's, closed at both ends. */
static void open_and_close(uint16_t flow)
{
    CHECK(define(flow, TETHER_FLOW_BYTES, 0) != NULL);
    say_close(flow, 0);
    CHECK_EQ(closes(flow), TETHER_CLOSE_CLOSED);
    CHECK_EQ(tether_flow_close(p.end[1], p.now_ns, p.channel[1], flow), 0);
}

static void begin_with_pool(uint64_t seed)
{
    struct tether_header header = {.grant_amount = 22 * 4096};
    begin(seed);
    CHECK_EQ(say(&header, data), 0); /* Flow 0 of end[1] may say as much as it likes */
}

static void too_early_is_refused(void)
{
    PROVES("T-FLW-24", "T-DEF-4");
    begin_with_pool(1);
    open_and_close(2);
    say_receipt();
    CHECK(tether_flow_find(p.end[1], theirs(), 2) == NULL); /* gone */
    p.now_ns += 2 * rtt() - 1;
    CHECK(define(2, TETHER_FLOW_BYTES, 0) == NULL);
    CHECK_EQ(closes(2), TETHER_CLOSE_REFUSED);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    CHECK(define(4, TETHER_FLOW_BYTES, 0) != NULL); /* another id is another matter */
    p.now_ns += 1;
    CHECK(define(2, TETHER_FLOW_BYTES, 0) != NULL);
    CHECK_EQ(closes(2), -1);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

/* Our CLOSE has arrived, and what would tell us so was lost: the DEFINE of who has waited says it. */
static void a_late_one_says_that_our_close_has_arrived(void)
{
    PROVES("T-FLW-24");
    begin_with_pool(2);
    open_and_close(2);
    CHECK(tether_flow_find(p.end[1], theirs(), 2) != NULL);
    CHECK_EQ(tether_flow_find(p.end[1], theirs(), 2)->gone, 0);
    p.now_ns += 2 * rtt() - 1;
    CHECK_EQ(define(2, TETHER_FLOW_BYTES, 0)->close_sent, 1); /* still the old one */
    CHECK_EQ(closes(2), TETHER_CLOSE_REFUSED);
    p.now_ns += 1;
    CHECK_EQ(define(2, TETHER_FLOW_BYTES, 0)->close_sent, 0);
    CHECK_EQ(closes(2), -1);
    say_receipt(); /* of the CLOSE of the former flow: it is no receipt for the new one */
    CHECK_EQ(tether_flow_find(p.end[1], theirs(), 2)->gone, 0);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

/* A flow that one end has not closed is open, however long ago. */
static void an_open_id_is_an_error(void)
{
    PROVES("T-DEF-4");
    for (int closed = 0; closed < 2; closed++) {
        begin_with_pool(3);
        CHECK(define(2, TETHER_FLOW_BYTES, 0) != NULL);
        if (closed)
            CHECK_EQ(tether_flow_close(p.end[1], p.now_ns, p.channel[1], 2), 0);
        CHECK_EQ(closes(2), closed ? TETHER_CLOSE_CLOSED : -1);
        p.now_ns += 10 * rtt();
        (void)define(2, TETHER_FLOW_BYTES, 0);
        CHECK_EQ(theirs()->state, TETHER_CHANNEL_CLOSING);
        pair_close(&p);
    }
}

/* What one channel remembers is no matter of the next one in its place. */
static void a_new_channel_remembers_nothing(void)
{
    PROVES("T-FLW-24");
    uint16_t flow;
    begin_with_pool(4);
    open_and_close(2);
    say_receipt();
    for (uint64_t stride = 7; stride < 13; stride++) { /* more than there are places */
        theirs()->ids.again = 1;
        pair_restart(&p, 0, stride);
        pair_connect(&p);
        CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
        CHECK_EQ(flow, 2);
        pair_run(&p, 100000);
        CHECK(tether_flow_find(p.end[1], theirs(), 2) != NULL);
        CHECK_EQ(theirs()->ids.again, 0);
    }
    pair_close(&p);
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(too_early_is_refused);
    RUN(a_late_one_says_that_our_close_has_arrived);
    RUN(an_open_id_is_an_error);
    RUN(a_new_channel_remembers_nothing);
    return run_result();
}
