/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c: Flow 0. What must be said is kept as bits of the flows concerned and becomes tags when Flow 0 has
 * credit and a cell, so that there is no queue of tags that could overflow.
 */
#include <errno.h>

#include "schedule.h"

void tether_manifest_of(const struct tether_endpoint *ep, struct tether_tag_manifest *manifest)
{
    memset(manifest, 0, sizeof *manifest);
    manifest->floor = (uint16_t)ep->floor;
    manifest->frame_blocks = ep->config.frame_blocks;
    manifest->pool_slots = ep->pool_frames * ep->floor;
    manifest->ring_frames = ep->config.ring_frames;
    manifest->ember_frames = 1;
    manifest->max_message = ep->config.max_message;
    manifest->rtt_ns = ep->config.rtt_ns;
    manifest->rate_bps = ep->config.rate_bps;
    manifest->silence_ns = ep->config.silence_ns;
}

/* What the peer states about itself; both ends use the larger of the times. 0 or -1. */
int tether_manifest_take(struct tether_endpoint *ep, struct tether_channel *ch,
                         const struct tether_tag_manifest *manifest)
{
    uint16_t blocks = manifest->frame_blocks < ep->config.frame_blocks ? manifest->frame_blocks : ep->config.frame_blocks;
    struct tether_tag_cursor lanes = {.at = manifest->lane_bytes, .left = manifest->lane_length};
    struct tether_address address;
    uint16_t lane;
    if (ch->peer_floor && (ch->peer_floor != manifest->floor || ch->peer_frame_blocks != manifest->frame_blocks))
        return -1; /* constants of the channel */
    if (ch->path_blocks && blocks > ch->path_blocks)
        blocks = ch->path_blocks; /* what the Hail that was answered has proved */
    ch->peer_floor = manifest->floor;
    ch->peer_frame_blocks = manifest->frame_blocks;
    ch->cut_bytes = (uint32_t)blocks * TETHER_BLOCK_BYTES;
    ch->peer_max_message = manifest->max_message;
    if (manifest->rtt_ns > ch->rtt.declared_ns && manifest->rtt_ns < UINT64_C(1) << 46)
        ch->rtt.declared_ns = manifest->rtt_ns;
    if (manifest->rate_bps && (ch->rate_bps == 0 || manifest->rate_bps < ch->rate_bps))
        ch->rate_bps = manifest->rate_bps;
    while (tether_tag_lane(&lanes, &lane, &address) > 0) {
        if (lane >= TETHER_PEER_ADDRESSES)
            continue;
        if (ch->peer_addresses[lane].kind == 0)
            ch->peer_lanes++;
        ch->peer_addresses[lane] = address;
        if (lane == ch->remote_lane) /* we go over when it is heard from there */
            ch->moves = !tether_same_address(&address, &ch->address);
    }
    return 0;
}

/* Append the Manifest with as many lanes as fit, from `from` on; returns the next lane. */
static uint16_t put_lanes(const struct tether_endpoint *ep, const struct tether_channel *ch, uint8_t *out, size_t capacity, size_t *size, uint16_t from)
{
    struct tether_tag_manifest manifest;
    tether_manifest_of(ep, &manifest);
    manifest.max_message = tether_message_most(ep, ch, 0);
    *size = 0;
    for (manifest.lanes = (uint16_t)(ep->config.lanes - from); manifest.lanes > 0; manifest.lanes--) {
        *size = tether_tag_put_manifest(out, capacity, &manifest, ep->addresses + from, from);
        if (*size)
            break;
    }
    return (uint16_t)(from + manifest.lanes);
}

/* One tag for one flow, if `capacity` holds it: its size, 0 when nothing more is to be said, -1 when it does not fit. */
static int put_flow(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint8_t *out,
                    size_t capacity, uint32_t *marks)
{
    (void)ep;
    (void)ch;
    if (capacity < TETHER_TAG_DEFINE_SIZE)
        return flow->control ? -1 : 0;
    if (flow->control & TETHER_CONTROL_DEFINE) {
        struct tether_tag_define define = {.flow = flow->id, .kind = flow->kind, .reliability = flow->reliability,
            .order = flow->order, .scale = flow->scale, .bound = flow->bound, .latency_ns = flow->latency_ns,
            .budget = flow->budget, .deadline_ns = flow->deadline_ns};
        flow->control &= (uint16_t)~TETHER_CONTROL_DEFINE;
        return (int)tether_tag_put_define(out, &define);
    }
    if (flow->control & TETHER_CONTROL_SKIP) {
        struct tether_tag_skip skip = {.flow = flow->id, .first = flow->tx.skip_first,
                                       .count = flow->tx.skip_end - flow->tx.skip_first};
        flow->control &= (uint16_t)~TETHER_CONTROL_SKIP;
        TETHER_COUNT(ep, skips_sent);
        return (int)tether_tag_put_skip(out, &skip);
    }
    if (flow->control & TETHER_CONTROL_END) {
        struct tether_tag_close close = {.flow = flow->id, .reason = TETHER_CLOSE_END, .final = flow->tx.tail_slot};
        flow->control &= (uint16_t)~TETHER_CONTROL_END;
        return (int)tether_tag_put_close(out, &close);
    }
    if (flow->control & TETHER_CONTROL_CLOSE) {
        struct tether_tag_close close = {.flow = flow->id, .reason = TETHER_CLOSE_CLOSED,
                                         .final = tether_ledger_next(&flow->tx.ledger)};
        flow->control &= (uint16_t)~TETHER_CONTROL_CLOSE;
        flow->close_sent = 1;
        *marks = 1;
        return (int)tether_tag_put_close(out, &close);
    }
    return 0;
}

