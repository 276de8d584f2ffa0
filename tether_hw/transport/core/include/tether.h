/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tether.h - public interface of the Tether transport (RFC 0001).
 *
 * This header holds the sans-IO half: one `tether_endpoint` is the protocol
 * machine of one lane (one hardware queue). It has no clock, no randomness of
 * its own, no allocation after tether_endpoint_new() and makes no system call:
 * the caller hands it frames and the time, and asks it for frames to send.
 * The engine half (threads, carriers, blocking calls) is tether_engine.h.
 *
 * Conventions
 *   - 0 or a positive count is success, a negative errno or -TETHER_E_* is not.
 *   - Times are nanoseconds of one monotonic clock of the caller's choice.
 *   - Structs that may grow begin with `struct_size`, set by the caller to
 *     sizeof; unknown sizes are refused with -EINVAL.
 *   - An endpoint is not thread safe: the caller serialises all calls on it.
 *     Different endpoints share nothing.
 */
#ifndef TETHER_H
#define TETHER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TETHER_API __attribute__((visibility("default")))

#define TETHER_ABI_VERSION 2u
#define TETHER_VERSION "0.1.0"

/* Wire constants that callers need for their buffers. */
#define TETHER_BLOCK_BYTES 64u
#define TETHER_HEADER_BYTES 64u
#define TETHER_ETHERTYPE 0x88b5u
#define TETHER_FRAME_BLOCKS_MAX 1023u /* payload blocks: the length field is 16 bits */

/* Ciphers, as bits (Hail tag, configuration) */
enum tether_cipher { TETHER_CIPHER_CHACHA20_POLY1305 = 1, TETHER_CIPHER_AES_256_GCM = 2 };

/* Kinds of flow */
#define TETHER_FLOW_BYTES 0u
#define TETHER_FLOW_MESSAGE 1u
/* Reliability: what happens to data that is older than its deadline */
#define TETHER_FLOW_RELIABLE 0u
#define TETHER_FLOW_EXPIRING 1u /* its sender skips it, sent or not; the reader learns of the hole */
/* Order in which the reader gets it */
#define TETHER_FLOW_ORDERED 0u
#define TETHER_FLOW_UNORDERED 1u /* messages as each is whole, bytes with their offset as they come */
#define TETHER_FLOW_SCALE_MAX 3u /* a slot is 64 << scale bytes: 0 or 1, up to 3 in jumbo frames */

/* Policies of granting */
#define TETHER_POLICY_FAIR 0u     /* in turn, equal shares */
#define TETHER_POLICY_SRPT 1u     /* shortest remaining first, a share for who waits longest */
#define TETHER_POLICY_RESERVED 2u /* admitted budgets first, then fair */

/* Flags of tether_flow_write */
#define TETHER_WRITE_FLUSH 1u /* do not wait for more bytes to fill the last frame */
#define TETHER_WRITE_END 2u   /* byte flow: nothing follows in this direction */

/* Flags of tether_flow_read */
#define TETHER_READ_END 2u  /* byte flow: the peer has ended, everything was read */
#define TETHER_READ_HOLE 4u /* tether_flow_read_at: nothing will come there; no data with it */

/* Kinds of address */
#define TETHER_ADDRESS_MAC 1u  /* MAC (6), VLAN u16 little-endian, 0xffff = none */
#define TETHER_ADDRESS_UDP4 2u /* IPv4 (4), port u16 big-endian */
#define TETHER_ADDRESS_UDP6 3u /* IPv6 (16), port u16 big-endian */
#define TETHER_ADDRESS_PIPE 4u /* in-memory pipe: caller's choice of bytes */

/*
 * Reasons for which a received frame is refused. A refused frame changes no
 * state and earns no answer. tether_endpoint_receive returns -TETHER_E_x, and
 * tether_stats.rejects[TETHER_E_x - TETHER_E_SHORT] counts it.
 */
