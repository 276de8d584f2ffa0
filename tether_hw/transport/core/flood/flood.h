/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood.h: a live engine over UDP on loopback, a peer that it knows, and somebody who sends it everything else: frames
 * recorded from real channels (one that has ended, one that stands), replayed, changed, cut and forged, and Lamps that
 * know its public key. All of it follows from a seed.
 */
#ifndef TETHER_FLOOD_H
#define TETHER_FLOOD_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../include/tether.h"

enum {
    FLOOD_FRAME = 2048,      /* the largest that is sent */
    FLOOD_RECORDED = 4096,   /* frames kept of the recorded channels */
    FLOOD_STRANGERS = 64,    /* whole Hails of an identity that nobody knows */
    FLOOD_SOURCES = 250,     /* most source addresses */
    FLOOD_BATCH = 64,        /* frames of one send */
    FLOOD_ROUNDS = 32,       /* most rounds of a measurement */
};

struct flood_frame {
    uint32_t length;
    uint8_t bytes[FLOOD_FRAME];
};

/* What was overheard. */
struct flood_recording {
    struct flood_frame frames[FLOOD_RECORDED];
    uint32_t count;
    struct flood_frame hails[4];
    uint32_t hail_count;
    struct flood_frame strangers[FLOOD_STRANGERS];
    uint32_t standing;       /* index of the channel that still stands, as the victim chose it */
    uint64_t sequence;       /* above all that its peer has used */
    uint8_t mac1_key[32];    /* made of the victim's public key */
};

enum flood_kind {
    FLOOD_REPLAY,         /* a recorded frame, as it was */
    FLOOD_MUTATED,        /* some bytes of it changed */
    FLOOD_TRUNCATED,      /* its beginning */
    FLOOD_EXTENDED,       /* and more behind it */
    FLOOD_FORGED,         /* a plausible header for the standing channel, with a tag that is none */
    FLOOD_RANDOM,         /* noise */
    FLOOD_OLD_HAIL,       /* a recorded Hail, as it was: mac1 and Noise are good, the counter is not */
    FLOOD_CHANGED_HAIL,   /* changed, with a good mac1 */
    FLOOD_INVENTED_HAIL,  /* good mac1 around noise */
    FLOOD_STRANGER,       /* a whole Hail of an unknown identity */
    FLOOD_KINDS
};
const char *flood_kind_name(enum flood_kind kind);
/* One of them: one in ten frames is a Lamp, since each may cost its receiver a key agreement. */
enum flood_kind flood_kind_of(uint64_t *random);

/* xorshift64*: seeded, so that a run can be repeated */
static inline uint64_t flood_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* flood_frames.c: the next frame of that kind. */
void flood_make(const struct flood_recording *recording, enum flood_kind kind, uint64_t *random,
                struct flood_frame *frame);

/* flood_record.c: speak with the victim as a peer that it knows, twice; 0 or -1 with words on stderr. */
struct flood_recorder {
    int fd;
    uint8_t secret[32];
    tether_endpoint *endpoint;
    uint64_t bytes_received; /* after the recording: there should be none */
};
int flood_record(struct flood_recorder *recorder, const struct tether_address *victim,
                 const uint8_t victim_public[32], struct flood_recording *recording);
void flood_recorder_drain(struct flood_recorder *recorder);
void flood_recorder_close(struct flood_recorder *recorder);

/* flood_nodes.c: the victim, which sends back every message and reads every byte, and its legitimate peer. */
struct flood_node {
    tether_engine *engine;
    uint8_t secret[32], public_key[32];
    struct tether_address address;
    uint32_t ring_frames;    /* that its socket holds */
    char counter[128];
    pthread_t thread;
    bool threaded;
    _Atomic bool stopping;
    _Atomic uint64_t bytes_read;
    uint64_t channel;        /* handle of the channel to the legitimate peer */
};
struct flood_options {
    uint64_t frames, seed;
    uint32_t lamp_per_s, sources, rate; /* rate: frames a second, 0 = as fast as the victim takes them */
    uint32_t rounds;
    double seconds;
    bool bench;
    const char *trace;       /* both nodes write what they do to TRACE.victim and TRACE.peer */
};
int flood_nodes_open(struct flood_node *victim, struct flood_node *peer, const struct flood_options *options,
                     const uint8_t recorder_public[32]);
int flood_nodes_connect(struct flood_node *victim, struct flood_node *peer);
void flood_nodes_close(struct flood_node *victim, struct flood_node *peer);
/* One message to the victim and back, over a flow that stays open: ns that it took, or 0 when it did not come. */
uint64_t flood_ping(struct flood_node *peer, int64_t timeout_ns);
struct tether_stats flood_stats(struct flood_node *node, struct tether_carrier_stats *carrier);

/* flood_send.c: the sender. */
struct flood_sender {
    const struct flood_recording *recording;
    struct flood_node *victim, *peer;
    struct flood_options options;
    bool lamps_only;
    _Atomic bool stopping;
    uint64_t sent, sent_bytes, replies, reply_bytes, by_kind[FLOOD_KINDS];
    double seconds, cpu_seconds;
    int sockets[FLOOD_SOURCES];
    int failed;
};
int flood_send_open(struct flood_sender *sender);
/* From now on to this address; 0 or -1. */
int flood_send_aim(struct flood_sender *sender, const struct tether_address *to);
/* Sends until `options.frames` are out (0 = until `stopping`); the signature of a thread. */
void *flood_send(void *sender);
void flood_send_close(struct flood_sender *sender);

/* flood.c: what must hold; says on stderr when it does not. */
void flood_promise(bool kept, const char *what, uint64_t found, uint64_t most);
int flood_broken(void);

/* flood_bench.c: measures, prints, and returns the exit code. */
int flood_bench(struct flood_node *victim, struct flood_node *peer, struct flood_sender *sender);

#endif
