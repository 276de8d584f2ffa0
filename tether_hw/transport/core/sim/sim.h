/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h: the parts of the simulator.
 *
 *   run.c     a simulation from its description                heap.c    events by time, frames in flight
 *   loop.c    events one after another, progress, results      payload.c what applications send
 *   pipe.c    a directed link and what goes wrong on it        node.c    vertices: endpoints, clocks, when they act
 *   core.c    the C core as a vertex
 *   app.c     channels and the script of what happens          stream.c  what applications send and check
 *   watch*.c  the observer on the wire                         check.c   invariants from the endpoints' own state
 *   unknown.c what a sender is told of messages that have no receipt
 *   attack.c  forged, replayed, mutated, truncated frames      blind.c   senders without credit
 */
#ifndef TETHER_SIM_INTERNAL_H
#define TETHER_SIM_INTERNAL_H

#include "../src/endpoint.h"
#include "random.h"
#include "tether_sim.h"
#include "watch.h"

enum {
    SIM_FAULTS_KEPT = 65536,
    SIM_STRIDE = 20,           /* counters are taken in strides of 2^20, as an engine does */
    SIM_TAPS = 64,
    SIM_PEERS_MAX = 1024,
    SIM_FRAME_BYTES = (TETHER_FRAME_BLOCKS_MAX + 1) * TETHER_BLOCK_BYTES
};

enum sim_event_kind { SIM_EV_PIPE, SIM_EV_FRAME, SIM_EV_WAKE, SIM_EV_STREAM, SIM_EV_CHANNEL, SIM_EV_SCRIPT,
                      SIM_EV_ATTACK, SIM_EV_BLIND };

struct sim_frame {
    struct sim_frame *next;
    uint64_t at_ns;
    uint32_t pipe, length, room; /* room: the length at which it was taken */
    uint32_t origin, from, to;   /* vertices: who sent it, whom it claims to be from, to whom it goes */
    uint32_t tampered;           /* not the bytes that anybody sealed */
    uint8_t bytes[];
};

struct sim_event {
    uint64_t at_ns, order;
    uint32_t kind, index;
    struct sim_frame *frame;
};

struct sim_pipe {
    struct tether_sim_pipe config;
    struct tether_sim_pipe_result result;
    uint64_t number;             /* frames offered so far */
    uint64_t busy_ns;            /* serialisation of what is queued ends */
    int burst;
    uint64_t burst_ns;           /* when its state was looked at last */
    struct sim_frame *head, *tail; /* in order, on their way */
    struct sim_frame *tap[SIM_TAPS]; /* recorded for attackers: the newest frames */
    uint32_t taps;
};

struct sim_vertex {
    struct tether_sim_vertex config;
    struct tether_sim_ops ops;
    void *context;               /* of ops: the vertex itself for the C core */
    struct tether_sim *sim;
    uint32_t index;
    tether_endpoint *ep;         /* C core only; NULL while crashed */
    struct tether_address address;
    int up;
    int64_t step_ns;             /* of its clock */
    struct tether_window windows[TETHER_WINDOWS_MAX], table[TETHER_WINDOWS_MAX];
    uint64_t wake_ns;            /* armed in the heap; UINT64_MAX = not */
    uint64_t nic_ns;             /* its own transmitter is free from here */
    uint64_t entropy_number;
    uint64_t counter_next;       /* next stride's first counter: what is durable */
    uint64_t born_ns;
    int kicking;
    struct sim_shadow *shadow;   /* [max_channels * flow_nodes]: what was so before (I3) */
    struct tether_sim_vertex_result result;
    uint64_t attack_number;
    struct sim_blind *blind;
};

struct sim_shadow {
    uint64_t granted, limit, born;
    uint32_t channel;
    uint16_t id;
    uint16_t used;
};

struct sim_channel {
    struct tether_sim_channel config;
    uint32_t index[2];           /* at `from`, at `to`; 0 = none */
    uint32_t fresh;              /* a newer Hail of ours, beside the standing channel */
    uint32_t opens;
    int up;
};

