/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a channel begins, under a peer that has a key and says anything: Hails and replies are built as they should be,
 * then changed before they are sealed, so that what is behind mac1 and Noise is reached; or changed afterwards. Honest
 * frames of both ends go between. No end may answer more, or longer, than it was hailed (I5).
 */
#define PAIR_FLIGHT 64
#include "../src/mac1.h"
#include "../tests/pair.h"

enum { OPS_MAX = 24, HEAD = TETHER_HEADER_BYTES, LAMP_MAX = HEAD + 512, TAGS = TETHER_TAG_HAIL_SIZE + TETHER_TAG_MANIFEST_SIZE };

struct input {
    const uint8_t *at;
    size_t left;
};

static struct {
    struct pair pair;
    uint8_t hail[LAMP_MAX], reply[LAMP_MAX]; /* the newest that an end has sent */
    size_t hail_length, reply_length;
    uint64_t heard[2], heard_bytes[2], said[2], said_bytes[2]; /* Lamps */
    uint64_t counter;
} it;

static uint8_t byte(struct input *in)
{
    uint8_t value = in->left ? *in->at : 0;
    in->at += in->left != 0;
    in->left -= in->left != 0;
    return value;
}

/* Pairs of (where, what) from the input. */
static void change(struct input *in, uint8_t *bytes, size_t length)
{
    for (unsigned n = byte(in) & 7; n && length; n--) {
        size_t at = byte(in) % length;
        bytes[at] ^= byte(in);
    }
}

static void say(int to, uint8_t *frame, size_t length)
{
    struct pair *p = &it.pair;
    if (frame[TETHER_AT_FLAGS] & TETHER_FLAG_LAMP) {
        it.heard[to]++;
        it.heard_bytes[to] += length;
    }
    (void)tether_endpoint_receive(p->end[to], p->now_ns, &p->address[1 - to], frame, length);
}

/* What an end has to say now: kept, counted, and brought to the other when the input says so. */
static void hear(int from, int deliver)
{
    struct pair *p = &it.pair;
    static uint8_t frame[PAIR_FRAME];
    struct tether_address to;
    int length;
    for (int n = 0; n < 16 && (length = tether_endpoint_transmit(p->end[from], p->now_ns, frame, sizeof frame, &to)) > 0; n++) {
        if (frame[TETHER_AT_FLAGS] & TETHER_FLAG_LAMP && (size_t)length <= LAMP_MAX) {
            int reply = tether_get32(frame + TETHER_AT_CHANNEL) != 0;
            memcpy(reply ? it.reply : it.hail, frame, (size_t)length);
            *(reply ? &it.reply_length : &it.hail_length) = (size_t)length;
            if (reply) {
                it.said[from]++;
                it.said_bytes[from] += (uint64_t)length;
                if (it.said[from] > it.heard[from] || it.said_bytes[from] > it.heard_bytes[from])
                    __builtin_trap(); /* I5 */
            }
        }
        if (deliver)
            say(1 - from, frame, (size_t)length);
    }
}

static size_t tags_of(struct input *in, int from, uint8_t *tags, const struct tether_tag_hail *hail)
{
    struct tether_tag_manifest manifest;
    tether_tag_put_hail(tags, hail);
    tether_manifest_of(it.pair.end[from], &manifest);
    (void)tether_tag_put_manifest(tags + TETHER_TAG_HAIL_SIZE, TETHER_TAG_MANIFEST_SIZE, &manifest, NULL, 0);
    change(in, tags, TAGS);
    return TAGS;
}

/* A Lamp of end `from`: header, sender_index, Noise message, padding, mac1, all of it as the input changed it. */
static void lamp(struct input *in, int from, struct tether_noise *noise, struct tether_header *header, uint32_t index,
                 const struct tether_tag_hail *hail, int first)
{
    struct pair *p = &it.pair;
    uint8_t frame[LAMP_MAX] = {0}, context[TETHER_NOISE_CONTEXT], tags[TAGS], ephemeral[32];
    size_t length = HEAD + 256 + (size_t)(byte(in) & 3) * 64, used;
    int written;
    pair_entropy(&p->entropy[from], ephemeral, sizeof ephemeral);
    used = tags_of(in, from, tags, hail);
    header->length = (uint16_t)(4 + used + (first ? TETHER_NOISE_OVERHEAD1 : TETHER_NOISE_OVERHEAD2));
    if (!first)
        length = HEAD + tether_blocks(header->length) * TETHER_BLOCK_BYTES;
    tether_wire_encode(header, frame);
    tether_put32(frame + HEAD, index);
    change(in, frame, TETHER_AAD_SIZE);
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, frame + HEAD, 4);
    written = (first ? tether_noise_write1 : tether_noise_write2)(noise, ephemeral, context, tags, used, frame + HEAD + 4,
                                                                  length - HEAD - 4);
    if (written < 0)
        return;
    if (byte(in) & 1)
        change(in, frame + HEAD, length - HEAD);
    (void)tether_mac1(p->end[1 - from]->mac1_key, frame, frame + HEAD, length - HEAD, frame + TETHER_AT_TAG);
    say(1 - from, frame, length);
}

