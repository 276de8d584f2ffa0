/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tether_sim.h: a deterministic simulator of nodes and links in virtual time, driven from outside (tether_hw/sim).
 *
 * A simulation is a set of vertices (endpoints of one lane, switches, attackers, blind senders) joined by directed
 * pipes, with channels, flows and a script of what happens when. The same description and seed give the same run,
 * frame by frame. On every step the invariants of RFC 0001 are checked from the endpoints' own state and from what an
 * observer sees on the wire.
 *
 * All structs begin with struct_size; counts and arrays are the caller's and are copied.
 */
#ifndef TETHER_SIM_H
#define TETHER_SIM_H

#include "../include/tether.h"

#define TETHER_SIM_ABI 1u

enum tether_sim_vertex_kind {
    TETHER_SIM_ENDPOINT = 0, /* one lane of a node: the C core */
    TETHER_SIM_FOREIGN = 1,  /* the same behind callbacks */
    TETHER_SIM_SWITCH = 2,
    TETHER_SIM_ATTACKER = 3,
    TETHER_SIM_BLIND = 4     /* sends without credit, for comparison; or receives from such */
};

/* The calls of an endpoint. Return values and arguments are those of tether.h. */
struct tether_sim_ops {
    uint32_t struct_size;
    uint32_t reserved;
    int (*restart)(void *context, uint64_t now_ns, uint64_t counter_first, uint64_t counter_limit);
    int (*counter)(void *context, uint64_t first, uint64_t limit);
    int (*receive)(void *context, uint64_t now_ns, const struct tether_address *from, uint8_t *frame, size_t length);
    int (*transmit)(void *context, uint64_t now_ns, uint8_t *frame, size_t capacity, struct tether_address *to);
    uint64_t (*deadline)(void *context);
    int (*event)(void *context, struct tether_event *event);
    int (*channel_open)(void *context, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                        const struct tether_address *to, uint32_t *channel);
    int (*channel_close)(void *context, uint64_t now_ns, uint32_t channel);
    int (*flow_open)(void *context, uint64_t now_ns, uint32_t channel, const struct tether_flow_options *options,
                     uint16_t *flow);
    int64_t (*flow_write)(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow, const void *data,
                          size_t length, uint32_t flags);
    int64_t (*flow_read)(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow, uint64_t *offset, void *data,
                         size_t capacity, uint32_t *flags);
    int (*flow_cancel)(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow);
    int (*flow_close)(void *context, uint64_t now_ns, uint32_t channel, uint16_t flow);
    /* 0, or the number of an invariant that does not hold by its own state; `quiet`: I8 must hold too. */
    int (*check)(void *context, int quiet);
    int (*windows)(void *context, uint64_t now_ns, const struct tether_window *windows, size_t count);
    uint32_t (*channel_of)(void *context, uint32_t wire); /* the channel that an index in frames leads to; 0 = none */
};

struct tether_sim_vertex {
    uint32_t struct_size;
    uint32_t kind;
    uint32_t node;           /* vertices of one node share its key and restart together */
    uint16_t lane, lanes;
    uint32_t max_channels, max_flows;
    uint32_t rx_cells, tx_cells, ring_frames;
    uint16_t frame_blocks, ciphers;
    uint16_t prefer_cipher, reserved0;
    uint32_t replay_window;
    uint32_t purse_frames, purse_per_s;
    uint32_t reserved1;
    uint64_t max_message;
    uint64_t rtt_ns, rate_bps, silence_ns;
    uint64_t clock_ns;       /* its clock at the beginning of the simulation */
    int64_t drift_ppb;       /* its clock runs so much faster */
    const struct tether_sim_ops *ops; /* TETHER_SIM_FOREIGN */
    void *context;
    /* attacker: `node` is its victim's vertex; blind sender: its receiver's, and max_message what it sends */
    uint32_t attack;         /* TETHER_SIM_ATTACK_* bits */
    uint32_t attack_per_s;
    uint64_t attack_from_ns, attack_until_ns;
    uint16_t grant_policy, reserved2;
    uint32_t rekey_s;
    const struct tether_window *windows; /* when it can send and receive, at the simulation's time; copied, and declared */
    uint32_t window_count, table_count;
    const struct tether_window *table; /* its round trips, by when each begins: the same; the C core only */
};

