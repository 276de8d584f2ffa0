/* SPDX-License-Identifier: Apache-2.0 */
/* Early data in a warm Lamp: once at most, never when unsure, refused without harm, and nothing without a finished channel. */
#include <errno.h>

#define PAIR_FLIGHT 4096
#include "pair.h"

static struct pair p;
static const uint8_t words[] = "what may be said twice";

static void begin(uint64_t seed)
{
    pair_open(&p, seed);
    p.config[0].early_bytes = p.config[1].early_bytes = 1000;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
}

static void finish(int who)
{
    CHECK_EQ(tether_channel_close(p.end[who], p.now_ns, p.channel[who]), 0);
    pair_run(&p, 100000000);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pair_stats(&p, i).channels, 0);
        p.event_count[i] = 0;
    }
}

static int greet(int from)
{
    return tether_early_send(p.end[from], p.now_ns, (uint32_t)(2 - from), 0, words, sizeof words);
}

static void hear(int at)
{
    uint8_t got[1000];
    uint32_t peer = 0;
    CHECK_EQ(pair_seen(&p, at, TETHER_EVENT_EARLY)->value, sizeof words);
    CHECK_EQ(tether_early_read(p.end[at], got, 3, &peer), -EMSGSIZE);
    CHECK_EQ(tether_early_read(p.end[at], got, sizeof got, &peer), sizeof words);
    CHECK_EQ(peer, 2u - (uint32_t)at);
    CHECK(memcmp(got, words, sizeof words) == 0);
    CHECK_EQ(tether_early_read(p.end[at], got, sizeof got, &peer), -EAGAIN);
}

/* Either end may greet, whoever hailed, whoever closed: one frame there, one back, no Hail. */
static void either_way(void)
{
    PROVES("T-WRM-1", "T-WRM-2", "T-WRM-3", "T-WRM-4");
    for (int closer = 0; closer < 2; closer++) {
        begin(1 + (uint64_t)closer);
        CHECK_EQ(greet(0), -ENOENT); /* the channel is up: use it */
        finish(closer);
        for (int from = 0; from < 2; from++) {
            uint64_t sent[2] = {pair_stats(&p, 0).frames_sent, pair_stats(&p, 1).frames_sent};
            uint64_t begun = p.now_ns;
            CHECK_EQ(greet(from), 0);
            CHECK_EQ(greet(from), -EBUSY);
            while (pair_seen(&p, from, TETHER_EVENT_EARLY_DONE) == NULL)
                pair_step(&p, p.now_ns + 1000000);
            CHECK(p.now_ns - begun < 50000); /* one round trip */
            CHECK_EQ(pair_seen(&p, from, TETHER_EVENT_EARLY_DONE)->status, 0);
            for (int i = 0; i < 2; i++)
                CHECK_EQ(pair_stats(&p, i).frames_sent - sent[i], 1);
            hear(1 - from);
            p.event_count[0] = p.event_count[1] = 0;
        }
        pair_close(&p);
    }
}

/* Lamps and answers are lost, doubled and late: each message arrives once, and its sender learns that it did. */
static void once(void)
{
    uint32_t arrived = 0;
    PROVES("T-WRM-6", "T-WRM-7");
    begin(5);
    finish(0);
    for (int i = 0; i < 2; i++) {
        p.wire[i].loss_ppm = 200000;
        p.wire[i].duplicate_ppm = 500000;
    }
    for (int i = 0; i < 100; i++) {
        uint8_t got[1000];
        int32_t status;
        int64_t n;
        p.event_count[0] = p.event_count[1] = 0;
        CHECK_EQ(greet(0), 0);
        pair_run(&p, 200000000);
        status = pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE)->status;
        CHECK(status == 0 || status == -ETIMEDOUT);
        n = tether_early_read(p.end[1], got, sizeof got, NULL);
        CHECK(n == (int64_t)sizeof words || (n == -EAGAIN && status == -ETIMEDOUT));
        arrived += n > 0;
        CHECK_EQ(tether_early_read(p.end[1], got, sizeof got, NULL), -EAGAIN);
    }
    CHECK(arrived > 95);
    CHECK_EQ(pair_stats(&p, 0).early_sent, 100);
    CHECK_EQ(pair_stats(&p, 1).early_received, arrived);
    CHECK(pair_stats(&p, 1).early_repeated > 50);
    CHECK_EQ(pair_stats(&p, 1).early_refused, 0);
    pair_close(&p);
}

struct kept {
    uint8_t frame[PAIR_FRAME];
    size_t length;
};

static int keep(void *context, const uint8_t *frame, size_t length)
{
    struct kept *kept = context;
    if (kept->length == 0 && frame[1] & TETHER_FLAG_LAMP) {
        memcpy(kept->frame, frame, length);
        kept->length = length;
    }
    return 0;
}

