/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint.h: the state of one lane's protocol machine, shared by the files that make it up.
 *
 *   endpoint.c   life, configuration, events, statistics          flow.c       flow table (state: flow.h)
 *   receive.c    a frame arrives: checks, dispatch                 flow_calls.c what the application does with a flow
 *   transmit.c   what is sent next, and when                      flow_tx.c    our direction: queue, debit, NACK
 *   news.c       frames without payload                           frame.h, hot.h  what every frame passes
 *   flow_void.c  their direction: Skip, Close, its end             flow_rx.c    their direction: cells, order, delivery
 *   hail.c       our Hails, and what answers them                 grant.c      credit: reservation, shares, window
 *   answer.c     their Hails: floods, counters, crossing          rekey.c      new keys for a channel that is up
 *   control.c    Flow 0: tags out and in                          channel.c    life of a channel
 *   roster.c     who may speak to us                              timer.c      both lost-frame clocks, delayed receipts
 *   flow_acked.c what has arrived                                  account.c    which peer has how much of us
 *   pace.c       how fast: what we state and what we obey          schedule.c   policies: whose turn, and how much
 *   busy.c       credit that its holder cannot use
 *   milestone.c  which sent cell holds a slot                     flow_whole.c what comes in no order
 *   flow_read.c  what the application fetches                      flow_expire.c what is older than its deadline
 *
 * Everything is in a few arrays made by tether_endpoint_new; nodes refer to each other by index.
 */
#ifndef TETHER_ENDPOINT_H
#define TETHER_ENDPOINT_H

#include "buckets.h"
#include "cells.h"
#include "channel.h"
#include "clock.h"
#include "contact.h"
#include "cookie.h"
#include "crypto.h"
#include "flow.h"
#include "keys.h"
#include "ledger.h"
#include "noise.h"
#include "paths.h"
#include "probe.h"
#include "purse.h"
#include "rekey.h"
#include "repair.h"
#include "replay.h"
#include "tags.h"
#include "trace.h"
#include "warm.h"
#include "wire.h"

enum {
    TETHER_SLOT_BITS = 12,          /* of a channel index, above the 8 bits of the lane */
    TETHER_CHANNELS_MAX = 1 << TETHER_SLOT_BITS,
    TETHER_FLOWS_MAX = 4096,
    TETHER_CONTROL_FRAMES = 8,      /* Flow 0's pool, and its send cells, per channel */
    TETHER_RECEIPT_FRAMES = 16,     /* a plain receipt per this many frames or RTT/8 */
    TETHER_RECEIPTS_MAX = 1 << 20,
    TETHER_QUANTUM_MAX = 128,       /* frames come and cells freed after which flows that go short are granted again */
    TETHER_QUANTUM_GAPS = 16,       /* the same while there are gaps: what goes back names them again */
    TETHER_FRAME_OVERHEAD = 64 + 38, /* bytes of a full frame on Ethernet beside its payload */
    TETHER_LINGER_TRIES = 4,
    TETHER_ANSWERS = 64,            /* frames that answer without a channel, until they are sent */
    TETHER_JUMBO_BLOCKS = 139,      /* payload blocks of a frame at MTU 9000 */
    TETHER_UNANSWERED_SILENCES = 16, /* a channel whose timer frames go unanswered that long, and 10 s, is down */
    TETHER_PEER_ADDRESSES = 256
};

#define TETHER_HOARD_NS UINT64_C(10000000000) /* granted credit unused for that long, and 16 silences, may end its channel */

struct tether_peer_entry {
    struct tether_peer peer;
    uint8_t mac1_key[2][TETHER_KEY_SIZE];
    uint64_t last_counter[2][256]; /* newest Hail counter + 1, per key and initiator's lane; 0 = none */
    uint64_t stale_ns[2][256];     /* when it was last told that one was stale */
};