enum tether_sim_attack {
    TETHER_SIM_ATTACK_REPLAY = 1,   /* frames that were recorded, as they were */
    TETHER_SIM_ATTACK_MUTATE = 2,   /* with bits flipped */
    TETHER_SIM_ATTACK_TRUNCATE = 4, /* cut short */
    TETHER_SIM_ATTACK_FORGE = 8,    /* made up, on channels and flows that exist */
    TETHER_SIM_ATTACK_LAMPS = 16    /* Lamps with a good mac1 and nothing behind it */
};

struct tether_sim_pipe {
    uint32_t struct_size;
    uint32_t from, to;       /* vertices */
    uint32_t overhead;       /* bytes per frame beside header and payload */
    uint64_t delay_ns;
    uint64_t rate_bps;       /* 0 = no serialisation */
    uint64_t queue_bytes;    /* 0 = no bound */
    uint32_t loss_ppm;
    uint32_t burst_enter_ppm, burst_leave_ppm, burst_loss_ppm; /* Gilbert-Elliott, per frame */
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm;
    uint64_t reorder_ns;     /* a reordered frame comes up to so much later */
    uint32_t corrupt_ppm, truncate_ppm;
    uint64_t faults_until_ns; /* random faults end here; UINT64_MAX = never */
};

enum tether_sim_match {
    TETHER_SIM_MATCH_ALL = 0,
    TETHER_SIM_MATCH_HEADER_ONLY = 1,
    TETHER_SIM_MATCH_DATA = 2,
    TETHER_SIM_MATCH_BLOCKED = 3,
    TETHER_SIM_MATCH_GRANT = 4,    /* frames with the flag GRANT */
    TETHER_SIM_MATCH_NACK = 5,
    TETHER_SIM_MATCH_LAMP = 6,
    TETHER_SIM_MATCH_END = 7,      /* the last frame of a message or flow */
    TETHER_SIM_MATCH_CONTROL = 8,  /* data of flow 0 */
    TETHER_SIM_MATCH_RECEIPT = 9   /* header-only without BLOCKED */
};

/* A pipe loses what matches for a time, at most `count` frames (0 = all). */
struct tether_sim_outage {
    uint32_t struct_size;
    uint32_t pipe, match, count;
    uint64_t from_ns, until_ns;
};

struct tether_sim_channel {
    uint32_t struct_size;
    uint32_t from, to;       /* vertices; `from` hails */
    uint32_t reopen;         /* 1 = hail again when it went down */
    uint64_t start_ns;
};

struct tether_sim_flow {
    uint32_t struct_size;
    uint32_t channel;        /* index of the channel; `from` of it opens the flow */
    uint8_t kind;            /* TETHER_FLOW_* */
    uint8_t duplex;          /* both ends send the same amount */
    uint8_t close;           /* the opener closes when everything has arrived */
    uint8_t reverse;         /* the other end sends (after the opener has opened) */
    uint8_t order, reliability, scale, resume;
    uint64_t bytes;          /* byte flow */
    uint64_t messages, message_min, message_max;
    uint64_t bound;
    uint64_t start_ns;
    uint64_t write_bps;      /* the application's own pace; 0 = as fast as taken */
    uint64_t read_bps;
    uint64_t read_from_ns;   /* nothing is read before */
    uint64_t deadline_ns, latency_ns, budget;
};

