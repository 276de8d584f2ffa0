/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, section 15: pace as a sender keeps it, as a receiver states it, and the brake. */
#include "liar.h"
#include "net.h"

enum { FRAME_NS = 100000, FRAMES = 400 };

static uint8_t bytes[1408 * FRAMES];

static int grant(uint16_t flow, uint32_t frames, uint64_t slots_per_s)
{
    struct tether_header header = {.flow = flow, .grant_amount = frames * 22u, .pace = tether_float16(slots_per_s)};
    return say(&header, bytes);
}

/* Data frames that end[1] sends without time going on. */
static uint32_t burst(uint16_t flow, uint32_t *first)
{
    struct heard heard;
    uint32_t count = 0;
    while (hear(&heard))
        if (heard.header.flow == flow && heard.header.length && count++ == 0 && first != NULL)
            *first = heard.header.slot / 22;
    return count;
}

static uint16_t begin_paced(uint64_t seed, uint64_t slots_per_s)
{
    uint16_t flow;
    begin(seed);
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 1000000);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], flow, bytes, sizeof bytes, 0), (int64_t)sizeof bytes);
    CHECK_EQ(burst(flow, NULL), 1); /* the ember */
    CHECK_EQ(grant(flow, FRAMES, slots_per_s), 0);
    return flow;
}

static void a_sender_keeps_the_pace(void)
{
    PROVES("T-LAT-3", "T-REP-3");
    uint16_t flow = begin_paced(1, 22 * (1000000000 / FRAME_NS));
    uint64_t begun = p.now_ns;
    uint32_t sent = 0, frame = 0;
    struct tether_header nack = {.flow = flow, .grant_amount = FRAMES * 22, .nack_slot = 0, .nack_count = 22};
    while (p.now_ns < begun + 100 * FRAME_NS) {
        uint64_t next = tether_endpoint_deadline(p.end[1]);
        uint32_t now = burst(flow, NULL);
        CHECK(now <= 1);
        sent += now;
        p.now_ns = next > p.now_ns ? next < p.now_ns + FRAME_NS / 7 ? next : p.now_ns + FRAME_NS / 7 : p.now_ns + 1000;
    }
    CHECK(sent >= 97 && sent <= 101);
    /* A repair waits for its turn too, and goes before new data. */
    p.now_ns += 1000000;
    (void)burst(flow, NULL);
    CHECK_EQ(say(&nack, bytes), 0);
    CHECK_EQ(burst(flow, NULL), 0);
    for (int i = 0; i < 20 && burst(flow, &frame) == 0; i++)
        p.now_ns += FRAME_NS / 10;
    CHECK_EQ(frame, 0);
    /* The newest statement holds, in whatever order they come; none is none. */
    {
        struct tether_channel *ch = tether_channel_find(p.end[0], p.channel[0]);
        uint64_t sequence = ch->sequence;
        ch->sequence = sequence + 1;
        CHECK_EQ(grant(flow, FRAMES, 22 * (1000000000 / (4 * FRAME_NS))), 0);
        ch->sequence = sequence;
        CHECK_EQ(grant(flow, FRAMES, 22 * (1000000000 / FRAME_NS)), 0);
        ch->sequence = sequence + 2;
        CHECK_EQ(grant(flow, FRAMES, 0), 0);
    }
    begun = p.now_ns;
    for (sent = 0; p.now_ns < begun + 40 * FRAME_NS; p.now_ns += FRAME_NS / 10)
        sent += burst(flow, NULL);
    CHECK(sent >= 8 && sent <= 12);
    pair_close(&p);
}

