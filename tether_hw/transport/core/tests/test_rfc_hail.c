/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 0001, sections 9 and 10: Hails and replies that the test makes itself, with the keys of the other end, and what
 * their receiver makes of them. Hails go to end[1], replies to end[0].
 */
#include <errno.h>

#include "../src/mac1.h"
#include "liar.h"

struct lamp {
    uint64_t counter, grant, blocks;
    uint16_t lane, target_lane, ciphers, status, length; /* length 0 = the true one */
    uint32_t index;
};

static const struct lamp good = {.counter = 9, .grant = 5, .blocks = 4, .ciphers = 3, .index = 0x100};

static size_t tags_of(const struct lamp *l, int from, uint8_t *tags)
{
    struct tether_tag_hail hail = {.counter = l->counter, .lane = l->lane, .target_lane = l->target_lane,
                                   .ciphers = l->ciphers, .status = l->status};
    struct tether_tag_manifest manifest;
    size_t length = tether_tag_put_hail(tags, &hail);
    tether_manifest_of(p.end[from], &manifest);
    return length + tether_tag_put_manifest(tags + length, 128, &manifest, NULL, 0);
}

/* Header, index and mac1 around a Noise message that `write` makes. */
static size_t frame_of(const struct lamp *l, int from, uint32_t channel, uint64_t sequence, struct tether_noise *noise,
                       uint8_t *frame)
{
    struct tether_header header = {.version = 1, .flags = TETHER_FLAG_LAMP, .channel = channel, .sequence = sequence,
                                   .grant_amount = channel ? 0 : l->grant, .timestamp_ns = 77};
    uint8_t tags[160], ephemeral[32], context[TETHER_NOISE_CONTEXT], key[32], *payload = frame + TETHER_HEADER_BYTES;
    size_t said = tags_of(l, from, tags), bytes = l->blocks * TETHER_BLOCK_BYTES;
    memset(frame, 0, PAIR_FRAME);
    header.length = (uint16_t)(4 + said + (channel ? TETHER_NOISE_OVERHEAD2 : TETHER_NOISE_OVERHEAD1));
    header.length = l->length ? l->length : header.length;
    tether_wire_encode(&header, frame);
    tether_put32(payload, l->index);
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, payload, 4);
    CHECK_EQ(pair_entropy(&p.rng, ephemeral, 32), 0);
    CHECK((channel ? tether_noise_write2(noise, ephemeral, context, tags, said, payload + 4, PAIR_FRAME / 2)
                   : tether_noise_write1(noise, ephemeral, context, tags, said, payload + 4, PAIR_FRAME / 2)) > 0);
    CHECK_EQ(tether_mac1_key(p.public_key[1 - from], key), 0);
    CHECK_EQ(tether_mac1(key, frame, payload, bytes, frame + TETHER_AT_TAG), 0);
    return TETHER_HEADER_BYTES + bytes;
}

static int hail_with(const struct lamp *l)
{
    uint8_t frame[PAIR_FRAME];
    struct tether_noise noise;
    size_t length;
    CHECK_EQ(tether_noise_initiator(&noise, p.secret[0], p.public_key[0], p.public_key[1]), 0);
    length = frame_of(l, 0, 0, l->counter & TETHER_MASK48, &noise, frame);
    return tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], frame, length);
}

/* A reply of end[1]'s node to the Hail that end[0] has sent. */
static int reply_with(const struct lamp *l, const struct record *hail)
{
    uint8_t frame[PAIR_FRAME], context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_noise noise;
    struct tether_header header;
    size_t length;
    tether_wire_decode(&header, hail->frame);
    memcpy(context, hail->frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, hail->frame + TETHER_HEADER_BYTES, 4);
    CHECK_EQ(tether_noise_responder(&noise, p.secret[1], p.public_key[1]), 0);
    CHECK(tether_noise_read1(&noise, context, hail->frame + TETHER_HEADER_BYTES + 4, header.length - 4u, tags,
                             sizeof tags) > 0);
    length = frame_of(l, 1, tether_get32(hail->frame + TETHER_HEADER_BYTES), 0, &noise, frame);
    return tether_endpoint_receive(p.end[0], p.now_ns, &p.address[1], frame, length);
}

