/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, sections 6.7 and 15: who is served first, what one peer may take from others, how fast a flow may go. */
#include <errno.h>

#include "../src/account.h"
#include "../src/schedule.h"
#include "liar.h"
#include "net.h"

enum { FRAMES_PER_S = 1000 };

static uint8_t data[1408 * 200];

static struct tether_flow *flow_of(uint16_t id)
{
    return tether_flow_find(p.end[1], theirs(), id);
}

static void ask(uint16_t flow, uint32_t frames)
{
    struct tether_header header = {.flow = flow, .want = tether_float16(frames * 22)};
    CHECK_EQ(say(&header, data), 0);
}

static void start(uint64_t seed, uint16_t policy)
{
    pair_open(&p, seed);
    p.config[1].grant_policy = policy;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
}

static void room_for_who_comes_next(void)
{
    PROVES("T-SCH-3");
    start(1, TETHER_POLICY_FAIR);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    ask(2, 2000);
    for (int i = 0; i < 20; i++)
        drain();
    CHECK(flow_of(2)->rx.outstanding > 300);
    CHECK(flow_of(2)->rx.outstanding <= p.end[1]->window - p.end[1]->window / 32);
    pair_close(&p);
    pair_open(&p, 2);
    p.config[1].rx_cells = 320;
    p.config[1].max_message = 100000;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 100000000);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    ask(2, 2000);
    for (int i = 0; i < 20; i++)
        drain();
    CHECK(flow_of(2)->rx.reserved > 100);
    CHECK(flow_of(2)->rx.reserved <= 310);
    pair_close(&p);
}

/* Three flows wait, the longest one first: the shortest is served, and in one round of eight who waits longest. */
static void shortest_and_oldest(void)
{
    PROVES("T-SCH-5");
    uint32_t first[3] = {0}, order[3];
    start(3, TETHER_POLICY_SRPT);
    p.end[1]->window = 0; /* so that they stay in the queue */
    for (uint16_t id = 2; id <= 6; id = (uint16_t)(id + 2)) {
        (void)define(id, TETHER_FLOW_BYTES, 0);
        ask(id, 900u / id);
        order[id / 2 - 1] = tether_flow_node(p.end[1], flow_of(id));
    }
    while (tether_queue_pop(p.end[1], &p.end[1]->queues[TETHER_Q_GRANT], TETHER_Q_GRANT) != NULL)
        continue;
    for (int round = 0; round < 80; round++) {
        struct tether_round r;
        for (int i = 0; i < 3; i++)
            tether_queue_push(p.end[1], &p.end[1]->queues[TETHER_Q_GRANT], TETHER_Q_GRANT, &p.end[1]->flows[order[i]]);
        tether_schedule_round(p.end[1], &r);
        CHECK_EQ(r.count, 3);
        for (int i = 0; i < 3; i++)
            first[i] += r.nodes[0] == order[i];
    }
    CHECK_EQ(first[0], 10);
    CHECK_EQ(first[2], 70);
    pair_close(&p);
}

static void budgets(void)
{
    PROVES("T-SCH-6");
    struct tether_tag_define tag = {.kind = TETHER_FLOW_BYTES};
    uint32_t order[3] = {0};
    uint8_t tags[64];
    struct tether_round r;
    start(4, TETHER_POLICY_RESERVED); /* 10 Gb/s: 937,500,000 bytes a second may be kept */
    for (uint16_t id = 2; id <= 8; id = (uint16_t)(id + 2)) {
        tag.flow = id;
        tag.budget = id == 2 ? 0 : id == 8 ? 300000000 : 400000000;
        tag.latency_ns = id == 4 ? 9000 : 1000;
        CHECK_EQ(say_tags(tags, tether_tag_put_define(tags, &tag)), 0);
        drain();
    }
    CHECK(flow_of(8) == NULL); /* does not fit any more */
    CHECK_EQ(theirs()->state, TETHER_CHANNEL_UP);
    p.end[1]->window = 0;
    for (uint16_t id = 2; id <= 6; id = (uint16_t)(id + 2)) {
        ask(id, 100);
        order[id / 2 - 1] = tether_flow_node(p.end[1], flow_of(id));
    }
    tether_schedule_round(p.end[1], &r);
    CHECK_EQ(r.count, 3);
    CHECK(r.nodes[0] == order[2] && r.nodes[1] == order[1] && r.nodes[2] == order[0]);
    pair_close(&p);
}

static struct net net;
static uint16_t net_flow[2];
static uint64_t net_bytes[2];

static void reads(struct net_node *node, uint64_t now_ns)
{
    struct tether_event event;
    while (tether_endpoint_event(node->ep, &event)) {
        int64_t n;
        if (event.kind != TETHER_EVENT_FLOW_READABLE || event.peer_id > 2)
            continue;
        while ((n = tether_flow_read(node->ep, now_ns, event.channel, event.flow, data, sizeof data, NULL)) > 0)
            net_bytes[event.peer_id - 1] += (uint64_t)n;
    }
}

