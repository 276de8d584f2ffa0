/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tether_engine.h - engine half of the public interface: threads, carriers, blocking calls.
 *
 * Included at the end of tether.h; include that one. One engine is one node: one identity, one Hail counter, and
 * one lane (thread, endpoint, carrier) per hardware queue. All functions may be called from any thread, except
 * tether_engine_free, which must be the last call. Lanes share nothing on the data path.
 *
 * Timeouts are nanoseconds: 0 = try once, < 0 = wait for ever. A wait that ends by its timeout returns -ETIMEDOUT;
 * a try that would wait returns -EAGAIN. After tether_engine_stop every waiting call returns -ESHUTDOWN.
 */
#ifndef TETHER_ENGINE_H
#define TETHER_ENGINE_H

#include "tether.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TETHER_LANES_MAX 256u

typedef struct tether_engine tether_engine;

struct tether_engine_config {
    uint32_t struct_size;
    uint32_t lanes;           /* lanes of this node, 1-256; lane numbers are 0..lanes-1 */
    uint8_t static_secret[32];
    const char *counter_path; /* Hail counter file; made when absent, refused when it belongs to another key */
    /* Limits of each lane's endpoint; 0 = the default in brackets. */
    uint32_t max_channels;    /* [64] */
    uint32_t max_flows;       /* application flows of one channel [64] */
    uint32_t rx_cells;        /* [65536] */
    uint32_t tx_cells;        /* [16384] */
    uint64_t max_message;     /* bytes [67108864, or what 3/4 of rx_cells hold if less] */
    uint32_t purse_frames;    /* [endpoint's] */
    uint32_t purse_per_s;     /* [endpoint's] */
    uint16_t ciphers;         /* [all] */
    uint16_t prefer_cipher;   /* [endpoint's] */
    uint32_t replay_window;   /* [endpoint's] */
    uint32_t spin_us;         /* how long an idle lane spins before it sleeps in poll() [50] */
    uint32_t grant_policy;    /* TETHER_POLICY_* [fair] */
    uint32_t reserved;
    const char *node;         /* name of this end in the trace [""] */
    const char *trace_path;   /* events as JSON lines (tether.trace/1) [NULL = none] */
    const char *keylog_path;  /* secrets of all channels, for debugging only [NULL = none] */
    uint32_t lamp_per_s;      /* [endpoint's] */
    uint32_t lamp_source_per_s; /* [endpoint's] */
    uint32_t agreement_per_s; /* [endpoint's] */
    uint32_t rekey_s;         /* [endpoint's] */
    uint32_t early_bytes;     /* of a message of early data, sent or taken [0 = none is] */
    uint32_t reserved1;
};
/*
 * Both files are made by tether_engine_new with mode 0600; one that exists is an error (-EEXIST), symbolic links too.
 * A thread of its own writes them; what it cannot follow is dropped and counted in the file, and holds up no lane.
 */

#define TETHER_LANE_COPY_ONLY 1u    /* af_xdp: do not try zero-copy */
#define TETHER_LANE_GENERIC_ONLY 2u /* af_xdp: do not try native (driver) XDP */

struct tether_lane_config {
    uint32_t struct_size;
    uint16_t lane;
    uint16_t flags;               /* TETHER_LANE_* */
    const char *carrier;          /* "udp", "af_packet", "af_xdp" or "auto" */
    const char *device;           /* af_packet, af_xdp: interface name; udp: NULL */
    uint32_t queue;               /* af_xdp: hardware queue */
    int32_t cpu;                  /* CPU to pin the lane's thread to, -1 = none */
    struct tether_address address; /* where this lane is reached; udp: bound to it, port 0 = any */
    uint16_t mtu;                 /* 0 = the device's (udp: 1500) */
    uint16_t reserved;
    uint32_t link;                /* caller's number of the link, returned by lane_info */
    uint32_t ring_frames;         /* upper bound for the carrier's receive depth, 0 = the carrier's choice */
    uint32_t reserved1;
    uint64_t rtt_ns;              /* declared constant of the link */
    uint64_t rate_bps;            /* declared rate of the link */
    uint64_t silence_ns;          /* 0 = 1 ms */
};

#define TETHER_LANE_ZERO_COPY 1u   /* lane_info.flags */
#define TETHER_LANE_NATIVE_XDP 2u
#define TETHER_LANE_NEED_WAKEUP 4u
#define TETHER_LANE_MULTI_BUFFER 8u

