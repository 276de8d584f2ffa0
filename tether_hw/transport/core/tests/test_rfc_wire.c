/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, sections 2 to 5 and 11: what a frame's fields make the other end do, and what they must not. */
#include <errno.h>

#include "liar.h"

static const uint8_t data[1408];

/* A byte flow of end[1] with more to send than it has credit for: the ember goes, the rest waits. */
static struct tether_flow *blocked_sender(uint16_t *id)
{
    static uint8_t bytes[1408 * 20];
    struct tether_flow *flow;
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, id), 0);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], *id, bytes, sizeof bytes, 0), sizeof bytes);
    drain();
    flow = tether_flow_find(p.end[1], theirs(), *id);
    CHECK_EQ(tether_ledger_next(&flow->tx.ledger), 22);
    CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), 0);
    return flow;
}

/* Every field at its greatest: what the ends believe is bounded by what the rules let it mean. */
static void flags_decide_nothing(void)
{
    PROVES("T-HDR-3", "T-SER-3");
    struct tether_header header = {0};
    struct tether_flow *flow;
    begin(1);
    flow = blocked_sender(&header.flow);
    header.flags = TETHER_FLAG_GRANT | TETHER_FLAG_NACK; /* they announce a grant and a gap, and there is none */
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), 0);
    CHECK_EQ(flow->tx.repair_head, TETHER_NIL);
    header.flags = 0; /* nothing is announced, and both are there */
    header.grant_amount = 22 * 5;
    header.nack_count = 22;
    p.now_ns += 1000000;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), 22 * 5);
    CHECK(flow->tx.repair_head != TETHER_NIL);
    header.grant_amount = 22 * 3; /* an older one, that comes late: no error, no fall */
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), 22 * 5);
    pair_close(&p);
}

static void absurd_grants(void)
{
    PROVES("T-SER-4", "T-SER-7");
    struct tether_header header = {0};
    struct tether_flow *flow;
    begin(2);
    flow = blocked_sender(&header.flow);
    for (uint64_t beyond = UINT64_C(1) << 31; beyond < UINT64_C(1) << 47; beyond *= 4) {
        header.grant_amount = beyond;
        CHECK_EQ(say(&header, data), 0);
        CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), 0);
    }
    header.grant_amount = (UINT64_C(1) << 31) - 1;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tether_ledger_limit(&flow->tx.ledger), (UINT64_C(1) << 31) - 1);
    pair_close(&p);
}

/* A receipt for slots below the first one is no receipt for all that was sent. */
static void receipts_from_before_the_beginning(void)
{
    PROVES("T-SER-2");
    struct tether_header header = {0};
    struct tether_flow *flow;
    uint32_t cells;
    begin(11);
    flow = blocked_sender(&header.flow);
    cells = flow->tx.cells;
    for (uint32_t below = 22; below < UINT32_MAX / 4; below *= 3) {
        header.nack_slot = 0 - below;
        CHECK_EQ(say(&header, data), 0);
        CHECK_EQ(flow->tx.cells, cells);
    }
    header.nack_slot = 22;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(flow->tx.cells, cells - 1);
    pair_close(&p);
}

static void absurd_demand(void)
{
    PROVES("T-SER-5");
    struct tether_header header = {.flow = 2, .length = 64, .want = 0xffff};
    struct tether_flow *flow;
    begin(3);
    flow = define(2, TETHER_FLOW_BYTES, 0);
    CHECK_EQ(say(&header, data), 0);
    drain();
    CHECK(flow->rx.demand < flow->rx.contig + (UINT64_C(1) << 31));
    CHECK(flow->rx.granted > 22 && flow->rx.granted < flow->rx.contig + (UINT64_C(1) << 31));
    CHECK(flow->rx.upper < flow->rx.contig + (UINT64_C(1) << 31));
    pair_close(&p);
}