static void alone(uint64_t seed)
{
    pair_open(&p, seed);
    pair_start(&p);
}

/* end[0] has hailed and waits; its Hail is in `hail`, and end[1] has not heard it. */
static uint32_t waiting(uint64_t seed, struct record *hail)
{
    uint32_t channel;
    alone(seed);
    *hail = (struct record){.lamps = TETHER_FLAG_LAMP, .keep_back = 1};
    p.wire[0].filter = record;
    p.wire[0].context = hail;
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&p, 100000);
    CHECK(hail->length >= 320);
    return channel;
}

static void funded_replies(void)
{
    PROVES("T-LMP-2", "T-LMP-3");
    for (uint64_t blocks = 4; blocks <= 22; blocks += 9)
        for (uint64_t grant = 0; grant <= blocks + 3; grant++) {
            struct lamp l = good;
            struct heard heard;
            alone(1);
            l.blocks = blocks;
            l.grant = grant;
            if (grant < 4 || grant > blocks + 1) {
                CHECK_EQ(hail_with(&l), -TETHER_E_GRANT);
                CHECK(!hear(&heard));
            } else {
                CHECK_EQ(hail_with(&l), 0);
                CHECK(hear(&heard));
                CHECK(heard.length <= grant * TETHER_BLOCK_BYTES);
                CHECK(heard.length <= (blocks + 1) * TETHER_BLOCK_BYTES);
                CHECK(!hear(&heard));
            }
            pair_close(&p);
        }
}

static void hails_of_others(void)
{
    PROVES("T-IDN-1", "T-HAI-5", "T-HAI-6");
    struct tether_peer nobody = {.id = 7, .key_count = 1};
    struct lamp l = good;
    struct heard heard;
    alone(2);
    l.target_lane = 3;
    CHECK_EQ(hail_with(&l), -TETHER_E_ADDRESS);
    l = good;
    l.status = 1;
    CHECK_EQ(hail_with(&l), -TETHER_E_TAGS);
    l = good;
    l.index = 0;
    CHECK_EQ(hail_with(&l), -TETHER_E_TAGS);
    l = good;
    l.ciphers = 4;
    CHECK_EQ(hail_with(&l), -TETHER_E_STATE);
    CHECK(!hear(&heard));
    nobody.keys[0][0] = 9;
    CHECK_EQ(tether_endpoint_roster(p.end[1], p.now_ns, &nobody, 1), 0);
    l = good;
    l.counter = 20;
    CHECK_EQ(hail_with(&l), -TETHER_E_STRANGER);
    CHECK(!hear(&heard));
    CHECK_EQ(pair_stats(&p, 1).channels, 0);
    pair_close(&p);
}

/* Per key and lane of the initiator the counter only rises, whatever the roster does around it. */
static void counters_rise(void)
{
    PROVES("T-CNT-1", "T-CNT-5", "T-STL-1");
    struct tether_peer same = {.id = 1, .key_count = 1, .hail = {.kind = TETHER_ADDRESS_PIPE, .length = 1}};
    struct lamp l = good;
    alone(3);
    l.counter = 100;
    CHECK_EQ(hail_with(&l), 0);
    CHECK_EQ(hail_with(&l), -TETHER_E_COUNTER);
    l.counter = 99;
    CHECK_EQ(hail_with(&l), -TETHER_E_COUNTER);
    l.lane = 4; /* another lane of the same node counts for itself */
    CHECK_EQ(hail_with(&l), 0);
    memcpy(same.keys[0], p.public_key[0], 32);
    CHECK_EQ(tether_endpoint_roster(p.end[1], p.now_ns, &same, 1), 0);
    CHECK_EQ(hail_with(&l), -TETHER_E_COUNTER);
    l.ciphers = 4; /* refused for another reason, and seen */
    l.counter = 200;
    CHECK_EQ(hail_with(&l), -TETHER_E_STATE);
    l.ciphers = 3;
    CHECK_EQ(hail_with(&l), -TETHER_E_COUNTER);
    l.counter = UINT64_MAX;
    CHECK_EQ(hail_with(&l), -TETHER_E_COUNTER);
    pair_close(&p);
}

