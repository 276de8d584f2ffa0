/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crypto.h"
#include "host.h"

enum {
    DEFAULT_CHANNELS = 64,
    DEFAULT_FLOWS = 64,
    DEFAULT_RX_CELLS = 65536,
    DEFAULT_TX_CELLS = 16384,
    DEFAULT_SPIN_US = 50,
    EVENTS_MAX = 1 << 20,
    EVENTS_OF_FLOW = 5,    /* kinds: opened, readable, writable, drained, closed */
    EVENTS_OF_CHANNEL = 3, /* up, down, peer's lanes */
    KEEPER_RETRY_NS = 1000000000,
    RING_SHARE_LEAST = 16,
};
#define DEFAULT_MESSAGE_BYTES (UINT64_C(64) << 20)

int engine_words(int status, const char *what)
{
    if (status < 0)
        return words_fail(status, "%s: %s", what, tether_strerror(status));
    return status;
}

const char *tether_engine_error(const tether_engine *engine)
{
    (void)engine;
    return words_last();
}

struct lane *engine_lane_of(struct tether_engine *engine, const struct tether_address *address)
{
    for (uint32_t i = 0; i < engine->config.lanes; i++) {
        struct carrier *carrier = engine->lanes[i].carrier;
        if (carrier && carrier->address.kind == address->kind && memcmp(carrier->address.bytes, address->bytes, 6) == 0)
            return &engine->lanes[i];
    }
    return NULL;
}

static void set_default(uint32_t *value, uint32_t standard)
{
    if (!*value)
        *value = standard;
}

int tether_engine_new(const struct tether_engine_config *config, tether_engine **out)
{
    if (!config || !out || config->struct_size != sizeof *config)
        return words_fail(-EINVAL, "tether_engine_config: %u bytes, this library has %zu",
                          config ? config->struct_size : 0, sizeof *config);
    if (config->lanes < 1 || config->lanes > TETHER_LANES_MAX)
        return words_fail(-EINVAL, "%u lanes: 1 to %u are possible", config->lanes, TETHER_LANES_MAX);
    if (config->grant_policy > TETHER_POLICY_RESERVED)
        return words_fail(-EINVAL, "grant policy %u is not known", config->grant_policy);
    if (!config->counter_path || !*config->counter_path)
        return words_fail(-EINVAL, "no path for the Hail counter");
    struct tether_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return words_fail(-ENOMEM, "no memory");
    engine->config = *config;
    engine->config.counter_path = NULL;
    scribe_init(&engine->scribe);
    engine->counter.lock_fd = -1;
    engine->events.fd = -1;
    set_default(&engine->config.max_channels, DEFAULT_CHANNELS);
    set_default(&engine->config.max_flows, DEFAULT_FLOWS);
    set_default(&engine->config.rx_cells, DEFAULT_RX_CELLS);
    set_default(&engine->config.tx_cells, DEFAULT_TX_CELLS);
    set_default(&engine->config.spin_us, DEFAULT_SPIN_US);
    pthread_mutex_init(&engine->mutex, NULL);
    pthread_mutex_init(&engine->roster_mutex, NULL);
    wait_cond_init(&engine->wanted);
    uint64_t events = (uint64_t)engine->config.lanes * engine->config.max_channels *
                      ((uint64_t)engine->config.max_flows * EVENTS_OF_FLOW + EVENTS_OF_CHANNEL);
    int status = events_open(&engine->events, (uint32_t)(events > EVENTS_MAX ? EVENTS_MAX : events));
    if (!status)
        status = engine_words(tether_public_key(config->static_secret, engine->public_key), "identity key");
    if (!status)
        status = counter_file_open(&engine->counter, config->counter_path, engine->public_key);
    if (!status)
        status = scribe_open(&engine->scribe, config->node, config->trace_path, config->keylog_path, config->lanes);
    if (!status) {
        engine->lanes = calloc(config->lanes, sizeof *engine->lanes);
        if (!engine->lanes)
            status = words_fail(-ENOMEM, "no memory for %u lanes", config->lanes);
    }
    for (uint32_t i = 0; engine->lanes && i < config->lanes; i++)
        engine->lanes[i].wake_fd = -1;
    for (uint32_t i = 0; !status && i < config->lanes; i++) {
        status = lane_init(&engine->lanes[i], engine, (uint16_t)i);
        engine->lanes[i].spin_ns = engine->config.spin_us * UINT64_C(1000);
    }
    if (status) {
        tether_engine_free(engine);
        return status;
    }
    *out = engine;
    return 0;
}

