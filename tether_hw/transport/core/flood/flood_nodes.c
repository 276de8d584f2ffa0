/* SPDX-License-Identifier: Apache-2.0 */
/* flood_nodes.c: the engine that is flooded, and a peer that means it well. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/engine/host.h"
#include "flood.h"

enum { RECORDER = 1, PEER = 2, VICTIM = 1, MESSAGE = 65536, RTT_NS = 100000 };

static char folder[64];

static int failed(const char *what)
{
    fprintf(stderr, "flood: %s: %s\n", what, tether_engine_error(NULL));
    return -1;
}

static int open_node(struct flood_node *node, int number, const struct flood_options *options)
{
    struct tether_engine_config config = {
        .struct_size = sizeof config, .lanes = 1, .max_channels = 16, .max_flows = 16, .rx_cells = 8192,
        .tx_cells = 8192, .max_message = MESSAGE, .lamp_per_s = options->lamp_per_s,
    };
    struct tether_lane_config lane = {
        .struct_size = sizeof lane, .carrier = "udp", .cpu = -1, .rtt_ns = RTT_NS, .rate_bps = UINT64_C(10000000000),
        .address = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}},
    };
    struct tether_lane_info info = {.struct_size = sizeof info};
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/tether-flood-XXXXXX");
        if (!mkdtemp(folder))
            return failed(folder);
    }
    memset(node->secret, 0x50 + number, 32);
    memcpy(config.static_secret, node->secret, 32);
    snprintf(node->counter, sizeof node->counter, "%s/%d", folder, number);
    config.counter_path = node->counter;
    config.rekey_s = number ? 0 : UINT32_MAX; /* the peer takes new keys now and then; to the recorded one nobody speaks */
    char trace[256];
    snprintf(trace, sizeof trace, "%s.%s", options->trace ? options->trace : "", number ? "peer" : "victim");
    config.node = number ? "peer" : "victim";
    config.trace_path = options->trace ? trace : NULL;
    if (tether_public_key(node->secret, node->public_key) || tether_engine_new(&config, &node->engine) ||
        tether_engine_add_lane(node->engine, &lane) || tether_engine_lane_info(node->engine, 0, &info))
        return failed("engine");
    node->address = info.address;
    node->ring_frames = info.ring_frames;
    return 0;
}

/* Sends messages back, reads bytes. */
static void serve(struct flood_node *node, uint64_t handle, uint16_t flow, uint8_t *data)
{
    int64_t got;
    struct tether_flow_state state = {.struct_size = sizeof state};
    if (tether_engine_flow_state(node->engine, handle, flow, &state))
        return;
    while ((got = tether_engine_flow_read(node->engine, handle, flow, data, MESSAGE, NULL, 0)) > 0) {
        if (state.kind == TETHER_FLOW_MESSAGE)
            (void)tether_engine_flow_write(node->engine, handle, flow, data, (size_t)got, 0, 1000000000);
        else
            atomic_fetch_add(&node->bytes_read, (uint64_t)got);
    }
}

static void *victim_main(void *argument)
{
    struct flood_node *node = argument;
    uint8_t *data = malloc(MESSAGE);
    while (data && !atomic_load(&node->stopping)) {
        struct tether_event events[32];
        int count = tether_engine_wait(node->engine, 50000000, events, 32);
        for (int i = 0; i < count; i++) {
            if (events[i].kind == TETHER_EVENT_CHANNEL_UP && events[i].peer_id == PEER)
                node->channel = tether_engine_handle(&events[i]);
            if (events[i].kind == TETHER_EVENT_FLOW_READABLE || events[i].kind == TETHER_EVENT_FLOW_OPENED)
                serve(node, tether_engine_handle(&events[i]), events[i].flow, data);
        }
    }
    free(data);
    return NULL;
}

int flood_nodes_open(struct flood_node *victim, struct flood_node *peer, const struct flood_options *options,
                     const uint8_t recorder_public[32])
{
    struct tether_peer known[2] = {{.id = RECORDER, .key_count = 1}, {.id = PEER, .key_count = 1}};
    struct tether_peer to = {.id = VICTIM, .key_count = 1};
    if (open_node(victim, 0, options) || open_node(peer, 1, options))
        return -1;
    memcpy(known[0].keys[0], recorder_public, 32);
    memcpy(known[1].keys[0], peer->public_key, 32);
    known[0].hail = known[1].hail = peer->address;
    memcpy(to.keys[0], victim->public_key, 32);
    to.hail = victim->address;
    if (tether_engine_roster(victim->engine, known, 2) || tether_engine_roster(peer->engine, &to, 1) ||
        tether_engine_start(victim->engine) || tether_engine_start(peer->engine))
        return failed("start");
    if (pthread_create(&victim->thread, NULL, victim_main, victim))
        return failed("thread");
    victim->threaded = true;
    return 0;
}

int flood_nodes_connect(struct flood_node *victim, struct flood_node *peer)
{
    if (tether_engine_connect(peer->engine, 0, VICTIM, 0, NULL, 10000000000, &peer->channel))
        return failed("connect");
    for (int i = 0; i < 1000 && !flood_ping(peer, 100000000); i++)
        continue;
    return victim->channel ? 0 : failed("no channel came up at the victim");
}

uint64_t flood_ping(struct flood_node *peer, int64_t timeout_ns)
{
    static uint16_t flow;
    static uint64_t number;
    uint64_t begun = host_now_ns(), got;
    number++;
    if (!flow && tether_engine_flow_open(peer->engine, peer->channel, TETHER_FLOW_MESSAGE, 4096, &flow))
        return 0;
    if (tether_engine_flow_write(peer->engine, peer->channel, flow, &number, sizeof number, 0, timeout_ns) < 0)
        return 0;
    while (tether_engine_flow_read(peer->engine, peer->channel, flow, &got, sizeof got, NULL, timeout_ns) ==
           sizeof got) {
        if (got == number)
            return host_now_ns() - begun;
    }
    return 0;
}

struct tether_stats flood_stats(struct flood_node *node, struct tether_carrier_stats *carrier)
{
    struct tether_stats stats = {.struct_size = sizeof stats};
    struct tether_carrier_stats unused;
    carrier = carrier ? carrier : &unused;
    carrier->struct_size = sizeof *carrier;
    (void)tether_engine_stats(node->engine, 0, &stats, carrier);
    return stats;
}

void flood_nodes_close(struct flood_node *victim, struct flood_node *peer)
{
    struct flood_node *both[] = {victim, peer};
    atomic_store(&victim->stopping, true);
    if (victim->threaded)
        pthread_join(victim->thread, NULL);
    for (int i = 0; i < 2; i++) {
        char lock[160];
        tether_engine_free(both[i]->engine);
        snprintf(lock, sizeof lock, "%s.lock", both[i]->counter);
        unlink(both[i]->counter);
        unlink(lock);
    }
    if (folder[0])
        rmdir(folder);
}