/* An answer without a channel (stale counter, cookie) waits here for the next transmit. */
struct tether_answer {
    uint8_t frame[TETHER_HEADER_BYTES + 320];
    uint32_t length;
    struct tether_address to;
};

struct tether_endpoint {
    struct tether_endpoint_config config;
    uint8_t public_key[TETHER_KEY_SIZE];
    uint8_t mac1_key[TETHER_KEY_SIZE];
    struct tether_address *addresses; /* [config.lanes] */
    struct tether_peer_entry *peers;
    size_t peer_count;
    uint32_t floor;          /* slots of one frame to us = config.frame_blocks */
    uint32_t frame_room;     /* bytes that any frame of ours may need */
    uint32_t flow_nodes;     /* per channel: max_flows + Flow 0 */
    uint32_t channel_high;   /* channels ever used are below */
    uint32_t table_mask;     /* flow id -> flow slot, per channel, open addressing */
    struct tether_channel *channels;
    struct tether_channel *heard;   /* that of the last frame received */
    struct tether_channel *spoke;   /* that of the last data frame sent; its Flow 0 is node `spoke_node` */
    uint32_t spoke_node;
    struct tether_flow *flows;      /* [max_channels * flow_nodes] */
    uint16_t *table;                /* [max_channels * (table_mask + 1)] flow slots, 0 = empty */
    struct tether_id_closed *closed_ids; /* [max_channels * (table_mask + 1)] by id */
    uint64_t *timers;               /* [max_channels] lower bound of the channel's next timer */
    uint64_t *replay_bits;
    struct tether_address *peer_addresses;
    struct tether_cells rx, tx;
    struct tether_gap_pool gap_pool;
    uint32_t *miles;         /* [mile_mask + 1] first milestone of each bucket (milestone.c) */
    uint32_t mile_mask;
    uint32_t fragment_mask;
    uint32_t *fragments;     /* [fragment_mask + 1] ends of fragments of unordered messages (flow_whole.c) */
    struct tether_purse purse;
    struct tether_purse lamps;      /* Lamps with a good mac1, and the cookies that they fund */
    struct tether_purse proven;     /* those with a good mac2 when `lamps` is empty */
    struct tether_purse agreements; /* Hails that cost us a key agreement, and the replies that they fund */
    struct tether_purse replies;    /* replies to our Hails that cost us one */
    struct tether_sources sources;
    struct tether_jar jar;
    struct tether_greetings greetings;
    struct tether_queue queues[TETHER_Q_COUNT]; /* endpoint's own start at TETHER_Q_EVENT */
    uint64_t timer_ns;       /* lower bound over all channels */
    uint64_t now_ns;         /* of the last call that told it */
    struct tether_plan windows, rtt_table; /* our own */
    uint64_t counter_next, counter_limit, counter_stale;
    uint64_t births;
    uint8_t need_counter;    /* event pending */
    uint8_t counter_asked;
    uint8_t grant_dirty;
    uint8_t aligned;
    struct tether_answer answers[TETHER_ANSWERS];
    uint32_t answer_first, answer_count;
    struct tether_noise scratch_noise;
    /* credit of the lane, in cells (frames) */
    struct tether_account *accounts; /* [max_channels] */
    uint64_t link_bps;       /* of the link, this lane's part: what all paces together may be */
    uint64_t active_bps;     /* sum of the rates of peers that have something outstanding */
    uint64_t kept_bps;       /* of it, by admitted budgets */
    uint64_t admitted_bps;   /* sum of all budgets */
    uint64_t stated_bps;     /* sum of what active flows were told */
    uint64_t lent_bps;       /* sum of what active flows cannot use and others may */
    uint32_t active_flows, active_peers; /* with something outstanding */
    uint32_t lenders, lender_peers;      /* of them, those that cannot use their share (busy.h) */
    uint32_t round;          /* of the scheduler */
    uint32_t starved_account, starved_others; /* whose flow went short in the last round; others' too */
    uint32_t pace_epoch;     /* changes whenever a pace may */
    uint32_t *paced;         /* [nodes] heap of flows that wait for their time to send */
    uint32_t paced_count;
    uint32_t rx_spare;       /* cell into which the next frame is opened */
    uint32_t held;           /* cells with data of application flows */
    uint32_t reserved;       /* cells reserved for granted (or whole-message) slots */
    uint32_t embers;         /* channels whose ember is in and not covered by a grant */
    uint32_t outstanding;    /* frames granted and not arrived */
    uint32_t window;         /* the most of them: 3/4 of the ring */
    uint32_t pool_frames;    /* Flow 0's pool: with an ember, a channel's part of the last quarter */
    uint32_t quantum;        /* cells freed and frames arrived that are worth another round of grants */
    int32_t until;           /* of them that are still to come; counted on below 0 */
    uint32_t waiter;         /* flow node that gathers cells for a whole message; NIL */
    uint32_t starved;        /* a flow got less than it asks for in the last round */
    uint32_t tx_used;        /* send cells of application flows */
    struct tether_stats stats;
};