/* One direction of a flow: who writes what, and what has come of it. */
struct sim_stream {
    struct tether_sim_stream_result result;
    uint32_t flow, direction;
    uint32_t src, dst;           /* vertices */
    uint64_t key;                /* of the payload */
    uint64_t next_message;       /* to write */
    uint64_t last_message;       /* highest that came, + 1 */
    uint64_t read_tokens_ns, write_tokens_ns; /* when the pace allows the next piece */
    uint64_t at, base;           /* byte flow: next byte to write; where this life began */
    uint8_t *blocks;             /* byte flow read by its place: blocks that came */
    uint8_t *seen;               /* bits: messages delivered */
    uint8_t *ended;              /* bits: cancelled, or unknown to their sender: may be delivered or not */
    uint8_t *unsent;             /* bits: the sender was told that nothing of it was ever sent */
    uint64_t first_of_life;      /* message number at which the present flow began */
    uint64_t life_first, life_written; /* messages written into the flow that its writer has now */
    uint32_t owed;               /* messages of the present flow of which its sender has still to be told */
    uint8_t told;                /* it was */
    uint8_t cut;                 /* something of it was cancelled, or not seen: what has a receipt is not known here */
    uint8_t begun;               /* both ends know the present flow */
    uint8_t write_done, read_done, wants_read, wants_write, armed, drained, counted;
};

struct sim_flow {
    struct tether_sim_flow config;
    struct sim_stream stream[2];
    uint32_t at[2];              /* channel index at either end; 0 = it does not have the flow */
    uint32_t last[2];            /* the newest such, for the observer's record of it */
    uint32_t opens;
    uint16_t id;
    uint8_t open, closing;
};

struct tether_sim {
    struct tether_sim_config config;
    struct tether_sim_result result;
    uint64_t now_ns, order;
    uint32_t *routes;
    struct sim_vertex *vertices;
    struct sim_pipe *pipes;
    struct sim_channel *channels;
    struct sim_flow *flows;
    struct tether_sim_event *script;
    struct tether_sim_outage *outages;
    uint64_t *outage_left;
    uint8_t *outage_seen;        /* it has taken a frame */
    uint64_t *only;              /* hash set of allowed faults */
    uint64_t only_mask;
    struct tether_sim_fault *faults;
    size_t fault_kept;
    struct sim_event *heap;
    size_t heap_count, heap_room;
    struct sim_frame *pool[SIM_CLASSES];
    struct sim_slab *slabs;
    uint64_t in_flight;
    uint8_t (*public_keys)[TETHER_KEY_SIZE]; /* per node */
    uint8_t (*secrets)[TETHER_KEY_SIZE];
    uint32_t nodes;
    struct sim_watch watch;
    uint64_t progress_ns;        /* last time that something new arrived or was delivered */
    uint64_t stall_ns;           /* I7: the most that may pass without any */
    uint64_t death_ns;           /* after so much silence a channel is down */
    uint64_t calm_ns;            /* scripted faults and windows end here */
    uint64_t pending_script;     /* script entries that have not happened */
    uint32_t crashed;            /* endpoints that are down now */
    int crashes;                 /* some happened */
    int downs;                   /* channels that timed out */
    int attackers;               /* there are some: what passes is recorded */
    uint32_t open_streams;       /* that are not complete */
    int stop;
    uint8_t *scratch;            /* a piece of payload, or a frame */
};

enum { SIM_PIECE = 1 << 16, SIM_SCRATCH = 1 << 17 };
_Static_assert((int)SIM_SCRATCH >= (int)SIM_FRAME_BYTES && (int)SIM_SCRATCH >= (int)SIM_PIECE, "either fits");