/* BLOCKED on data asks nothing; END and FIRST say nothing on a header-only frame and on Flow 0. */
static void flags_out_of_place(void)
{
    PROVES("T-HDR-16");
    struct tether_tag_define tag = {.flow = 2, .kind = TETHER_FLOW_BYTES};
    struct tether_header header = {.length = TETHER_TAG_DEFINE_SIZE, .flags = TETHER_FLAG_END | TETHER_FLAG_FIRST};
    struct tether_header plain = {.flow = 2, .slot = 22, .flags = TETHER_FLAG_END | TETHER_FLAG_FIRST};
    struct tether_header blocked = {.flow = 2, .length = 64, .flags = TETHER_FLAG_BLOCKED};
    struct tether_flow *flow;
    uint8_t tags[64];
    uint32_t receipts;
    begin(4);
    (void)tether_tag_put_define(tags, &tag);
    header.slot = (uint32_t)tether_flow_at(p.end[1], theirs(), 0)->rx.contig;
    CHECK_EQ(say(&header, tags), 0);
    flow = tether_flow_find(p.end[1], theirs(), 2);
    CHECK(flow != NULL);
    drain();
    receipts = theirs()->receipts;
    CHECK_EQ(say(&blocked, data), 0);
    CHECK_EQ(theirs()->receipts, receipts + 1); /* for the data, and none for BLOCKED */
    CHECK(!(flow->news & TETHER_NEWS_ANSWER));
    CHECK_EQ(say(&plain, data), 0);
    CHECK(!(flow->flags & TETHER_FLOW_REMOTE_END));
    CHECK_EQ(flow->rx.final, UINT64_MAX);
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    pair_close(&p);
}

static void absurd_round_trip(void)
{
    PROVES("T-HDR-14", "T-HDR-17");
    struct tether_header header = {.flags = TETHER_FLAG_ECHO, .slot = 22};
    uint32_t count;
    begin(5);
    count = theirs()->rtt.count;
    header.echo_ns = (tether_stamp(theirs(), p.now_ns) + 1000) & TETHER_MASK48; /* from the future */
    CHECK_EQ(say(&header, data), 0);
    header.echo_ns = (tether_stamp(theirs(), p.now_ns) + (UINT64_C(1) << 47)) & TETHER_MASK48;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(theirs()->rtt.count, count);
    header.echo_ns = (tether_stamp(theirs(), p.now_ns) - 12345) & TETHER_MASK48;
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(theirs()->rtt.count, count + 1);
    CHECK_EQ(theirs()->rtt.samples_ns[count % TETHER_RTT_SAMPLES], 12345);
    pair_close(&p);
}

/* Held too long, an echo would measure the drift of two clocks. */
static void echo_held_too_long(void)
{
    PROVES("T-HDR-11");
    static const uint64_t holds[] = {900000, 1250 * 40000 - 10000, 1250 * 40000 + 10000, UINT64_C(1) << 47};
    for (int i = 0; i < 4; i++) {
        struct tether_header header = {.flow = 2, .length = 64, .timestamp_ns = 4711};
        struct heard heard;
        begin(6);
        theirs()->rtt.min_ns = 40000;
        (void)define(2, TETHER_FLOW_BYTES, 0);
        drain();
        p.now_ns += 50000000;
        drain(); /* whatever its clocks want to say */
        CHECK_EQ(say(&header, data), 0);
        p.end[1]->timer_ns = UINT64_MAX; /* and nothing for the time of the hold */
        p.now_ns += holds[i];
        tether_news(p.end[1], theirs(), tether_flow_find(p.end[1], theirs(), 2), TETHER_NEWS_ACK);
        CHECK(hear(&heard));
        if (i < 2) {
            CHECK(heard.header.flags & TETHER_FLAG_ECHO);
            CHECK_EQ(heard.header.echo_ns, 4711 + holds[i]);
        } else {
            CHECK(!(heard.header.flags & TETHER_FLAG_ECHO));
            CHECK_EQ(heard.header.echo_ns, 0);
        }
        pair_close(&p);
    }
}

/* An index names its lane, is not 0 and not that of the channel before it; frames carry the one that their receiver chose. */
static void channel_index(void)
{
    PROVES("T-HDR-4", "T-HDR-5");
    uint32_t seen[20];
    pair_open(&p, 7);
    p.config[1].lane = 5;
    p.config[1].lanes = 6;
    static struct tether_address lanes[6];
    for (int i = 0; i < 6; i++)
        lanes[i] = p.address[1];
    p.config[1].lane_addresses = lanes;
    pair_start(&p);
    for (int i = 0; i < 20; i++) {
        uint32_t channel;
        struct heard heard;
        CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 5, NULL, &channel), 0);
        p.channel[0] = p.channel[1] = 0;
        pair_until(&p, pair_both_up, NULL, 20000000000);
        CHECK_EQ(p.channel[0] & 0xff, 0);
        CHECK_EQ(p.channel[1] & 0xff, 5);
        CHECK(p.channel[0] >> 8 != 0 && p.channel[1] >> 8 != 0);
        seen[i] = p.channel[1];
        for (int k = 0; k < i; k++)
            CHECK(seen[k] != seen[i]);
        CHECK_EQ(tether_channel_find(p.end[0], p.channel[0])->remote, p.channel[1]);
        while (hear(&heard))
            CHECK_EQ(heard.header.channel, p.channel[0]);
        CHECK_EQ(tether_channel_close(p.end[0], p.now_ns, p.channel[0]), 0);
        pair_run(&p, 3000000000);
    }
    pair_close(&p);
}

