/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h: the state of one channel: its keys, its peer, what it knows of the path, and the queues of its flows. */
#ifndef TETHER_CHANNEL_H
#define TETHER_CHANNEL_H

#include "clock.h"
#include "contact.h"
#include "cookie.h"
#include "flow.h"
#include "ids.h"
#include "keys.h"
#include "noise.h"
#include "probe.h"
#include "rekey.h"
#include "replay.h"
#include "wire.h"

enum { TETHER_REFUSED_WORDS = 65536 / 2 / 64 };

enum { TETHER_CHANNEL_DEAD = 16 }; /* internal: off the network, unread data remains for the application */

struct tether_channel {
    uint32_t index;         /* the application's handle: it stays */
    uint32_t wire;          /* our index on the wire under the present keys */
    uint32_t remote;        /* the peer's */
    union {
        struct {
            uint8_t state;
            uint8_t proven;    /* a frame under its keys has verified */
            uint8_t moves;     /* the peer's Manifest says another address than we send to */
            uint8_t last_word; /* BYE received: one receipt, then free */
        };
        uint32_t stance;    /* all of them at once (steady.h) */
    };
    uint8_t initiator;
    uint8_t hail_due;       /* a Hail or a reply is to be sent now */
    uint8_t linger;         /* timer frames left before a closing channel is freed */
    uint8_t visible;        /* the application knows it */
    uint8_t accounted;      /* `account` is set */
    uint16_t remote_lane;
    uint16_t cipher;
    uint16_t generation;
    uint16_t peer_floor, peer_frame_blocks;
    uint32_t cut_bytes;     /* payload of a full frame, in both directions */
    uint32_t peer_id;
    uint8_t peer_key[TETHER_KEY_SIZE];
    struct tether_address address;
    uint64_t peer_max_message;
    uint64_t rate_bps, silence_floor_ns;
    uint64_t sequence;      /* next to use */
    struct tether_keys tx_keys, rx_keys;
    struct tether_replay replay;
    uint64_t stamp_offset;
    uint64_t born;          /* order in which channels were begun */
    uint64_t peer_stamp, peer_stamp_ns; /* newest Timestamp of the peer, modulo 2^48, and when it came */
    uint64_t peer_stamp_sequence;
    struct tether_rtt rtt;
    uint64_t sample_ns;     /* from then on the next frame gives an RTT sample */
    uint64_t reorder_ns;    /* a gap is not asked for before it has stood so long */
    uint64_t reorder_at_ns; /* when that was raised, or halved, last */
    uint64_t receipt_ns;    /* when the last one was spent */
    uint32_t receipts;
    uint32_t flow_count;
    uint32_t unmet;         /* flows of the peer that wait for a grant */
    uint32_t ember_out, ember_in; /* flow slot whose ember is out / in; 0 = none (Flow 0 needs none) */
    uint64_t unanswered_ns;       /* first timer frame since the peer was heard last; 0 = none */
    uint64_t timer_frame_ns;      /* last unfunded timer frame that did not come from the purse */
    struct tether_noise noise;
    struct tether_next next;
    uint8_t resume[TETHER_KEY_SIZE]; /* for when the channel has ended (warm.h) */
    uint32_t peer_early;    /* bytes of early data that the peer takes then */
    uint64_t keyed_ns;      /* the present keys' beginning */
    uint64_t rekey_ns;      /* no rekey before this */
    uint64_t order_base;    /* of the present keys: a frame's order is this + its sequence */
    struct tether_probe probe;
    uint16_t hail_blocks;   /* payload of the last Hail, ours or theirs */
    uint16_t path_blocks;   /* what the path was seen to carry; 0 = not looked */
    uint8_t hail_mac1[TETHER_TAG_SIZE];
    uint8_t cookie[TETHER_COOKIE_SIZE];
    uint64_t cookie_ns;     /* 0 = none */
    uint32_t hail_tries;    /* Hails of this handshake */
    uint64_t hail_ns, expire_ns;
    struct tether_backoff hail_clock;
    uint64_t hails_sent, frames_sent, frames_received;
    uint8_t reply[TETHER_HEADER_BYTES + 320]; /* responder: the reply, until it is sent */
    uint32_t reply_length;
    struct tether_queue queues[TETHER_Q_EVENT];
    struct tether_flow *last; /* that of the last frame received */
    struct tether_flow *control, *spoke; /* its Flow 0; that of the last data frame sent, and its node */
    uint32_t spoke_node;
    uint64_t refused[TETHER_REFUSED_WORDS]; /* the peer's flows that wait for CLOSE(REFUSED), a bit for each id of its parity */
    uint32_t refused_count;
    struct tether_plan peer_windows, peer_rtt_table; /* on our clock, for what we send */
    uint64_t away_ns;       /* out of contact since; 0 = in contact */
    struct tether_ids ids;
    uint16_t peer_lanes;
    uint64_t down_value;
    int32_t down_status;
    uint32_t account;             /* of its peer */
    struct tether_brake brake;
    struct tether_address *peer_addresses; /* [TETHER_PEER_ADDRESSES] of the endpoint's arena */
};

/* What one peer has of us, over all its channels (account.h). */
struct tether_account {
    uint32_t held, reserved, outstanding; /* cells with its data, reserved ones, frames granted and not arrived */
    uint32_t active;                      /* its flows with something outstanding */
    uint32_t lenders;                     /* of them, those of whose share others have a part */
    uint32_t round;                       /* of the scheduler, in which one of its flows was seen waiting */
    uint64_t rate_bps;                    /* its link, while it is active */
};

enum { TETHER_HOLD_LEAST_NS = 1000000 };

/* Holds above this many ns are too inexact for an RTT sample: 100 ppm of it reach an eighth of the least RTT. */
static inline uint64_t tether_hold_max(const struct tether_channel *ch, uint64_t held_ns)
{
    if (held_ns <= TETHER_HOLD_LEAST_NS)
        return TETHER_HOLD_LEAST_NS;
    uint64_t rtt = ch->rtt.min_ns != UINT64_MAX ? ch->rtt.min_ns : ch->rtt.declared_ns;
    uint64_t most = rtt > (UINT64_C(1) << 46) / 1250 ? UINT64_C(1) << 46 : rtt * 1250;
    return most < TETHER_HOLD_LEAST_NS ? TETHER_HOLD_LEAST_NS : most;
}

static inline uint64_t tether_stamp(const struct tether_channel *ch, uint64_t now_ns)
{
    return (now_ns + ch->stamp_offset) & TETHER_MASK48;
}

#endif
