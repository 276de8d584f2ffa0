/* SPDX-License-Identifier: Apache-2.0 */
/* What a flood of Lamps costs, and who still gets through: buckets, cookie and mac2, half-open channels. */
#include <errno.h>

#define PAIR_FLIGHT 4096
#include "../src/lamp.h"
#include "../src/mac1.h"
#include "pair.h"

static struct pair p;
static uint64_t rng = 9;

/* A Hail for end[1] with the key of `secret`: its length. */
static size_t hail_of(const uint8_t *secret, uint64_t counter, uint16_t lane, uint32_t index, const uint8_t *cookie,
                      uint8_t *frame)
{
    struct tether_noise noise;
    struct tether_tag_hail tag = {.counter = counter, .lane = lane, .ciphers = 3};
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_LAMP_TAGS_MAX], ephemeral[32], public_key[32], key[32];
    uint8_t *payload = frame + 64;
    size_t said = tether_lamp_put(p.end[0], tags, &tag, 0);
    int length = tether_lamp_frame(frame, 0, counter, 5, 1, index, TETHER_HAIL_LENGTH, context, 256);
    for (int i = 0; i < 32; i++)
        ephemeral[i] = (uint8_t)(test_random(&rng) >> 32);
    CHECK_EQ(tether_public_key(secret, public_key), 0);
    CHECK_EQ(tether_noise_initiator(&noise, secret, public_key, p.public_key[1]), 0);
    CHECK(tether_noise_write1(&noise, ephemeral, context, tags, said, payload + 4, 252) > 0);
    if (cookie)
        CHECK_EQ(tether_mac2(cookie, frame, payload, 256, payload + 240), 0);
    CHECK_EQ(tether_mac1_key(p.public_key[1], key), 0);
    CHECK_EQ(tether_mac1(key, frame, payload, 256, frame + 48), 0);
    return (size_t)length;
}

/* A Lamp that costs its sender next to nothing: noise with a good mac1. */
static size_t junk(uint8_t *frame)
{
    static uint8_t key[32];
    struct tether_header header = {.version = 1, .flags = TETHER_FLAG_LAMP, .length = 180, .grant_amount = 5};
    memset(frame, 0, 320);
    for (int i = 64; i < 64 + 180; i++)
        frame[i] = (uint8_t)(test_random(&rng) >> 32);
    tether_wire_encode(&header, frame);
    CHECK_EQ(tether_mac1_key(p.public_key[1], key), 0);
    CHECK_EQ(tether_mac1(key, frame, frame + 64, 256, frame + 48), 0);
    return 320;
}

static struct tether_address source(uint32_t number)
{
    struct tether_address from = {.kind = TETHER_ADDRESS_UDP4, .length = 6};
    memcpy(from.bytes, &number, 4);
    from.bytes[4] = (uint8_t)(test_random(&rng) >> 32);
    return from;
}

static int give(const struct tether_address *from, const uint8_t *frame, size_t length)
{
    uint8_t copy[2048];
    memcpy(copy, frame, length);
    return tether_endpoint_receive(p.end[1], p.now_ns, from, copy, length);
}

/* All that end[1] sends now: bytes. */
static size_t said(size_t *frames)
{
    struct tether_address to;
    uint8_t frame[PAIR_FRAME];
    size_t bytes = 0;
    int length;
    while ((length = tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof frame, &to)) > 0) {
        bytes += (size_t)length;
        *frames += 1;
    }
    return bytes;
}

/* One source: its own bucket is empty long before the lane's, whatever port it uses; another one still gets in. */
static void one_source(void)
{
    uint8_t frame[512];
    uint32_t agreed = 0, flood = 0;
    struct tether_address other = source(2);
    PROVES("T-FLD-2", "T-LMP-4");
    pair_open(&p, 1);
    pair_start(&p);
    for (int i = 0; i < 200; i++) {
        struct tether_address from = source(1);
        int got = give(&from, frame, junk(frame));
        agreed += got == -TETHER_E_AUTH;
        flood += got == -TETHER_E_FLOOD;
    }
    CHECK_EQ(agreed, p.end[1]->config.lamp_source_per_s / 4 + 8);
    CHECK_EQ(agreed + flood, 200);
    CHECK_EQ(give(&other, frame, junk(frame)), -TETHER_E_AUTH);
    p.now_ns += 100000000; /* 10 of its tokens later */
    agreed = 0;
    for (int i = 0; i < 100; i++) {
        struct tether_address from = source(1);
        agreed += give(&from, frame, junk(frame)) == -TETHER_E_AUTH;
    }
    CHECK_EQ(agreed, p.end[1]->config.lamp_source_per_s / 10);
    pair_close(&p);
}