enum tether_reject {
    TETHER_E_SHORT = 4096, /* not a header, or not whole blocks */
    TETHER_E_VERSION,      /* not version 1 */
    TETHER_E_LENGTH,       /* length field and frame disagree, or larger than our Manifest allows */
    TETHER_E_STRANGER,     /* channel unknown, or identity not in the roster */
    TETHER_E_MAC1,         /* Hail or reply without a valid mac1 */
    TETHER_E_AUTH,         /* AEAD tag or Noise handshake does not verify */
    TETHER_E_REPLAY,       /* sequence seen before, or older than the window */
    TETHER_E_EPOCH,        /* sequence outside the range of epoch keys derived ahead */
    TETHER_E_PADDING,      /* payload padding is not zero */
    TETHER_E_FLOW,         /* flow unknown, or slot and flow disagree */
    TETHER_E_GRANT,        /* sent past its grant */
    TETHER_E_CELLS,        /* no free cell (only duplicates and embers can meet this) */
    TETHER_E_TAGS,         /* Flow 0 tags do not parse */
    TETHER_E_COUNTER,      /* Hail counter not above the last one seen (answered when funded) */
    TETHER_E_ADDRESS,      /* source address of a kind that cannot be answered */
    TETHER_E_STATE,        /* not expected in this state */
    TETHER_E_FLOOD,        /* the purse has nothing left for this unproven sender */
    TETHER_E_END_          /* not a reason: one past the last */
};
#define TETHER_REJECT_COUNT (TETHER_E_END_ - TETHER_E_SHORT)
#define TETHER_REJECT_SLOTS 32 /* room in struct tether_stats, fixed for the ABI */

TETHER_API uint32_t tether_abi_version(void);
TETHER_API const char *tether_version(void);
/* Words for a negative return value of any function here; never NULL. */
TETHER_API const char *tether_strerror(int code);
/* sizeof a public struct by its name without "struct ", for bindings; 0 = not known. */
TETHER_API size_t tether_struct_size(const char *name);
/* Number of reject reasons, and the name of each ("short", "version", ...); NULL past the end. */
TETHER_API uint32_t tether_reject_count(void);
TETHER_API const char *tether_reject_name(uint32_t index);

/* ------------------------------------------------------------------ frame */

/* The 64-byte header, every field as on the wire (design: one cache line, no opcodes). */
struct tether_header {
    uint8_t version;
    uint8_t flags;
    uint16_t length;        /* payload bytes without padding */
    uint32_t channel;       /* receiver's index, low 8 bits = its lane; 0 = Hail */
    uint64_t sequence;      /* 48 bits */
    uint64_t grant_amount;  /* 48 bits, cumulative slots */
    uint64_t timestamp_ns;  /* 48 bits */
    uint64_t echo_ns;       /* 48 bits */
    uint32_t slot;
    uint32_t nack_slot;
    uint16_t nack_count;
    uint16_t want;          /* float16: exponent << 10 | mantissa */
    uint16_t pace;          /* float16, slots per second */
    uint16_t flow;
    uint8_t tag[16];
};

enum tether_flag {
    TETHER_FLAG_LAMP = 0x01,
    TETHER_FLAG_GRANT = 0x02,
    TETHER_FLAG_NACK = 0x04,
    TETHER_FLAG_ECHO = 0x08,
    TETHER_FLAG_BLOCKED = 0x10,
    TETHER_FLAG_BUSY = 0x20,
    TETHER_FLAG_END = 0x40,
    TETHER_FLAG_FIRST = 0x80
};

TETHER_API void tether_header_encode(const struct tether_header *header, uint8_t wire[TETHER_HEADER_BYTES]);
TETHER_API void tether_header_decode(struct tether_header *header, const uint8_t wire[TETHER_HEADER_BYTES]);
/* want and pace: mantissa << exponent, smallest exponent, rounded down, saturating. */
TETHER_API uint16_t tether_float16_encode(uint64_t value);
TETHER_API uint64_t tether_float16_decode(uint16_t wire); /* saturates at UINT64_MAX */

/* --------------------------------------------------------------- endpoint */

struct tether_address {
    uint8_t kind;
    uint8_t length; /* bytes used of `bytes` */
    uint16_t reserved;
    uint8_t bytes[28];
};

typedef struct tether_endpoint tether_endpoint;

/*
 * What an endpoint does, event by event, for people and for tests. `slot`, `count` and `value` by kind; events with
 * TETHER_TRACE_HEARD tell what a verified frame of the peer said.
 */
