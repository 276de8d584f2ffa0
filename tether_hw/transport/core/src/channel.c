/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.c: life of a channel. FREE -> HAILING (we hail) or UNCONFIRMED (we answered) -> UP -> CLOSING or DEAD -> FREE.
 *
 * DEAD is off the network: what had arrived can still be read, and the slot is free when the application has seen
 * the events and the flows are empty.
 */
#include "endpoint.h"

#include <errno.h>

struct tether_channel *tether_channel_find(struct tether_endpoint *ep, uint32_t index)
{
    uint32_t slot = index >> 8 & (TETHER_CHANNELS_MAX - 1);
    struct tether_channel *ch = &ep->channels[slot];
    if (slot >= ep->channel_high || ch->state == TETHER_CHANNEL_FREE || ch->index != index)
        return NULL;
    return ch;
}

/* An index of this slot that it does not have now: what was sent to an old one is a stranger's. */
uint32_t tether_channel_index(struct tether_endpoint *ep, struct tether_channel *ch)
{
    uint32_t index;
    do {
        ch->generation = (uint16_t)((ch->generation + 1) & 0xfff);
        ch->generation = ch->generation ? ch->generation : 1;
        index = (uint32_t)ch->generation << (8 + TETHER_SLOT_BITS) | tether_channel_slot(ep, ch) << 8 | ep->config.lane;
    } while (index == ch->wire || index == ch->next.wire);
    return index;
}

/* A free slot with a new index; NULL when there is none. Its state is for the caller to set. */
struct tether_channel *tether_channel_take(struct tether_endpoint *ep, uint64_t now_ns)
{
    struct tether_channel *ch = NULL;
    uint8_t random[8];
    uint32_t slot;
    for (slot = 0; slot < ep->config.max_channels; slot++)
        if (slot >= ep->channel_high || (ep->channels[slot].state == TETHER_CHANNEL_FREE &&
                                         tether_flow_at(ep, &ep->channels[slot], 0)->events == 0)) {
            ch = &ep->channels[slot];
            break;
        }
    /* Nobody fetched its leftovers; or it waits for a receipt of its BYE, for as long as its peer made its RTT. */
    for (slot = 0; ch == NULL && slot < 2 * ep->channel_high; slot++)
        if (ep->channels[slot % ep->channel_high].state ==
            (slot < ep->channel_high ? (int)TETHER_CHANNEL_DEAD : (int)TETHER_CHANNEL_CLOSING)) {
            ch = &ep->channels[slot % ep->channel_high];
            tether_channel_release(ep, ch);
            tether_queue_remove(ep, &ep->queues[TETHER_Q_EVENT], TETHER_Q_EVENT, tether_flow_at(ep, ch, 0));
            tether_flow_at(ep, ch, 0)->events = 0;
        }
    if (ch == NULL || ep->config.entropy(ep->config.context, random, sizeof random))
        return NULL;
    slot = tether_channel_slot(ep, ch);
    if (slot >= ep->channel_high)
        ep->channel_high = slot + 1;
    if (ch->generation == 0) /* a restarted endpoint should not repeat the indices of its former life */
        ch->generation = (uint16_t)(tether_get16(random) & 0xfff);
    ch->index = ch->wire = tether_channel_index(ep, ch);
    ch->next.state = TETHER_NEXT_NONE;
    ch->next.wire = 0;
    ch->keyed_ns = now_ns;
    ch->rekey_ns = ch->order_base = ch->cookie_ns = 0;
    memset(&ch->probe, 0, sizeof ch->probe);
    ch->hail_blocks = ch->path_blocks = 0;
    ch->hail_tries = ch->reply_length = ch->peer_early = 0;
    ch->stamp_offset = tether_get64(random) & TETHER_MASK48;
    ch->born = ++ep->births;
    ch->remote = 0;
    ch->initiator = ch->hail_due = ch->visible = ch->proven = ch->last_word = ch->moves = 0;
    ch->linger = 0;
    ch->peer_floor = ch->peer_frame_blocks = ch->peer_lanes = 0;
    ch->hails_sent = ch->frames_sent = ch->frames_received = 0;
    ch->receipts = ch->flow_count = ch->ember_in = ch->ember_out = 0;
    ch->receipt_ns = ch->timer_frame_ns = ch->unanswered_ns = 0;
    ch->peer_windows.count = ch->peer_rtt_table.count = 0;
    ch->away_ns = 0;
    ch->peer_stamp = ch->peer_stamp_ns = ch->peer_stamp_sequence = 0;
    ch->reorder_ns = ch->reorder_at_ns = ch->sample_ns = 0;
    ch->refused_count = 0;
    memset(ch->refused, 0, sizeof ch->refused);
    ch->last = tether_flow_at(ep, ch, 0);
    ch->unmet = 0;
    tether_brake_init(&ch->brake);
    ch->account = slot; /* nothing is counted there before the peer is known */
    ch->accounted = 0;
    ch->cipher = 0;
    ch->down_status = 0;
    ch->down_value = 0;
    memset(&ch->hail_clock, 0, sizeof ch->hail_clock);
    memset(ch->peer_addresses, 0, TETHER_PEER_ADDRESSES * sizeof *ch->peer_addresses);
    for (int i = 0; i < TETHER_Q_EVENT; i++)
        ch->queues[i].head = ch->queues[i].tail = TETHER_NIL;
    ep->timers[slot] = UINT64_MAX;
    return ch;
}

