/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, 15.3: who says BUSY and when, what a receiver makes of it, and what it must leave alone. */
#include "liar.h"
#include "net.h"

enum { FRAME_NS = 100000, FRAMES = 2000 };

static uint8_t bytes[1408 * FRAMES];
static const uint64_t pace = UINT64_C(22) * 1000000000 / FRAME_NS;

static int grant(uint16_t flow, uint32_t frames, uint64_t slots_per_s)
{
    struct tether_header header = {.flow = flow, .grant_amount = frames * 22u, .pace = tether_float16(slots_per_s)};
    return say(&header, bytes);
}

static uint16_t writes(uint64_t length)
{
    uint16_t flow;
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 1000000);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], flow, bytes, length, TETHER_WRITE_FLUSH), (int64_t)length);
    return flow;
}

/* `frames` frames leave, one in `every_ns`: how many of the data frames said BUSY. The last one's flags. */
static uint32_t uplink(uint16_t flow, uint32_t frames, uint64_t every_ns, uint8_t *last)
{
    struct heard heard;
    uint32_t busy = 0;
    for (uint32_t sent = 0; sent < frames; p.now_ns += every_ns) {
        if (!hear(&heard))
            continue; /* its pace holds it */
        if (heard.header.flow != flow || heard.header.length == 0) {
            CHECK(!(heard.header.flags & TETHER_FLAG_BUSY) || heard.header.want);
            continue;
        }
        sent++;
        busy += (heard.header.flags & TETHER_FLAG_BUSY) != 0;
        CHECK(!(heard.header.flags & TETHER_FLAG_BUSY) || heard.header.want);
        *last = heard.header.flags & TETHER_FLAG_BUSY;
    }
    return busy;
}

static void who_cannot_use_its_credit_says_so(void)
{
    PROVES("T-BSY-1", "T-BSY-2");
    uint8_t last;
    uint16_t flow;
    begin(1);
    flow = writes(sizeof bytes);
    CHECK_EQ(uplink(flow, 1, 1000, &last), 0); /* the ember */
    CHECK_EQ(grant(flow, FRAMES, pace), 0);
    CHECK_EQ(uplink(flow, 100, FRAME_NS / 10, &last), 0);     /* it keeps the pace: there is nothing to say */
    CHECK(uplink(flow, 100, FRAME_NS * 4, &last) >= 90);      /* a quarter of what it may */
    CHECK_EQ(last, TETHER_FLAG_BUSY);
    CHECK(uplink(flow, 100, FRAME_NS / 10, &last) < 40);      /* and is over a round after it is over */
    CHECK_EQ(last, 0);
    CHECK_EQ(grant(flow, FRAMES, pace / 4), 0);               /* asked to be slow, it is not BUSY */
    CHECK_EQ(uplink(flow, 100, FRAME_NS / 10, &last), 0);
    pair_close(&p);

    /* All credit used in a round: what is slow then is the receiver. */
    begin(2);
    flow = writes(sizeof bytes);
    CHECK_EQ(uplink(flow, 1, 1000, &last), 0);
    for (uint32_t granted = 2; granted < 100; granted += 2) {
        CHECK_EQ(grant(flow, granted, 0), 0);
        CHECK_EQ(uplink(flow, granted == 2 ? 1 : 2, FRAME_NS * 4, &last), 0);
    }
    /* Without a pace the credit alone tells it. */
    CHECK_EQ(grant(flow, FRAMES, 0), 0);
    CHECK(uplink(flow, 100, FRAME_NS * 4, &last) >= 80);
    pair_close(&p);
}

static void who_has_nothing_to_send_says_nothing(void)
{
    PROVES("T-BSY-1", "T-BSY-2");
    uint8_t last;
    uint16_t flow;
    begin(3);
    flow = writes(1408 * 200);
    CHECK_EQ(uplink(flow, 1, 1000, &last), 0);
    CHECK_EQ(grant(flow, FRAMES, pace), 0);
    CHECK(uplink(flow, 198, FRAME_NS * 4, &last) >= 100);
    CHECK_EQ(last, TETHER_FLAG_BUSY);
    (void)uplink(flow, 1, FRAME_NS * 4, &last);
    CHECK_EQ(last, 0); /* the last one: nothing is left that could wait */
    /* An application that writes little at a time leaves credit unused, and its uplink is free. */
    for (uint32_t i = 0; i < 300; i++) {
        CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], flow, bytes, 4300, 0), 4300);
        for (int k = 0; k < 16; k++, p.now_ns += FRAME_NS) {
            struct heard heard;
            while (hear(&heard))
                CHECK(!(heard.header.flags & TETHER_FLAG_BUSY));
        }
    }
    pair_close(&p);
}

/* ------------------------------------------------------------------ heard */

static struct tether_flow *heard_flow(uint16_t flow)
{
    return tether_flow_find(p.end[1], theirs(), flow);
}