#define TETHER_COUNT(ep, field) ((ep)->stats.field++)
#if defined(TETHER_DEBUG) || defined(__SANITIZE_ADDRESS__)
#define TETHER_VIOLATION(ep) ((ep)->stats.invariant_violations++, __builtin_trap())
#else
#define TETHER_VIOLATION(ep) ((ep)->stats.invariant_violations++)
#endif
/* An invariant that must hold: counted when it does not, and then true, so that the caller refuses the action. */
#if defined(TETHER_BREAK) /* a test's broken core does not notice it */
#define TETHER_BROKEN(ep, condition) ((void)(ep), (void)(condition), 0)
#else
#define TETHER_BROKEN(ep, condition) (__builtin_expect(!(condition), 0) ? (TETHER_VIOLATION(ep), 1) : 0)
#endif

static inline struct tether_channel *tether_channel_of(struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return &ep->channels[flow->channel];
}

static inline uint32_t tether_channel_slot(const struct tether_endpoint *ep, const struct tether_channel *ch)
{
    return (uint32_t)(ch - ep->channels);
}

static inline struct tether_flow *tether_flow_at(const struct tether_endpoint *ep, const struct tether_channel *ch,
                                                 uint32_t slot)
{
    return &ep->flows[tether_channel_slot(ep, ch) * ep->flow_nodes + slot];
}

/* Is the first unsent cell complete? The last one of a byte flow may still grow (T-FLW-3). */
static inline int tether_tx_ready(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return flow->tx.unsent != TETHER_NIL && ep->tx.cells[flow->tx.unsent].marks & TETHER_CELL_SEALED;
}

/* Does the peer know of the flow? Its DEFINE may wait for credit of Flow 0, and nothing about it goes before (T-DEF-5). */
static inline int tether_flow_announced(const struct tether_flow *flow)
{
    return (flow->control & TETHER_CONTROL_DEFINE) == 0;
}

/* The message of a cell that is still queued. */
static inline uint64_t tether_tx_ordinal(const struct tether_flow_tx *tx, const struct tether_cell *c)
{
    return tx->written - (uint32_t)((uint32_t)tx->written - c->ordinal);
}

/* A byte flow of which pieces can be missing or early: each is read with its offset. */
static inline int tether_flow_positioned(const struct tether_flow *flow)
{
    return flow->kind == TETHER_FLOW_BYTES && (flow->order | flow->reliability) != 0;
}

static inline uint32_t tether_flow_node(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return (uint32_t)(flow - ep->flows);
}

static inline uint32_t tether_flow_slot(const struct tether_endpoint *ep, const struct tether_flow *flow)
{
    return tether_flow_node(ep, flow) - flow->channel * ep->flow_nodes;
}

static inline int tether_channel_live(const struct tether_channel *ch)
{
    return ch->state == TETHER_CHANNEL_UP || ch->state == TETHER_CHANNEL_CLOSING;
}