enum tether_trace_kind {
    TETHER_TRACE_SENT = 1,  /* data, first time: first slot, slots used, payload bytes */
    TETHER_TRACE_RECEIVED,  /* accepted: first slot, slots used, payload bytes; header-only: high water, 0, 0 */
    TETHER_TRACE_REJECTED,  /* -, -, enum tether_reject; channel, flow and sequence as an unproven header says */
    TETHER_TRACE_GRANTED,   /* a raised grant leaves: granted below, raised by, demand. Heard: limit, raised by, - */
    TETHER_TRACE_NACK,      /* asked for again: first slot, slots, - */
    TETHER_TRACE_REPAIR,    /* data, again: first slot, slots used, payload bytes */
    TETHER_TRACE_VOID,      /* the peer skipped: first slot, slots, - */
    TETHER_TRACE_DELIVERED, /* handed to the application: delivered below, -, bytes */
    TETHER_TRACE_RECEIPT,   /* header-only, prepaid: arrived below, -, receipts left. Heard: arrived below, -, - */
    TETHER_TRACE_BLOCKED,   /* sender's clock: high water, slots wanted beyond it, tries */
    TETHER_TRACE_REFRESH,   /* receiver's clock: first missing, slots named, tries */
    TETHER_TRACE_LAMP,      /* Hail or a reply to one: -, blocks of the frame, Hail counter (reply: 0) */
    TETHER_TRACE_UP,        /* the channel may carry flows: the peer's index, -, 1 when the peer hailed */
    TETHER_TRACE_DOWN,      /* -, -, status (negative errno or 0) as two's complement */
    TETHER_TRACE_PACE,      /* a pace is stated: -, -, slots per second. Heard: the peer states it */
    TETHER_TRACE_END_       /* not a kind: one past the last */
};

#define TETHER_TRACE_HEARD 1u     /* flags: the peer's word */
#define TETHER_TRACE_EMBER 2u     /* sent, received: beyond the grant */
#define TETHER_TRACE_DUPLICATE 4u /* received: had arrived before */

struct tether_trace_event {
    uint64_t at_ns;    /* the caller's clock */
    uint16_t kind;
    uint16_t flags;
    uint16_t flow;
    uint16_t lane;
    uint32_t channel;  /* this end's index */
    uint32_t peer_id;  /* 0 = not known */
    uint64_t sequence; /* of the frame that it is about; 0 = none */
    uint64_t slot;
    uint64_t count;
    uint64_t value;
};
/* Name of a kind ("sent", ...); NULL when it is none. */
TETHER_API const char *tether_trace_name(uint32_t kind);
/*
 * An event as one line of tether.trace/1 (JSON, a newline at its end, terminated); `node` is the name of this end.
 * Its length, or -ENOSPC; 512 bytes are enough for names of up to 64.
 */
TETHER_API int tether_trace_line(const struct tether_trace_event *event, const char *node, char *line,
                                 size_t capacity);

/*
 * The most bytes of a line of the key log, its end counted: "TETHER <channel> <initiator|responder> <cipher> <chain_0>",
 * who seals with it and the index that stands in those frames. Whoever has the lines reads all frames.
 */
#define TETHER_KEYLOG_LINE 128u