/* Both keys are set and the peer's constants are known: begin to count. 0 or -1. */
int tether_channel_ready(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns,
                         const struct tether_tag_manifest *manifest)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    if (tether_manifest_take(ep, ch, manifest))
        return -1;
    ch->silence_floor_ns = manifest->silence_ns > ep->config.silence_ns ? ep->config.silence_ns : manifest->silence_ns;
    ch->silence_floor_ns = ch->silence_floor_ns ? ch->silence_floor_ns : ep->config.silence_ns;
    ch->sequence = 1;
    ch->account = tether_account_for(ep, ch);
    ch->accounted = 1;
    tether_replay_reset(&ch->replay);
    control->id = 0;
    control->kind = TETHER_FLOW_MESSAGE;
    control->channel = tether_channel_slot(ep, ch);
    tether_flow_setup(ep, ch, control, now_ns);
    control->used = 1;
    tether_ledger_init(&control->tx.ledger, 0, manifest->pool_slots);
    control->rx.granted = control->rx.told = (uint64_t)ep->pool_frames * ep->floor;
    tether_ids_begin(ep, ch);
    return 0;
}

/* The first frame under the new keys has verified: an older channel between the same lanes falls now. */
void tether_channel_confirmed(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    ch->proven = 1;
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *other = &ep->channels[slot];
        if (other == ch || other->peer_id != ch->peer_id || other->remote_lane != ch->remote_lane)
            continue;
        if (other->state == TETHER_CHANNEL_UP && other->born > ch->born)
            continue; /* a late frame of the former one: the newer Hail stands */
        if (other->state == TETHER_CHANNEL_UP) {
            tether_channel_down(ep, other, now_ns, -ECONNRESET, ch->index);
            tether_channel_reap(ep, other);
        } else if (other->state == TETHER_CHANNEL_HAILING && ch->state == TETHER_CHANNEL_UNCONFIRMED) {
            tether_channel_down(ep, other, now_ns, -EISCONN, ch->index);
            tether_channel_reap(ep, other);
        } else if (other->state == TETHER_CHANNEL_UNCONFIRMED && ch->initiator) {
            tether_channel_release(ep, other);
        }
    }
    if (ch->state != TETHER_CHANNEL_UNCONFIRMED)
        return;
    ch->state = TETHER_CHANNEL_UP;
    ch->visible = 1;
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_UP, .slot = ch->remote, .value = 1);
    ch->expire_ns = UINT64_MAX;
    control->control = (uint8_t)(TETHER_CONTROL_MANIFEST | (ep->config.early_bytes ? TETHER_CONTROL_WARM : 0));
    control->refresh_round = 0;
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_event_set(ep, control, TETHER_EVENT_CHANNEL_UP);
    tether_work(ep, ch);
}

