/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h: an observer on the wire with a map of its own. It reads clear headers only and believes no endpoint: what
 * was granted is what it saw delivered, what may be repaired is what it saw asked for.
 *
 * Sequences belong to keys: a receiver's vertex and the index on the wire. What was granted, asked for and sent belongs
 * to the channel, which lives on under new keys.
 */
#ifndef TETHER_SIM_WATCH_H
#define TETHER_SIM_WATCH_H

#include <stdint.h>

enum { SIM_CLASSES = 1026, SIM_ACCEPTED_BITS = 1 << 17 };

struct tether_sim;
struct sim_frame;

enum sim_mark { SIM_SENT = 1, SIM_ASKED = 2, SIM_ARRIVED = 4 };

/* One direction of one flow, data side. */
struct sim_watch_flow {
    uint16_t id;
    uint8_t used;
    uint64_t high;           /* slot after the last one that was sent */
    uint64_t base;           /* ring begins here: everything below was receipted */
    uint8_t *ring;           /* marks per frame of `unit` slots */
    uint64_t ring_size;
    uint32_t unit;
    uint64_t granted;        /* highest GrantAmount that was delivered to the sender */
    uint64_t said;           /* highest that the receiver has said */
    uint64_t beyond_end;     /* our one frame beyond the grant ends here; 0 = none is out */
    uint64_t arrived_high;
    uint64_t arrived_bytes, duplicates;
    uint64_t begun, receipted; /* message flow: messages of which something was sent, and that have a receipt */
    uint64_t *ends;          /* where those that were sent whole and have none end, in a ring */
    uint32_t ends_first, ends_count, ends_room;
    uint64_t first_sent_ns, first_arrival_ns;
    uint64_t steady_from_ns, steady_from_bytes, steady_until_ns, steady_until_bytes;
};

/* One direction of a channel, whatever keys it has just now: named by the receiver's vertex, life and handle. */
struct sim_watch_rel {
    uint64_t name;
    struct sim_watch_flow *flows;
    uint32_t flow_count, flow_room;
    uint32_t beyond;         /* flow with a frame beyond the grant, + 1 */
    uint32_t from, from_channel; /* its sender: vertex, and handle there; 0 = not known */
    uint64_t from_life;
};

/* One direction under one pair of keys: named by the receiver's vertex and its index on the wire. */
struct sim_watch_key {
    uint64_t name;           /* vertex << 32 | index; 0 = free */
    struct sim_watch_rel *rel; /* NULL: not known yet */
    uint64_t sequence;       /* newest sent */
    uint64_t life;           /* of both ends when it began */
    uint32_t from;           /* vertex that sends */
    uint32_t pair;           /* index of the other direction, by the reply that named both; 0 = not seen */
    uint64_t *accepted;      /* bits, by sequence modulo its size */
    uint64_t accepted_high;
};

struct sim_watch_pair {
    uint64_t name;           /* vertex << 32 | vertex; 0 = free */
    uint64_t in_bytes, out_bytes;
    int proven;
};

struct sim_watch_table {
    void **items; /* hash table of pointers to what begins with its name */
    uint32_t mask, count;
};

struct sim_watch {
    struct sim_watch_table keys, rels;
    struct sim_watch_pair *pairs;
    uint32_t pair_mask, pair_count;
};

int sim_watch_open(struct sim_watch *watch);
void sim_watch_close(struct sim_watch *watch);
/* A vertex hands out a frame. */
void sim_watch_sent(struct tether_sim *sim, const struct sim_frame *frame);
/* A vertex was handed a frame; `accepted` is what it said: 0 or a negative reason. */
void sim_watch_arrived(struct tether_sim *sim, const struct sim_frame *frame, int accepted, const uint8_t *header);
/* The flow id is used anew on a channel (both directions). */
void sim_watch_flow_begins(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id);
void sim_watch_flow_ends(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id);
/* The data direction of a flow towards (vertex, channel); NULL = nothing seen. */
struct sim_watch_flow *sim_watch_flow(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id);
/* The same by its sender: what (vertex, channel) of this life sends on a flow; NULL = nothing seen. */
struct sim_watch_flow *sim_watch_flow_from(struct tether_sim *sim, uint32_t vertex, uint64_t life, uint32_t channel,
                                           uint16_t id);
/* A vertex lives again: what was proven to it is not any more. */
void sim_watch_restarted(struct sim_watch *watch, uint32_t vertex);

/* Shared by the two files of the observer. */
uint64_t sim_watch_name_of(uint32_t vertex, uint32_t channel);
struct sim_watch_key *sim_watch_key_at(struct sim_watch *watch, uint64_t name, int make);
struct sim_watch_rel *sim_watch_rel_at(struct tether_sim *sim, uint32_t vertex, uint32_t handle, int make);
/* The direction towards `vertex` under an index on the wire; NULL: none that is known. */
struct sim_watch_rel *sim_watch_rel_of(struct tether_sim *sim, uint32_t vertex, uint32_t wire);
struct sim_watch_pair *sim_watch_pair_at(struct sim_watch *watch, uint64_t name);
struct sim_watch_flow *sim_watch_flow_at(struct sim_watch_rel *rel, uint16_t id, int make);
uint8_t *sim_watch_mark(struct sim_watch_flow *flow, uint64_t slot); /* NULL: no memory */
void sim_watch_receipted(struct sim_watch_flow *flow, uint64_t upto);
void sim_watch_flow_clear(struct sim_watch_flow *flow);

#endif
