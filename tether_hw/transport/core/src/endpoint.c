/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.c: life of an endpoint, its events and its statistics. */
#include "endpoint.h"

#include <errno.h>
#include <stdlib.h>

#include "mac1.h"

TETHER_API size_t tether_endpoint_config_size(void)
{
    return sizeof(struct tether_endpoint_config);
}

/* Epochs that may be in flight: declared rate x RTT in the smallest frames, plus two (RFC 0001, "Key schedule"). */
static uint32_t epochs_ahead(const struct tether_endpoint_config *config)
{
    uint64_t per_s = config->rate_bps / 8 / TETHER_BLOCK_BYTES, rtt_us = config->rtt_ns / 1000;
    uint64_t frames = per_s > UINT64_MAX / (rtt_us + 1) ? UINT64_MAX : per_s * (rtt_us + 1) / 1000000;
    uint64_t epochs = (frames >> TETHER_EPOCH_SHIFT) + 2;
    return epochs > TETHER_KEYS_AHEAD_MAX ? TETHER_KEYS_AHEAD_MAX : (uint32_t)epochs;
}

static int check(const struct tether_endpoint_config *c)
{
    if (c->struct_size != sizeof *c || c->lane > 255 || c->lanes == 0 || c->lanes > 255 || c->lane >= c->lanes)
        return -EINVAL;
    if (c->max_channels == 0 || c->max_channels > TETHER_CHANNELS_MAX || c->max_flows == 0 ||
        c->max_flows > TETHER_FLOWS_MAX)
        return -EINVAL;
    if (c->rx_cells < 2 || c->rx_cells > UINT32_C(1) << 24 || c->tx_cells < 2 || c->tx_cells > UINT32_C(1) << 24)
        return -EINVAL;
    /* 5 blocks: a Hail (320 bytes) is never larger than a frame */
    if (c->frame_blocks < 5 || c->frame_blocks > TETHER_FRAME_BLOCKS_MAX || c->ring_frames < 4)
        return -EINVAL;
    if (c->grant_policy > TETHER_POLICY_RESERVED)
        return -EINVAL;
    if (c->ciphers & ~(TETHER_CIPHER_CHACHA20_POLY1305 | TETHER_CIPHER_AES_256_GCM) || c->entropy == NULL ||
        c->lane_addresses == NULL)
        return -EINVAL;
    if (c->early_bytes > 65472)
        return -EINVAL;
    if (c->replay_window && (c->replay_window < TETHER_REPLAY_MIN || c->replay_window > TETHER_REPLAY_MAX ||
                             (c->replay_window & (c->replay_window - 1))))
        return -EINVAL;
    return 0;
}

static void defaults(struct tether_endpoint_config *c)
{
    uint64_t frames;
    c->silence_ns = c->silence_ns ? c->silence_ns : 1000000;
    c->purse_frames = c->purse_frames ? c->purse_frames : 256;
    c->purse_frames = c->purse_frames < 4 ? 4 : c->purse_frames;
    c->purse_per_s = c->purse_per_s ? c->purse_per_s : 1000;
    c->ciphers = c->ciphers ? c->ciphers : TETHER_CIPHER_CHACHA20_POLY1305 | TETHER_CIPHER_AES_256_GCM;
    c->lamp_per_s = c->lamp_per_s ? c->lamp_per_s : 10000;
    c->lamp_source_per_s = c->lamp_source_per_s ? c->lamp_source_per_s : 100;
    c->agreement_per_s = c->agreement_per_s ? c->agreement_per_s : 500;
    c->rekey_s = c->rekey_s ? c->rekey_s : 120;
    c->replay_window = c->replay_window ? c->replay_window : TETHER_REPLAY_DEFAULT;
    /* What is promised can be reserved whole (T-MSG-8): in cells, and in slots that do not alias. */
    frames = (UINT32_C(1) << 31) / c->frame_blocks - 1;
    frames = c->rx_cells < frames ? c->rx_cells : frames;
    if (c->max_message > frames * c->frame_blocks * TETHER_BLOCK_BYTES)
        c->max_message = frames * c->frame_blocks * TETHER_BLOCK_BYTES;
}

