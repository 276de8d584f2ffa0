/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h: what both files of the streams look at. */
#ifndef TETHER_SIM_STREAM_H
#define TETHER_SIM_STREAM_H

#include "sim.h"

enum { LABEL = 16, PACED_PIECE = 5632 };

static inline int bit(const uint8_t *bits, uint64_t at)
{
    return bits[at / 8] >> (at % 8) & 1;
}

static inline void set(uint8_t *bits, uint64_t at)
{
    bits[at / 8] = (uint8_t)(bits[at / 8] | 1u << (at % 8));
}

static inline void unset(uint8_t *bits, uint64_t at)
{
    bits[at / 8] = (uint8_t)(bits[at / 8] & ~(1u << (at % 8)));
}

static inline const struct tether_sim_flow *config_of(const struct tether_sim *sim, const struct sim_stream *stream)
{
    return &sim->flows[stream->flow].config;
}

static inline int messages(const struct tether_sim *sim, const struct sim_stream *stream)
{
    return config_of(sim, stream)->kind == TETHER_FLOW_MESSAGE;
}

static inline int active(const struct tether_sim *sim, const struct sim_stream *stream)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    return c->duplex || stream->direction == c->reverse;
}

static inline uint64_t message_length(const struct tether_sim *sim, const struct sim_stream *stream, uint64_t number)
{
    const struct tether_sim_flow *c = config_of(sim, stream);
    uint64_t room = c->message_max - c->message_min + 1;
    return c->message_min + sim_draw(sim->config.seed, SIM_DRAW_SIZE, stream->key, number) % room;
}

static inline void progress(struct tether_sim *sim, struct sim_stream *stream)
{
    sim->progress_ns = sim->result.done_ns = sim->now_ns;
    stream->result.done_ns = sim->now_ns;
}

/* Is there nothing left that must come? */
void sim_stream_settle(struct tether_sim *sim, struct sim_stream *stream);
void sim_stream_arm(struct tether_sim *sim, struct sim_stream *stream, uint64_t at_ns);
void sim_stream_read(struct tether_sim *sim, struct sim_stream *stream, int all);

#endif