struct tether_endpoint_config {
    uint32_t struct_size;
    uint16_t lane;            /* this endpoint's lane, 0-255 */
    uint16_t lanes;           /* lanes of the node: entries of lane_addresses */
    uint32_t max_channels;    /* 1-4096 */
    uint32_t max_flows;       /* application flows of one channel, 1-4096 */
    uint32_t rx_cells;        /* receive buffer of this endpoint, in frames */
    uint32_t tx_cells;        /* send buffer, in frames */
    uint16_t frame_blocks;    /* payload blocks of one frame and one cell (22 at MTU 1500) */
    uint16_t grant_policy;    /* TETHER_POLICY_*: whom the receive buffer is granted to first */
    uint32_t ring_frames;     /* depth of the carrier's receive ring, in frames */
    uint64_t max_message;     /* largest message accepted, bytes; bounded by rx_cells */
    uint64_t rtt_ns;          /* declared constant of the link, for unlisted peers */
    uint64_t rate_bps;        /* declared rate of the link, for unlisted peers */
    uint64_t silence_ns;      /* least silence before a timer frame; 0 = 1 ms */
    uint32_t purse_frames;    /* burst of unfunded frames of this endpoint; 0 = 256 */
    uint32_t purse_per_s;     /* refill, frames per second; 0 = 1000 */
    uint16_t ciphers;         /* TETHER_CIPHER_* accepted; 0 = all */
    uint16_t prefer_cipher;   /* one of them, used when this side answers a Hail; 0 = AES-256-GCM if offered */
    uint32_t replay_window;   /* frames, a power of two, 64-65536; 0 = 8192 */
    uint8_t static_secret[32];
    int (*entropy)(void *context, uint8_t *out, size_t length); /* 0, or negative errno */
    void *context;
    const struct tether_address *lane_addresses; /* [lanes], published in the Manifest; copied */
    /* NULL = none. Both are called inside the endpoint's calls: they must be quick and call nothing of it. */
    void (*trace)(void *context, const struct tether_trace_event *event);
    void *trace_context;
    void (*keylog)(void *context, const char *line); /* secrets: two lines for each channel, without newline */
    void *keylog_context;
    uint32_t lamp_per_s;        /* Lamps with a good mac1 that are looked at, all together; 0 = 10000 */
    uint32_t lamp_source_per_s; /* of one source address; 0 = 100 */
    uint32_t agreement_per_s;   /* key agreements that Hails may cost, and as many that replies may; 0 = 500 */
    uint32_t rekey_s;           /* age at which a channel gets new keys (or 10 RTT, if longer); 0 = 120, UINT32_MAX = never */
    uint32_t early_bytes;       /* of a message of early data, sent or taken, at most 65,472; 0 = none is */
    uint32_t link_lanes;        /* lanes of this node that share the link, each with its part of the rate; 0 = this one only */
};

TETHER_API size_t tether_endpoint_config_size(void);
/* Allocates everything the endpoint will ever use. -EINVAL, -ENOMEM. */
TETHER_API int tether_endpoint_new(const struct tether_endpoint_config *config, tether_endpoint **endpoint);
TETHER_API void tether_endpoint_free(tether_endpoint *endpoint);

/* X25519 public key of a static secret (both 32 bytes). */
TETHER_API int tether_public_key(const uint8_t secret[32], uint8_t public_key[32]);
/* Ed25519, no part of the protocol: what operators of a fleet signed. 0, -EBADMSG (not by this key), -EIO. */
TETHER_API int tether_signature_check(const uint8_t public_key[32], const uint8_t *message, size_t length,
                                      const uint8_t signature[64]);

struct tether_peer {
    uint32_t id;        /* caller's name for the peer in calls and events; stable, unique */
    uint32_t key_count; /* 1-2; two while a key is being replaced */
    uint8_t keys[2][32];
    struct tether_address hail; /* where a Hail to this peer goes by default */
    uint64_t rtt_ns;    /* declared for the link to this peer; 0 = the endpoint's */
    uint64_t rate_bps;  /* same */
    char name[64];      /* for the caller; not on the wire */
};

/*
 * Replace the roster. Channels of peers that are gone, or whose key is gone,
 * end with BYE (reason 3) and a CHANNEL_DOWN event (status -EACCES); unchanged ones
 * are untouched.
 */
TETHER_API int tether_endpoint_roster(tether_endpoint *endpoint, uint64_t now_ns, const struct tether_peer *peers,
                                      size_t count);
/*
 * Hail counters that are durable already: the endpoint may use [first, limit).
 * `first` must not be below any counter ever given for this key and lane. When
 * few are left the event NEED_COUNTER asks for the next stride; without a
 * counter no Hail is sent.
 */
TETHER_API int tether_endpoint_counter(tether_endpoint *endpoint, uint64_t first, uint64_t limit);

/*
 * One frame from the carrier: header and payload blocks without link header.
 * `frame` may be overwritten. `from` is where it came from. 0 = accepted,
 * -TETHER_E_* = refused (counted, no state changed). Carriers that pad short
 * frames (Ethernet's minimum) may pass up to 63 trailing bytes.
 */