static int open_channels(struct tether_endpoint *ep)
{
    uint32_t ahead = epochs_ahead(&ep->config), words = TETHER_REPLAY_WORDS(ep->config.replay_window);
    for (uint32_t i = 0; i < ep->config.max_channels; i++) {
        struct tether_channel *ch = &ep->channels[i];
        int failed = tether_keys_open(&ch->tx_keys, ahead, 1);
        failed = failed ? failed : tether_keys_open(&ch->rx_keys, ahead, 0);
        failed = failed ? failed : tether_keys_open(&ch->next.tx_keys, ahead, 1);
        failed = failed ? failed : tether_keys_open(&ch->next.rx_keys, ahead, 0);
        if (failed)
            return failed;
        ch->replay.bits = ep->replay_bits + (size_t)i * 2 * words;
        ch->next.replay.bits = ch->replay.bits + words;
        ch->replay.window = ch->next.replay.window = ep->config.replay_window;
        ch->replay.mask = ch->next.replay.mask = words - 1;
        ch->peer_addresses = ep->peer_addresses + (size_t)i * TETHER_PEER_ADDRESSES;
        ep->timers[i] = UINT64_MAX;
        ch->last = ch->control = ch->spoke = tether_flow_at(ep, ch, 0);
        ch->spoke_node = tether_flow_node(ep, ch->control);
    }
    return 0;
}