static inline int tether_same_address(const struct tether_address *a, const struct tether_address *b)
{
    return a->kind == b->kind && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* What makes the order of the frame in hand out of its sequence. */
static inline uint64_t tether_order_base(const struct tether_channel *ch)
{
    return __builtin_expect(ch->next.state == TETHER_NEXT_DRAINING && ch->next.heard, 0) ? ch->next.order_base
                                                                                       : ch->order_base;
}

/* queue.c */
void tether_queue_remove(struct tether_endpoint *ep, struct tether_queue *queue, int which, struct tether_flow *flow);
void tether_unqueue_all(struct tether_endpoint *ep, struct tether_flow *flow);

/* channel.c */
struct tether_channel *tether_channel_find(struct tether_endpoint *ep, uint32_t index);
struct tether_channel *tether_channel_take(struct tether_endpoint *ep, uint64_t now_ns);
int tether_channel_ready(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns,
                         const struct tether_tag_manifest *manifest);
struct tether_channel *tether_channel_admit(struct tether_endpoint *ep, uint64_t now_ns, uint32_t peer_id,
                                            uint16_t lane);
uint32_t tether_channel_index(struct tether_endpoint *ep, struct tether_channel *ch);
uint64_t tether_channel_patience(struct tether_endpoint *ep, struct tether_channel *ch);
struct tether_channel *tether_channel_own(struct tether_endpoint *ep, uint64_t now_ns);
struct tether_channel *tether_channel_hailing(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane);
const struct tether_address *tether_channel_known(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane);
void tether_channel_confirmed(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);
void tether_channel_down(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, int32_t status,
                         uint64_t value);
void tether_channel_release(struct tether_endpoint *ep, struct tether_channel *ch);
void tether_channel_reap(struct tether_endpoint *ep, struct tether_channel *ch);
void tether_channel_fail(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t reason);
uint64_t tether_channel_silence(struct tether_endpoint *ep, struct tether_channel *ch);

/* flow.c */
struct tether_flow *tether_flow_lookup(struct tether_endpoint *ep, uint32_t channel, uint16_t id,
                                       struct tether_channel **ch);
uint64_t tether_message_most(const struct tether_endpoint *ep, const struct tether_channel *ch, uint8_t scale);
int tether_flow_check(const struct tether_endpoint *ep, const struct tether_channel *ch,
                      struct tether_flow_options *options);
struct tether_flow *tether_flow_take(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id,
                                     const struct tether_flow_options *options, uint64_t now_ns);
void tether_flow_setup(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       uint64_t now_ns);
void tether_flow_drop(struct tether_endpoint *ep, struct tether_flow *flow); /* its cells and credit */
void tether_flow_release(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_flow_settle(struct tether_endpoint *ep, struct tether_flow *flow); /* free it when both ends are done */

/* flow_tx.c, flow_acked.c */
void tether_tx_kick(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns);
void tether_tx_reverse(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                       const struct tether_header *header, uint64_t now_ns);
int tether_tx_cancel(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns);
void tether_tx_truncate(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_tx_drop(struct tether_endpoint *ep, struct tether_flow *flow);
uint32_t tether_tx_repair_next(struct tether_endpoint *ep, struct tether_flow *flow);
uint32_t tether_tx_cell_slots(const struct tether_flow *flow, uint32_t length);
void tether_tx_append(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell);
uint32_t tether_tx_room(const struct tether_endpoint *ep);
void tether_tx_wake(struct tether_endpoint *ep);
void tether_tx_free(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell);
int tether_tx_arrived(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t upto);
void tether_tx_drained(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_tx_moved(struct tether_endpoint *ep, struct tether_flow *flow);

/* flow_expire.c */
uint64_t tether_tx_expires(const struct tether_endpoint *ep, const struct tether_flow *flow);
uint64_t tether_tx_skip_due(const struct tether_flow *flow);
void tether_tx_tell_skip(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns);
int tether_tx_skip(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t first,
                   uint64_t end, uint64_t now_ns);

/* milestone.c */
uint32_t tether_mile_find(struct tether_endpoint *ep, const struct tether_flow *flow, uint64_t slot, uint64_t end);

/* flow_rx.c */
int tether_rx_data(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                   const struct tether_header *header, uint64_t now_ns);
void tether_rx_header(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                      const struct tether_header *header, uint64_t now_ns);
int tether_rx_void(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t first,
                   uint64_t end, uint64_t now_ns);
int tether_rx_close(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t final,
                    uint64_t now_ns);
void tether_rx_finish(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t final);
void tether_rx_mute(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_rx_free(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell);
void tether_rx_drop(struct tether_endpoint *ep, struct tether_flow *flow);

/* account.c */
uint32_t tether_account_for(struct tether_endpoint *ep, const struct tether_channel *ch);

/* pace.c */
void tether_pace_share(struct tether_endpoint *ep, struct tether_flow *flow, int active);
uint64_t tether_pace_slots(struct tether_endpoint *ep, struct tether_flow *flow);
uint64_t tether_pace_whole(struct tether_endpoint *ep, const struct tether_flow *flow);
uint64_t tether_pace_bps(const struct tether_flow *flow, uint64_t slots_per_s);
uint64_t tether_pace_silence(const struct tether_endpoint *ep, const struct tether_flow *flow);
void tether_brake_sample(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t sample_ns, uint64_t now_ns);
void tether_pace_wait(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_pace_forget(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_pace_run(struct tether_endpoint *ep, uint64_t now_ns);
void tether_pace_hear(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header,
                      uint64_t now_ns);

/* grant.c */
uint32_t tether_grant_free(const struct tether_endpoint *ep);
void tether_grant_run(struct tether_endpoint *ep, uint64_t now_ns);
void tether_grant_release(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_grant_tell(struct tether_endpoint *ep, struct tether_flow *flow);
void tether_ember_clear(struct tether_endpoint *ep, struct tether_flow *flow);

/* control.c */
int tether_control_compose(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns);
int tether_control_check(const uint8_t *payload, size_t length);
void tether_control_read(struct tether_endpoint *ep, struct tether_channel *ch, const uint8_t *payload, size_t length,
                         uint64_t now_ns);
void tether_control_acked(struct tether_endpoint *ep, struct tether_channel *ch);
void tether_manifest_of(const struct tether_endpoint *ep, struct tether_tag_manifest *manifest);
int tether_manifest_take(struct tether_endpoint *ep, struct tether_channel *ch,
                         const struct tether_tag_manifest *manifest);

/* hail.c */
int tether_hail_reply(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns,
                      const struct tether_header *header, const uint8_t *frame, size_t length);
int tether_hail_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame);

/* answer.c */
int tether_hail_receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct tether_header *header, const uint8_t *frame, size_t length);
int tether_answer_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame);

/* contact.c */
/* Is one of our own windows open? If not, *change is set to when the next one opens. */
int tether_contact_own(const struct tether_endpoint *ep, uint64_t now_ns, uint64_t *change);
uint64_t tether_contact_run(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns); /* next change */
void tether_contact_take(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_tag_plan *tag,
                         int windows, uint64_t now_ns);

/* timer.c */
void tether_arm(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t at_ns);
void tether_timers_run(struct tether_endpoint *ep, uint64_t now_ns);

/* news.c */
int tether_news_send(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame);

/* queue.c */
void tether_news(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint8_t news);

/* roster.c */
struct tether_peer_entry *tether_roster_by_key(struct tether_endpoint *ep, const uint8_t key[TETHER_KEY_SIZE],
                                               uint32_t *which);
struct tether_peer_entry *tether_roster_by_id(struct tether_endpoint *ep, uint32_t id);

#include "queue.h"
#include "hot.h"

#endif