enum tether_sim_script {
    TETHER_SIM_CRASH = 1,        /* node a: endpoints are gone; back after `value` ns */
    TETHER_SIM_CLOCK_STEP = 2,   /* node a's clocks jump by value ns, forward */
    TETHER_SIM_CANCEL = 3,       /* flow a: messages not sent completely */
    TETHER_SIM_CLOSE_FLOW = 4,
    TETHER_SIM_CLOSE_CHANNEL = 5,
    TETHER_SIM_DELAY = 6,        /* pipe a: delay from now on */
    TETHER_SIM_RATE = 7,         /* pipe a: rate from now on */
    TETHER_SIM_HAIL = 8          /* channel a: a new Hail beside the standing one */
};

struct tether_sim_event {
    uint32_t struct_size;
    uint32_t kind;
    uint32_t a, b;
    uint64_t at_ns, value;
};

/* A fault as it happened, and as it is named when only some are allowed. */
struct tether_sim_fault {
    uint32_t kind;   /* TETHER_SIM_FAULT_* */
    uint32_t where;  /* pipe, attacker vertex, outage, or script entry */
    uint64_t which;  /* number of the frame on that pipe, or of the forged frame; 0 */
};

enum tether_sim_fault_kind {
    TETHER_SIM_FAULT_LOSS = 1,
    TETHER_SIM_FAULT_DUPLICATE,
    TETHER_SIM_FAULT_REORDER,
    TETHER_SIM_FAULT_CORRUPT,
    TETHER_SIM_FAULT_TRUNCATE,
    TETHER_SIM_FAULT_OUTAGE,
    TETHER_SIM_FAULT_SCRIPT,
    TETHER_SIM_FAULT_ATTACK
};

struct tether_sim_config {
    uint32_t struct_size;
    uint32_t abi;
    uint64_t seed;
    uint64_t limit_ns;       /* virtual time at which the run ends, done or not */
    uint64_t frame_limit;    /* frames delivered; 0 = none */
    uint64_t quiet_ns;       /* how long after the last delivery everything must be quiet; 0 = derived */
    uint64_t rtt_ns;         /* of the scenario: for the steady share */
    const struct tether_sim_vertex *vertices;
    const struct tether_sim_pipe *pipes;
    const uint32_t *routes;  /* [vertices][vertices]: pipe to take towards a vertex, UINT32_MAX = none */
    const struct tether_sim_channel *channels;
    const struct tether_sim_flow *flows;
    const struct tether_sim_event *events;
    const struct tether_sim_outage *outages;
    const struct tether_sim_fault *only; /* faults that may happen; see only_set */
    uint32_t vertex_count, pipe_count, channel_count, flow_count, event_count, outage_count, only_count;
    uint32_t only_set;       /* 1 = no fault but those of `only` happens */
    /* What each endpoint does, at the simulation's time; `vertex` is its number. NULL = nobody listens. */
    void (*trace)(void *context, uint32_t vertex, const struct tether_trace_event *event);
    void *trace_context;
};

enum tether_sim_verdict {
    TETHER_SIM_DONE = 0,       /* everything was delivered, and quiet at the end */
    TETHER_SIM_BROKEN = 1,     /* an invariant did not hold: `invariant` and `message` */
    TETHER_SIM_UNFINISHED = 2, /* the limit of time or frames came first */
    TETHER_SIM_FAILED = 3      /* the simulation itself: memory, a wrong description */
};

/* Invariants above the eight of the RFC. */
enum tether_sim_invariant {
    TETHER_SIM_I1 = 1, TETHER_SIM_I2, TETHER_SIM_I3, TETHER_SIM_I4, TETHER_SIM_I5, TETHER_SIM_I6, TETHER_SIM_I7,
    TETHER_SIM_I8,
    TETHER_SIM_BYTES = 9,      /* a byte was wrong, lost, or delivered out of order */
    TETHER_SIM_ONCE = 10,      /* a message came twice */
    TETHER_SIM_FORGERY = 11,   /* a frame that nobody sent was accepted, or one was accepted twice */
    TETHER_SIM_RECEIPTS = 12,  /* more header-only frames than receipts and purse allow */
    TETHER_SIM_INNER = 13,     /* the core's own accounts disagree */
    TETHER_SIM_CALL = 14,      /* a call that must work was refused */
    TETHER_SIM_UNKNOWN = 15    /* a sender was told wrong, or not, which of its messages have no receipt */
};