/* Many names bring no new tokens: a place of the table never lets through more than its four sources may. */
static void many_names(void)
{
    struct tether_sources sources;
    uint32_t passed = 0;
    PROVES("T-FLD-3");
    memset(&sources, 0, sizeof sources);
    CHECK_EQ(tether_sources_open(&sources, 33, 100), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        struct tether_address from = source(i);
        passed += (uint32_t)tether_sources_pay(&sources, &from, 0, 1000);
    }
    CHECK_EQ(passed, 33 * TETHER_SOURCE_PLACES * TETHER_SOURCE_WAYS);
    for (uint32_t i = 0; i < 1000; i++) {
        struct tether_address from = source(i);
        CHECK_EQ(tether_sources_pay(&sources, &from, 0, 1000), 0);
    }
    passed = 0; /* a second later every entry has its hundred, at most its burst */
    for (uint32_t i = 0; i < 100000; i++) {
        struct tether_address from = source(i);
        passed += (uint32_t)tether_sources_pay(&sources, &from, 0, 1000001000);
    }
    CHECK_EQ(passed, 33 * TETHER_SOURCE_PLACES * TETHER_SOURCE_WAYS);
    tether_sources_close(&sources);
}

/*
 * A flood of forged sources at ten times the lane's rate for two seconds: key agreements and answers stay within
 * their buckets, nothing grows, no answer is larger than its Lamp, and a peer that hails meanwhile comes up.
 */
static void forged_flood(void)
{
    uint8_t frame[512];
    uint32_t agreed = 0, flood = 0;
    size_t in = 0, out = 0, frames = 0;
    uint32_t channel;
    PROVES("T-FLD-1", "T-FLD-4", "T-FLD-5", "T-LMP-3", "T-LMP-10", "T-CKE-5");
    pair_open(&p, 2);
    p.config[1].lamp_per_s = 1000;
    p.config[1].agreement_per_s = 50;
    pair_start(&p);
    for (int i = 0; i < 20000; i++) {
        struct tether_address from = source((uint32_t)i + 100);
        int got = give(&from, frame, junk(frame));
        agreed += got == -TETHER_E_AUTH;
        flood += got == -TETHER_E_FLOOD;
        in += 320;
        out += said(&frames);
        CHECK(out <= in);
        p.now_ns += 100000;
    }
    CHECK_EQ(agreed + flood, 20000);
    CHECK(agreed <= 50 / 2 + 16 + 100); /* burst and two seconds; half of it even, as the other half is kept for proven ones */
    CHECK(frames >= 1000 && frames <= 1000 / 16 + 64 + 2000); /* cookies: the lane's bucket pays */
    CHECK_EQ(frames, pair_stats(&p, 1).cookies_sent);
    CHECK_EQ(p.end[1]->channel_high, 0);
    /* a legitimate peer, while it goes on */
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
    for (int i = 0; i < 600000 && !pair_both_up(&p, NULL); i++) {
        struct tether_address from = source(test_random(&rng) & 0xffffff);
        (void)give(&from, frame, junk(frame));
        pair_run(&p, 20000 + test_random(&rng) % 160000);
    }
    CHECK(pair_both_up(&p, NULL));
    CHECK(channel == p.channel[0] && tether_channel_find(p.end[0], channel)->cookie_ns != 0);
    pair_close(&p);
}

/*
 * While the lane's bucket is empty no Lamp costs a hash: one whose mac1 is bad is refused as `flood` too. It takes
 * nothing, so who knows no key of ours cannot empty the bucket; what carries mac2 is looked at, for its own bucket.
 */
static void empty_bucket(void)
{
    uint8_t frame[512], bad[512], cookie[32] = {1};
    struct tether_address from = source(1);
    uint32_t flood = 0;
    size_t frames = 0, length;
    PROVES("T-FLD-6");
    pair_open(&p, 4);
    p.config[1].lamp_per_s = 1000;
    pair_start(&p);
    length = junk(frame);
    memcpy(bad, frame, length);
    bad[48] ^= 1;
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(give(&from, bad, 320), -TETHER_E_MAC1);
    for (int i = 0; i < 1000; i++) {
        struct tether_address some = source(1000 + (uint32_t)i);
        int got = give(&some, frame, junk(frame));
        flood += got == -TETHER_E_FLOOD;
    }
    CHECK(flood >= 1000 - (1000 / 16 + 64));
    CHECK_EQ(p.end[1]->lamps.frames, 0);
    CHECK_EQ(give(&from, bad, 320), -TETHER_E_FLOOD);
    (void)said(&frames);
    CHECK(p.end[1]->jar.valid);
    length = hail_of(p.secret[0], 1, 0, 0x100, cookie, frame);
    frame[48] ^= 1;
    CHECK_EQ(give(&from, frame, length), -TETHER_E_MAC1);
    p.end[1]->proven.frames = 0;
    CHECK_EQ(give(&from, frame, length), -TETHER_E_FLOOD);
    p.now_ns += 1000000; /* one token later a hash is made again */
    CHECK_EQ(give(&from, bad, 320), -TETHER_E_MAC1);
    CHECK_EQ(p.end[1]->lamps.frames, 1);
    pair_close(&p);
}