void tether_engine_free(tether_engine *engine)
{
    if (!engine)
        return;
    (void)tether_engine_stop(engine);
    for (uint32_t i = 0; engine->lanes && i < engine->config.lanes; i++)
        lane_destroy(&engine->lanes[i]);
    free(engine->lanes);
    free(engine->peers);
    scribe_close(&engine->scribe);
    counter_file_close(&engine->counter);
    events_close(&engine->events);
    pthread_cond_destroy(&engine->wanted);
    pthread_mutex_destroy(&engine->mutex);
    pthread_mutex_destroy(&engine->roster_mutex);
    tether_wipe(engine->config.static_secret, sizeof engine->config.static_secret);
    free(engine);
}

int tether_engine_add_lane(tether_engine *engine, const struct tether_lane_config *config)
{
    if (!engine || !config || config->struct_size != sizeof *config)
        return words_fail(-EINVAL, "tether_lane_config: %u bytes, this library has %zu",
                          config ? config->struct_size : 0, sizeof *config);
    if (config->lane >= engine->config.lanes)
        return words_fail(-EINVAL, "lane %u: this engine has lanes 0 to %u", config->lane, engine->config.lanes - 1);
    struct lane *lane = &engine->lanes[config->lane];
    if (engine->started || lane->present)
        return words_fail(-EBUSY, "lane %u: %s", config->lane, lane->present ? "was added before" : "engine started");
    struct carrier_options options = {
        .device = config->device,
        .queue = config->queue,
        .flags = config->flags,
        .mtu = config->mtu,
        .address = config->address,
        .ring_frames = config->ring_frames,
    };
    if (options.address.kind == TETHER_ADDRESS_MAC && engine_lane_of(engine, &options.address))
        return words_fail(-EADDRINUSE, "lane %u: its address belongs to another lane", config->lane);
    if (config->cpu >= 0 && !host_has_cpu(config->cpu))
        return words_fail(-EINVAL, "lane %u: CPU %d is not one that this process may run on", config->lane,
                          config->cpu);
    int status = carrier_open(config->carrier, &options, &lane->carrier);
    if (status)
        return words_prefix(status, "lane %u", config->lane);
    lane->config = *config;
    lane->config.carrier = lane->config.device = NULL;
    lane->present = true;
    return 0;
}

int tether_engine_lane_info(tether_engine *engine, uint16_t number, struct tether_lane_info *info)
{
    if (!engine || !info || info->struct_size != sizeof *info || number >= engine->config.lanes ||
        !engine->lanes[number].present)
        return words_fail(-EINVAL, "there is no lane %u, or the struct's size is not this library's", number);
    struct lane *lane = &engine->lanes[number];
    const struct carrier *carrier = lane->carrier;
    lane_lock(lane); /* it may be about to move */
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    info->lane = number;
    info->mtu = carrier->mtu;
    info->frame_blocks = (uint16_t)(carrier->frame_bytes / TETHER_BLOCK_BYTES - 1);
    info->flags = carrier->flags;
    info->queue = carrier->queue;
    info->ring_frames = carrier->ring_frames;
    info->link = lane->config.link;
    info->cpu = lane->config.cpu;
    info->address = carrier->address;
    snprintf(info->carrier, sizeof info->carrier, "%s", carrier->ops->name);
    snprintf(info->device, sizeof info->device, "%s", carrier->device);
    snprintf(info->why, sizeof info->why, "%s", carrier->note);
    lane_unlock(lane, false);
    return 0;
}

/* ---------------------------------------------------------------- counter */

void engine_want_counter(struct tether_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    pthread_cond_signal(&engine->wanted);
    pthread_mutex_unlock(&engine->mutex);
}

