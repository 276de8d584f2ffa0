/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.c: somebody on the network without a key: he records what passes and sends it again, as it was, with bits
 * flipped or cut short; he makes frames up for channels that exist; and he knows the victim's public key, so that his
 * Lamps have a good mac1. None of what he changed or made up may be accepted.
 */
#include "sim.h"

#include "../src/mac1.h"

enum { LAMP_BYTES = TETHER_HEADER_BYTES + TETHER_HAIL_PAYLOAD_MIN, LAMP_LENGTH = 180 };

void sim_tap(struct tether_sim *sim, struct sim_pipe *pipe, const struct sim_frame *frame)
{
    struct sim_frame **place, *twin;
    if (!sim->attackers || frame->tampered || sim->vertices[frame->origin].config.kind > TETHER_SIM_FOREIGN)
        return;
    place = &pipe->tap[pipe->taps++ % SIM_TAPS];
    twin = sim_frame_take(sim, frame->length);
    if (twin == NULL)
        return;
    memcpy(twin->bytes, frame->bytes, frame->length);
    twin->origin = frame->origin;
    twin->from = frame->from;
    twin->to = frame->to;
    if (*place != NULL)
        sim_frame_give(sim, *place);
    *place = twin;
}

/* A recorded frame to the victim, or NULL. */
static const struct sim_frame *recorded(struct tether_sim *sim, uint32_t victim, uint64_t draw)
{
    for (uint32_t tries = 0; tries < 16; tries++, draw = sim_mix(draw + 1)) {
        const struct sim_pipe *pipe = &sim->pipes[draw % sim->config.pipe_count];
        const struct sim_frame *frame;
        if (pipe->taps == 0)
            continue;
        frame = pipe->tap[(draw >> 20) % (pipe->taps < SIM_TAPS ? pipe->taps : SIM_TAPS)];
        if (frame != NULL && frame->to == victim)
            return frame;
    }
    return NULL;
}

static void noise(uint64_t key, uint8_t *out, uint32_t length)
{
    sim_payload_fill(key, 0, out, length);
}

static struct sim_frame *lamp(struct tether_sim *sim, uint32_t victim, uint64_t draw)
{
    struct sim_frame *frame = sim_frame_take(sim, LAMP_BYTES);
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .length = LAMP_LENGTH,
        .sequence = draw & TETHER_MASK48, .grant_amount = LAMP_BYTES / TETHER_BLOCK_BYTES, .timestamp_ns = draw >> 17};
    uint8_t key[TETHER_KEY_SIZE];
    if (frame == NULL)
        return NULL;
    memset(frame->bytes, 0, LAMP_BYTES);
    tether_wire_encode(&header, frame->bytes);
    noise(draw, frame->bytes + TETHER_HEADER_BYTES, LAMP_LENGTH);
    if (tether_mac1_key(sim->public_keys[sim->vertices[victim].config.node], key) == 0)
        (void)tether_mac1(key, frame->bytes, frame->bytes + TETHER_HEADER_BYTES, TETHER_HAIL_PAYLOAD_MIN,
                          frame->bytes + TETHER_AT_TAG);
    return frame;
}

static struct sim_frame *forged(struct tether_sim *sim, const struct sim_frame *like, uint64_t draw)
{
    uint32_t blocks = (uint32_t)(draw >> 5 & 3);
    struct sim_frame *frame = sim_frame_take(sim, TETHER_HEADER_BYTES * (1 + blocks));
    if (frame == NULL)
        return NULL;
    noise(draw, frame->bytes, frame->length);
    if (like != NULL)
        memcpy(frame->bytes, like->bytes, TETHER_AT_WANT); /* a channel and a sequence that may be believed */
    frame->bytes[TETHER_AT_VERSION] = TETHER_WIRE_VERSION;
    frame->bytes[TETHER_AT_FLAGS] &= (uint8_t)~TETHER_FLAG_LAMP;
    tether_put16(frame->bytes + TETHER_AT_LENGTH, (uint16_t)(blocks * TETHER_BLOCK_BYTES));
    if (draw >> 7 & 1 && like != NULL) { /* a new sequence */
        uint64_t sequence = tether_get64(frame->bytes + TETHER_AT_SEQUENCE) + (draw >> 20 & 0xfffff);
        memcpy(frame->bytes + TETHER_AT_SEQUENCE, &sequence, 6);
    }
    return frame;
}

static struct sim_frame *again(struct tether_sim *sim, const struct sim_frame *like, uint32_t how, uint64_t draw)
{
    struct sim_frame *frame = sim_frame_take(sim, like->length);
    if (frame == NULL)
        return NULL;
    memcpy(frame->bytes, like->bytes, like->length);
    frame->from = like->from;
    if (how == TETHER_SIM_ATTACK_MUTATE) {
        for (uint64_t flips = 1 + (draw & 3); flips; flips--, draw = sim_mix(draw))
            frame->bytes[(draw >> 8) % frame->length] ^= (uint8_t)(1u << (draw >> 40 & 7));
        if (memcmp(frame->bytes, like->bytes, like->length) == 0)
            frame->bytes[0] ^= 1;
    } else if (how == TETHER_SIM_ATTACK_TRUNCATE) {
        frame->length = (uint32_t)((draw >> 8) % frame->length);
    }
    return frame;
}

void sim_attack(struct tether_sim *sim, uint32_t vertex)
{
    struct sim_vertex *v = &sim->vertices[vertex];
    const struct tether_sim_vertex *c = &v->config;
    uint64_t number = v->attack_number++, draw = sim_draw(sim->config.seed, SIM_DRAW_ATTACK, vertex, number);
    const struct sim_frame *like = recorded(sim, c->node, sim_mix(draw));
    struct sim_frame *frame;
    uint32_t how = c->attack;
    if (sim->now_ns >= c->attack_until_ns || c->attack_per_s == 0)
        return;
    (void)sim_at(sim, sim->now_ns + UINT64_C(1000000000) / c->attack_per_s, SIM_EV_ATTACK, vertex, NULL);
    for (uint32_t skip = (uint32_t)(draw % (uint64_t)__builtin_popcount(c->attack | 1u << 31)); skip; skip--)
        how &= how - 1; /* one of the kinds that he is good at */
    how &= 0 - how;
    if (!sim_fault(sim, TETHER_SIM_FAULT_ATTACK, vertex, number))
        return;
    if (how == 0)
        how = c->attack & (0 - c->attack);
    if (how == TETHER_SIM_ATTACK_LAMPS)
        frame = lamp(sim, c->node, sim_mix(draw + 7));
    else if (how == TETHER_SIM_ATTACK_FORGE || like == NULL)
        frame = forged(sim, like, sim_mix(draw + 9));
    else
        frame = again(sim, like, how, sim_mix(draw + 11));
    if (frame == NULL)
        return;
    frame->tampered = how != TETHER_SIM_ATTACK_REPLAY || like == NULL;
    frame->from = like != NULL && draw >> 33 & 1 ? like->from : frame->tampered ? vertex : frame->from;
    frame->origin = vertex;
    frame->to = c->node;
    v->result.attack_frames++;
    sim_send(sim, vertex, frame);
}