/* Each channel counts its time from somewhere else. */
static void random_offsets(void)
{
    PROVES("T-HDR-12");
    uint64_t offsets[8];
    pair_open(&p, 8);
    pair_start(&p);
    for (int i = 0; i < 8; i++) {
        pair_connect(&p);
        offsets[i] = tether_stamp(tether_channel_find(p.end[i & 1], p.channel[i & 1]), p.now_ns) - p.now_ns;
        for (int k = 0; k < i; k++)
            CHECK(offsets[k] >> 30 != offsets[i] >> 30);
        CHECK_EQ(tether_channel_close(p.end[0], p.now_ns, p.channel[0]), 0);
        pair_run(&p, 3000000000);
        p.channel[0] = p.channel[1] = 0;
    }
    pair_close(&p);
}

/* The frame of a new epoch is opened with a key that was there before it came; the one beyond the range is looked up in vain. */
static void epochs_ahead(void)
{
    PROVES("T-EPO-1", "T-EPO-2");
    struct tether_channel *ch;
    uint8_t frame[PAIR_FRAME] = {0};
    uint64_t last;
    begin(9);
    last = theirs()->rx_keys.last;
    CHECK(last >= 2);
    for (uint64_t epoch = last; epoch < 2000; epoch += 97) {
        struct tether_header header = {.version = 1, .channel = p.channel[1], .sequence = ((epoch + 1) << 22) + 5};
        tether_wire_encode(&header, frame);
        CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, 64), -TETHER_E_EPOCH);
        header.sequence = (last << 22) + epoch; /* held, but not sealed with it */
        tether_wire_encode(&header, frame);
        CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, 64), -TETHER_E_AUTH);
        CHECK_EQ(theirs()->rx_keys.last, last); /* nothing was derived */
    }
    ch = tether_channel_find(p.end[0], p.channel[0]);
    CHECK_EQ(tether_keys_advance(&ch->tx_keys, 1), 0);
    ch->sequence = UINT64_C(1) << 22;
    {
        struct tether_header header = {.version = 1, .channel = p.channel[1], .sequence = ch->sequence++};
        tether_wire_encode(&header, frame);
        CHECK_EQ(tether_aead_seal(tether_keys_find(&ch->tx_keys, 1), header.sequence, frame, frame, 0, frame,
                                  frame + TETHER_AT_TAG), 0);
        CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, 64), 0);
    }
    CHECK_EQ(theirs()->rx_keys.last, last + 1);
    pair_close(&p);
}

/* The cipher fails once: the slots of that frame are not lost, its bytes arrive in them. */
static void frame_that_cannot_be_built(void)
{
    PROVES("T-LED-3");
    uint8_t frame[PAIR_FRAME], got[5000];
    struct tether_address to;
    struct tether_aead *aead, keyless = {0};
    struct tether_channel *ch;
    void *keyed;
    uint16_t flow;
    begin(10);
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 10000000);
    ch = tether_channel_find(p.end[0], p.channel[0]);
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, 1000, TETHER_WRITE_FLUSH), 1000);
    aead = tether_keys_find(&ch->tx_keys, 0);
    CHECK_EQ(tether_aead_open(&keyless), 0);
    keyed = aead->context;
    aead->context = keyless.context;
    CHECK(tether_endpoint_transmit(p.end[0], p.now_ns, frame, sizeof frame, &to) <= 0);
    aead->context = keyed;
    tether_aead_close(&keyless);
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, 1000, TETHER_WRITE_FLUSH), 1000);
    pair_run(&p, 1000000000);
    CHECK_EQ(tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, got, sizeof got, NULL), 2000);
    pair_quiet(&p);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(flags_decide_nothing);
    RUN(absurd_grants);
    RUN(receipts_from_before_the_beginning);
    RUN(absurd_demand);
    RUN(flags_out_of_place);
    RUN(absurd_round_trip);
    RUN(echo_held_too_long);
    RUN(channel_index);
    RUN(random_offsets);
    RUN(epochs_ahead);
    RUN(frame_that_cannot_be_built);
    return run_result();
}