static int open_all(struct tether_endpoint *ep)
{
    const struct tether_endpoint_config *c = &ep->config;
    size_t channels = c->max_channels, nodes;
    uint32_t table = 4;
    int failed;
    ep->floor = c->frame_blocks;
    ep->frame_room = (c->frame_blocks + UINT32_C(1)) * TETHER_BLOCK_BYTES;
    if (ep->frame_room < TETHER_HEADER_BYTES + 320)
        ep->frame_room = TETHER_HEADER_BYTES + 320;
    ep->flow_nodes = c->max_flows + 1;
    nodes = channels * ep->flow_nodes;
    while (table < 2 * ep->flow_nodes)
        table *= 2;
    ep->table_mask = table - 1;
    ep->window = c->ring_frames - c->ring_frames / 4;
    ep->link_bps = c->rate_bps / (c->link_lanes ? c->link_lanes : 1);
    ep->quantum = (ep->window < c->rx_cells ? ep->window : c->rx_cells) / 8;
    ep->quantum = ep->quantum < 1 ? 1 : ep->quantum < TETHER_QUANTUM_MAX ? ep->quantum : TETHER_QUANTUM_MAX;
    ep->pool_frames = c->ring_frames / 4 / c->max_channels; /* with the ember: T-GRT-9 */
    ep->pool_frames = ep->pool_frames < 2 ? 1 : ep->pool_frames - 1;
    ep->pool_frames = ep->pool_frames < TETHER_CONTROL_FRAMES ? ep->pool_frames : TETHER_CONTROL_FRAMES;
    ep->addresses = calloc(c->lanes, sizeof *ep->addresses);
    ep->channels = ep->heard = ep->spoke = calloc(channels, sizeof *ep->channels);
    ep->flows = calloc(nodes, sizeof *ep->flows);
    ep->table = calloc(channels * table, sizeof *ep->table);
    ep->closed_ids = calloc(channels * table, sizeof *ep->closed_ids);
    ep->timers = calloc(channels, sizeof *ep->timers);
    ep->replay_bits = calloc(channels * 2 * TETHER_REPLAY_WORDS(c->replay_window), sizeof *ep->replay_bits);
    ep->peer_addresses = calloc(channels * TETHER_PEER_ADDRESSES, sizeof *ep->peer_addresses);
    ep->peers = calloc(1, sizeof *ep->peers);
    ep->accounts = calloc(channels, sizeof *ep->accounts);
    ep->paced = calloc(nodes, sizeof *ep->paced);
    if (!ep->accounts || !ep->paced || !ep->addresses || !ep->channels || !ep->flows || !ep->table || !ep->closed_ids || !ep->timers || !ep->replay_bits ||
        !ep->peer_addresses || !ep->peers)
        return -ENOMEM;
    memcpy(ep->addresses, c->lane_addresses, c->lanes * sizeof *ep->addresses);
    ep->config.lane_addresses = ep->addresses;
    /* Beyond the applications' cells: Flow 0's pool and the ember of every channel, and the spare. */
    failed = tether_cells_open(&ep->rx, c->rx_cells + c->max_channels * (TETHER_CONTROL_FRAMES + 1) + 1,
                               ep->floor * TETHER_BLOCK_BYTES);
    failed = failed ? failed : tether_cells_open(&ep->tx, c->tx_cells + c->max_channels * TETHER_CONTROL_FRAMES,
                                                 ep->floor * TETHER_BLOCK_BYTES);
    /* A gap lies before at least one cell that has arrived, or before the end of its flow. */
    failed = failed ? failed : tether_gap_pool_open(&ep->gap_pool, ep->rx.count + (uint32_t)nodes * 2);
    failed = failed ? failed : open_channels(ep);
    for (ep->mile_mask = 15; ep->mile_mask < c->tx_cells / 32; )
        ep->mile_mask = ep->mile_mask * 2 + 1;
    ep->miles = malloc((ep->mile_mask + 1) * sizeof *ep->miles);
    for (ep->fragment_mask = 15; ep->fragment_mask < c->rx_cells; )
        ep->fragment_mask = ep->fragment_mask * 2 + 1;
    ep->fragments = malloc((ep->fragment_mask + 1) * sizeof *ep->fragments);
    if (failed || ep->miles == NULL || ep->fragments == NULL)
        return failed ? failed : -ENOMEM;
    memset(ep->miles, 0xff, (ep->mile_mask + 1) * sizeof *ep->miles); /* all NIL */
    memset(ep->fragments, 0xff, (ep->fragment_mask + 1) * sizeof *ep->fragments);
    ep->rx_spare = tether_cells_take(&ep->rx);
    for (int i = 0; i < TETHER_Q_COUNT; i++)
        ep->queues[i].head = ep->queues[i].tail = TETHER_NIL;
    tether_purse_init(&ep->purse, c->purse_frames, c->purse_per_s);
    tether_purse_init(&ep->lamps, c->lamp_per_s / 16 + 64, c->lamp_per_s);
    tether_purse_init(&ep->proven, c->lamp_per_s / 64 + 16, c->lamp_per_s / 8 + 1);
    tether_purse_init(&ep->agreements, c->agreement_per_s / 2 + 16, c->agreement_per_s);
    tether_purse_init(&ep->replies, c->agreement_per_s / 2 + 16, c->agreement_per_s);
    if (tether_sources_open(&ep->sources, c->lamp_source_per_s / 4 + 8, c->lamp_source_per_s))
        return -ENOMEM;
    if (tether_warm_open(ep))
        return -ENOMEM;
    if (c->entropy(c->context, ep->sources.secret, sizeof ep->sources.secret))
        return -EIO;
    ep->timer_ns = UINT64_MAX;
    ep->waiter = TETHER_NIL;
    if (tether_x25519_public(c->static_secret, ep->public_key) || tether_mac1_key(ep->public_key, ep->mac1_key))
        return -EIO;
    return 0;
}

TETHER_API int tether_endpoint_new(const struct tether_endpoint_config *config, tether_endpoint **endpoint)
{
    struct tether_endpoint *ep;
    int failed;
    if (config == NULL || endpoint == NULL || (failed = check(config)) != 0)
        return -EINVAL;
    ep = calloc(1, sizeof *ep);
    if (ep == NULL)
        return -ENOMEM;
    ep->config = *config;
    defaults(&ep->config);
    failed = open_all(ep);
    if (failed) {
        tether_endpoint_free(ep);
        return failed;
    }
    *endpoint = ep;
    return 0;
}