/* run.c */
void sim_broken(struct tether_sim *sim, uint32_t invariant, uint32_t vertex, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A fault is about to happen: 1 = it may (and is recorded), 0 = it is switched off. */
int sim_fault(struct tether_sim *sim, uint32_t kind, uint32_t where, uint64_t which);
void sim_identity(uint64_t seed, uint32_t node, uint8_t secret[TETHER_KEY_SIZE]);

/* heap.c */
int sim_at(struct tether_sim *sim, uint64_t at_ns, uint32_t kind, uint32_t index, struct sim_frame *frame);
int sim_pop(struct tether_sim *sim, struct sim_event *event);
struct sim_frame *sim_frame_take(struct tether_sim *sim, uint32_t length);
void sim_frame_give(struct tether_sim *sim, struct sim_frame *frame);
void sim_frames_free(struct tether_sim *sim);

/* pipe.c */
void sim_pipe_put(struct tether_sim *sim, uint32_t pipe, struct sim_frame *frame);
struct sim_frame *sim_pipe_arrived(struct tether_sim *sim, uint32_t pipe);
int sim_match(uint32_t match, const uint8_t *frame, uint32_t length);

/* core.c */
extern const struct tether_sim_ops sim_core_ops;

/* node.c */
int sim_vertex_open(struct tether_sim *sim, uint32_t index);
void sim_vertex_close(struct sim_vertex *v);
int sim_vertex_start(struct sim_vertex *v); /* anew after a crash too */
void sim_vertex_crash(struct sim_vertex *v);
uint64_t sim_clock(const struct sim_vertex *v, uint64_t now_ns);
void sim_kick(struct sim_vertex *v);
void sim_arrive(struct tether_sim *sim, struct sim_frame *frame);
void sim_send(struct tether_sim *sim, uint32_t from, struct sim_frame *frame);

/* app.c */
void sim_app_event(struct sim_vertex *v, const struct tether_event *event);
void sim_app_channel(struct tether_sim *sim, uint32_t channel);
void sim_app_script(struct tether_sim *sim, uint32_t entry);
void sim_app_down(struct tether_sim *sim, uint32_t channel, int side);
void sim_app_stream(struct tether_sim *sim, uint32_t number);
uint32_t sim_app_find(const struct tether_sim *sim, uint32_t vertex, uint32_t channel);

/* stream.c */
int sim_stream_open(struct tether_sim *sim, uint32_t flow, uint32_t direction);
void sim_stream_close(struct sim_stream *stream);
void sim_stream_go(struct tether_sim *sim, struct sim_stream *stream);   /* write and read what can be */
void sim_stream_drain(struct tether_sim *sim, struct sim_stream *stream, struct sim_vertex *v); /* read what is left */
void sim_stream_life(struct tether_sim *sim, struct sim_stream *stream); /* a new flow carries on for it */
void sim_stream_seen(struct tether_sim *sim, struct sim_stream *stream); /* the other end knows that flow */
/* The flow has ended at one side before the stream was done. */
void sim_stream_lost(struct tether_sim *sim, struct sim_stream *stream, int side);
void sim_stream_cancelled(struct tether_sim *sim, struct sim_stream *stream, int for_good);
int sim_stream_complete(const struct tether_sim *sim, const struct sim_stream *stream);
void sim_stream_close_flow(struct tether_sim *sim, struct sim_flow *flow); /* both directions are done */

/* unknown.c */
void sim_unknown_told(struct tether_sim *sim, struct sim_vertex *v, const struct tether_event *event);
void sim_unknown_ended(struct tether_sim *sim, struct sim_flow *flow, int side); /* the flow ends at this side */
void sim_unknown_unseen(struct tether_sim *sim, uint32_t vertex, uint32_t channel, uint16_t id); /* not by the observer */
void sim_unknown_begins(struct tether_sim *sim, struct sim_stream *stream);       /* a new flow carries on */
void sim_unknown_settled(struct tether_sim *sim, struct sim_stream *stream);     /* nothing may be owed any more */

/* check.c */
void sim_check(struct sim_vertex *v);
void sim_check_quiet(struct sim_vertex *v);

/* attack.c */
void sim_attack(struct tether_sim *sim, uint32_t vertex);
void sim_tap(struct tether_sim *sim, struct sim_pipe *pipe, const struct sim_frame *frame);

/* blind.c */
int sim_blind_open(struct sim_vertex *v);
void sim_blind_close(struct sim_vertex *v);
void sim_blind_run(struct tether_sim *sim, uint32_t vertex);
void sim_blind_arrive(struct sim_vertex *v, const struct sim_frame *frame);

#endif