/* Contact windows, then the table of round trips: the size of the tag, -1 when it does not fit. */
static int put_plan(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *control, uint8_t *out,
                    size_t capacity, uint64_t now_ns)
{
    int windows = (control->control & TETHER_CONTROL_WINDOWS) != 0;
    const struct tether_plan *plan = windows ? &ep->windows : &ep->rtt_table;
    if (capacity < TETHER_TAG_PLAN_SIZE + 16 * (size_t)plan->count)
        return -1;
    control->control &= (uint16_t)~(windows ? TETHER_CONTROL_WINDOWS : TETHER_CONTROL_TABLE);
    return (int)tether_tag_put_plan(out, windows ? TETHER_TAG_WINDOWS : TETHER_TAG_TABLE, plan, now_ns,
                                    tether_stamp(ch, now_ns));
}

/* Make one Flow 0 frame of what is pending. 1 = a cell was queued. */
int tether_control_compose(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0), *flow;
    struct tether_queue *queue = &ch->queues[TETHER_Q_CONTROL];
    size_t capacity = ch->cut_bytes, length = 0;
    uint32_t cell, marks = 0;
    uint64_t behind;
    uint8_t *out;
    struct tether_cell *c;
    if (queue->head == TETHER_NIL && ch->refused_count == 0)
        return 0;
    if (control->tx.cells >= TETHER_CONTROL_FRAMES || control->tx.unsent != TETHER_NIL)
        return 0;
    if (tether_ledger_next(&control->tx.ledger) + (uint64_t)tether_tx_cell_slots(control, ch->cut_bytes) >
        tether_ledger_limit(&control->tx.ledger))
        return 0; /* its pool is full: a grant of Flow 0 brings us back */
    cell = tether_cells_take(&ep->tx);
    if (cell == TETHER_NIL)
        return 0;
    out = tether_cell_payload(&ep->tx, cell);
    behind = control->tx.tail_slot;
    while ((flow = tether_queue_peek(ep, queue)) != NULL) {
        int size = 0;
        if (flow == control) {
            if (flow->control & TETHER_CONTROL_BYE && capacity - length >= TETHER_TAG_BYE_SIZE) {
                flow->control = 0;
                size = (int)tether_tag_put_bye(out + length, (uint32_t)ch->down_value);
                TETHER_COUNT(ep, byes_sent);
            } else if (flow->control & TETHER_CONTROL_MANIFEST) {
                size_t whole;
                uint16_t next = put_lanes(ep, ch, out + length, capacity - length, &whole, (uint16_t)flow->refresh_round);
                flow->refresh_round = (uint8_t)next; /* lanes said so far */
                if (next >= ep->config.lanes) {
                    flow->control &= (uint16_t)~TETHER_CONTROL_MANIFEST;
                    flow->control |= ep->windows.count ? TETHER_CONTROL_WINDOWS : 0;
                    flow->control |= ep->rtt_table.count ? TETHER_CONTROL_TABLE : 0;
                }
                size = whole ? (int)whole : -1;
            } else if (flow->control & TETHER_CONTROL_WARM) {
                if (capacity - length < TETHER_TAG_WARM_SIZE) {
                    size = -1;
                } else {
                    flow->control &= (uint16_t)~TETHER_CONTROL_WARM;
                    size = (int)tether_tag_put_warm(out + length, ep->config.early_bytes);
                }
            } else if (flow->control & (TETHER_CONTROL_WINDOWS | TETHER_CONTROL_TABLE)) {
                size = put_plan(ep, ch, flow, out + length, capacity - length, now_ns);
            }
        } else if (ch->state != TETHER_CHANNEL_CLOSING) {
            int announced = tether_flow_announced(flow);
            size = put_flow(ep, ch, flow, out + length, capacity - length, &marks);
            if (tether_flow_announced(flow) != announced)
                tether_tx_kick(ep, ch, flow, now_ns); /* what was written meanwhile follows its DEFINE */
            if (flow->close_sent && !flow->close_at) {
                flow->close_at = UINT64_MAX; /* set below, when the cell's end is known */
                flow->closed_ns = now_ns;
            }
        }
        if (size < 0)
            break;
        length += (size_t)size;
        if (size == 0 || flow->control == 0)
            tether_queue_pop(ep, queue, TETHER_Q_CONTROL);
    }
    for (uint32_t word = 0; ch->refused_count && capacity - length >= TETHER_TAG_CLOSE_SIZE;) {
        struct tether_tag_close close = {.reason = TETHER_CLOSE_REFUSED};
        if (ch->refused[word] == 0) {
            word++;
            continue;
        }
        close.flow = (uint16_t)((word * 64 + (uint32_t)__builtin_ctzll(ch->refused[word])) << 1 | ch->initiator);
        ch->refused[word] &= ch->refused[word] - 1;
        ch->refused_count--;
        length += tether_tag_put_close(out + length, &close);
    }
    if (ch->refused_count) /* the rest goes in the next frame */
        tether_enqueue(ep, control, TETHER_Q_CONTROL);
    if (length == 0) {
        tether_cells_give(&ep->tx, cell);
        return 0;
    }
    c = &ep->tx.cells[cell];
    c->length = (uint16_t)length;
    c->flags = 0;
    c->marks = TETHER_CELL_SEALED;
    c->tags = marks;
    tether_tx_append(ep, control, cell);
    behind += c->slots;
    for (uint32_t i = 1; marks && i < ep->flow_nodes; i++) {
        flow = tether_flow_at(ep, ch, i);
        if (flow->used && flow->close_at == UINT64_MAX)
            flow->close_at = behind;
    }
    return 1;
}