TETHER_API int tether_endpoint_receive(tether_endpoint *endpoint, uint64_t now_ns, const struct tether_address *from,
                                       uint8_t *frame, size_t length);
/*
 * Next frame to send: its length in bytes (> 0) with `to` filled in, or 0 when
 * there is nothing to send now; see tether_endpoint_deadline. capacity must be
 * at least (frame_blocks + 1) * 64; smaller is -EINVAL. -EIO: the cipher failed,
 * and this frame is lost like any other.
 */
TETHER_API int tether_endpoint_transmit(tether_endpoint *endpoint, uint64_t now_ns, uint8_t *frame, size_t capacity,
                                        struct tether_address *to);
/*
 * Time at which transmit should be called again if nothing else happens
 * (no receive, no write, no read); 0 or a past time = now; UINT64_MAX = never.
 */
TETHER_API uint64_t tether_endpoint_deadline(const tether_endpoint *endpoint);

#define TETHER_WINDOWS_MAX 16u

struct tether_window {
    uint64_t start_ns;  /* on the clock of now_ns */
    uint64_t length_ns; /* of a window; in an RTT table the round trip from start_ns on */
};
/*
 * When this end can send and receive: at most 16 windows in the order of their beginnings; none = always. They replace
 * those declared before and are told to every peer. Outside its own windows and those of a peer nothing is sent to
 * that peer, and no clock of the channel runs. After the last window ends there is no contact until more are declared.
 */
TETHER_API int tether_endpoint_windows(tether_endpoint *endpoint, uint64_t now_ns, const struct tether_window *windows,
                                       size_t count);
/* The round trip where it changes: at most 16 entries; none = the constant of the configuration. */
TETHER_API int tether_endpoint_rtt_table(tether_endpoint *endpoint, uint64_t now_ns, const struct tether_window *entries,
                                         size_t count);

/* ------------------------------------------------------ channels and flows */

/*
 * Begin a channel to a lane of a peer by a Hail (retried with back-off until
 * it is answered or closed). CHANNEL_UP follows. `to` NULL = the lane's address by
 * the peer's Manifest, or the roster's hail address. Where a Hail for that lane is
 * out already, *channel is the one that it is for. A standing channel to the same lane pair is replaced when the new one
 * verifies. -ENOENT no such peer, -ENOSPC no free channel.
 */
TETHER_API int tether_channel_open(tether_endpoint *endpoint, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                                   const struct tether_address *to, uint32_t *channel);
/*
 * A lane of this node (any, not only this endpoint's) has another address now: the peers of all channels are told,
 * and send there as soon as they hear from there. -EINVAL.
 */
TETHER_API int tether_endpoint_moved(tether_endpoint *endpoint, uint16_t lane, const struct tether_address *address);
/*
 * Early data: one message to a lane of a peer with whom a channel has ended, in one Lamp, without waiting for a new
 * channel. Only for what may be lost, and what may be said again on a channel when the outcome is not known. The same
 * Lamp is delivered once at most. EARLY_DONE follows. -ENOENT no such channel ended, or too long ago, or the peer takes
 * none: hail instead; -EMSGSIZE, -EBUSY one is under way, -EAGAIN no counter yet (NEED_COUNTER).
 */
TETHER_API int tether_early_send(tether_endpoint *endpoint, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                                 const void *data, size_t length);
/* The oldest early data that waits: its length, and who sent it; -EAGAIN none, -EMSGSIZE (nothing is lost). */
TETHER_API int64_t tether_early_read(tether_endpoint *endpoint, void *data, size_t capacity, uint32_t *peer_id);
/* Tell the peer (BYE) and free the channel. CHANNEL_DOWN (status 0) follows. */
TETHER_API int tether_channel_close(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel);

/*
 * Open a flow (both directions) on a channel that is up. `bound`: largest message
 * in bytes (message flows; 0 = the most both ends allow). -EMSGSIZE when bound
 * is above the peer's Manifest, -ENOSPC no free flow, -ENOTCONN channel not up.
 */
TETHER_API int tether_flow_open(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint8_t kind,
                                uint64_t bound, uint16_t *flow);