/* Answered and never confirmed: silent but for the reply, one for each lane pair, and gone by itself. */
static void half_open(void)
{
    PROVES("T-CNF-2", "T-CNF-3");
    struct lamp l = good;
    struct heard heard;
    uint16_t flow;
    uint32_t used = 0, index;
    alone(4);
    CHECK_EQ(hail_with(&l), 0);
    CHECK(hear(&heard));
    index = tether_get32(heard.bytes + TETHER_HEADER_BYTES);
    CHECK(tether_flow_open(p.end[1], p.now_ns, index, TETHER_FLOW_BYTES, 0, &flow) < 0);
    l.counter++;
    CHECK_EQ(hail_with(&l), 0);
    CHECK(hear(&heard));
    CHECK(tether_channel_find(p.end[1], index) == NULL);
    for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
        used += p.end[1]->channels[i].state != TETHER_CHANNEL_FREE;
    CHECK_EQ(used, 1);
    for (int i = 0; i < 29; i++) {
        p.now_ns += 100000000;
        CHECK(!hear(&heard));
    }
    CHECK(p.end[1]->channels[0].state == TETHER_CHANNEL_UNCONFIRMED || p.end[1]->channels[1].state == TETHER_CHANNEL_UNCONFIRMED);
    p.now_ns += 10 * UINT64_C(100000000);
    CHECK(!hear(&heard));
    for (uint32_t i = 0; i < p.end[1]->channel_high; i++)
        CHECK_EQ(p.end[1]->channels[i].state, TETHER_CHANNEL_FREE);
    pair_close(&p);
}

/* As soon as the reply has come, before any time goes by, the initiator says something under the new keys. */
static void first_word_of_the_initiator(void)
{
    PROVES("T-CNF-1", "T-MAN-2", "T-RPL-3");
    for (uint16_t cipher = 1; cipher <= 2; cipher++) {
        struct record hail;
        struct lamp l = {.index = 0x500, .ciphers = cipher, .blocks = 4, .counter = 1};
        uint8_t frame[PAIR_FRAME];
        struct tether_address to;
        struct tether_header header;
        uint32_t channel = waiting(5, &hail);
        for (int round = 0; round < 8 && tether_channel_find(p.end[0], channel)->state != TETHER_CHANNEL_UP; round++) {
            for (hail.length *= round == 0; hail.length == 0;) /* it may hail again, larger, to see what the path takes */
                pair_run(&p, 50000);
            l.blocks = hail.length / 64 - 1;
            CHECK_EQ(reply_with(&l, &hail), 0);
        }
        CHECK_EQ(tether_channel_find(p.end[0], channel)->state, TETHER_CHANNEL_UP);
        CHECK_EQ(tether_channel_find(p.end[0], channel)->cipher, cipher);
        CHECK(tether_endpoint_transmit(p.end[0], p.now_ns, frame, sizeof frame, &to) > 64);
        tether_wire_decode(&header, frame);
        CHECK(header.channel == 0x500 && header.flow == 0 && header.sequence == 1 && header.length > 0);
        CHECK(!(header.flags & TETHER_FLAG_LAMP));
        pair_close(&p);
    }
}