struct tether_lane_info {
    uint32_t struct_size;
    uint16_t lane;
    uint16_t mtu;
    uint16_t frame_blocks;        /* payload blocks of the largest frame */
    uint16_t flags;               /* TETHER_LANE_ZERO_COPY ... */
    uint32_t queue;
    uint32_t ring_frames;         /* frames that the receive ring really holds; lanes of one device share it in grants */
    uint32_t link;
    int32_t cpu;
    uint32_t reserved;
    struct tether_address address; /* as bound */
    char carrier[16];
    char device[16];
    char why[256];                /* why this carrier, and how it was opened */
};

struct tether_carrier_stats {
    uint32_t struct_size;
    uint32_t lane;
    uint64_t rx_frames;           /* taken from the carrier, foreign ones too */
    uint64_t tx_frames;           /* handed to the carrier */
    uint64_t rx_bytes;            /* Tether frames, without link headers */
    uint64_t tx_bytes;
    uint64_t overruns;            /* frames lost for want of room in a ring or buffer of this node: must stay 0 */
    uint64_t misdirected;         /* arrived here, belong to another lane of this engine */
    uint64_t foreign;             /* arrived here, belong to no lane of this engine; dropped */
    uint64_t tx_stalled;          /* times that the carrier could not take a frame at once (it was kept) */
    uint64_t tx_errors;           /* frames that the kernel or device refused for good */
    uint64_t handed_over;         /* received from other lanes' rings */
    /* overruns = ring_full + kernel_drops + handover_full */
    uint64_t ring_full;           /* af_xdp: receive ring full */
    uint64_t kernel_drops;        /* socket buffer or packet ring full; af_xdp: no buffer, or frame too long */
    uint64_t handover_full;       /* ring from another lane full */
    uint64_t fill_empty;          /* af_xdp: kernel found the fill ring empty; a frame lost by it is in kernel_drops */
    /* how the thread spends its time */
    uint64_t sleeps;              /* poll() calls that waited */
    uint64_t wakes;               /* ended by another thread */
};

/* Words for the last error of the calling thread; never NULL. Valid until its next failing call. */
TETHER_API const char *tether_engine_error(const tether_engine *engine);

TETHER_API int tether_engine_new(const struct tether_engine_config *config, tether_engine **engine);
/* Open the carrier of one lane; before tether_engine_start. */
TETHER_API int tether_engine_add_lane(tether_engine *engine, const struct tether_lane_config *config);
/* Reserves Hail counters on disk, makes the endpoints, starts the threads. All lanes must have been added. */
TETHER_API int tether_engine_start(tether_engine *engine);
/* Ends the threads and closes the carriers; waiting calls return -ESHUTDOWN. Channels end without a word to the peers. */
TETHER_API int tether_engine_stop(tether_engine *engine);
TETHER_API void tether_engine_free(tether_engine *engine);

/* The clock of all times here, of windows and of the trace: CLOCK_MONOTONIC, in ns. */
TETHER_API uint64_t tether_engine_now(void);

/*
 * Replace the roster of every lane (each keeps a copy); before or after start. -EINVAL, and nothing changes, for a peer
 * with this node's own key or with a point of low order as its key.
 */
TETHER_API int tether_engine_roster(tether_engine *engine, const struct tether_peer *peers, size_t count);
TETHER_API int tether_engine_lane_info(tether_engine *engine, uint16_t lane, struct tether_lane_info *info);

/*
 * Contact windows and the table of round trips of a lane's link, as tether_endpoint_windows and
 * tether_endpoint_rtt_table; before or after start. What is declared before start holds for the first Hail.
 */
TETHER_API int tether_engine_windows(tether_engine *engine, uint16_t lane, const struct tether_window *windows,
                                     size_t count);
TETHER_API int tether_engine_rtt_table(tether_engine *engine, uint16_t lane, const struct tether_window *entries,
                                       size_t count);
/*
 * A running lane is reached elsewhere from now on: its socket is bound anew, and the peers of all channels of its link
 * are told (tether_endpoint_moved). The address stays of its kind. -EOPNOTSUPP where the carrier is not udp: the MAC
 * address of a lane does not change while the engine runs. On an error the lane stays where it was.
 */
TETHER_API int tether_engine_lane_move(tether_engine *engine, uint16_t lane, const struct tether_address *address);