struct tether_flow_options {
    uint32_t struct_size;
    uint8_t kind;         /* TETHER_FLOW_BYTES, TETHER_FLOW_MESSAGE */
    uint8_t reliability;  /* TETHER_FLOW_RELIABLE, TETHER_FLOW_EXPIRING */
    uint8_t order;        /* TETHER_FLOW_ORDERED, TETHER_FLOW_UNORDERED */
    uint8_t scale;        /* a slot is 64 << scale bytes */
    uint64_t bound;       /* message flows: largest message; 0 = the most both ends allow */
    uint64_t budget;      /* bytes per second that the receivers should keep for it; 0 = none */
    uint64_t latency_ns;  /* latency that is asked of the receivers' schedulers; 0 = none */
    uint64_t deadline_ns; /* expiring flows: age at which data is skipped, not 0 */
};
/*
 * The same with all that a flow can be; what it says holds in both directions. A byte flow that is unordered or
 * expiring is *positioned*: it is read by tether_flow_read_at, with the offset of each piece, and takes no
 * TETHER_WRITE_FLUSH, since only its last frame may be short.
 */
TETHER_API int tether_flow_open_options(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel,
                                        const struct tether_flow_options *options, uint16_t *flow);
/*
 * Queue data. Byte flow: takes what fits and returns its count, -EAGAIN when none
 * does. Message flow: one call is one message (1 byte or more), all or -EAGAIN;
 * -EMSGSIZE above the bound. -EPIPE after END, close or CHANNEL_DOWN.
 * FLOW_WRITABLE follows a short count or -EAGAIN. A failed message needs
 * tether_flow_state.writable bytes or more before it is worth a new try.
 */
TETHER_API int64_t tether_flow_write(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint16_t flow,
                                     const void *data, size_t length, uint32_t flags);
/*
 * Message flow: one whole message, its length returned; -EAGAIN none yet;
 * -EMSGSIZE when capacity is too small (nothing is lost, see
 * tether_flow_message_size). Byte flow: what is there, up to capacity; 0 with
 * TETHER_READ_END in *flags at the end. -EPIPE when the flow is closed and empty.
 * `flags` may be NULL.
 */
TETHER_API int64_t tether_flow_read(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint16_t flow,
                                    void *data, size_t capacity, uint32_t *flags);
/*
 * The same with the place: `offset` of the first byte in a byte flow, in a message flow the slot at which the
 * message began, which only tells their order. With TETHER_READ_HOLE in *flags the count is that of bytes
 * (message flow: of slots) from `offset` on that will not come. Flows of every kind.
 */
TETHER_API int64_t tether_flow_read_at(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint16_t flow,
                                       uint64_t *offset, void *data, size_t capacity, uint32_t *flags);
/* Size of the next whole message; -EAGAIN when there is none. */
TETHER_API int tether_flow_message_size(const tether_endpoint *endpoint, uint32_t channel, uint16_t flow,
                                        uint64_t *size);
/*
 * Message flow: drop every message that has not been sent completely; granted
 * slots go back by Skip; the flow stays open. Messages sent completely still
 * arrive. A byte flow cannot lose bytes and go on: -EOPNOTSUPP, close it.
 */
TETHER_API int tether_flow_cancel(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint16_t flow);
/*
 * Close both directions: unsent data is dropped and its credit given back, what
 * was sent is repaired until it has arrived. To end a byte flow after its data,
 * write with TETHER_WRITE_END and wait for FLOW_DRAINED first. The id stays known
 * until the peer has closed too; then FLOW_CLOSED (status 0).
 */
TETHER_API int tether_flow_close(tether_endpoint *endpoint, uint64_t now_ns, uint32_t channel, uint16_t flow);

enum tether_flow_flag {
    TETHER_FLOW_LOCAL_CLOSED = 1,  /* we closed */
    TETHER_FLOW_REMOTE_CLOSED = 2, /* the peer closed */
    TETHER_FLOW_LOCAL_END = 4,     /* END written */
    TETHER_FLOW_REMOTE_END = 8     /* END received */
};