static void who_comes_late_makes_up_little(void)
{
    PROVES("T-LAT-4");
    uint16_t flow = begin_paced(2, 22 * (1000000000 / FRAME_NS));
    CHECK_EQ(burst(flow, NULL), 1);
    p.now_ns += 100 * FRAME_NS; /* frames waited, and nobody called */
    CHECK_EQ(burst(flow, NULL), 16);
    CHECK_EQ(burst(flow, NULL), 0);
    pair_close(&p);
    /* After a time in which none waited there is nothing to make up. */
    begin(3);
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 1000000);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], flow, bytes, 1408, 0), 1408);
    CHECK_EQ(burst(flow, NULL), 1);
    CHECK_EQ(grant(flow, FRAMES, 22 * (1000000000 / FRAME_NS)), 0);
    p.now_ns += 1000 * FRAME_NS;
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], flow, bytes, 1408 * 50, 0), 1408 * 50);
    CHECK_EQ(burst(flow, NULL), 1);
    pair_close(&p);
}

/* ------------------------------------------------------------------ stated */

static struct net net;
static uint8_t sink[1 << 20];

static void writer(struct net_node *node, uint64_t now_ns)
{
    if (node->context)
        while (tether_flow_write(node->ep, now_ns, node->channel, *(uint16_t *)node->context, sink, 140800, 0) > 0)
            continue;
}

static uint32_t link_lanes; /* of the node that receives, this one counted; 0 = this one */

/* `senders` that send without end to one; their byte flows are open. */
static void begin_net(uint32_t senders, uint64_t rate_bps, uint64_t port_bps, uint64_t delay_ns, uint64_t silence_ns)
{
    static uint16_t flows[NET_NODES];
    net_open(&net, senders);
    for (uint32_t i = 0; i <= senders; i++) {
        struct net_node *node = net_node(&net, rate_bps, delay_ns);
        node->config.silence_ns = silence_ns;
        node->config.max_channels = senders + 1;
        node->config.link_lanes = i == senders ? link_lanes : 0;
    }
    net_start(&net);
    net_connect(&net);
    net.nodes[senders].port_bps = port_bps;
    net.nodes[senders].work = net_read_all;
    for (uint32_t i = 0; i < senders; i++) {
        CHECK_EQ(tether_flow_open(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, TETHER_FLOW_BYTES, 0, &flows[i]), 0);
        net.nodes[i].context = &flows[i];
        net.nodes[i].work = writer;
        net_wake(&net, i, net.now_ns);
    }
}

/* Sum of what the senders obey, in bit/s. */
static uint64_t in_force(uint32_t senders)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < senders; i++) {
        const struct tether_flow *flow = tether_flow_at(net.nodes[i].ep, &net.nodes[i].ep->channels[0], 1);
        if (flow->used)
            sum += tether_unfloat16(flow->tx.pacer.wire) / 22 * (1408 + 102) * 8;
    }
    return sum;
}

static void all_paces_together_fit_the_link(void)
{
    PROVES("T-LAT-5", "T-LAT-6");
    const uint64_t link = 10000000000;
    const struct tether_stats *stats;
    begin_net(8, link, link, 2500, 1000000);
    for (int i = 0; i < 2000; i++) {
        net_run(&net, 1000);
        CHECK(in_force(8) <= link + link / 8);
    }
    CHECK(in_force(8) > link / 10 * 9);
    stats = &net.nodes[8].ep->stats;
    CHECK(stats->bytes_received > link / 8 / 1000 * 2 / 10 * 8); /* 2 ms of it, more or less */
    for (uint32_t i = 0; i < 8; i++) { /* an eighth for each */
        const struct tether_flow *flow = tether_flow_at(net.nodes[i].ep, &net.nodes[i].ep->channels[0], 1);
        uint64_t bps = tether_unfloat16(flow->tx.pacer.wire) / 22 * (1408 + 102) * 8;
        CHECK(bps > link / 9 && bps < link / 7);
    }
    CHECK(net.nodes[8].queued_most < 100000);
    net_close(&net);
}

