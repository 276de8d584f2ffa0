/* SPDX-License-Identifier: Apache-2.0 */
/* core.c: the C core as a vertex: an endpoint with the entropy, peers and trace of its simulation. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

static int entropy(void *context, uint8_t *out, size_t length)
{
    struct sim_vertex *v = context;
    for (size_t at = 0; at < length; at += 8) {
        uint64_t draw = sim_draw(v->sim->config.seed, SIM_DRAW_ENTROPY, v->index, v->entropy_number++);
        memcpy(out + at, &draw, length - at < 8 ? length - at : 8);
    }
    return 0;
}

/* Its own clock is one of many here: what it tells stands at the simulation's time. */
static void trace(void *context, const struct tether_trace_event *event)
{
    struct sim_vertex *v = context;
    struct tether_trace_event told = *event;
    told.at_ns = v->sim->now_ns;
    v->sim->config.trace(v->sim->config.trace_context, v->index, &told);
}

static int core_restart(void *context, uint64_t now_ns, uint64_t first, uint64_t limit)
{
    struct sim_vertex *v = context;
    struct tether_sim *sim = v->sim;
    struct tether_address addresses[256];
    struct tether_peer *peers = calloc(sim->nodes + 1, sizeof *peers);
    struct tether_endpoint_config config = {.struct_size = sizeof config, .lane = v->config.lane,
        .lanes = v->config.lanes, .max_channels = v->config.max_channels, .max_flows = v->config.max_flows,
        .rx_cells = v->config.rx_cells, .tx_cells = v->config.tx_cells, .frame_blocks = v->config.frame_blocks,
        .ring_frames = v->config.ring_frames, .max_message = v->config.max_message, .rtt_ns = v->config.rtt_ns,
        .rate_bps = v->config.rate_bps, .silence_ns = v->config.silence_ns,
        .purse_frames = v->config.purse_frames, .purse_per_s = v->config.purse_per_s, .ciphers = v->config.ciphers,
        .prefer_cipher = v->config.prefer_cipher, .replay_window = v->config.replay_window,
        .grant_policy = v->config.grant_policy,
        .rekey_s = v->config.rekey_s, .entropy = entropy,
        .context = v, .lane_addresses = addresses};
    size_t count = 0;
    int failed = peers == NULL ? -ENOMEM : 0;
    if (sim->config.trace != NULL) {
        config.trace = trace;
        config.trace_context = v;
    }
    memset(addresses, 0, sizeof addresses);
    memcpy(config.static_secret, sim->secrets[v->config.node], sizeof config.static_secret);
    for (uint32_t i = 0; peers != NULL && i < sim->config.vertex_count; i++) {
        const struct sim_vertex *other = &sim->vertices[i];
        if (other->config.kind > TETHER_SIM_FOREIGN)
            continue;
        if (other->config.node == v->config.node) {
            addresses[other->config.lane] = other->address;
        } else if (sim->routes[v->index * sim->config.vertex_count + i] != UINT32_MAX &&
                   (count == 0 || peers[count - 1].id != other->config.node + 1)) {
            peers[count].id = other->config.node + 1;
            peers[count].key_count = 1;
            memcpy(peers[count].keys[0], sim->public_keys[other->config.node], TETHER_KEY_SIZE);
            peers[count++].hail = other->address;
        }
    }
    failed = failed ? failed : tether_endpoint_new(&config, &v->ep);
    failed = failed ? failed : tether_endpoint_roster(v->ep, now_ns, peers, count);
    failed = failed ? failed : tether_endpoint_counter(v->ep, first, limit);
    free(peers);
    return failed;
}

static int core_counter(void *context, uint64_t first, uint64_t limit)
{
    return tether_endpoint_counter(((struct sim_vertex *)context)->ep, first, limit);
}

static int core_receive(void *context, uint64_t now_ns, const struct tether_address *from, uint8_t *frame,
                        size_t length)
{
    return tether_endpoint_receive(((struct sim_vertex *)context)->ep, now_ns, from, frame, length);
}

static int core_transmit(void *context, uint64_t now_ns, uint8_t *frame, size_t capacity, struct tether_address *to)
{
    return tether_endpoint_transmit(((struct sim_vertex *)context)->ep, now_ns, frame, capacity, to);
}

static uint64_t core_deadline(void *context)
{
    return tether_endpoint_deadline(((struct sim_vertex *)context)->ep);
}

static int core_event(void *context, struct tether_event *event)
{
    return tether_endpoint_event(((struct sim_vertex *)context)->ep, event);
}

static int core_channel_open(void *context, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                             const struct tether_address *to, uint32_t *channel)
{
    return tether_channel_open(((struct sim_vertex *)context)->ep, now_ns, peer_id, remote_lane, to, channel);
}

static int core_channel_close(void *context, uint64_t now_ns, uint32_t channel)
{
    return tether_channel_close(((struct sim_vertex *)context)->ep, now_ns, channel);
}

static int core_flow_open(void *context, uint64_t now_ns, uint32_t channel, const struct tether_flow_options *options,
                          uint16_t *flow)
{
    return tether_flow_open_options(((struct sim_vertex *)context)->ep, now_ns, channel, options, flow);
}

static int64_t core_flow_write(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow, const void *data,
                               size_t length, uint32_t flags)
{
    return tether_flow_write(((struct sim_vertex *)context)->ep, now_ns, channel, flow, data, length, flags);
}

static int64_t core_flow_read(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow, uint64_t *offset,
                              void *data, size_t capacity, uint32_t *flags)
{
    return tether_flow_read_at(((struct sim_vertex *)context)->ep, now_ns, channel, flow, offset, data, capacity, flags);
}

static int core_flow_cancel(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow)
{
    return tether_flow_cancel(((struct sim_vertex *)context)->ep, now_ns, channel, flow);
}

static int core_flow_close(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow)
{
    return tether_flow_close(((struct sim_vertex *)context)->ep, now_ns, channel, flow);
}

static int core_windows(void *context, uint64_t now_ns, const struct tether_window *windows, size_t count)
{
    return tether_endpoint_windows(((struct sim_vertex *)context)->ep, now_ns, windows, count);
}

static int core_check(void *context, int quiet)
{
    struct sim_vertex *v = context;
    if (quiet)
        sim_check_quiet(v);
    else
        sim_check(v);
    return 0;
}

const struct tether_sim_ops sim_core_ops = {sizeof(struct tether_sim_ops), 0, core_restart, core_counter,
    core_receive, core_transmit, core_deadline, core_event, core_channel_open, core_channel_close, core_flow_open,
    core_flow_write, core_flow_read, core_flow_cancel, core_flow_close, core_check, core_windows, NULL};