/* A Flow 0 frame with a CLOSE has arrived: which flows are done on our side? */
void tether_control_acked(struct tether_endpoint *ep, struct tether_channel *ch)
{
    const struct tether_flow *control = tether_flow_at(ep, ch, 0);
    uint64_t acked = control->tx.head == TETHER_NIL ? control->tx.tail_slot : ep->tx.cells[control->tx.head].slot;
    for (uint32_t i = 1; i < ep->flow_nodes; i++) {
        struct tether_flow *flow = tether_flow_at(ep, ch, i);
        if (flow->used && flow->close_sent && !flow->close_acked && flow->close_at <= acked) {
            flow->close_acked = 1;
            tether_flow_settle(ep, flow);
        }
    }
}

static int define(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_tag_define *tag,
                  uint64_t now_ns)
{
    struct tether_flow_options options = {.kind = tag->kind, .reliability = tag->reliability, .order = tag->order,
        .scale = tag->scale, .bound = tag->bound, .budget = tag->budget, .latency_ns = tag->latency_ns,
        .deadline_ns = tag->reliability == TETHER_FLOW_EXPIRING ? tag->deadline_ns : 0};
    struct tether_flow *flow;
    int early;
    if (tag->flow == 0 || (tag->flow & 1) != ch->initiator)
        return -1; /* initiator opens even, responder odd ids */
    early = tether_ids_early(ep, ch, tag->flow, now_ns);
    flow = tether_flow_find(ep, ch, tag->flow);
    if (flow != NULL && !flow->gone && !early)
        return -1;
    if (flow != NULL || early)
        options.kind = UINT8_MAX; /* too soon, or the former flow of this id is not read to its end yet */
    flow = (options.bound || options.kind == TETHER_FLOW_BYTES) && tether_flow_check(ep, ch, &options) == 0
               ? tether_flow_take(ep, ch, tag->flow, &options, now_ns)
               : NULL;
    if (flow != NULL && tether_schedule_admit(ep, flow, options.budget)) {
        tether_flow_release(ep, flow);
        flow = NULL;
    }
    if (flow == NULL) {
        uint64_t *word = &ch->refused[tag->flow >> 7], bit = UINT64_C(1) << (tag->flow >> 1 & 63);
        ch->refused_count += !(*word & bit);
        *word |= bit;
        tether_enqueue(ep, tether_flow_at(ep, ch, 0), TETHER_Q_CONTROL);
        tether_work(ep, ch);
        return 0;
    }
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_OPENED);
    return 0;
}