/* A Lamp that somebody recorded: within the register it is answered and not delivered, older than it it is refused. */
static void strikes(void)
{
    struct kept kept = {.length = 0};
    struct tether_address to;
    uint8_t frame[PAIR_FRAME];
    PROVES("T-WRM-6");
    begin(6);
    finish(1);
    p.wire[0].filter = keep;
    p.wire[0].context = &kept;
    CHECK_EQ(greet(0), 0);
    pair_run(&p, 1000000);
    hear(1);
    memcpy(frame, kept.frame, kept.length);
    CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, kept.length), 0);
    CHECK_EQ(p.end[1]->greetings.early_count, 0);
    CHECK_EQ(tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof frame, &to), TETHER_WARM_ANSWER);
    CHECK_EQ(pair_stats(&p, 1).early_repeated, 1);
    /* its window moves on: now it cannot know any more */
    CHECK_EQ(tether_endpoint_counter(p.end[0], UINT64_C(3) << 20, UINT64_C(4) << 20), 0);
    p.end[0]->counter_next = UINT64_C(3) << 20;
    CHECK_EQ(greet(0), 0);
    pair_run(&p, 1000000);
    hear(1);
    memcpy(frame, kept.frame, kept.length);
    CHECK_EQ(tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, kept.length), 0);
    CHECK_EQ(p.end[1]->greetings.early_count, 0);
    CHECK_EQ(pair_stats(&p, 1).early_refused, 1);
    CHECK_EQ(pair_stats(&p, 1).early_repeated, 1);
    /* every bit counts */
    for (size_t at = 0; at < kept.length; at++) {
        int refused;
        memcpy(frame, kept.frame, kept.length);
        frame[at] ^= 0x10;
        refused = tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, kept.length);
        CHECK(refused < 0);
        p.now_ns += 20000000;
    }
    CHECK_EQ(p.end[1]->greetings.early_count, 0);
    pair_close(&p);
}

/* The receiver has no room, has restarted, or has dropped the peer; the time is over; nothing was finished. */
static void refused(void)
{
    struct tether_peer none = {.id = 9, .key_count = 1, .hail = {.kind = TETHER_ADDRESS_PIPE, .length = 1}};
    PROVES("T-WRM-3", "T-WRM-5", "T-WRM-8");
    begin(7);
    finish(0);
    for (int i = 0; i < TETHER_EARLY_QUEUE + 1; i++) {
        p.event_count[0] = 0;
        CHECK_EQ(greet(0), 0);
        pair_run(&p, 20000000);
        CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE)->status, i < TETHER_EARLY_QUEUE ? 0 : -ECONNREFUSED);
    }
    {
        uint8_t big[1001] = {0};
        CHECK_EQ(tether_early_send(p.end[0], p.now_ns, 2, 0, big, sizeof big), -EMSGSIZE);
        CHECK_EQ(tether_early_send(p.end[0], p.now_ns, 2, 1, big, 5), -ENOENT);
        p.end[0]->counter_limit = p.end[0]->counter_next; /* nothing durable, nothing sent */
        CHECK_EQ(tether_early_send(p.end[0], p.now_ns, 2, 0, big, 5), -EAGAIN);
        CHECK_EQ(tether_endpoint_counter(p.end[0], p.end[0]->counter_next, p.end[0]->counter_next + 1000), 0);
    }
    none.keys[0][3] = 1;
    CHECK_EQ(tether_endpoint_roster(p.end[1], p.now_ns, &none, 1), 0);
    p.event_count[0] = 0;
    CHECK_EQ(greet(0), 0);
    pair_run(&p, 300000000);
    CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE)->status, -ETIMEDOUT); /* silence: not known */
    CHECK(pair_stats(&p, 1).rejects[TETHER_E_STRANGER - TETHER_E_SHORT] > 0);
    p.now_ns += TETHER_WARM_LIFE_NS;
    CHECK_EQ(greet(0), -ENOENT);
    pair_close(&p);
    /* who takes none says nothing of it, and nobody greets it */
    pair_open(&p, 8);
    p.config[0].early_bytes = 1000;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
    finish(0);
    CHECK_EQ(greet(0), -ENOENT);
    pair_close(&p);
}

/* Outside its own windows an end sends neither a Lamp nor an answer; both go when contact is back. */
static void out_of_contact(void)
{
    struct tether_window later = {.length_ns = 1000000000};
    uint64_t sent[2];
    PROVES("T-WIN-1");
    for (int who = 0; who < 2; who++) { /* whose windows they are */
        begin(9 + (uint64_t)who);
        finish(0);
        later.start_ns = p.now_ns + 10000000;
        CHECK_EQ(tether_endpoint_windows(p.end[who], p.now_ns, &later, 1), 0);
        for (int i = 0; i < 2; i++)
            sent[i] = pair_stats(&p, i).frames_sent;
        CHECK_EQ(greet(0), 0);
        pair_run(&p, 9000000);
        CHECK_EQ(pair_stats(&p, who).frames_sent, sent[who]);
        CHECK(pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE) == NULL);
        pair_run(&p, 50000000);
        CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE)->status, 0);
        hear(1);
        CHECK_EQ(pair_stats(&p, 1).early_received, 1);
        pair_close(&p);
    }
    begin(11); /* no window ever: it waits, until others are declared */
    finish(0);
    later.start_ns = 0;
    later.length_ns = 1;
    CHECK_EQ(tether_endpoint_windows(p.end[0], p.now_ns, &later, 1), 0);
    sent[0] = pair_stats(&p, 0).frames_sent;
    CHECK_EQ(greet(0), 0);
    pair_run(&p, 1000000000);
    CHECK_EQ(pair_stats(&p, 0).frames_sent, sent[0]);
    CHECK_EQ(tether_endpoint_windows(p.end[0], p.now_ns, NULL, 0), 0);
    pair_run(&p, 50000000);
    CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_EARLY_DONE)->status, 0);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(either_way);
    RUN(once);
    RUN(strikes);
    RUN(refused);
    RUN(out_of_contact);
    return run_result();
}
