/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h: the state of one flow, both directions, and the queues that a flow can stand in. */
#ifndef TETHER_FLOW_H
#define TETHER_FLOW_H

#include "busy.h"
#include "cells.h"
#include "clock.h"
#include "ledger.h"
#include "pace.h"
#include "repair.h"

enum { TETHER_HOLES = 8 }; /* of an unordered flow that wait to be read; more are told as a sum only */

/* FIFO of flow nodes, linked through tether_flow.link[which]. */
struct tether_queue {
    uint32_t head, tail;
};

enum tether_queue_name {
    TETHER_Q_DATA,    /* channel: data and perhaps credit */
    TETHER_Q_NEWS,    /* channel: the peer should hear of grant, gap or arrival */
    TETHER_Q_REPAIR,  /* channel: cells that a NACK asked for */
    TETHER_Q_CONTROL, /* channel: tags to compose */
    TETHER_Q_TIMED,   /* channel: a clock runs */
    TETHER_Q_RECEIPT, /* channel: news that may not wait for a clock, and no receipt to tell it by */
    TETHER_Q_EVENT,   /* endpoint */
    TETHER_Q_GRANT,   /* endpoint: demand above grant */
    TETHER_Q_WRITE,   /* endpoint: the application waits for send cells */
    TETHER_Q_WORK,    /* endpoint: channels (by their Flow 0) that may have a frame to send */
    TETHER_Q_COUNT
};

enum tether_news {
    TETHER_NEWS_ACK = 1,     /* arrival or gap to tell */
    TETHER_NEWS_GRANT = 2,   /* grant raised and not told */
    TETHER_NEWS_ANSWER = 4,  /* the peer asked by BLOCKED */
    TETHER_NEWS_DEMAND = 8,  /* demand that no frame has told, and no credit to tell it by data */
    TETHER_NEWS_REFRESH = 16,/* receiver's clock */
    TETHER_NEWS_BLOCKED = 32,/* sender's clock */
    TETHER_NEWS_GAP = 64     /* a gap may be asked for now */
};

enum tether_control {
    TETHER_CONTROL_DEFINE = 1,
    TETHER_CONTROL_SKIP = 2,
    TETHER_CONTROL_END = 4,    /* CLOSE, reason END */
    TETHER_CONTROL_CLOSE = 8,  /* CLOSE, reason CLOSED */
    TETHER_CONTROL_MANIFEST = 16, /* on Flow 0's node */
    TETHER_CONTROL_BYE = 32,
    TETHER_CONTROL_WARM = 64, /* on Flow 0's node */
    TETHER_CONTROL_WINDOWS = 128,
    TETHER_CONTROL_TABLE = 256
};

struct tether_flow_tx {
    struct tether_ledger ledger;
    uint64_t tail_slot;     /* slot after the last queued cell */
    uint64_t declared;      /* demand up to here may be told: whole messages */
    uint64_t next_end;      /* message flows: end of the first message behind `declared`, 0 = not looked up */
    uint64_t told;          /* highest demand that a frame has told */
    uint64_t mile_end;      /* slot behind the group (milestone.c) of the newest sent cell */
    uint64_t bound_slots;   /* slots of the largest message */
    uint64_t unacked_bytes;
    uint64_t written, begun, receipted, dropped; /* messages, by their ordinal */
    uint64_t unsent_bytes;
    uint64_t heard_grant, heard_receipt; /* words of a header that say nothing new when they come again (steady.h) */
    uint64_t skip_first, skip_end, skip_ns; /* the Skip that waits, and when the last one was told */
    uint32_t head, tail;    /* all cells in slot order: sent ones, then unsent ones */
    uint32_t unsent;        /* first unsent cell */
    uint32_t declared_cell; /* first cell behind `declared`, NIL = not known */
    uint32_t repair_head, repair_tail;
    uint32_t wanted_cells;  /* the application waits for so many */
    uint32_t cells;
    uint32_t floor;         /* slots that a frame to the peer uses at least */
    struct tether_pacer pacer;
    struct tether_busy busy;
    struct tether_backoff clock;
};

struct tether_hole {
    uint64_t first, end;    /* slots */
};