static void forged_hail(struct input *in)
{
    struct pair *p = &it.pair;
    struct tether_tag_hail hail = {.counter = it.counter, .ciphers = p->end[0]->config.ciphers};
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .grant_amount = 5,
                                   .sequence = it.counter & TETHER_MASK48, .timestamp_ns = 1};
    struct tether_noise noise;
    it.counter += byte(in) & 3; /* the same counter again is a stale one */
    if (tether_noise_initiator(&noise, p->secret[0], p->public_key[0], p->public_key[1]) == 0)
        lamp(in, 0, &noise, &header, 1 + byte(in), &hail, 1);
}

/* A reply to the Hail that end 0 has sent last, as end 1 could write it. */
static void forged_reply(struct input *in)
{
    struct pair *p = &it.pair;
    struct tether_noise noise;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_tag_hail hail = {.counter = it.counter, .ciphers = TETHER_CIPHER_CHACHA20_POLY1305};
    struct tether_header asked, header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .timestamp_ns = 1};
    if (it.hail_length < HEAD + 256)
        return;
    tether_wire_decode(&asked, it.hail);
    header.channel = tether_get32(it.hail + HEAD);
    hail.status = byte(in) & 1;
    memcpy(context, it.hail, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, it.hail + HEAD, 4);
    if (tether_noise_responder(&noise, p->secret[1], p->public_key[1]) == 0 &&
        tether_noise_read1(&noise, context, it.hail + HEAD + 4, asked.length - 4u, tags, sizeof tags) > 0)
        lamp(in, 1, &noise, &header, 1 + byte(in), &hail, 0);
}

/* A frame that was on the wire, again or changed; mac1 set right when the input says so. */
static void again(struct input *in, int to, const uint8_t *lamp_of, size_t length)
{
    uint8_t frame[LAMP_MAX];
    if (length == 0)
        return;
    memcpy(frame, lamp_of, length);
    change(in, frame, length);
    if (byte(in) & 1)
        (void)tether_mac1(it.pair.end[to]->mac1_key, frame, frame + HEAD, length - HEAD, frame + TETHER_AT_TAG);
    length -= byte(in) % 80 % length;
    say(to, frame, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct pair *p = &it.pair;
    uint32_t channel;
    memset(&it, 0, sizeof it);
    pair_open(p, 1);
    for (int i = 0; i < 2; i++) {
        p->config[i].rx_cells = p->config[i].tx_cells = 64;
        p->config[i].max_message = 20000;
        p->config[i].max_channels = 2;
        p->config[i].lamp_source_per_s = size && data[0] & 0x80; /* one a second: then cookies */
        p->config[i].agreement_per_s = size && data[0] & 0x40 ? 4 : 0;
    }
    pair_start(p);
    it.counter = 1u << 20;
    (void)tether_channel_open(p->end[0], p->now_ns, 2, 0, NULL, &channel);
    for (int ops = 0; in.left && ops < OPS_MAX; ops++) {
        uint8_t op = byte(&in);
        switch (op & 7) {
        case 0: forged_hail(&in); break;
        case 1: forged_reply(&in); break;
        case 2: again(&in, 1, it.hail, it.hail_length); break;
        case 3: again(&in, 0, it.reply, it.reply_length); break;
        case 4: p->now_ns += UINT64_C(10000000) << (op >> 4); break;
        case 5: (void)tether_channel_open(p->end[1], p->now_ns, 1, 0, NULL, &channel); break;
        case 6: (void)tether_channel_close(p->end[0], p->now_ns, channel); break;
        default: break;
        }
        hear(0, op >> 3 & 1);
        hear(1, op >> 4 & 1);
        pair_events(p);
        pair_check(p);
    }
    pair_close(p);
    return 0;
}
