/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several endpoints behind one store-and-forward switch, in virtual time: every node has an uplink and a port of its
 * own, each with a rate and a delay; a port has a queue of so many bytes; frames are lost at random.
 */
#ifndef TETHER_TEST_NET_H
#define TETHER_TEST_NET_H

#include "../src/endpoint.h"
#include "check.h"

enum { NET_NODES = 80, NET_OVERHEAD = 38 }; /* bytes of a frame on Ethernet beside its own: header, FCS, preamble, gap */

enum net_kind { NET_POLL, NET_AT_PORT, NET_ARRIVES };

struct net_event {
    uint64_t at_ns, order;
    uint32_t node;    /* who polls, or is reached */
    uint32_t from;
    uint32_t kind;
    uint32_t length;
    uint8_t *frame;
};

struct net_node {
    tether_endpoint *ep;
    struct tether_endpoint_config config;
    struct tether_address address;
    uint8_t secret[32], public_key[32];
    uint64_t entropy;
    uint64_t rate_bps;    /* of the uplink */
    uint64_t port_bps;    /* of the switch's port towards it */
    uint64_t delay_ns;    /* between it and the switch */
    uint64_t queue_bytes; /* of that port; 0 = without end */
    uint64_t loss_ppm;    /* of what it sends */
    uint64_t up_free_ns, port_free_ns, poll_ns;
    uint64_t dropped, queued_most, refused, lost;
    uint64_t wire_bytes;  /* that its port carried */
    uint32_t channel;
    void (*work)(struct net_node *node, uint64_t now_ns); /* the application, after everything that happens to it */
    void *context;
};

struct net {
    struct net_node nodes[NET_NODES];
    uint32_t count;
    uint64_t now_ns, order, rng;
    struct net_event *heap;
    size_t events, room;
};

static inline int net_entropy(void *context, uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(test_random(context) >> 32);
    return 0;
}

static inline int net_before(const struct net_event *a, const struct net_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static inline void net_push(struct net *net, struct net_event event)
{
    size_t at = net->events++;
    if (net->events > net->room) {
        net->room = net->room ? net->room * 2 : 1024;
        net->heap = realloc(net->heap, net->room * sizeof *net->heap);
        CHECK(net->heap);
    }
    event.order = net->order++;
    for (; at > 0 && net_before(&event, &net->heap[(at - 1) / 2]); at = (at - 1) / 2)
        net->heap[at] = net->heap[(at - 1) / 2];
    net->heap[at] = event;
}

static inline struct net_event net_pop(struct net *net)
{
    struct net_event top = net->heap[0], last = net->heap[--net->events];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < net->events; at = child) {
        child += child + 1 < net->events && net_before(&net->heap[child + 1], &net->heap[child]);
        if (!net_before(&net->heap[child], &last))
            break;
        net->heap[at] = net->heap[child];
    }
    net->heap[at] = last;
    return top;
}

/* A node with the usual limits, which the test may change before net_start. */
static inline struct net_node *net_node(struct net *net, uint64_t rate_bps, uint64_t delay_ns)
{
    struct net_node *node = &net->nodes[net->count];
    CHECK(net->count < NET_NODES);
    memset(node, 0, sizeof *node);
    node->entropy = net->count * 2 + 1001;
    for (int k = 0; k < 4; k++)
        test_random(&node->entropy);
    net_entropy(&node->entropy, node->secret, 32);
    CHECK_EQ(tether_public_key(node->secret, node->public_key), 0);
    node->address = (struct tether_address){.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {(uint8_t)net->count}};
    node->rate_bps = node->port_bps = rate_bps;
    node->delay_ns = delay_ns;
    node->poll_ns = UINT64_MAX;
    node->config = (struct tether_endpoint_config){.struct_size = sizeof node->config, .lane = 0, .lanes = 1,
        .max_channels = 4, .max_flows = 16, .rx_cells = 4096, .tx_cells = 4096, .frame_blocks = 22,
        .ring_frames = 4096, .max_message = 1u << 20, .rtt_ns = 4 * delay_ns, .rate_bps = rate_bps,
        .entropy = net_entropy, .context = &node->entropy, .lane_addresses = &node->address};
    memcpy(node->config.static_secret, node->secret, 32);
    net->count++;
    return node;
}