struct tether_flow_state {
    uint32_t struct_size;
    uint8_t kind;
    uint8_t flags; /* TETHER_FLOW_* flags */
    uint8_t reliability, order;
    uint8_t scale;
    uint8_t reserved[7];
    uint64_t bound;                /* largest message, bytes */
    uint64_t unsent_bytes;         /* queued, not sent yet */
    uint64_t unacknowledged_bytes; /* sent, not known to have arrived */
    uint64_t readable_bytes;       /* byte flow: in order; message flow: whole messages */
    uint64_t readable_messages;
    uint64_t writable_bytes;       /* a write of this size fits now */
    uint64_t sent_slots;           /* our direction: next slot */
    uint64_t limit_slots;          /*                granted by the peer */
    uint64_t granted_slots;        /* peer's direction: granted by us */
    uint64_t arrived_slots;        /*                   arrived or skipped without a gap */
    uint64_t delivered_slots;      /*                   handed to the application */
    uint64_t demand_slots;         /*                   declared by the peer */
    uint64_t skipped_slots;        /*                   that will not come: cancelled, expired */
    uint64_t budget, latency_ns, deadline_ns;
    uint64_t messages_written;     /* message flows: ordinal of the next message that is written */
    uint64_t messages_begun;       /* those below have been sent, in part at least */
    uint64_t messages_receipted;   /* those below have arrived at the peer, or were dropped here */
    uint64_t messages_dropped;     /* cancelled, or expired before a receipt came (some of those have arrived) */
};
TETHER_API int tether_flow_state(const tether_endpoint *endpoint, uint32_t channel, uint16_t flow,
                                 struct tether_flow_state *state);

enum tether_event_kind {
    TETHER_EVENT_CHANNEL_UP = 1, /* channel may carry flows; value = 1 when the peer hailed */
    TETHER_EVENT_CHANNEL_DOWN,   /* status: 0 closed here, -ECONNRESET replaced by a new Hail of the peer,
                                    -ECONNABORTED the peer's BYE (value = its reason), -EACCES roster, -EPROTO violation,
                                    -ESTALE counter refused for ever, -ETIMEDOUT peer does not answer any more,
                                    -EMSGSIZE the path carries its frames no more (a new channel finds a size that passes),
                                    -EISCONN the peer's crossing Hail stands: channel `value` is up instead */
    TETHER_EVENT_FLOW_OPENED,    /* by the peer; status = kind, value = bound */
    TETHER_EVENT_FLOW_READABLE,
    TETHER_EVENT_FLOW_WRITABLE,  /* after a write that did not fit */
    TETHER_EVENT_FLOW_DRAINED,   /* everything written has arrived at the peer */
    TETHER_EVENT_FLOW_CLOSED,    /* by the peer (value = reason), or with the channel (status < 0) */
    TETHER_EVENT_PEER_LANES,     /* the peer's Manifest with addresses has arrived; value = lanes */
    TETHER_EVENT_NEED_COUNTER,   /* value = last counter seen by a peer that called ours stale, or 0 */
    TETHER_EVENT_FLOW_HOLE,      /* the peer skipped slots that were declared: value = all of them so far */
    TETHER_EVENT_MESSAGE_UNKNOWN, /* the flow ended before receipts came: messages [value, value + status) may have
                                    been delivered or not, the `extra` ones after them were never sent */
    TETHER_EVENT_EARLY,          /* early data of a peer waits: value = its bytes (tether_early_read) */
    TETHER_EVENT_EARLY_DONE      /* ours: status 0 taken, -ECONNREFUSED not taken, -ETIMEDOUT not known; value = its counter,
                                    extra = the peer's lane */
};

struct tether_event {
    uint32_t kind;
    uint32_t channel;
    uint16_t flow;
    uint16_t lane; /* this endpoint's lane */
    int32_t status;
    uint64_t value;
    uint32_t peer_id;
    uint32_t extra;
};
/* 1 = one event, 0 = none. Level-triggered underneath: nothing is lost however late it is called. */
TETHER_API int tether_endpoint_event(tether_endpoint *endpoint, struct tether_event *event);