/* A data frame at the beginning of what has not arrived, as long as credit is there. */
static void feed(uint16_t flow, uint8_t flags, uint16_t want)
{
    struct tether_header header = {.flow = flow, .length = 1408, .flags = flags, .want = tether_float16(want)};
    header.slot = (uint32_t)heard_flow(flow)->rx.contig;
    CHECK_EQ(say(&header, bytes), 0);
    drain();
}

static void what_busy_leaves_alone(void)
{
    PROVES("T-BSY-3", "T-BSY-4", "T-BSY-7");
    const struct tether_flow_rx *slow;
    uint64_t granted, changes_nothing, pool, ember;
    begin(4);
    define(2, TETHER_FLOW_BYTES, 0);
    slow = &heard_flow(2)->rx;
    for (int i = 0; i < 40; i++)
        feed(2, TETHER_FLAG_BUSY, 22000);
    CHECK_EQ(p.end[1]->lenders, slow->lend.slots_per_s != 0);
    CHECK_EQ(tether_lend_slots(p.end[1], heard_flow(2)), 0); /* alone: nobody to lend to */
    granted = slow->granted;
    define(4, TETHER_FLOW_BYTES, 0);
    drain();
    pool = tether_flow_at(p.end[1], theirs(), 0)->rx.granted;
    ember = theirs()->ember_in;
    for (int i = 0; i < 40; i++) {
        feed(4, 0, 22000);
        feed(2, TETHER_FLAG_BUSY, 22000);
        CHECK(slow->granted >= granted); /* nothing is taken back */
        granted = slow->granted;
    }
    CHECK(tether_lend_slots(p.end[1], heard_flow(2)) != 0);
    CHECK_EQ(tether_flow_at(p.end[1], theirs(), 0)->rx.granted, pool);
    CHECK_EQ(theirs()->ember_in, ember);
    CHECK(tether_pace_slots(p.end[1], heard_flow(2)) >= tether_pace_slots(p.end[1], heard_flow(4)) / 64);
    CHECK(tether_pace_slots(p.end[1], heard_flow(4)) > tether_pace_slots(p.end[1], heard_flow(2)));
    /* It is granted on and on, however slow it is: it always has a frame outstanding. */
    for (int i = 0; i < 400; i++) {
        feed(2, TETHER_FLAG_BUSY, 22000);
        CHECK(slow->outstanding >= 1);
        for (int k = 0; k < 20; k++)
            feed(4, 0, 22000);
        {
            uint8_t sink[1408];
            while (tether_flow_read(p.end[1], p.now_ns, p.channel[1], 4, sink, sizeof sink, NULL) > 0)
                continue;
            while (tether_flow_read(p.end[1], p.now_ns, p.channel[1], 2, sink, sizeof sink, NULL) > 0)
                continue;
        }
    }
    /* All of them: it is no difference that anybody says so. */
    changes_nothing = 0;
    for (int i = 0; i < 40; i++) {
        feed(4, TETHER_FLAG_BUSY, 22000);
        feed(2, TETHER_FLAG_BUSY, 22000);
        changes_nothing += tether_lend_slots(p.end[1], heard_flow(2)) == 0 && i > 20;
    }
    CHECK_EQ(p.end[1]->lenders, 2);
    CHECK_EQ(changes_nothing, 19);
    CHECK_EQ(tether_pace_slots(p.end[1], heard_flow(2)), tether_pace_slots(p.end[1], heard_flow(4)));
    pair_check(&p);
    pair_close(&p);
}

static void what_says_no_busy(void)
{
    PROVES("T-BSY-2", "T-BSY-3", "T-HDR-16");
    struct tether_header old = {.flow = 2, .length = 1408, .flags = TETHER_FLAG_BUSY, .want = 1000};
    struct tether_channel *ch;
    begin(5);
    define(2, TETHER_FLOW_BYTES, 0);
    define(4, TETHER_FLOW_BYTES, 0);
    for (int i = 0; i < 20; i++) { /* want 0: it asks for nothing */
        feed(4, 0, 22000);
        feed(2, TETHER_FLAG_BUSY, 0);
    }
    CHECK_EQ(p.end[1]->lenders, 0);
    CHECK_EQ(heard_flow(2)->rx.lend.on, 0);
    feed(2, 0, 22000);
    ch = tether_channel_find(p.end[0], p.channel[0]);
    for (int i = 0; i < 20; i++) { /* an older frame says what was */
        uint64_t sequence = ch->sequence;
        ch->sequence = sequence + 1;
        feed(2, 0, 22000);
        ch->sequence = sequence;
        old.slot = (uint32_t)heard_flow(2)->rx.contig;
        CHECK_EQ(say(&old, bytes), 0);
        ch->sequence = sequence + 2;
        p.now_ns += 2000000;
    }
    CHECK_EQ(heard_flow(2)->rx.lend.on, 0);
    for (int i = 0; i < 20; i++) { /* Flow 0 has its pool */
        struct tether_header header = {.flags = TETHER_FLAG_BUSY, .want = 22};
        header.slot = (uint32_t)tether_flow_at(p.end[1], theirs(), 0)->rx.contig;
        CHECK_EQ(say(&header, bytes), 0);
        p.now_ns += 2000000;
    }
    CHECK_EQ(tether_flow_at(p.end[1], theirs(), 0)->rx.lend.on, 0);
    CHECK_EQ(p.end[1]->lenders, 0);
    pair_close(&p);
}