static inline void net_open(struct net *net, uint64_t seed)
{
    memset(net, 0, sizeof *net);
    net->now_ns = 1000000000;
    net->rng = seed * 2 + 1;
    for (int k = 0; k < 4; k++)
        test_random(&net->rng);
}

static inline void net_wake(struct net *net, uint32_t i, uint64_t at_ns)
{
    struct net_node *node = &net->nodes[i];
    if (at_ns >= node->poll_ns)
        return;
    node->poll_ns = at_ns;
    net_push(net, (struct net_event){.at_ns = at_ns, .node = i, .kind = NET_POLL});
}

/* Everyone knows everyone. */
static inline void net_start(struct net *net)
{
    static struct tether_peer peers[NET_NODES];
    for (uint32_t i = 0; i < net->count; i++) {
        size_t count = 0;
        struct net_node *node = &net->nodes[i];
        CHECK_EQ(tether_endpoint_new(&node->config, &node->ep), 0);
        for (uint32_t k = 0; k < net->count; k++) {
            if (k == i)
                continue;
            peers[count] = (struct tether_peer){.id = k + 1, .key_count = 1, .hail = net->nodes[k].address,
                                                .rtt_ns = 2 * (node->delay_ns + net->nodes[k].delay_ns),
                                                .rate_bps = net->nodes[k].config.rate_bps};
            memcpy(peers[count++].keys[0], net->nodes[k].public_key, 32);
        }
        CHECK_EQ(tether_endpoint_roster(node->ep, net->now_ns, peers, count), 0);
        CHECK_EQ(tether_endpoint_counter(node->ep, UINT64_C(1) << 20, UINT64_C(2) << 20), 0);
        net_wake(net, i, net->now_ns);
    }
}

static inline uint64_t net_ser(uint32_t length, uint64_t bps)
{
    return ((uint64_t)length + NET_OVERHEAD) * 8 * UINT64_C(1000000000) / bps;
}

static inline void net_poll(struct net *net, uint32_t i)
{
    struct net_node *node = &net->nodes[i];
    uint8_t bytes[TETHER_HEADER_BYTES * 1024];
    struct tether_address to;
    uint64_t next;
    if (node->work)
        node->work(node, net->now_ns);
    if (node->up_free_ns <= net->now_ns) {
        int length = tether_endpoint_transmit(node->ep, net->now_ns, bytes, sizeof bytes, &to);
        CHECK(length >= 0);
        if (length > 0) {
            node->up_free_ns = net->now_ns + net_ser((uint32_t)length, node->rate_bps);
            if (test_random(&net->rng) % 1000000 < node->loss_ppm) {
                node->lost++;
            } else {
                uint8_t *frame = malloc((size_t)length);
                CHECK(frame);
                memcpy(frame, bytes, (size_t)length);
                net_push(net, (struct net_event){.at_ns = node->up_free_ns + node->delay_ns, .node = to.bytes[0],
                                                 .from = i, .kind = NET_AT_PORT, .length = (uint32_t)length,
                                                 .frame = frame});
            }
        }
    }
    next = tether_endpoint_deadline(node->ep);
    next = next > node->up_free_ns ? next : node->up_free_ns;
    if (next != UINT64_MAX)
        net_wake(net, i, next > net->now_ns ? next : net->now_ns + 1);
}

static inline void net_check(struct net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const struct tether_endpoint *ep = net->nodes[i].ep;
        CHECK_EQ(ep->stats.invariant_violations, 0);
        CHECK((uint64_t)ep->held + ep->reserved <=
              (uint64_t)ep->config.rx_cells + ep->embers + ep->config.max_channels); /* I4 */
        CHECK(ep->outstanding <= ep->window + ep->config.max_channels);
    }
}

