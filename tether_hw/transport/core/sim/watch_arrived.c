/* SPDX-License-Identifier: Apache-2.0 */
/* watch_arrived.c: the observer at the receiving end: what was granted, asked for and confirmed, and what was accepted. */
#include "sim.h"

typedef unsigned long long ull;

/* The direction back: what this frame says is about data that its receiver sends. */
static struct sim_watch_rel *back_of(struct tether_sim *sim, const struct sim_frame *frame, uint32_t at, uint32_t wire)
{
    struct sim_vertex *v = &sim->vertices[at];
    struct sim_watch_key *key;
    if (v->ep != NULL) {
        uint32_t slot = wire >> 8 & (TETHER_CHANNELS_MAX - 1);
        const struct tether_channel *ch = &v->ep->channels[slot];
        if (slot >= v->ep->channel_high || ch->state == TETHER_CHANNEL_FREE)
            return NULL;
        return sim_watch_rel_of(sim, frame->from, ch->remote);
    }
    key = sim_watch_key_at(&sim->watch, sim_watch_name_of(at, wire), 0); /* a foreign endpoint */
    return key == NULL || key->pair == 0 ? NULL : sim_watch_rel_of(sim, frame->from, key->pair);
}

static void reverse_side(struct sim_watch_rel *back, const struct tether_header *header)
{
    struct sim_watch_flow *flow = sim_watch_flow_at(back, header->flow, 1);
    uint64_t slot, end;
    int64_t raise;
    if (flow == NULL)
        return;
    raise = tether_distance48(header->grant_amount, flow->granted);
    flow->granted += raise > 0 ? (uint64_t)raise : 0;
    if (flow->unit == 0)
        return;
    slot = tether_expand32_below(flow->high, header->nack_slot);
    if (slot > flow->high)
        return;
    if (header->nack_count == 0) {
        sim_watch_receipted(flow, slot);
        return;
    }
    end = slot + header->nack_count < flow->high ? slot + header->nack_count : flow->high;
    slot = slot < flow->base ? flow->base : slot;
    for (slot -= slot % flow->unit; slot < end; slot += flow->unit) {
        uint8_t *at = sim_watch_mark(flow, slot);
        if (at != NULL)
            *at |= SIM_ASKED;
    }
}

static void arrived_data(struct tether_sim *sim, const struct tether_header *header, struct sim_watch_flow *flow)
{
    uint64_t slot, end;
    uint8_t *at;
    if (flow->unit == 0)
        return;
    slot = tether_expand32_below(flow->high, header->slot);
    end = slot + flow->unit;
    if (slot > flow->high || slot < flow->base || (at = sim_watch_mark(flow, slot)) == NULL || *at & SIM_ARRIVED) {
        flow->duplicates++;
        return;
    }
    *at |= SIM_ARRIVED;
    flow->arrived_bytes += header->length;
    sim->progress_ns = sim->now_ns;
    if (flow->id == 0)
        return;
    if (flow->first_arrival_ns == 0)
        flow->first_arrival_ns = sim->now_ns;
    if (flow->steady_from_ns == 0 && sim->now_ns >= flow->first_arrival_ns + 4 * sim->config.rtt_ns) {
        flow->steady_from_ns = sim->now_ns;
        flow->steady_from_bytes = flow->arrived_bytes;
    }
    if (end > flow->arrived_high) {
        flow->arrived_high = end;
        flow->steady_until_ns = sim->now_ns;
        flow->steady_until_bytes = flow->arrived_bytes;
    }
}

static void accepted_once(struct tether_sim *sim, const struct sim_frame *frame, uint32_t at,
                          const struct tether_header *header, struct sim_watch_key *key)
{
    uint64_t *word, bit = UINT64_C(1) << (header->sequence & 63);
    if (frame->tampered || header->sequence > key->sequence) {
        sim_broken(sim, TETHER_SIM_FORGERY, at, "channel %x: sequence %llu was accepted, and nobody sent it",
                   header->channel, (ull)header->sequence);
        return;
    }
    if (key->accepted == NULL)
        return;
    for (; key->accepted_high < header->sequence; key->accepted_high++) {
        uint64_t next = key->accepted_high + 1;
        key->accepted[next / 64 % (SIM_ACCEPTED_BITS / 64)] &= ~(UINT64_C(1) << (next & 63));
    }
    word = &key->accepted[header->sequence / 64 % (SIM_ACCEPTED_BITS / 64)];
    if (*word & bit || key->accepted_high - header->sequence >= SIM_ACCEPTED_BITS)
        sim_broken(sim, TETHER_SIM_FORGERY, at, "channel %x: sequence %llu was accepted twice", header->channel,
                   (ull)header->sequence);
    *word |= bit;
}

void sim_watch_arrived(struct tether_sim *sim, const struct sim_frame *frame, int accepted, const uint8_t *wire)
{
    uint32_t at = sim->pipes[frame->pipe].config.to;
    struct sim_watch_pair *pair = sim_watch_pair_at(&sim->watch, sim_watch_name_of(at, frame->from));
    struct sim_watch_key *key;
    struct sim_watch_rel *back;
    struct sim_watch_flow *flow;
    struct tether_header header;
    tether_wire_decode(&header, wire);
    if (pair != NULL && !pair->proven)
        pair->in_bytes += frame->length;
    /* Refused behind its tag: it proves its sender all the same. */
    if (pair != NULL && !frame->tampered && header.channel != 0 && !(header.flags & TETHER_FLAG_LAMP) &&
        (accepted == -TETHER_E_FLOW || accepted == -TETHER_E_GRANT || accepted == -TETHER_E_CELLS))
        pair->proven = 1;
    if (accepted != 0)
        return;
    if (frame->tampered && header.channel == 0) {
        sim_broken(sim, TETHER_SIM_FORGERY, at, "a Lamp was accepted that nobody sent");
        return;
    }
    if (header.channel == 0)
        return;
    if (pair != NULL)
        pair->proven = 1;
    if (header.flags & TETHER_FLAG_LAMP)
        return;
    key = sim_watch_key_at(&sim->watch, sim_watch_name_of(at, header.channel), 0);
    if (key == NULL)
        return;
    accepted_once(sim, frame, at, &header, key);
    back = back_of(sim, frame, at, header.channel);
    if (back != NULL)
        reverse_side(back, &header);
    flow = key->rel == NULL ? NULL : sim_watch_flow_at(key->rel, header.flow, 0);
    if (flow != NULL && header.length)
        arrived_data(sim, &header, flow);
}