static int give_counter(struct tether_engine *engine, struct lane *lane, uint64_t least)
{
    uint64_t first;
    int status = counter_file_take(&engine->counter, least, 1, &first);
    if (status)
        return status;
    lane_lock(lane);
    status = tether_endpoint_counter(lane->endpoint, first, first + COUNTER_STRIDE);
    lane_unlock(lane, true);
    return engine_words(status, "Hail counter");
}

static void *keeper_main(void *argument)
{
    struct tether_engine *engine = argument;
    pthread_mutex_lock(&engine->mutex);
    while (!engine->stopped) {
        struct wait_limit limit;
        wait_limit_set(&limit, engine->trouble[0] ? KEEPER_RETRY_NS : -1);
        bool wanted = false;
        for (uint32_t i = 0; i < engine->config.lanes; i++) {
            struct lane *lane = &engine->lanes[i];
            uint64_t need = atomic_exchange(&lane->counter_need, 0);
            if (!need)
                continue;
            wanted = true;
            pthread_mutex_unlock(&engine->mutex);
            int status = give_counter(engine, lane, need);
            pthread_mutex_lock(&engine->mutex);
            engine->trouble[0] = 0;
            if (status) {
                snprintf(engine->trouble, sizeof engine->trouble, "%s", words_last());
                uint64_t none = 0;
                atomic_compare_exchange_strong(&lane->counter_need, &none, need); /* ask again */
                wait_limit_set(&limit, KEEPER_RETRY_NS);
                wanted = false;
            }
        }
        if (!wanted && !engine->stopped)
            (void)wait_on(&engine->wanted, &engine->mutex, &limit);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}

/* ------------------------------------------------------------- start, stop */

/*
 * Frames that peers may have under way to this lane: what its ring holds, divided by the lanes of the same device. A
 * fabric that brings all of them to one queue then makes the engine slow (handover), but still overruns nothing.
 */
static uint32_t ring_share(const struct tether_engine *engine, const struct lane *lane)
{
    const struct carrier *carrier = lane->carrier;
    uint32_t sharing = 0;
    for (uint32_t i = 0; i < engine->config.lanes; i++) {
        const struct carrier *other = engine->lanes[i].carrier;
        sharing += other == carrier || (carrier->address.kind == TETHER_ADDRESS_MAC && other->address.kind ==
                                        TETHER_ADDRESS_MAC && strcmp(other->device, carrier->device) == 0);
    }
    uint32_t share = carrier->ring_frames / sharing;
    return share > RING_SHARE_LEAST ? share : RING_SHARE_LEAST;
}

/* Lanes of the same link: each states paces up to its part of the rate. */
static uint32_t link_lanes(const struct tether_engine *engine, const struct lane *lane)
{
    uint32_t sharing = 0;
    for (uint32_t i = 0; i < engine->config.lanes; i++)
        sharing += engine->lanes[i].config.link == lane->config.link;
    return sharing;
}

static int lane_endpoint(struct tether_engine *engine, struct lane *lane, const struct tether_address *addresses)
{
    const struct tether_engine_config *limits = &engine->config;
    uint16_t frame_blocks = (uint16_t)(lane->carrier->frame_bytes / TETHER_BLOCK_BYTES - 1);
    uint64_t most = (uint64_t)limits->rx_cells * frame_blocks * TETHER_BLOCK_BYTES / 4 * 3;
    struct tether_endpoint_config config = {
        .struct_size = sizeof config,
        .lane = lane->number,
        .lanes = (uint16_t)limits->lanes,
        .max_channels = limits->max_channels,
        .max_flows = limits->max_flows,
        .rx_cells = limits->rx_cells,
        .tx_cells = limits->tx_cells,
        .frame_blocks = frame_blocks,
        .ring_frames = ring_share(engine, lane),
        .max_message = limits->max_message ? limits->max_message
                       : most < DEFAULT_MESSAGE_BYTES ? most : DEFAULT_MESSAGE_BYTES,
        .rtt_ns = lane->config.rtt_ns,
        .rate_bps = lane->config.rate_bps,
        .link_lanes = link_lanes(engine, lane),
        .silence_ns = lane->config.silence_ns,
        .purse_frames = limits->purse_frames,
        .purse_per_s = limits->purse_per_s,
        .lamp_per_s = limits->lamp_per_s, .lamp_source_per_s = limits->lamp_source_per_s,
        .agreement_per_s = limits->agreement_per_s, .rekey_s = limits->rekey_s, .early_bytes = limits->early_bytes,
        .ciphers = limits->ciphers,
        .prefer_cipher = limits->prefer_cipher,
        .replay_window = limits->replay_window,
        .grant_policy = (uint16_t)limits->grant_policy,
        .entropy = host_entropy,
        .lane_addresses = addresses,
    };
    scribe_listen(&engine->scribe, lane->number, &config);
    memcpy(config.static_secret, limits->static_secret, sizeof config.static_secret);
    int status = tether_endpoint_new(&config, &lane->endpoint);
    tether_wipe(config.static_secret, sizeof config.static_secret);
    if (status) {
        lane->endpoint = NULL;
        return engine_words(status, "endpoint");
    }
    lane->handover = handover_new(lane->carrier->ring_frames, lane->carrier->frame_bytes + TETHER_BLOCK_BYTES);
    return lane->handover ? 0 : words_fail(-ENOMEM, "no memory for the handover ring");
}

static int engine_prepare(struct tether_engine *engine)
{
    struct tether_address addresses[TETHER_LANES_MAX];
    for (uint32_t i = 0; i < engine->config.lanes; i++) {
        if (!engine->lanes[i].present)
            return words_fail(-EINVAL, "lane %u was not added", i);
        addresses[i] = engine->lanes[i].carrier->address;
    }
    uint64_t first;
    int status = counter_file_take(&engine->counter, 0, engine->config.lanes, &first);
    for (uint32_t i = 0; !status && i < engine->config.lanes; i++) {
        struct lane *lane = &engine->lanes[i];
        /* A peer hears of the lanes that its link reaches; the others are entries of kind 0, which it ignores. */
        struct tether_address reachable[TETHER_LANES_MAX];
        for (uint32_t j = 0; j < engine->config.lanes; j++)
            reachable[j] = engine->lanes[j].config.link == lane->config.link ? addresses[j] : (struct tether_address){0};
        status = lane_endpoint(engine, lane, reachable);
        if (!status)
            status = engine_words(tether_endpoint_counter(lane->endpoint, first + i * COUNTER_STRIDE,
                                                          first + (i + 1) * COUNTER_STRIDE), "Hail counter");
        if (!status)
            status = engine_words(lane_declare(lane), "contact windows");
        if (!status && engine->peer_count)
            status = engine_words(tether_endpoint_roster(lane->endpoint, host_now_ns(), engine->peers,
                                                         engine->peer_count), "roster");
        if (status)
            return words_prefix(status, "lane %u", i);
    }
    return status;
}

int tether_engine_start(tether_engine *engine)
{
    if (engine->started || engine->stopped)
        return words_fail(-EBUSY, "the engine was started before");
    int status = engine_prepare(engine);
    if (!status) {
        status = -pthread_create(&engine->keeper, NULL, keeper_main, engine);
        if (status)
            status = words_fail(status, "no thread: %s", words_errno(status));
        else
            engine->keeping = true;
    }
    engine->started = true;
    if (!status)
        status = scribe_start(&engine->scribe);
    for (uint32_t i = 0; !status && i < engine->config.lanes; i++)
        status = lane_start(&engine->lanes[i]);
    if (status)
        (void)tether_engine_stop(engine);
    return status;
}

int tether_engine_stop(tether_engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->stopped = true;
    pthread_cond_signal(&engine->wanted);
    bool keeping = engine->keeping;
    engine->keeping = false;
    pthread_mutex_unlock(&engine->mutex);
    for (uint32_t i = 0; engine->lanes && i < engine->config.lanes; i++) {
        if (engine->lanes[i].wake_fd >= 0)
            atomic_store(&engine->lanes[i].stopping, 1);
    }
    if (keeping)
        pthread_join(engine->keeper, NULL);
    for (uint32_t i = 0; engine->lanes && i < engine->config.lanes; i++) {
        struct lane *lane = &engine->lanes[i];
        if (lane->wake_fd >= 0)
            lane_stop(lane);
    }
    scribe_stop(&engine->scribe);
    if (engine->events.fd >= 0)
        events_stop(&engine->events);
    return 0;
}