/*
 * tether_early_send, and its outcome: 0 taken, -ECONNREFUSED, -ETIMEDOUT not known. With timeout 0 the call returns at
 * once and TETHER_EVENT_EARLY_DONE follows; it follows too when the time is over first (-EINPROGRESS).
 */
TETHER_API int tether_engine_early_send(tether_engine *engine, uint16_t lane, uint32_t peer_id, uint16_t remote_lane,
                                        const void *data, size_t length, int64_t timeout_ns);
/* tether_early_read; it does not wait: TETHER_EVENT_EARLY says that there is something. */
TETHER_API int64_t tether_engine_early_read(tether_engine *engine, uint16_t lane, void *data, size_t capacity,
                                            uint32_t *peer_id);

/*
 * Begin a channel from `lane` to `remote_lane` of a peer and wait until it is up. `to` NULL = the roster's hail
 * address. *handle = lane << 32 | channel. On -ETIMEDOUT the attempt is closed. With timeout 0 the call returns 0
 * at once and TETHER_EVENT_CHANNEL_UP or _DOWN follows.
 */
TETHER_API int tether_engine_connect(tether_engine *engine, uint16_t lane, uint32_t peer_id, uint16_t remote_lane,
                                     const struct tether_address *to, int64_t timeout_ns, uint64_t *handle);
TETHER_API int tether_engine_channel_close(tether_engine *engine, uint64_t handle);
TETHER_API int tether_engine_channel_info(tether_engine *engine, uint64_t handle, struct tether_channel_info *info);
TETHER_API int tether_engine_channel_lane_address(tether_engine *engine, uint64_t handle, uint16_t lane,
                                                  struct tether_address *address);

/*
 * Events of all lanes in order of each lane: count of events written, 0 when the time is over. An event that stands
 * in the queue already (same kind, channel, flow) is not added twice.
 */
TETHER_API int tether_engine_wait(tether_engine *engine, int64_t timeout_ns, struct tether_event *events,
                                  size_t capacity);
/* Readable while events wait; for select/poll/asyncio. Owned by the engine. */
TETHER_API int tether_engine_eventfd(tether_engine *engine);
/* As handles: event.lane << 32 | event.channel. */
static inline uint64_t tether_engine_handle(const struct tether_event *event)
{
    return (uint64_t)event->lane << 32 | event->channel;
}

/*
 * As the tether_flow_* calls, with a wait. write: a byte flow's call returns when all bytes are queued, or with the
 * count that was queued when the time is over (-ETIMEDOUT or -EAGAIN only when that is 0); a message is queued whole
 * or not at all. read waits until something can be read.
 */
TETHER_API int tether_engine_flow_open(tether_engine *engine, uint64_t handle, uint8_t kind, uint64_t bound,
                                       uint16_t *flow);
TETHER_API int tether_engine_flow_open_options(tether_engine *engine, uint64_t handle,
                                               const struct tether_flow_options *options, uint16_t *flow);
TETHER_API int64_t tether_engine_flow_write(tether_engine *engine, uint64_t handle, uint16_t flow, const void *data,
                                            size_t length, uint32_t flags, int64_t timeout_ns);
TETHER_API int64_t tether_engine_flow_read(tether_engine *engine, uint64_t handle, uint16_t flow, void *data,
                                           size_t capacity, uint32_t *flags, int64_t timeout_ns);
TETHER_API int64_t tether_engine_flow_read_at(tether_engine *engine, uint64_t handle, uint16_t flow, uint64_t *offset,
                                              void *data, size_t capacity, uint32_t *flags, int64_t timeout_ns);
/* Waits until a whole message can be read and gives its size. */
TETHER_API int tether_engine_flow_message_size(tether_engine *engine, uint64_t handle, uint16_t flow, uint64_t *size,
                                               int64_t timeout_ns);
/* Flushes, and waits until everything written has arrived in the peer's buffers. */
TETHER_API int tether_engine_flow_drain(tether_engine *engine, uint64_t handle, uint16_t flow, int64_t timeout_ns);
TETHER_API int tether_engine_flow_cancel(tether_engine *engine, uint64_t handle, uint16_t flow);
TETHER_API int tether_engine_flow_close(tether_engine *engine, uint64_t handle, uint16_t flow);
TETHER_API int tether_engine_flow_state(tether_engine *engine, uint64_t handle, uint16_t flow,
                                        struct tether_flow_state *state);

