/* SPDX-License-Identifier: Apache-2.0 */
/* nodes.h: two engines that know each other, for the engine tests. */
#ifndef TETHER_TEST_NODES_H
#define TETHER_TEST_NODES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../include/tether.h"
#include "harness.h"

enum { NODES_LANES_MAX = 4 };

struct node {
    tether_engine *engine;
    uint8_t secret[32];
    char counter[96];
    uint32_t lanes;
    struct tether_address addresses[NODES_LANES_MAX];
};

static char nodes_folder[64];

static inline void nodes_must(int status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s (%d)\n", what, tether_engine_error(NULL), status);
        exit(1);
    }
}

static inline struct tether_engine_config node_config(const struct node *node, uint32_t lanes)
{
    struct tether_engine_config config = {
        .struct_size = sizeof config,
        .lanes = lanes,
        .counter_path = node->counter,
        .max_channels = 8,
        .max_flows = 8,
        .rx_cells = 8192,
        .tx_cells = 8192,
    };
    memcpy(config.static_secret, node->secret, 32);
    return config;
}

/* An engine without lanes yet; node `number` is 0 or 1. */
static inline void node_new(struct node *node, int number, uint32_t lanes)
{
    if (!nodes_folder[0]) {
        snprintf(nodes_folder, sizeof nodes_folder, "/tmp/tether-nodes-XXXXXX");
        CHECK(mkdtemp(nodes_folder) != NULL);
    }
    memset(node, 0, sizeof *node);
    memset(node->secret, 0x40 + number, 32);
    snprintf(node->counter, sizeof node->counter, "%s/counter%d", nodes_folder, number);
    node->lanes = lanes;
    struct tether_engine_config config = node_config(node, lanes);
    nodes_must(tether_engine_new(&config, &node->engine), "engine");
}

static inline void node_lane(struct node *node, uint16_t lane, const char *carrier, const char *device, uint32_t queue,
                             const struct tether_address *address)
{
    struct tether_lane_config config = {
        .struct_size = sizeof config,
        .lane = lane,
        .carrier = carrier,
        .device = device,
        .queue = queue,
        .cpu = -1,
        .address = *address,
        .rtt_ns = 100000,
        .rate_bps = UINT64_C(10000000000),
    };
    struct tether_lane_info info = {.struct_size = sizeof info};
    nodes_must(tether_engine_add_lane(node->engine, &config), "lane");
    nodes_must(tether_engine_lane_info(node->engine, lane, &info), "lane_info");
    CHECK(strcmp(info.carrier, carrier) == 0 || strcmp(carrier, "auto") == 0);
    node->addresses[lane] = info.address;
}

static inline struct tether_peer node_peer(const struct node *node, uint32_t id)
{
    struct tether_peer peer = {.id = id, .key_count = 1, .hail = node->addresses[0]};
    CHECK(tether_public_key(node->secret, peer.keys[0]) == 0);
    return peer;
}

/* Peers of each other under id 1, and go. */
static inline void nodes_start(struct node *a, struct node *b)
{
    struct tether_peer peer = node_peer(b, 1);
    nodes_must(tether_engine_roster(a->engine, &peer, 1), "roster");
    peer = node_peer(a, 1);
    nodes_must(tether_engine_roster(b->engine, &peer, 1), "roster");
    nodes_must(tether_engine_start(a->engine), "start");
    nodes_must(tether_engine_start(b->engine), "start");
}

static inline void nodes_udp(struct node *a, struct node *b, uint32_t lanes)
{
    struct tether_address any = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};
    node_new(a, 0, lanes);
    node_new(b, 1, lanes);
    for (uint16_t lane = 0; lane < lanes; lane++) {
        node_lane(a, lane, "udp", NULL, lane, &any);
        node_lane(b, lane, "udp", NULL, lane, &any);
    }
    nodes_start(a, b);
}

/* The next event of that kind; others are passed over. */
static inline struct tether_event node_event(struct node *node, uint32_t kind)
{
    struct tether_event event;
    for (int i = 0; i < 1000; i++) {
        int count = tether_engine_wait(node->engine, 5000000000, &event, 1);
        if (count <= 0)
            break;
        if (event.kind == kind)
            return event;
    }
    fprintf(stderr, "no event of kind %u came\n", kind);
    exit(1);
}

/* Nothing was lost for want of room, no invariant broke, credit is back at the standing amounts. */
static inline void node_healthy(struct node *node, uint64_t misdirected)
{
    uint64_t seen = 0;
    for (uint16_t lane = 0; lane < node->lanes; lane++) {
        struct tether_stats stats = {.struct_size = sizeof stats};
        struct tether_carrier_stats carrier = {.struct_size = sizeof carrier};
        nodes_must(tether_engine_stats(node->engine, lane, &stats, &carrier), "stats");
        CHECK(carrier.overruns == 0);
        CHECK(carrier.foreign == 0);
        CHECK(stats.invariant_violations == 0);
        if (stats.grants_outstanding_slots != stats.standing_slots)
            fprintf(stderr, "lane %u: outstanding %llu, standing %llu\n", lane,
                    (unsigned long long)stats.grants_outstanding_slots, (unsigned long long)stats.standing_slots);
        CHECK(stats.grants_outstanding_slots == stats.standing_slots);
        for (uint32_t i = 0; i < tether_reject_count(); i++) {
            if (i == TETHER_E_STATE - TETHER_E_SHORT)
                continue; /* on a busy machine: the reply to a Hail that was repeated in the meantime */
            if (stats.rejects[i])
                fprintf(stderr, "lane %u: %llu frames refused: %s\n", lane, (unsigned long long)stats.rejects[i],
                        tether_reject_name(i));
            CHECK(stats.rejects[i] == 0);
        }
        seen += carrier.misdirected;
    }
    if (misdirected == UINT64_MAX)
        CHECK(seen > 0);
    else
        CHECK(seen == misdirected);
}

static inline void nodes_free(struct node *a, struct node *b)
{
    tether_engine_free(a->engine);
    tether_engine_free(b->engine);
    struct node *both[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        char lock[256];
        snprintf(lock, sizeof lock, "%s.lock", both[i]->counter);
        unlink(both[i]->counter);
        unlink(lock);
    }
    CHECK(rmdir(nodes_folder) == 0);
    nodes_folder[0] = 0;
}

#endif