/* The cookie: bound to its address, good for two lives of the secret, made again only by who has the secret. */
static void cookie_life(void)
{
    uint8_t frame[512], answer[128], cookie[32], mac1[16];
    struct tether_address from = source(7), other = source(8);
    size_t frames = 0, length;
    uint64_t counter = 1;
    struct tether_address to;
    PROVES("T-CKE-1", "T-CKE-2", "T-CKE-3", "T-CKE-4");
    pair_open(&p, 3);
    p.config[1].agreement_per_s = 10;
    pair_start(&p);
    for (int i = 0; i < 20; i++) { /* under load from here on */
        struct tether_address some = source(1000 + (uint32_t)i);
        (void)give(&some, frame, junk(frame));
    }
    (void)said(&frames);
    p.end[1]->agreements.frames = 4;
    length = hail_of(p.secret[0], counter++, 0, 0x100, NULL, frame);
    memcpy(mac1, frame + 48, 16);
    CHECK_EQ(give(&from, frame, length), -TETHER_E_FLOOD);
    CHECK_EQ(tether_endpoint_transmit(p.end[1], p.now_ns, frame, sizeof p, &to), 128);
    memcpy(answer, frame, 128);
    CHECK(tether_same_address(&to, &from));
    CHECK_EQ(tether_cookie_read(answer, p.public_key[1], mac1, cookie), 0);
    mac1[3] ^= 1;
    CHECK_EQ(tether_cookie_read(answer, p.public_key[1], mac1, cookie), -TETHER_E_MAC1);
    /* from the right address it opens the door, from another one it does not */
    length = hail_of(p.secret[0], counter++, 0, 0x100, cookie, frame);
    CHECK_EQ(give(&other, frame, length), -TETHER_E_FLOOD);
    CHECK_EQ(give(&from, frame, length), 0);
    for (int late = 0; late < 3; late++) { /* 110, 220, 330 s after it was made */
        p.now_ns += 110000000000;
        p.end[1]->agreements.frames = 4; /* still under load */
        p.end[1]->agreements.filled_ns = p.end[1]->lamps.filled_ns = p.now_ns;
        length = hail_of(p.secret[0], counter++, 0, 0x100, cookie, frame);
        CHECK_EQ(give(&from, frame, length), late < 2 ? 0 : -TETHER_E_FLOOD);
    }
    pair_close(&p);
}

/* A cookie that nobody asked for, or for another Hail, changes nothing at the initiator. */
static void forged_cookie(void)
{
    struct tether_jar jar = {.valid = 1};
    uint8_t hail[512] = {0}, frame[128];
    struct tether_channel *ch;
    uint32_t channel;
    PROVES("T-CKE-6");
    pair_open(&p, 4);
    pair_start(&p);
    p.wire[1].cut = 1;
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&p, 3000000);
    ch = tether_channel_find(p.end[0], channel);
    tether_put32(hail + 64, ch->wire);
    CHECK_EQ(tether_cookie_write(&jar, &p.address[0], p.public_key[1], hail, frame), 128);
    CHECK_EQ(tether_endpoint_receive(p.end[0], p.now_ns, &p.address[1], frame, 128), -TETHER_E_MAC1);
    CHECK_EQ(ch->cookie_ns, 0);
    memcpy(hail + 48, ch->hail_mac1, 16);
    CHECK_EQ(tether_cookie_write(&jar, &p.address[0], p.public_key[1], hail, frame), 128);
    CHECK_EQ(tether_endpoint_receive(p.end[0], p.now_ns, &p.address[1], frame, 128), 0);
    CHECK(ch->cookie_ns != 0 && ch->hail_due);
    pair_close(&p);
}