struct tether_flow_rx {
    uint64_t contig;        /* everything below has arrived or was skipped */
    uint64_t high;          /* highest slot end seen */
    uint64_t granted;       /* told or about to be told */
    uint64_t steady_to;     /* the same while what comes next is no news (tether_rx_steady), or less */
    uint64_t told;          /* highest grant that a frame carried */
    uint64_t whole;         /* message flows: grantable, whole messages are reserved up to here */
    uint64_t reserved_to;   /* cells are reserved up to here (>= granted) */
    uint64_t demand, upper; /* declared demand: rounded down, and what it may be at most */
    uint64_t arrived;       /* slots arrived or skipped, in any order */
    uint64_t delivered;     /* slots handed to the application */
    uint64_t final;         /* by CLOSE; UINT64_MAX = open */
    uint64_t end;           /* unordered byte flow: slot behind its END frame; UINT64_MAX = not seen */
    uint64_t skipped;       /* slots that will not come */
    uint64_t read_bytes;    /* byte flow: read so far */
    struct tether_hole holes[TETHER_HOLES]; /* unordered: skipped and not told yet */
    uint64_t bound_slots;
    uint64_t newest_sequence; /* of the frame that gave `upper` */
    uint64_t regrant_at;    /* grant again when outstanding frames fall to this */
    uint64_t untold_ns;     /* arrival of the first frame not told */
    uint64_t message_bytes; /* of the message being assembled */
    uint64_t readable_bytes, readable_messages;
    struct tether_gaps gaps;
    uint32_t head, tail;    /* in order: readable */
    uint32_t ahead, ahead_tail; /* behind the first gap */
    uint32_t message_cell;  /* first cell of the message being assembled; NIL = none */
    uint32_t message_prev;  /* cell before it */
    uint32_t fragments;     /* unordered messages: first cell of the first fragment */
    uint32_t hole_count;
    uint32_t untold;        /* frames arrived and not told */
    uint32_t tell_after;    /* a plain receipt after so many of them */
    uint32_t held;          /* cells with data of this flow */
    uint32_t reserved;      /* cells reserved: (reserved_to - arrived) / floor */
    uint32_t outstanding;   /* frames granted and not arrived */
    uint32_t floor;         /* slots of one frame to us */
    uint64_t fed_ns;        /* when the last of them came, or the first of them was granted */
    uint64_t share_bps, stated_bps; /* of the link; and what of it was told */
    uint32_t pace_epoch;    /* of the endpoint when the share was computed */
    uint16_t pace;          /* as stated; 0 = not yet */
    struct tether_lend lend;
    struct tether_backoff clock;
};

struct tether_flow {
    union {
        struct {
            uint8_t kind;
            uint8_t reliability, order;
            uint8_t used;
            uint8_t gone;   /* closed at both ends: no frame belongs to it, only unread data keeps it */
            uint8_t mute;   /* closed here: arriving data is dropped */
            uint8_t news;
            uint8_t unheard; /* what its last frame said about our direction was not all there is to say of it */
        };
        uint64_t nature;    /* all of them at once (steady.h) */
    };
    uint16_t id;
    uint8_t scale;
    uint8_t flags;          /* TETHER_FLOW_* of the public header */
    uint16_t control;
    uint8_t refresh_round;
    uint8_t close_sent;     /* our CLOSE has been composed */
    uint8_t close_acked;
    uint8_t remote_gone;    /* the peer's CLOSE(CLOSED) was processed */
    uint8_t remote_end;     /* the peer's CLOSE(END): `final` is the end of its bytes, not a cut */
    uint8_t write_ended;
    uint8_t drained_told;
    uint8_t ember_out;      /* the channel's ember is on this flow (tx) */
    uint8_t ember_in;       /* (rx) */
    uint16_t queued;        /* bits: member of queue */
    uint16_t events;        /* bits: 1 << kind */
    uint64_t ember_end;     /* slot behind our ember */
    uint64_t close_at;      /* Flow 0 slot behind our CLOSE */
    uint64_t closed_ns;     /* when the later of both CLOSEs was made or read */
    uint32_t close_reason;
    int32_t close_status;
    uint32_t channel;       /* slot */
    uint64_t budget_bps;    /* admitted: part of our link that is kept for it */
    uint32_t paced;         /* place + 1 in the heap of those who wait for their time; 0 = none */
    uint64_t unknown_first, unknown_count, unsent_count; /* of the event MESSAGE_UNKNOWN */
    uint64_t bound, budget, latency_ns, deadline_ns;
    uint32_t cut_bytes;     /* payload of a full frame, in both directions */
    uint32_t link[TETHER_Q_COUNT];
    struct tether_flow_tx tx;
    struct tether_flow_rx rx;
};

#endif