/* The application's view ends: flows are closed with `status`, what had arrived can be read. */
void tether_channel_down(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, int32_t status,
                         uint64_t value)
{
    if (ch->state == TETHER_CHANNEL_UP && status != -EACCES && status != -EPROTO)
        tether_warm_keep(ep, ch, now_ns);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_DOWN, .value = (uint64_t)(int64_t)status);
    for (uint32_t i = 1; i < ep->flow_nodes; i++) {
        struct tether_flow *flow = tether_flow_at(ep, ch, i);
        if (!flow->used)
            continue;
        tether_flow_drop(ep, flow);
        if (flow->flags & TETHER_FLOW_LOCAL_CLOSED) {
            tether_flow_release(ep, flow);
            continue;
        }
        flow->flags |= TETHER_FLOW_REMOTE_CLOSED;
        flow->close_status = status;
        flow->close_reason = (uint32_t)value;
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_CLOSED);
    }
    ch->down_status = status;
    ch->down_value = value;
    if (ch->visible)
        tether_event_set(ep, tether_flow_at(ep, ch, 0), TETHER_EVENT_CHANNEL_DOWN);
    ch->visible = 0;
    ch->state = TETHER_CHANNEL_CLOSING;
    ch->linger = TETHER_LINGER_TRIES;
}

/* Off the network now. The slot stays while something is left to read or to tell. */
void tether_channel_reap(struct tether_endpoint *ep, struct tether_channel *ch)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    if (ch->state == TETHER_CHANNEL_FREE)
        return;
    if (control->used)
        tether_flow_drop(ep, control);
    control->used = 0;
    control->control = 0;
    control->news = 0;
    tether_unqueue_all(ep, control);
    tether_queue_remove(ep, &ep->queues[TETHER_Q_WORK], TETHER_Q_WORK, control);
    tether_keys_clear(&ch->tx_keys);
    tether_keys_clear(&ch->rx_keys);
    tether_rekey_end(ep, ch, 0);
    tether_wipe(ch->resume, sizeof ch->resume);
    tether_wipe(&ch->noise, sizeof ch->noise);
    ch->hail_due = 0;
    ch->last_word = 0;
    ep->timers[tether_channel_slot(ep, ch)] = UINT64_MAX;
    ch->state = TETHER_CHANNEL_DEAD;
    if (ch->flow_count == 0 && control->events == 0)
        tether_channel_release(ep, ch);
}

void tether_channel_release(struct tether_endpoint *ep, struct tether_channel *ch)
{
    if (ch->state == TETHER_CHANNEL_FREE)
        return;
    for (uint32_t i = 1; i < ep->flow_nodes; i++)
        if (tether_flow_at(ep, ch, i)->used)
            tether_flow_release(ep, tether_flow_at(ep, ch, i));
    if (ch->state != TETHER_CHANNEL_DEAD) {
        ch->flow_count = 0;
        ch->state = TETHER_CHANNEL_CLOSING;
        tether_channel_reap(ep, ch);
    }
    ch->state = TETHER_CHANNEL_FREE;
}

/* Say BYE with this reason, and end. */
void tether_channel_fail(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t reason)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    if (ch->state != TETHER_CHANNEL_UP)
        return;
    tether_channel_down(ep, ch, now_ns, reason == TETHER_BYE_ROSTER ? -EACCES : reason == TETHER_BYE_PATH ? -EMSGSIZE : -EPROTO,
                        reason);
    control->control = TETHER_CONTROL_BYE;
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_work(ep, ch);
}

TETHER_API int tether_channel_open(tether_endpoint *ep, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                                   const struct tether_address *to, uint32_t *channel)
{
    struct tether_peer_entry *entry = tether_roster_by_id(ep, peer_id);
    struct tether_channel *ch;
    if (entry == NULL)
        return -ENOENT;
    if (remote_lane > 255 || channel == NULL)
        return -EINVAL;
    ch = tether_channel_hailing(ep, peer_id, remote_lane);
    if (ch != NULL && ch->visible) { /* one Hail for a lane pair is enough */
        *channel = ch->index;
        return 0;
    }
    to = to != NULL ? to : tether_channel_known(ep, peer_id, remote_lane);
    to = to != NULL ? to : &entry->peer.hail;
    if (to->kind == 0 || to->length > sizeof to->bytes)
        return -EINVAL;
    ch = tether_channel_own(ep, now_ns);
    if (ch == NULL)
        return -ENOSPC;
    ch->state = TETHER_CHANNEL_HAILING;
    ch->initiator = 1;
    ch->visible = 1;
    ch->peer_id = peer_id;
    ch->remote_lane = remote_lane;
    memcpy(ch->peer_key, entry->peer.keys[0], TETHER_KEY_SIZE);
    ch->address = *to;
    ch->rate_bps = entry->peer.rate_bps ? entry->peer.rate_bps : ep->config.rate_bps;
    tether_rtt_init(&ch->rtt, entry->peer.rtt_ns ? entry->peer.rtt_ns : ep->config.rtt_ns);
    ch->silence_floor_ns = ep->config.silence_ns;
    ch->cut_bytes = (uint32_t)ep->config.frame_blocks * TETHER_BLOCK_BYTES;
    tether_flow_at(ep, ch, 0)->channel = tether_channel_slot(ep, ch);
    ch->hail_clock.since_ns = now_ns;
    tether_arm(ep, ch, now_ns);
    if (ep->counter_next >= ep->counter_limit)
        ep->need_counter = 1;
    *channel = ch->index;
    return 0;
}