TETHER_API void tether_endpoint_free(tether_endpoint *ep)
{
    if (ep == NULL)
        return;
    for (uint32_t i = 0; ep->channels != NULL && i < ep->config.max_channels; i++) {
        tether_keys_close(&ep->channels[i].tx_keys);
        tether_keys_close(&ep->channels[i].rx_keys);
        tether_keys_close(&ep->channels[i].next.tx_keys);
        tether_keys_close(&ep->channels[i].next.rx_keys);
        tether_wipe(&ep->channels[i].noise, sizeof ep->channels[i].noise);
    }
    tether_cells_close(&ep->rx);
    tether_cells_close(&ep->tx);
    tether_gap_pool_close(&ep->gap_pool);
    tether_sources_close(&ep->sources);
    tether_warm_close(ep);
    free(ep->addresses);
    free(ep->channels);
    free(ep->flows);
    free(ep->table);
    free(ep->closed_ids);
    free(ep->timers);
    free(ep->accounts);
    free(ep->paced);
    free(ep->miles);
    free(ep->fragments);
    free(ep->replay_bits);
    free(ep->peer_addresses);
    free(ep->peers);
    tether_wipe(ep, sizeof *ep);
    free(ep);
}

TETHER_API int tether_public_key(const uint8_t secret[32], uint8_t public_key[32])
{
    return tether_x25519_public(secret, public_key);
}

TETHER_API int tether_endpoint_counter(tether_endpoint *ep, uint64_t first, uint64_t limit)
{
    if (first >= limit)
        return -EINVAL;
    /* The rest of the former stride is given up unless the new one continues it. */
    if (first != ep->counter_limit || ep->counter_next >= ep->counter_limit)
        ep->counter_next = first > ep->counter_next ? first : ep->counter_next;
    ep->counter_limit = limit;
    ep->counter_asked = 0;
    ep->need_counter = 0;
    for (uint32_t slot = 0; slot < ep->channel_high; slot++)
        if (ep->channels[slot].state == TETHER_CHANNEL_HAILING ||
            (ep->channels[slot].state == TETHER_CHANNEL_UP && ep->channels[slot].next.state == TETHER_NEXT_HAILING))
            tether_arm(ep, &ep->channels[slot], 0);
    return 0;
}

/* A lane of ours is reached elsewhere from now on. */
TETHER_API int tether_endpoint_moved(tether_endpoint *ep, uint16_t lane, const struct tether_address *address)
{
    if (lane >= ep->config.lanes || address == NULL || address->kind == 0 || address->length > sizeof address->bytes)
        return -EINVAL;
    ep->addresses[lane] = *address;
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        struct tether_flow *control = tether_flow_at(ep, ch, 0);
        if (ch->state != TETHER_CHANNEL_UP)
            continue;
        control->control |= TETHER_CONTROL_MANIFEST;
        control->refresh_round = 0;
        tether_enqueue(ep, control, TETHER_Q_CONTROL);
        tether_work(ep, ch);
    }
    return 0;
}

/* ------------------------------------------------------------------ events */