struct tether_sim_result {
    uint32_t struct_size;
    uint32_t verdict;
    uint32_t invariant;
    uint32_t vertex;         /* where it broke */
    uint64_t at_ns;
    uint64_t frames;         /* delivered to vertices that are no switch */
    uint64_t steps;          /* receive, transmit and timer calls */
    uint64_t checks;
    uint64_t fault_count;    /* faults that happened; the first ones are kept */
    uint64_t last_fault_ns;
    uint64_t done_ns;        /* last delivery to an application */
    char message[400];
};

struct tether_sim_stream_result {
    uint32_t struct_size;
    uint32_t flow;
    uint32_t direction;      /* 0 = as the flow says, 1 = the other way */
    uint32_t complete;
    uint64_t written_bytes, delivered_bytes;
    uint64_t written_messages, delivered_messages, cancelled_messages, unknown_messages, lost_messages;
    uint64_t unsent_messages; /* given back and written again */
    uint64_t hole_bytes;     /* of which the reader was told that they will not come */
    uint64_t first_write_ns, first_arrival_ns, done_ns;
    /* of payload that arrived for the first time, by the observer */
    uint64_t arrived_bytes;
    uint64_t steady_from_ns, steady_until_ns, steady_bytes;
    uint64_t duplicates;
    uint32_t opens, reserved;
};

struct tether_sim_pipe_result {
    uint32_t struct_size;
    uint32_t pipe;
    uint64_t carried_frames, carried_bytes;
    uint64_t lost, burst_lost, outage_lost, queue_dropped, corrupted, truncated, duplicated, reordered;
    uint64_t queue_peak_bytes;
};

struct tether_sim_vertex_result {
    uint32_t struct_size;
    uint32_t vertex;
    struct tether_stats stats; /* of the last life; counters of former lives are in `before` */
    struct tether_stats before;
    uint64_t lives;
    uint64_t peak_cells;       /* held and reserved at once */
    uint64_t peak_outstanding; /* frames granted and not arrived */
    uint64_t received_frames, accepted_frames, attack_frames;
    uint64_t blind_resent, blind_done_ns;
};

typedef struct tether_sim tether_sim;

TETHER_API uint32_t tether_sim_abi(void);
/* sizeof a struct of this header by its name without "struct "; 0 = not known. */
TETHER_API size_t tether_sim_struct_size(const char *name);
/* Which invariant this build breaks on purpose ("I1"), "" for none. */
TETHER_API const char *tether_sim_broken_build(void);
/* 0 or a negative errno. */
TETHER_API int tether_sim_new(const struct tether_sim_config *config, tether_sim **sim);
/* Runs to the end: the verdict. */
TETHER_API int tether_sim_run(tether_sim *sim, struct tether_sim_result *result);
TETHER_API int tether_sim_stream(const tether_sim *sim, uint32_t flow, uint32_t direction,
                                 struct tether_sim_stream_result *result);
TETHER_API int tether_sim_pipe_stats(const tether_sim *sim, uint32_t pipe, struct tether_sim_pipe_result *result);
TETHER_API int tether_sim_vertex_stats(const tether_sim *sim, uint32_t vertex, struct tether_sim_vertex_result *result);
/* Faults that happened, in order; at most `count` of them. Returns how many were written. */
TETHER_API size_t tether_sim_faults(const tether_sim *sim, struct tether_sim_fault *faults, size_t count);
/* Public key of a node, for foreign endpoints; and its secret, which belongs to this simulation alone. */
TETHER_API int tether_sim_identity(uint64_t seed, uint32_t node, uint8_t secret[32], uint8_t public_key[32]);
TETHER_API void tether_sim_free(tether_sim *sim);

#endif