/* A lane that shares its link states no more than its part, whoever is active on the others. */
static void a_lane_has_its_part_of_the_link(void)
{
    PROVES("T-LAT-10");
    const uint64_t link = 10000000000;
    uint64_t before;
    link_lanes = 4;
    begin_net(3, link, link, 2500, 1000000);
    link_lanes = 0;
    for (int i = 0; i < 500; i++) {
        net_run(&net, 10000);
        CHECK(in_force(3) <= link / 4 + link / 4 / 8);
    }
    CHECK(in_force(3) > link / 4 / 10 * 9);
    before = net.nodes[3].wire_bytes;
    net_run(&net, 10000000);
    CHECK((net.nodes[3].wire_bytes - before) * 8 * 100 <= link / 4 + link / 4 / 16); /* and what header-only frames need */
    CHECK((net.nodes[3].wire_bytes - before) * 8 * 100 > link / 5);
    net_close(&net);
}

/* ------------------------------------------------------------------- brake */

static void a_queue_lowers_the_pace(void)
{
    PROVES("T-LAT-2", "T-LAT-8", "T-LAT-9");
    const struct tether_channel *ch;
    uint64_t before, carried;
    begin_net(1, 10000000000, 1000000000, 25000, 20000); /* a tenth of what both ends were told */
    net_run(&net, 500000000);
    ch = &net.nodes[1].ep->channels[0];
    CHECK(ch->brake.part < TETHER_BRAKE_FREE / 2);
    net.nodes[1].queued_most = 0;
    before = net.nodes[1].wire_bytes;
    net_run(&net, 100000000);
    CHECK(ch->brake.part >= TETHER_BRAKE_LEAST);
    carried = net.nodes[1].wire_bytes - before;
    CHECK(carried > 12500000 / 10 * 7);          /* of 100 ms at 1 Gb/s */
    CHECK(net.nodes[1].queued_most < 200000);    /* where all that is granted would stand otherwise */
    net.nodes[1].port_bps = 10000000000;
    net_run(&net, 100000000);
    CHECK_EQ(ch->brake.part, TETHER_BRAKE_FREE); /* and comes back */
    /* No further than a 64th, whatever the queue. */
    net.nodes[1].port_bps = 10000000;
    net_run(&net, 60000000000);
    CHECK_EQ(ch->brake.part, TETHER_BRAKE_LEAST);
    CHECK(in_force(1) > 10000000000 / 70);
    net_close(&net);
}

/* A round trip that is long whatever we do is a slow machine, or somebody else's queue. */
static void what_does_not_help_is_not_kept(void)
{
    PROVES("T-LAT-8");
    struct tether_channel *ch;
    uint32_t least = TETHER_BRAKE_FREE, braked = 0;
    begin(9);
    ch = theirs();
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 8; i++) {
            p.now_ns += 4000000;
            tether_rtt_sample(&ch->rtt, 4000000);
            tether_brake_sample(p.end[1], ch, 4000000, p.now_ns);
        }
        braked += ch->brake.part < TETHER_BRAKE_FREE;
        least = ch->brake.part < least ? ch->brake.part : least;
    }
    CHECK(least < TETHER_BRAKE_FREE && least >= TETHER_BRAKE_FREE / 8);
    CHECK(braked < 40);
    pair_close(&p);
}

static void loss_lowers_no_pace(void)
{
    PROVES("T-LAT-2", "T-REP-6");
    begin_net(1, 1000000000, 1000000000, 25000, 20000);
    net.nodes[0].loss_ppm = net.nodes[1].loss_ppm = 50000;
    for (int i = 0; i < 100; i++) {
        net_run(&net, 1000000);
        CHECK_EQ(net.nodes[1].ep->channels[0].brake.part, TETHER_BRAKE_FREE);
    }
    CHECK(in_force(1) > 990000000);
    CHECK(net.nodes[1].ep->stats.bytes_received > 12500000 / 10 * 8);
    net_close(&net);
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(a_sender_keeps_the_pace);
    RUN(who_comes_late_makes_up_little);
    RUN(all_paces_together_fit_the_link);
    RUN(a_lane_has_its_part_of_the_link);
    RUN(a_queue_lowers_the_pace);
    RUN(what_does_not_help_is_not_kept);
    RUN(loss_lowers_no_pace);
    return run_result();
}