static void replies_that_lie(void)
{
    PROVES("T-RPL-2", "T-RPL-5");
    static const struct {
        struct lamp lamp;
        int reason;
    } lies[] = {
        {{.index = 0x500, .ciphers = 1, .blocks = 3, .lane = 1}, TETHER_E_TAGS},
        {{.index = 0x500, .ciphers = 1, .blocks = 3, .target_lane = 1}, TETHER_E_TAGS},
        {{.index = 0x500, .ciphers = 3, .blocks = 3}, TETHER_E_TAGS},
        {{.index = 0x500, .ciphers = 0, .blocks = 3}, TETHER_E_TAGS},
        {{.index = 0x500, .ciphers = 2, .blocks = 3}, TETHER_E_TAGS}, /* not offered */
        {{.index = 0, .ciphers = 1, .blocks = 3}, TETHER_E_TAGS},
        {{.index = 0x500, .ciphers = 1, .blocks = 3, .length = 131}, TETHER_E_LENGTH},
        {{.index = 0x500, .ciphers = 1, .blocks = 23}, TETHER_E_LENGTH}, /* larger than its Hail */
    };
    for (uint64_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct record hail;
        struct lamp true_one = {.index = 0x500, .ciphers = 1, .blocks = 3};
        uint32_t channel;
        pair_open(&p, 6);
        p.config[0].ciphers = TETHER_CIPHER_CHACHA20_POLY1305;
        pair_start(&p);
        hail = (struct record){.lamps = TETHER_FLAG_LAMP, .keep_back = 1};
        p.wire[0].filter = record;
        p.wire[0].context = &hail;
        CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
        pair_run(&p, 100000);
        CHECK_EQ(reply_with(&lies[i].lamp, &hail), -lies[i].reason);
        CHECK_EQ(tether_channel_find(p.end[0], channel)->state, TETHER_CHANNEL_HAILING);
        CHECK_EQ(reply_with(&true_one, &hail), 0); /* it still waits, and takes the true one */
        p.wire[0].filter = NULL;
        CHECK_EQ(reply_with(&true_one, &hail), -TETHER_E_STATE);
        pair_close(&p);
    }
}

static void absurd_stale_answer(void)
{
    PROVES("T-STL-4", "T-STL-2");
    struct record hail;
    struct lamp l = {.status = 1, .ciphers = 1, .blocks = 3, .counter = UINT64_C(1) << 63};
    uint64_t next;
    uint32_t channel = waiting(7, &hail);
    next = p.end[0]->counter_next;
    CHECK_EQ(reply_with(&l, &hail), 0);
    CHECK_EQ(p.end[0]->counter_next, next);
    pair_events(&p);
    CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -ESTALE);
    CHECK(tether_channel_find(p.end[0], channel) == NULL || tether_channel_find(p.end[0], channel)->state != TETHER_CHANNEL_HAILING);
    pair_close(&p);
    (void)waiting(8, &hail);
    l.counter = p.end[0]->counter_next + 1000;
    CHECK_EQ(reply_with(&l, &hail), 0);
    CHECK(p.end[0]->counter_next > l.counter);
    pair_close(&p);
}

/* Each try is a new message to the address of its lane; where a peer has two keys, they take turns. */
static void every_try_is_new(void)
{
    PROVES("T-IDN-3", "T-IDN-4", "T-HAI-7", "T-CNT-2");
    static const struct tether_address lane = {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {42}};
    struct tether_peer peer = {.id = 2, .key_count = 2, .hail = {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {1}}};
    uint8_t frames[6][PAIR_FRAME], key[2][32];
    uint64_t counters[6];
    uint32_t channel;
    int count = 0;
    alone(9);
    CHECK_EQ(tether_x25519_public(p.secret[0], peer.keys[0]), 0);
    memcpy(peer.keys[1], p.public_key[1], 32);
    CHECK_EQ(tether_endpoint_roster(p.end[0], p.now_ns, &peer, 1), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(tether_mac1_key(peer.keys[i], key[i]), 0);
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, &lane, &channel), 0);
    while (count < 6) {
        struct tether_address to;
        int length = tether_endpoint_transmit(p.end[0], p.now_ns, frames[count], PAIR_FRAME, &to);
        if (length <= 0) {
            CHECK(tether_endpoint_deadline(p.end[0]) > p.now_ns);
            p.now_ns = tether_endpoint_deadline(p.end[0]);
            continue;
        }
        CHECK(to.bytes[0] == 42);
        CHECK_EQ(tether_mac1_check(key[count & 1], frames[count], frames[count] + 64, (size_t)length - 64,
                                   frames[count] + TETHER_AT_TAG), 0);
        counters[count] = tether_get64(frames[count] + TETHER_AT_SEQUENCE) & TETHER_MASK48;
        CHECK(count == 0 || counters[count] > counters[count - 1]);
        for (int i = 0; i < count; i++)
            CHECK(memcmp(frames[i] + 68, frames[count] + 68, 32) != 0); /* the ephemeral key */
        count++;
    }
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 1, &lane, &channel), 0); /* another lane, another Hail */
    {
        uint64_t before = pair_stats(&p, 0).lamps_sent;
        pair_run(&p, 1000000);
        CHECK(pair_stats(&p, 0).lamps_sent > before);
    }
    pair_close(&p);
}