enum tether_channel_state {
    TETHER_CHANNEL_FREE = 0,
    TETHER_CHANNEL_HAILING = 1,     /* our Hail is out */
    TETHER_CHANNEL_UNCONFIRMED = 2, /* we answered a Hail; no frame under the new keys yet */
    TETHER_CHANNEL_UP = 3,
    TETHER_CHANNEL_CLOSING = 4      /* BYE is on its way */
};

struct tether_channel_info {
    uint32_t struct_size;
    uint32_t peer_id;
    uint8_t state;
    uint8_t initiator;    /* 1 = this side hailed */
    uint16_t remote_lane;
    uint16_t cipher;      /* TETHER_CIPHER_* */
    uint16_t peer_lanes;  /* lanes named in the peer's Manifest, 0 = not arrived yet */
    uint64_t srtt_ns;     /* 0 = no sample yet */
    uint64_t rtt_min_ns;
    uint64_t rtt_p50_ns;  /* of the last 256 samples */
    uint64_t rtt_p99_ns;
    uint64_t frames_sent;
    uint64_t frames_received;
    uint64_t hails_sent;
    uint64_t peer_max_message;
    uint32_t flows;
    uint16_t peer_floor;        /* slots that a data frame to the peer uses at least */
    uint16_t peer_frame_blocks;
    struct tether_address address; /* where frames to the peer go */
    uint64_t away_ns;           /* out of contact since then (contact windows); 0 = in contact */
    uint32_t path_blocks;       /* payload blocks of the largest frame to the peer: both ends' and the path's */
    uint32_t reserved;
};
TETHER_API int tether_channel_info(const tether_endpoint *endpoint, uint32_t channel, struct tether_channel_info *info);
/* Address of one of the peer's lanes by its Manifest; -ENOENT. */
TETHER_API int tether_channel_lane_address(const tether_endpoint *endpoint, uint32_t channel, uint16_t lane,
                                           struct tether_address *address);

/* ------------------------------------------------------------------- stats */

struct tether_stats {
    uint32_t struct_size;
    uint32_t lane;
    /* counters: only rise */
    uint64_t frames_sent;
    uint64_t frames_received; /* accepted */
    uint64_t data_frames_sent;
    uint64_t data_frames_received;
    uint64_t slots_sent;
    uint64_t slots_received;
    uint64_t bytes_sent;      /* payload of application flows, repairs not counted */
    uint64_t bytes_received;
    uint64_t messages_sent;
    uint64_t messages_received;
    uint64_t repairs_sent;
    uint64_t duplicates_received;
    uint64_t nacks_sent;
    uint64_t nacks_received;
    uint64_t receipts_earned;
    uint64_t receipts_spent;
    uint64_t lamps_sent;
    uint64_t lamps_received;
    uint64_t blocked_sent;    /* sender's clock */
    uint64_t refresh_sent;    /* receiver's clock */
    uint64_t embers_sent;
    uint64_t skips_sent;
    uint64_t skips_received;
    uint64_t grants_sent;     /* frames that raised a grant */
    uint64_t rekeys;          /* channels that went over to new keys */
    uint64_t cookies_sent;
    uint64_t byes_sent;       /* channels that this end ended with a word to the peer */
    uint64_t byes_received;
    uint64_t early_sent;      /* messages of early data, each once */
    uint64_t early_received;  /* taken, to be read by tether_early_read */
    uint64_t early_repeated;  /* Lamps that were seen before: answered, not delivered again */
    uint64_t early_refused;   /* Lamps that may have been seen before, or that no room was for */
    uint64_t invariant_violations;
    /* gauges: as of now */
    uint64_t grants_outstanding_slots; /* granted by us, not arrived, all flows; includes standing_slots */
    uint64_t standing_slots;           /* Flow 0 pools of open channels */
    uint64_t reserved_cells;
    uint64_t free_cells;
    uint64_t free_tx_cells;
    uint64_t purse_frames;
    uint64_t channels;
    uint64_t flows;
    uint64_t rejects[TETHER_REJECT_SLOTS]; /* tether_reject_name names the first tether_reject_count() */
};
TETHER_API void tether_endpoint_stats(const tether_endpoint *endpoint, struct tether_stats *stats);

#ifdef __cplusplus
}
#endif

#include "tether_engine.h"

#endif /* TETHER_H */