/* One thing happens; 0 when there is nothing left before `until_ns`. */
static inline int net_step(struct net *net, uint64_t until_ns)
{
    struct net_event event;
    struct net_node *node;
    if (net->events == 0 || net->heap[0].at_ns > until_ns) {
        net->now_ns = until_ns;
        return 0;
    }
    event = net_pop(net);
    node = &net->nodes[event.node];
    net->now_ns = event.at_ns;
    if (event.kind == NET_POLL) {
        if (node->poll_ns != event.at_ns)
            return 1; /* replaced by an earlier one */
        node->poll_ns = UINT64_MAX;
        net_poll(net, event.node);
    } else if (event.kind == NET_AT_PORT) {
        uint64_t waiting = node->port_free_ns > net->now_ns ? node->port_free_ns - net->now_ns : 0;
        uint64_t bytes = waiting / 1000 * (node->port_bps / 8 / 1000) / 1000 + event.length + NET_OVERHEAD;
        if (node->queue_bytes && bytes > node->queue_bytes) {
            node->dropped++;
            free(event.frame);
            return 1;
        }
        node->queued_most = bytes > node->queued_most ? bytes : node->queued_most;
        node->wire_bytes += event.length + NET_OVERHEAD;
        node->port_free_ns = net->now_ns + waiting + net_ser(event.length, node->port_bps);
        event.at_ns = node->port_free_ns + node->delay_ns;
        event.kind = NET_ARRIVES;
        net_push(net, event);
    } else {
        node->refused += tether_endpoint_receive(node->ep, net->now_ns, &net->nodes[event.from].address, event.frame,
                                                 event.length) != 0;
        free(event.frame);
        net_wake(net, event.node, net->now_ns);
    }
    return 1;
}

static inline void net_run(struct net *net, uint64_t ns)
{
    uint64_t until = net->now_ns + ns;
    uint32_t steps = 0;
    while (net_step(net, until))
        if (++steps % 4096 == 0)
            net_check(net);
    net_check(net);
}

/* Channels from every node but the last to the last one. */
static inline void net_connect(struct net *net)
{
    uint32_t last = net->count - 1, up = 0;
    struct tether_event event;
    for (uint32_t i = 0; i < last; i++) {
        CHECK_EQ(tether_channel_open(net->nodes[i].ep, net->now_ns, last + 1, 0, NULL, &net->nodes[i].channel), 0);
        net_wake(net, i, net->now_ns);
        net_run(net, 5000000); /* a Hail that has to wait for a bucket would try smaller frames */
    }
    for (int tries = 0; up < last && tries < 20000; tries++) {
        net_run(net, net->nodes[last].config.rtt_ns > 1000000 ? net->nodes[last].config.rtt_ns : 1000000);
        for (uint32_t i = 0; i < last; i++)
            while (tether_endpoint_event(net->nodes[i].ep, &event))
                up += event.kind == TETHER_EVENT_CHANNEL_UP;
    }
    CHECK_EQ(up, last);
    while (tether_endpoint_event(net->nodes[last].ep, &event))
        if (event.kind == TETHER_EVENT_CHANNEL_UP)
            net->nodes[event.peer_id - 1].context = NULL;
}

/* Work of a node that reads whatever comes. */
static inline void net_read_all(struct net_node *node, uint64_t now_ns)
{
    static uint8_t sink[1 << 20];
    struct tether_event event;
    while (tether_endpoint_event(node->ep, &event))
        if (event.kind == TETHER_EVENT_FLOW_READABLE)
            while (tether_flow_read(node->ep, now_ns, event.channel, event.flow, sink, sizeof sink, NULL) > 0)
                continue;
}

static inline void net_close(struct net *net)
{
    while (net->events)
        free(net_pop(net).frame);
    free(net->heap);
    for (uint32_t i = 0; i < net->count; i++)
        tether_endpoint_free(net->nodes[i].ep);
}

#endif