TETHER_API int tether_endpoint_event(tether_endpoint *ep, struct tether_event *event)
{
    struct tether_flow *flow;
    memset(event, 0, sizeof *event);
    event->lane = ep->config.lane;
    if (ep->need_counter) {
        ep->need_counter = 0;
        ep->counter_asked = 1;
        event->kind = TETHER_EVENT_NEED_COUNTER;
        event->value = ep->counter_stale;
        return 1;
    }
    if (tether_warm_event(ep, event))
        return 1;
    while ((flow = tether_queue_peek(ep, &ep->queues[TETHER_Q_EVENT])) != NULL) {
        struct tether_channel *ch = tether_channel_of(ep, flow);
        uint32_t kind = flow->events ? (uint32_t)__builtin_ctz(flow->events) : 0;
        if (flow->events >> TETHER_EVENT_MESSAGE_UNKNOWN & 1)
            kind = TETHER_EVENT_MESSAGE_UNKNOWN; /* before the flow's end, with which it may be forgotten */
        if (kind == TETHER_EVENT_CHANNEL_DOWN && flow->events >> TETHER_EVENT_PEER_LANES & 1)
            flow->events = (uint16_t)(flow->events & ~(1u << TETHER_EVENT_PEER_LANES));
        flow->events = (uint16_t)(flow->events & ~(kind ? 1u << kind : 0u));
        if (flow->events == 0)
            tether_queue_pop(ep, &ep->queues[TETHER_Q_EVENT], TETHER_Q_EVENT);
        if (kind == 0)
            continue;
        event->kind = kind;
        event->channel = ch->index;
        event->peer_id = ch->peer_id;
        event->flow = tether_flow_slot(ep, flow) ? flow->id : 0;
        switch (kind) {
        case TETHER_EVENT_CHANNEL_UP:
            event->value = !ch->initiator;
            break;
        case TETHER_EVENT_CHANNEL_DOWN:
            event->status = ch->down_status;
            event->value = ch->down_value;
            break;
        case TETHER_EVENT_PEER_LANES:
            event->value = ch->peer_lanes;
            break;
        case TETHER_EVENT_FLOW_OPENED:
            event->status = flow->kind;
            event->value = flow->bound;
            break;
        case TETHER_EVENT_FLOW_HOLE:
            event->value = flow->rx.skipped;
            break;
        case TETHER_EVENT_MESSAGE_UNKNOWN:
            event->value = flow->unknown_first;
            event->status = (int32_t)(flow->unknown_count < INT32_MAX ? flow->unknown_count : INT32_MAX);
            event->extra = (uint32_t)(flow->unsent_count < UINT32_MAX ? flow->unsent_count : UINT32_MAX);
            break;
        case TETHER_EVENT_FLOW_CLOSED:
            event->status = flow->close_status;
            event->value = flow->close_reason;
            if (ch->state == TETHER_CHANNEL_UP)
                tether_flow_settle(ep, flow);
            else if (flow->used && flow->rx.readable_bytes == 0)
                tether_flow_release(ep, flow);
            break;
        default:
            break;
        }
        if (ch->state == TETHER_CHANNEL_DEAD && ch->flow_count == 0 && tether_flow_at(ep, ch, 0)->events == 0)
            ch->state = TETHER_CHANNEL_FREE;
        return 1;
    }
    return 0;
}

/* ------------------------------------------------------------------- stats */

TETHER_API void tether_endpoint_stats(const tether_endpoint *ep, struct tether_stats *stats)
{
    uint64_t slots = 0, standing = 0, channels = 0, flows = 0;
    if (stats->struct_size != sizeof *stats)
        return;
    for (uint32_t i = 0; i < ep->channel_high; i++) {
        const struct tether_channel *ch = &ep->channels[i];
        const struct tether_flow *control = tether_flow_at(ep, ch, 0);
        if (!tether_channel_live(ch) || !control->used)
            continue;
        channels++;
        flows += ch->flow_count;
        slots += control->rx.granted - control->rx.arrived;
        standing += (uint64_t)ep->pool_frames * ep->floor;
    }
    *stats = ep->stats;
    stats->struct_size = sizeof *stats;
    stats->lane = ep->config.lane;
    stats->grants_outstanding_slots = slots + (uint64_t)ep->outstanding * ep->floor;
    stats->standing_slots = standing;
    stats->reserved_cells = ep->reserved;
    stats->free_cells = tether_grant_free(ep);
    stats->free_tx_cells = tether_tx_room(ep);
    stats->purse_frames = ep->purse.frames;
    stats->channels = channels;
    stats->flows = flows;
}