/* An empty purse: Hails wait for it, and the clocks have one frame per channel and cap. */
static void empty_purse(void)
{
    PROVES("T-PRS-1", "T-PRS-2", "T-PRS-4");
    uint32_t channel;
    uint16_t flow;
    uint64_t before, sent;
    static uint8_t data[1408 * 50];
    pair_open(&p, 10);
    p.config[0].purse_frames = 4;
    p.config[0].purse_per_s = 1;
    pair_start(&p);
    p.wire[0].cut = 1;
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&p, 20000000000);
    CHECK(pair_stats(&p, 0).lamps_sent >= 8); /* 4 frames, and one a second: two each */
    CHECK(pair_stats(&p, 0).lamps_sent <= 12);
    pair_close(&p);
    begin(11);
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 10000000);
    p.end[0]->purse.frames = 0;
    p.end[0]->purse.ns_per_frame = UINT64_MAX;
    p.wire[0].cut = 1;
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, sizeof data, 0), (int64_t)sizeof data);
    pair_run(&p, 1000000000);
    before = pair_stats(&p, 0).blocked_sent;
    pair_run(&p, 5000000000);
    sent = pair_stats(&p, 0).blocked_sent - before; /* cap: 64 ms */
    CHECK(sent >= 30 && sent <= 5000 / 64 + 2);
    p.wire[0].cut = 0;
    pair_run(&p, 1000000000);
    CHECK_EQ(tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, data, sizeof data, NULL), (int64_t)sizeof data);
    pair_close(&p);
}

/* Nothing comes back to timer frames: after 10 s, and not before, the channel is down, and nothing more is sent on it. */
static void nobody_answers(void)
{
    PROVES("T-CLK-7");
    static uint8_t data[1000];
    uint16_t flow;
    uint64_t begun;
    begin(12);
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_BYTES, 0, &flow), 0);
    pair_run(&p, 10000000);
    p.wire[0].cut = p.wire[1].cut = 1;
    CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, sizeof data, TETHER_WRITE_FLUSH), 1000);
    begun = p.now_ns;
    while (tether_channel_find(p.end[0], p.channel[0]) != NULL &&
           tether_channel_find(p.end[0], p.channel[0])->state == TETHER_CHANNEL_UP && p.now_ns < begun + 40000000000)
        pair_step(&p, p.now_ns + 100000000);
    CHECK(p.now_ns - begun >= 10000000000);
    CHECK(p.now_ns - begun < 12000000000);
    CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -ETIMEDOUT);
    begun = pair_stats(&p, 0).frames_sent;
    pair_run(&p, 1000000000);
    CHECK_EQ(pair_stats(&p, 0).frames_sent, begun); /* no BYE */
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(funded_replies);
    RUN(hails_of_others);
    RUN(counters_rise);
    RUN(half_open);
    RUN(first_word_of_the_initiator);
    RUN(replies_that_lie);
    RUN(absurd_stale_answer);
    RUN(every_try_is_new);
    RUN(empty_purse);
    RUN(nobody_answers);
    return run_result();
}