static int closed(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_tag_close *tag,
                  uint64_t now_ns)
{
    struct tether_flow *flow = tether_flow_find(ep, ch, tag->flow);
    if (flow == NULL || flow->gone)
        return 0; /* both ends were done with it */
    if (tag->reason == TETHER_CLOSE_END) {
        flow->remote_end = 1;
        if (tether_rx_close(ep, ch, flow, tag->final, now_ns))
            return -1;
        if (flow->used && flow->rx.contig >= flow->rx.final)
            tether_flow_settle(ep, flow);
        return 0;
    }
    flow->flags |= TETHER_FLOW_REMOTE_CLOSED;
    flow->close_reason = tag->reason;
    flow->close_status = 0;
    tether_tx_drop(ep, flow);
    if (flow->ember_out) {
        flow->ember_out = 0;
        ch->ember_out = 0;
    }
    flow->tx.tail_slot = flow->tx.declared = tether_ledger_next(&flow->tx.ledger);
    tether_ledger_grant(&flow->tx.ledger, flow->tx.tail_slot); /* nothing more is sent: the ember is settled */
    tether_event_set(ep, flow, TETHER_EVENT_FLOW_CLOSED);
    if (tag->reason == TETHER_CLOSE_REFUSED) {
        flow->control = 0;
        flow->close_sent = flow->close_acked = flow->remote_gone = 1;
        flow->rx.final = flow->rx.contig;
        flow->rx.steady_to = 0;
        tether_flow_settle(ep, flow);
        return 0;
    }
    flow->remote_gone = 1;
    flow->closed_ns = now_ns;
    if (flow->mute) {
        if (tag->final % flow->rx.floor || tag->final < flow->rx.contig || tag->final - flow->rx.contig >= UINT64_C(1) << 31)
            return -1;
        tether_rx_finish(ep, flow, tag->final);
        tether_flow_settle(ep, flow);
        return 0;
    }
    return tether_rx_close(ep, ch, flow, tag->final, now_ns);
}

static int act(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_tag *tag, uint64_t now_ns)
{
    struct tether_flow *flow;
    switch (tag->type) {
    case TETHER_TAG_DEFINE:
        return define(ep, ch, &tag->define, now_ns);
    case TETHER_TAG_MANIFEST:
        if (tether_manifest_take(ep, ch, &tag->manifest))
            return -1;
        if (tag->manifest.lanes)
            tether_event_set(ep, tether_flow_at(ep, ch, 0), TETHER_EVENT_PEER_LANES);
        return 0;
    case TETHER_TAG_WARM:
        ch->peer_early = tag->warm_bytes;
        return 0;
    case TETHER_TAG_WINDOWS:
    case TETHER_TAG_TABLE:
        tether_contact_take(ep, ch, &tag->plan, tag->type == TETHER_TAG_WINDOWS, now_ns);
        return 0;
    case TETHER_TAG_SKIP:
        if (tag->skip.flow == 0)
            return -1; /* Flow 0 loses nothing and ends with its channel only */
        flow = tether_flow_find(ep, ch, tag->skip.flow);
        TETHER_COUNT(ep, skips_received);
        if (flow == NULL || flow->gone)
            return 0;
        if (tag->skip.count == 0 || tag->skip.first + tag->skip.count < tag->skip.first)
            return -1;
        return tether_rx_void(ep, ch, flow, tag->skip.first, tag->skip.first + tag->skip.count, now_ns);
    case TETHER_TAG_CLOSE:
        if (tag->close.flow == 0)
            return -1;
        return closed(ep, ch, &tag->close, now_ns);
    case TETHER_TAG_BYE:
        TETHER_COUNT(ep, byes_received);
        tether_channel_down(ep, ch, now_ns, -ECONNABORTED, tag->bye_reason);
        ch->last_word = 1;
        tether_work(ep, ch);
        return 1;
    default:
        return -1; /* HAIL has no place here */
    }
}

/* Read a frame of tags that has its turn in order. */
void tether_control_read(struct tether_endpoint *ep, struct tether_channel *ch, const uint8_t *payload, size_t length,
                         uint64_t now_ns)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    struct tether_tag_cursor cursor = {.at = payload, .left = length};
    struct tether_tag tag;
    int got = 0, done = 0;
    if (ch->state != TETHER_CHANNEL_UP)
        return; /* we have said BYE: nothing that the peer still says matters */
    while (done == 0 && (got = tether_tag_next(&cursor, &tag)) > 0)
        done = act(ep, ch, &tag, now_ns);
    if (got < 0 || done < 0) {
        ep->stats.rejects[TETHER_E_TAGS - TETHER_E_SHORT]++;
        tether_channel_fail(ep, ch, now_ns, TETHER_BYE_PROTOCOL);
        return;
    }
    control->rx.granted = control->rx.contig + (uint64_t)ep->pool_frames * control->rx.floor;
    if (control->rx.granted - control->rx.told >= ((uint64_t)ep->pool_frames + 3) / 4 * control->rx.floor)
        tether_grant_tell(ep, control);
}