/* Either pointer may be NULL; struct_size set by the caller. */
TETHER_API int tether_engine_stats(tether_engine *engine, uint16_t lane, struct tether_stats *stats,
                                   struct tether_carrier_stats *carrier);

/* ---------------------------------------------------------------- benches */

#define TETHER_BENCH_ROUNDS_MAX 32u

struct tether_bench_config {
    uint32_t struct_size;
    uint16_t frame_blocks;   /* payload blocks, [22] = 1408 bytes */
    uint16_t cipher;         /* TETHER_CIPHER_*, [AES-256-GCM] */
    uint32_t flows;          /* [1] */
    uint8_t kind;            /* TETHER_FLOW_BYTES or _MESSAGE */
    uint8_t reserved[3];
    uint32_t message_bytes;  /* message flows [65536] */
    uint32_t rounds;         /* [5], 5-32 */
    uint32_t ring_frames;    /* depth of the pipe [1024] */
    uint64_t bytes;          /* payload of one round [64 MiB] */
    uint32_t pings;          /* of one round [2000] */
    int32_t cpu;             /* pin the calling thread during the run, -1 = no */
};

struct tether_bench_result {
    uint32_t struct_size;
    uint32_t rounds;
    uint32_t payload_bytes;               /* of one full frame */
    uint16_t cipher;
    uint16_t frame_blocks;
    uint64_t frames;                      /* all rounds, both directions, header-only ones too */
    uint64_t data_frames;
    uint64_t bytes;                       /* application payload, all rounds */
    double frames_per_s;                  /* medians over the rounds */
    double goodput_bps;
    double aead_limit_bps;                /* seal + open of full frames, same call, same core, interleaved */
    double share_of_aead_limit;           /* median of the rounds' ratios */
    double rtt_p50_ns;
    double rtt_p99_ns;
    double round_goodput_bps[TETHER_BENCH_ROUNDS_MAX];
    double round_aead_bps[TETHER_BENCH_ROUNDS_MAX];
    double round_share[TETHER_BENCH_ROUNDS_MAX];
};
/* Two endpoints over an in-memory pipe, one thread. 0 or an error (words: tether_engine_error(NULL)). */
TETHER_API int tether_bench_pipe(const struct tether_bench_config *config, struct tether_bench_result *result);

/*
 * Raw AEAD speed on the calling thread for about `duration_ns`: seal and open of `payload_bytes`, bits of payload per
 * second. For interleaving with runs over other carriers.
 */
TETHER_API int tether_bench_aead(uint16_t cipher, uint32_t payload_bytes, uint64_t duration_ns, double *bps);

#define TETHER_CEILING_SEND 1u
#define TETHER_CEILING_RECEIVE 2u

struct tether_ceiling_config {
    uint32_t struct_size;
    uint32_t mode;           /* TETHER_CEILING_SEND or _RECEIVE */
    const char *device;
    uint32_t queue;
    int32_t cpu;             /* -1 = not pinned */
    uint16_t frame_bytes;    /* Tether frame without link header, whole blocks */
    uint16_t flags;          /* TETHER_LANE_COPY_ONLY, TETHER_LANE_GENERIC_ONLY: as the run to compare with */
    uint32_t reserved;
    uint8_t source[6];       /* MAC addresses of the frames sent */
    uint8_t destination[6];
    uint32_t reserved1;
    uint64_t duration_ns;    /* send: for so long; receive: until `idle_ns` without a frame, or duration_ns */
    uint64_t idle_ns;        /* [500 ms] */
};

struct tether_ceiling_result {
    uint32_t struct_size;
    uint32_t flags;          /* TETHER_LANE_ZERO_COPY, TETHER_LANE_NATIVE_XDP */
    uint64_t frames;
    uint64_t bytes;          /* frame_bytes * frames */
    uint64_t elapsed_ns;     /* first frame to last frame */
    double frames_per_s;
    double payload_bps;      /* frames_per_s * (frame_bytes - 64) * 8 */
    uint64_t ring_full;
    uint64_t fill_empty;
    uint64_t kernel_drops;
};
/*
 * Bare AF_XDP, no protocol: the ceiling that the engine is measured against. Same rings, same XDP program, same
 * system calls as the af_xdp carrier. Run one sender and one receiver at once, one pair per queue.
 */
TETHER_API int tether_bench_xdp_ceiling(const struct tether_ceiling_config *config,
                                        struct tether_ceiling_result *result);

#ifdef __cplusplus
}
#endif

#endif /* TETHER_ENGINE_H */
