/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 64 nodes send 64 KiB each to one at the same time: 25 Gb/s, 10 us round trip, channels up and idle, and a last hop that
 * queues 256 KiB. `test_incast N BYTES SILENCE_US` runs another size.
 */
#include "net.h"

enum { SENDERS_MOST = 72 };

struct incast {
    uint32_t senders;
    uint64_t bytes, silence_ns, queue_bytes, rate_bps, delay_ns;
    uint16_t policy;
    /* what came out */
    uint64_t dropped, refused, queued_most, repairs, p99_ns, ideal_ns, paced_most;
};

static uint8_t message[4 << 20], sink[4 << 20];
static struct net net;
static uint64_t done_ns[SENDERS_MOST];
static uint32_t done;

static void receiver_work(struct net_node *node, uint64_t now_ns)
{
    struct tether_event event;
    while (tether_endpoint_event(node->ep, &event)) {
        int64_t n;
        if (event.kind != TETHER_EVENT_FLOW_READABLE)
            continue;
        while ((n = tether_flow_read(node->ep, now_ns, event.channel, event.flow, sink, sizeof sink, NULL)) > 0) {
            done_ns[event.peer_id - 1] = now_ns;
            done++;
        }
    }
}

static int by_time(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void run(struct incast *c)
{
    uint64_t begin, frames = (c->bytes + 1407) / 1408, wire = (c->bytes + 63) / 64 * 64 + frames * (64 + NET_OVERHEAD);
    uint16_t flows[SENDERS_MOST];
    net_open(&net, 5);
    for (uint32_t i = 0; i <= c->senders; i++) {
        struct net_node *node = net_node(&net, c->rate_bps, c->delay_ns);
        node->config.silence_ns = c->silence_ns;
        node->config.max_channels = i == c->senders ? c->senders + 4 : 4;
        node->config.rx_cells = i == c->senders ? 16384 : 256;
        node->config.ring_frames = i == c->senders ? 8192 : 256;
        node->config.tx_cells = (uint32_t)frames + 64;
        node->config.max_message = c->bytes > 65536 ? c->bytes : 65536;
        node->config.grant_policy = c->policy;
        node->queue_bytes = c->queue_bytes;
    }
    for (uint32_t i = 0; i < c->senders; i++) /* they are never asked to take so much */
        net.nodes[i].config.rx_cells = (uint32_t)frames + 64;
    net_start(&net);
    net_connect(&net);
    for (uint32_t i = 0; i <= c->senders; i++)
        net.nodes[i].refused = 0; /* a reply that comes after the next Hail has left is late */
    for (uint32_t i = 0; i < c->senders; i++)
        CHECK_EQ(tether_flow_open(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, TETHER_FLOW_MESSAGE, 0, &flows[i]), 0);
    for (uint32_t i = 0; i < c->senders; i++)
        net_wake(&net, i, net.now_ns);
    net_run(&net, 50000000); /* idle */
    net.nodes[c->senders].work = receiver_work;
    net.nodes[c->senders].queued_most = 0;
    for (uint32_t i = 0; i <= c->senders; i++) /* some of 64 Hails at once wait for their bucket */
        net.nodes[i].refused = net.nodes[i].dropped = 0;
    done = 0;
    begin = net.now_ns;
    for (uint32_t i = 0; i < c->senders; i++) {
        CHECK_EQ(tether_flow_write(net.nodes[i].ep, net.now_ns, net.nodes[i].channel, flows[i], message, c->bytes, 0),
                 (int64_t)c->bytes);
        net_wake(&net, i, net.now_ns);
    }
    c->ideal_ns = wire * c->senders * 8 * 1000 / (c->rate_bps / 1000000) + 4 * c->delay_ns;
    while (done < c->senders && net.now_ns < begin + 100 * c->ideal_ns)
        net_run(&net, c->ideal_ns / 64);
    CHECK_EQ(done, c->senders);
    for (uint32_t i = 0; i < c->senders; i++)
        done_ns[i] -= begin;
    qsort(done_ns, c->senders, sizeof done_ns[0], by_time);
    c->p99_ns = done_ns[(c->senders * 99 + 99) / 100 - 1];
    c->dropped = c->refused = c->repairs = 0;
    for (uint32_t i = 0; i <= c->senders; i++) {
        c->dropped += net.nodes[i].dropped;
        c->refused += net.nodes[i].refused;
        c->repairs += net.nodes[i].ep->stats.repairs_sent;
    }
    c->queued_most = net.nodes[c->senders].queued_most;
    printf("%u x %llu bytes, silence %llu us, policy %u: p99 %.1f us (ideal %.1f, %.3f x), first %.1f us, dropped %llu, "
           "refused %llu, queue %llu of %llu, repairs %llu, blocked %llu\n",
           c->senders, (unsigned long long)c->bytes, (unsigned long long)c->silence_ns / 1000, c->policy, (double)c->p99_ns / 1e3,
           (double)c->ideal_ns / 1e3, (double)c->p99_ns / (double)c->ideal_ns, (double)done_ns[0] / 1e3,
           (unsigned long long)c->dropped, (unsigned long long)c->refused, (unsigned long long)c->queued_most,
           (unsigned long long)c->queue_bytes, (unsigned long long)c->repairs,
           (unsigned long long)net.nodes[c->senders].ep->stats.refresh_sent);
    net_close(&net);
}

static struct incast rack = {.senders = 64, .bytes = 65536, .silence_ns = 1000000, .queue_bytes = 256 << 10,
                             .rate_bps = 25000000000, .delay_ns = 2500};

static void judge(struct incast c)
{
    run(&c);
    CHECK_EQ(c.dropped, 0);
    CHECK_EQ(c.refused, 0);
    CHECK(c.p99_ns <= c.ideal_ns * 3 / 2);
}

static void incast(void)
{
    PROVES("T-GRT-12", "T-LAT-3");
    judge(rack);
}

static void incast_on_precise_nodes(void)
{
    PROVES("T-GRT-12", "T-LAT-3");
    rack.silence_ns = 20000;
    judge(rack);
    rack.silence_ns = 1000000;
}

static void incast_shortest_first(void)
{
    PROVES("T-GRT-12", "T-LAT-3");
    rack.policy = TETHER_POLICY_SRPT;
    judge(rack);
    rack.policy = TETHER_POLICY_FAIR;
}

int main(int argc, char **argv)
{
    if (argc > 2) { /* another size: no judgement */
        rack.senders = (uint32_t)strtoul(argv[1], NULL, 10);
        rack.bytes = strtoull(argv[2], NULL, 10);
        rack.silence_ns = argc > 3 ? strtoull(argv[3], NULL, 10) * 1000 : rack.silence_ns;
        rack.policy = argc > 4 ? (uint16_t)strtoul(argv[4], NULL, 10) : 0;
        run(&rack);
        return 0;
    }
    run_arguments(argc, argv);
    RUN(incast);
    RUN(incast_on_precise_nodes);
    RUN(incast_shortest_first);
    return run_result();
}