/* One peer claims every lane: the last channels are kept for those who have none; what is half-open makes room. */
static void greedy_peer(void)
{
    uint8_t frame[512], third[32] = {77};
    struct tether_address from = source(1), elsewhere = source(2);
    struct tether_peer peers[3];
    uint32_t made = 0;
    uint64_t counter = 1;
    PROVES("T-CNF-3", "T-CNF-6", "T-CNF-7");
    pair_open(&p, 5);
    p.config[1].max_channels = 8;
    pair_start(&p);
    memset(peers, 0, sizeof peers);
    for (uint32_t i = 0; i < 3; i++) {
        peers[i].id = i + 1;
        peers[i].key_count = 1;
        peers[i].hail = p.address[0];
    }
    memcpy(peers[0].keys[0], p.public_key[0], 32);
    CHECK_EQ(tether_public_key(third, peers[1].keys[0]), 0);
    peers[2].keys[0][5] = 9;
    CHECK_EQ(tether_endpoint_roster(p.end[1], p.now_ns, peers, 3), 0);
    for (uint16_t lane = 0; lane < 30; lane++) {
        made += give(&from, frame, hail_of(p.secret[0], counter++, lane, 0x100, NULL, frame)) == 0;
        p.now_ns += 20000000;
    }
    CHECK_EQ(made, 30); /* its own oldest half-open one makes room each time */
    {
        uint32_t own = 0;
        for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
            own += p.end[1]->channels[i].state == TETHER_CHANNEL_UNCONFIRMED;
        CHECK_EQ(own, 6); /* two peers have none, and two are free */
    }
    CHECK_EQ(give(&elsewhere, frame, hail_of(third, counter++, 0, 0x100, NULL, frame)), 0);
    /* confirmed ones make no room: then one more lane of the greedy peer is refused */
    for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
        if (p.end[1]->channels[i].peer_id == 1)
            p.end[1]->channels[i].state = TETHER_CHANNEL_UP;
    CHECK_EQ(give(&from, frame, hail_of(p.secret[0], counter++, 99, 0x100, NULL, frame)), -TETHER_E_CELLS);
    for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
        if (p.end[1]->channels[i].peer_id == 1)
            p.end[1]->channels[i].state = TETHER_CHANNEL_UNCONFIRMED;
    /* all of them fall by themselves, by our own clock, whatever the peer declares */
    for (int i = 0; i < 40; i++) {
        size_t frames = 0;
        (void)said(&frames);
        p.now_ns += 100000000;
    }
    for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
        CHECK_EQ(p.end[1]->channels[i].state, TETHER_CHANNEL_FREE);
    pair_close(&p);
}

/* Channels whose BYE waits for its receipt for hours, because their peer says that it is so far: they make room. */
static void lingering(void)
{
    uint8_t frame[512];
    struct tether_address from = source(1);
    uint64_t counter = 1;
    PROVES("T-CNF-6");
    pair_open(&p, 7);
    pair_start(&p);
    for (uint16_t lane = 0; lane < 4; lane++)
        CHECK_EQ(give(&from, frame, hail_of(p.secret[0], counter++, lane, 0x100, NULL, frame)), 0);
    for (uint32_t i = 0; i < 4; i++) {
        p.end[1]->channels[i].state = TETHER_CHANNEL_UP;
        CHECK_EQ(tether_channel_close(p.end[1], p.now_ns, p.end[1]->channels[i].index), 0);
        CHECK_EQ(p.end[1]->channels[i].state, TETHER_CHANNEL_CLOSING);
        p.end[1]->channels[i].rtt.declared_ns = UINT64_C(1) << 45;
    }
    CHECK_EQ(give(&from, frame, hail_of(p.secret[0], counter++, 9, 0x100, NULL, frame)), 0);
    pair_close(&p);
}

/* A stale Hail, replayed for ever, earns one answer in 100 ms. */
static void stale_answers(void)
{
    uint8_t frame[512];
    struct tether_address from = source(1);
    size_t frames = 0, length;
    PROVES("T-STL-1", "T-CNT-1");
    pair_open(&p, 6);
    p.config[1].lamp_source_per_s = 100000;
    p.config[1].agreement_per_s = 100000;
    pair_start(&p);
    length = hail_of(p.secret[0], 50, 0, 0x100, NULL, frame);
    CHECK_EQ(give(&from, frame, length), 0);
    (void)said(&frames);
    frames = 0;
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(give(&from, frame, length), -TETHER_E_COUNTER);
        (void)said(&frames);
        p.now_ns += 1000000;
    }
    CHECK_EQ(frames, 10);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(one_source);
    RUN(many_names);
    RUN(forged_flood);
    RUN(empty_bucket);
    RUN(cookie_life);
    RUN(forged_cookie);
    RUN(greedy_peer);
    RUN(stale_answers);
    RUN(lingering);
    return run_result();
}