TETHER_API int tether_channel_close(tether_endpoint *ep, uint64_t now_ns, uint32_t channel)
{
    struct tether_channel *ch = tether_channel_find(ep, channel);
    struct tether_flow *control;
    if (ch == NULL)
        return -ENOENT;
    if (ch->state == TETHER_CHANNEL_DEAD) {
        tether_channel_release(ep, ch);
        return 0;
    }
    if (ch->state == TETHER_CHANNEL_CLOSING)
        return -EALREADY;
    control = tether_flow_at(ep, ch, 0);
    for (uint32_t i = 1; i < ep->flow_nodes; i++)
        if (tether_flow_at(ep, ch, i)->used)
            tether_flow_release(ep, tether_flow_at(ep, ch, i));
    if (ch->state != TETHER_CHANNEL_UP) {
        tether_channel_down(ep, ch, now_ns, 0, 0);
        tether_channel_reap(ep, ch);
        return 0;
    }
    tether_channel_down(ep, ch, now_ns, 0, TETHER_BYE_CLOSED);
    control->control = TETHER_CONTROL_BYE;
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_work(ep, ch);
    return 0;
}

TETHER_API int tether_channel_info(const tether_endpoint *cep, uint32_t channel, struct tether_channel_info *info)
{
    struct tether_endpoint *ep = (struct tether_endpoint *)(uintptr_t)cep; /* looked at, not changed */
    const struct tether_channel *ch = tether_channel_find(ep, channel);
    if (info->struct_size != sizeof *info)
        return -EINVAL;
    if (ch == NULL)
        return -ENOENT;
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    info->peer_id = ch->peer_id;
    info->state = ch->state == TETHER_CHANNEL_DEAD ? TETHER_CHANNEL_CLOSING : ch->state;
    info->initiator = ch->initiator;
    info->remote_lane = ch->remote_lane;
    info->cipher = ch->cipher;
    info->peer_lanes = ch->peer_lanes;
    info->srtt_ns = ch->rtt.smoothed_ns;
    info->rtt_min_ns = ch->rtt.min_ns == UINT64_MAX ? 0 : ch->rtt.min_ns;
    info->rtt_p50_ns = tether_rtt_quantile(&ch->rtt, 500);
    info->rtt_p99_ns = tether_rtt_quantile(&ch->rtt, 990);
    info->frames_sent = ch->frames_sent;
    info->frames_received = ch->frames_received;
    info->hails_sent = ch->hails_sent;
    info->peer_max_message = ch->peer_max_message;
    info->flows = ch->flow_count;
    info->peer_floor = ch->peer_floor;
    info->peer_frame_blocks = ch->peer_frame_blocks;
    info->address = ch->address;
    info->away_ns = ch->away_ns;
    info->path_blocks = ch->cut_bytes / TETHER_BLOCK_BYTES;
    return 0;
}

TETHER_API int tether_channel_lane_address(const tether_endpoint *cep, uint32_t channel, uint16_t lane,
                                           struct tether_address *address)
{
    struct tether_endpoint *ep = (struct tether_endpoint *)(uintptr_t)cep;
    const struct tether_channel *ch = tether_channel_find(ep, channel);
    if (ch == NULL || lane >= TETHER_PEER_ADDRESSES || ch->peer_addresses[lane].kind == 0)
        return -ENOENT;
    *address = ch->peer_addresses[lane];
    return 0;
}