/* Two peers of node 2, each with a flow of this kind. */
static void two_peers(uint8_t kind, uint32_t cells)
{
    net_open(&net, 9);
    for (int i = 0; i < 3; i++) {
        struct net_node *node = net_node(&net, 10000000000, 5000);
        node->config.rx_cells = i == 2 ? cells : 4096;
        node->config.ring_frames = 256;
        node->config.max_message = 64 * 1408;
    }
    net_start(&net);
    net_connect(&net);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQ(tether_flow_open(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, kind, 0, &net_flow[i]), 0);
        net_wake(&net, i, net.now_ns);
    }
    net_bytes[0] = net_bytes[1] = 0;
    net.nodes[2].work = reads;
    net_run(&net, 20000000);
}

static struct tether_flow *sending(uint32_t i)
{
    return tether_flow_find(net.nodes[i].ep, tether_channel_find(net.nodes[i].ep, net.nodes[i].channel), net_flow[i]);
}

/* One asks first, and for all: when the other one asks too, each has its part of the window. */
static void parts_of_peers(void)
{
    PROVES("T-SCH-2");
    struct tether_endpoint *ep;
    uint32_t most = 0, both = 0;
    two_peers(TETHER_FLOW_BYTES, 4096);
    ep = net.nodes[2].ep;
    for (int round = 0; round < 400; round++) {
        for (uint32_t i = round < 50; i < 2; i++) {
            (void)tether_flow_write(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, net_flow[i], data, sizeof data, 0);
            net_wake(&net, i, net.now_ns);
        }
        net_run(&net, 50000);
        if (round < 100)
            continue;
        both += ep->active_peers == 2;
        for (uint32_t c = 0; c < ep->channel_high; c++)
            for (uint32_t f = 1; f < ep->flow_nodes; f++) {
                struct tether_flow *flow = tether_flow_at(ep, &ep->channels[c], f);
                if (flow->used && ep->active_peers == 2 && tether_account_of(ep, flow)->outstanding > most)
                    most = tether_account_of(ep, flow)->outstanding;
            }
    }
    CHECK(both > 100);
    CHECK(most > 10 && most <= ep->window / 2);
    CHECK(net_bytes[0] > 1000000 && net_bytes[1] > 1000000);
    net_close(&net);
}

/* A peer that asks for all cells, gets them and sends nothing: another one waits for 10 s, and then no longer. */
static void credit_that_is_not_used(void)
{
    PROVES("T-SCH-4");
    uint64_t begun;
    two_peers(TETHER_FLOW_MESSAGE, 64);
    CHECK(tether_flow_write(net.nodes[0].ep, net.now_ns, net.nodes[0].channel, net_flow[0], data, 60 * 1408, 0) > 0);
    net_wake(&net, 0, net.now_ns);
    while (!sending(0)->ember_out)
        net_run(&net, 100);
    sending(0)->tx.pacer.at_ns = UINT64_MAX / 2;
    net_run(&net, 100000000);
    CHECK(net.nodes[2].ep->outstanding > 20);
    CHECK(tether_flow_write(net.nodes[1].ep, net.now_ns, net.nodes[1].channel, net_flow[1], data, 60 * 1408, 0) > 0);
    net_wake(&net, 1, net.now_ns);
    begun = net.now_ns;
    while (net_bytes[1] == 0 && net.now_ns < begun + 60000000000)
        net_run(&net, 100000000);
    CHECK_EQ(net_bytes[1], 60 * 1408);
    CHECK(net.now_ns - begun > 5000000000 && net.now_ns - begun < 25000000000);
    CHECK_EQ(net_bytes[0], 0);
    net_close(&net);
}

/* Four round trips of a round, all of `sample_ns`. */
static void round_trips(uint64_t sample_ns)
{
    for (int i = 0; i < TETHER_BRAKE_SAMPLES; i++) {
        struct tether_header header = {.flags = TETHER_FLAG_ECHO, .slot = 22};
        p.now_ns += sample_ns > 20000000 ? sample_ns : 20000000;
        header.echo_ns = (tether_stamp(theirs(), p.now_ns) - sample_ns) & TETHER_MASK48;
        CHECK_EQ(say(&header, data), 0);
    }
}