/* -------------------------------------------------------------------- lent */

static struct net net;
static uint8_t sink[1 << 20];
static uint16_t flows[NET_NODES];
static int dumb; /* nobody says BUSY */

static void writer(struct net_node *node, uint64_t now_ns)
{
    uint16_t id = *(uint16_t *)node->context;
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(node->ep, node->channel, id, &ch);
    while (tether_flow_write(node->ep, now_ns, node->channel, id, sink, 140800, 0) > 0)
        continue;
    if (dumb)
        tether_busy_begin(&flow->tx.busy);
}

/* Two senders without end to one, all links the same; the first one's uplink has `part` of it. In force: what each may. */
static void begin_two(uint64_t rate_bps, uint64_t part, uint64_t delay_ns, int known)
{
    net_open(&net, 7);
    for (uint32_t i = 0; i < 3; i++) {
        struct net_node *node = net_node(&net, rate_bps, delay_ns);
        node->config.silence_ns = 100000;
        node->config.rate_bps = known ? rate_bps : 0;
    }
    net_start(&net);
    net_connect(&net);
    net.nodes[2].work = net_read_all;
    net.nodes[0].rate_bps = rate_bps / part;
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQ(tether_flow_open(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, TETHER_FLOW_BYTES, 0, &flows[i]), 0);
        net.nodes[i].context = &flows[i];
        net.nodes[i].work = writer;
        net_wake(&net, i, net.now_ns);
    }
}

static uint64_t pace_of(uint32_t i)
{
    struct tether_channel *ch;
    const struct tether_flow *flow = tether_flow_lookup(net.nodes[i].ep, net.nodes[i].channel, flows[i], &ch);
    return tether_unfloat16(flow->tx.pacer.wire) / 22 * (1408 + 102) * 8;
}

/* Of the receiver's link, in per mille, for `ns`. */
static uint64_t share(uint64_t link, uint64_t ns)
{
    uint64_t before = net.nodes[2].wire_bytes;
    net_run(&net, ns);
    return (net.nodes[2].wire_bytes - before) * 8 * 1000 / (link / 1000000 * (ns / 1000));
}

static void others_get_what_it_cannot_use(void)
{
    PROVES("T-BSY-5", "T-BSY-6", "T-LAT-5", "T-SCH-2");
    const uint64_t link = 10000000000;
    uint64_t without, with;
    dumb = 1;
    begin_two(link, 10, 25000, 1);
    net_run(&net, 20000000);
    without = share(link, 20000000);
    CHECK(without < 640); /* a half and a tenth */
    net_close(&net);
    dumb = 0;
    begin_two(link, 10, 25000, 1);
    net_run(&net, 20000000);
    with = share(link, 20000000);
    CHECK(with > 900);
    printf("share of the link with BUSY %llu, without %llu per mille\n", (unsigned long long)with,
           (unsigned long long)without);
    for (int i = 0; i < 100; i++) {
        net_run(&net, 100000);
        CHECK(pace_of(0) + pace_of(1) <= link + link / 32);
        CHECK(pace_of(0) > link / 10 && pace_of(0) < link / 5);
    }
    CHECK_EQ(net.nodes[2].ep->lenders, 1);
    /* Its uplink is free again: so is its share. */
    net.nodes[0].rate_bps = link;
    net_run(&net, 20000000);
    CHECK_EQ(net.nodes[2].ep->lenders, 0);
    CHECK_EQ(net.nodes[2].ep->lent_bps, 0);
    CHECK(pace_of(0) > link / 10 * 4 && pace_of(1) < link / 10 * 6);
    CHECK(share(link, 20000000) > 900);
    net_close(&net);
}

/* Nobody knows the rate of the link, so the window is all there is to lend. */
static void the_window_is_lent_too(void)
{
    PROVES("T-BSY-5", "T-SCH-2");
    begin_two(1000000000, 20, 5000000, 0);
    net_run(&net, 1000000000);
    CHECK_EQ(net.nodes[2].ep->lenders, 1);
    CHECK_EQ(net.nodes[2].ep->lender_peers, 1);
    CHECK(share(1000000000, 200000000) > 900);
    net_close(&net);
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(who_cannot_use_its_credit_says_so);
    RUN(who_has_nothing_to_send_says_nothing);
    RUN(what_busy_leaves_alone);
    RUN(what_says_no_busy);
    RUN(others_get_what_it_cannot_use);
    RUN(the_window_is_lent_too);
    return run_result();
}
