/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h: how fast (RFC 0001, "Latency and pace").
 *
 * A receiver states a pace for each flow that it grants to, so that all of them together do not exceed its link. A round
 * trip above the constant of the link is a queue: the brake of the channel lowers what is stated; loss never does. A
 * sender keeps the distance between frames of a flow that the newest statement asks for.
 */
#ifndef TETHER_PACE_H
#define TETHER_PACE_H

#include <stdint.h>

enum {
    TETHER_PACE_BURST = 16,     /* frames that a sender which comes late may send at once */
    TETHER_BRAKE_FREE = 1024,   /* the whole share */
    TETHER_BRAKE_LEAST = 16,    /* 1/64 */
    TETHER_BRAKE_FUTILE = 3,    /* changes without effect after which the delay is no queue of ours */
    TETHER_BRAKE_REST = 64,     /* rounds that are passed over then */
    TETHER_BRAKE_SAMPLES = 4    /* round trips that a round of the brake looks at, at least */
};

/* Our word, for one channel: which part of its share its flows may use. */
struct tether_brake {
    uint64_t round_ns;  /* the round began; 0 = not yet */
    uint64_t least_ns;  /* least round trip of this round: what stands in a queue is in all of them, a late wake-up is not */
    uint32_t samples;
    uint32_t part;      /* of TETHER_BRAKE_FREE */
    uint32_t waits;     /* rounds that are passed over: they do not know of the last change yet, or nothing helped */
    uint32_t futile;    /* changes in a row that made the round trips no shorter */
    uint64_t excess_ns; /* what the last one was made for; 0 = none was */
};

static inline void tether_brake_init(struct tether_brake *brake)
{
    brake->round_ns = 0;
    brake->least_ns = UINT64_MAX;
    brake->samples = brake->waits = brake->futile = 0;
    brake->excess_ns = 0;
    brake->part = TETHER_BRAKE_FREE;
}

/* The peer's word, for one flow of ours. */
struct tether_pacer {
    uint64_t sequence;  /* of the frame that said it */
    uint64_t at_ns;     /* not before this */
    uint64_t slot_ns16; /* ns per slot, 16 fractional bits; 0 = nothing was stated */
    uint64_t burst_ns;  /* TETHER_PACE_BURST full frames, less the one that leaves */
    uint64_t grace_ns;  /* it waited for its time: so much of what is lost by a late wake-up may be made up */
    uint16_t wire;      /* as stated */
};

static inline uint64_t tether_pacer_ns(const struct tether_pacer *pacer, uint64_t slots)
{
    return slots * pacer->slot_ns16 >> 16;
}

/* `full`: slots that a full frame costs. */
static inline void tether_pacer_hear(struct tether_pacer *pacer, uint64_t sequence, uint16_t wire, uint64_t slots_per_s,
                                     uint64_t full)
{
    if (wire == 0 || sequence <= pacer->sequence)
        return;
    pacer->sequence = sequence;
    if (wire == pacer->wire)
        return;
    pacer->wire = wire;
    pacer->slot_ns16 = (UINT64_C(1000000000) << 16) / (slots_per_s ? slots_per_s : 1);
    pacer->slot_ns16 += pacer->slot_ns16 == 0;
    pacer->burst_ns = (TETHER_PACE_BURST - 1) * tether_pacer_ns(pacer, full);
    pacer->grace_ns = pacer->grace_ns ? pacer->burst_ns : 0;
}

/* A frame that costs `slots` leaves; what came late makes up for some of the time that it waited. */
static inline void tether_pacer_charge(struct tether_pacer *pacer, uint64_t slots, uint64_t now_ns)
{
    uint64_t least = now_ns - pacer->grace_ns;
    uint64_t from = (int64_t)(pacer->at_ns - least) > 0 ? pacer->at_ns : least;
    pacer->at_ns = from + tether_pacer_ns(pacer, slots);
}

#endif