static void queue_lowers_the_pace(void)
{
    PROVES("T-LAT-2", "T-LAT-8", "T-LAT-9");
    struct heard heard;
    uint64_t free_pace, least;
    uint32_t part;
    start(5, TETHER_POLICY_FAIR);
    (void)define(2, TETHER_FLOW_BYTES, 0);
    ask(2, 1000);
    p.now_ns += 10000000;
    CHECK(hear_flow(&heard, 2, 10000000));
    free_pace = tether_unfloat16(heard.header.pace);
    CHECK(free_pace > 0);
    for (uint32_t i = 1; i < 200; i += 2) { /* every second frame is lost */
        struct tether_header frame = {.flow = 2, .length = 1408, .slot = i * 22, .want = tether_float16(100 * 22)};
        if (say(&frame, data) != 0)
            break;
        drain();
    }
    CHECK_EQ(theirs()->brake.part, TETHER_BRAKE_FREE);
    part = theirs()->brake.part;
    for (uint64_t round = 0, sample_ns = 4000000000; round < 30; round++, sample_ns = sample_ns / 5 * 4) {
        round_trips(sample_ns); /* it becomes shorter, as a queue of ours would */
        CHECK(theirs()->brake.part >= part / 2);
        part = theirs()->brake.part;
        if (round == 1) /* the first one has samples of before */
            CHECK(part < TETHER_BRAKE_FREE);
    }
    CHECK(hear_flow(&heard, 2, 1000000000));
    least = tether_unfloat16(heard.header.pace);
    CHECK(least < free_pace / 8);
    CHECK(least >= free_pace / 64 - free_pace / 640);
    round_trips(30000); /* the round after a change is passed over */
    CHECK(theirs()->brake.part >= part && theirs()->brake.part <= part + part / 16 + 1);
    part = theirs()->brake.part;
    round_trips(30000);
    CHECK(theirs()->brake.part > part);
    CHECK(theirs()->brake.part <= part + part / 16 + 1);
    for (int round = 0; round < 200; round++)
        round_trips(30000);
    CHECK_EQ(theirs()->brake.part, TETHER_BRAKE_FREE);
    pair_close(&p);
}

/* Frames of end[1] that leave at this moment. */
static uint32_t at_once(void)
{
    struct heard heard;
    uint32_t frames = 0;
    while (hear(&heard))
        frames += heard.header.flow != 0 && heard.header.length != 0;
    return frames;
}

static void bursts(void)
{
    PROVES("T-LAT-3", "T-LAT-4");
    struct tether_header header = {.pace = tether_float16(22 * FRAMES_PER_S), .grant_amount = 22 * 400};
    uint32_t frames = 0;
    begin(6);
    CHECK_EQ(tether_flow_open(p.end[1], p.now_ns, p.channel[1], TETHER_FLOW_BYTES, 0, &header.flow), 0);
    pair_run(&p, 10000000);
    CHECK_EQ(say(&header, data), 0);
    CHECK_EQ(tether_flow_write(p.end[1], p.now_ns, p.channel[1], header.flow, data, sizeof data, 0), (int64_t)sizeof data);
    CHECK(at_once() <= 2);
    for (int i = 0; i < 1000; i++) { /* in time: a frame each millisecond */
        p.now_ns += 50000;
        frames += at_once();
    }
    CHECK(frames >= 48 && frames <= 52);
    p.now_ns += 1000000000; /* late: what a thousand frames would have taken */
    frames = at_once();
    CHECK(frames >= 10 && frames <= 16);
    for (int i = 0; i < 200; i++) {
        p.now_ns += 1000000;
        (void)at_once();
    }
    CHECK_EQ(flow_of(header.flow)->tx.unsent, TETHER_NIL);
    p.now_ns += 1000000000; /* and nobody waited */
    CHECK(tether_flow_write(p.end[1], p.now_ns, p.channel[1], header.flow, data, 100 * 1408, 0) > 0);
    CHECK(at_once() <= 2);
    pair_close(&p);
}

/* However many flows there are: the paces in force are the link, and a 64th of it for each that has just come. */
static void paces_of_all(void)
{
    PROVES("T-LAT-5");
    uint64_t pace[40] = {0}, stated = 0;
    start(7, TETHER_POLICY_FAIR);
    for (uint16_t id = 2; id < 30; id = (uint16_t)(id + 2)) {
        struct heard heard;
        uint64_t sum = 0, flows = 0;
        (void)define(id, TETHER_FLOW_BYTES, 0);
        ask(id, 500);
        for (int i = 0; i < 100; i++) {
            p.now_ns += 100000;
            while (hear(&heard))
                if (heard.header.flow && heard.header.pace)
                    pace[heard.header.flow] = tether_unfloat16(heard.header.pace);
        }
        for (int i = 2; i <= id; i += 2) {
            sum += pace[i] * (1408 + TETHER_FRAME_OVERHEAD) / 22 * 8;
            flows++;
            stated += pace[i] > 0;
        }
        CHECK(sum <= 10000000000 + flows * (10000000000 / 64));
    }
    CHECK(stated > 20);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(room_for_who_comes_next);
    RUN(shortest_and_oldest);
    RUN(budgets);
    RUN(parts_of_peers);
    RUN(credit_that_is_not_used);
    RUN(queue_lowers_the_pace);
    RUN(bursts);
    RUN(paces_of_all);
    return run_result();
}
