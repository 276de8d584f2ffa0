/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a channel begins, under a peer that has a key and says anything: Hails and replies are built as they should be,
 * then changed before they are sealed, so that what is behind mac1 and Noise is reached; or changed afterwards. So are
 * Hails for new keys, cookies and what is signed with them, warm Lamps and their answers. Honest frames of both ends go
 * between. No end may answer more, or longer, than it was hailed (I5).
 */
#define PAIR_FLIGHT 64
#include "../src/lamp.h"
#include "../src/mac1.h"
#include "../tests/pair.h"

enum { OPS_MAX = 24, HEAD = TETHER_HEADER_BYTES, LAMP_MAX = PAIR_FRAME, EARLY = 200 };

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
    struct tether_aead sealing; /* warm Lamps */
    struct tether_jar jar;      /* of nobody */
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
            /* What funds no answer is one: replies, cookies, what is said to a warm Lamp. */
            struct tether_header header;
            int reply;
            tether_wire_decode(&header, frame);
            reply = header.channel != 0 && header.grant_amount == 0;
            if (header.channel != 0 && !reply)
                goto said; /* a warm Lamp */
            memcpy(reply ? it.reply : it.hail, frame, (size_t)length);
            *(reply ? &it.reply_length : &it.hail_length) = (size_t)length;
            if (reply) {
                it.said[from]++;
                it.said_bytes[from] += (uint64_t)length;
                if (it.said[from] > it.heard[from] || it.said_bytes[from] > it.heard_bytes[from])
                    __builtin_trap(); /* I5 */
            }
        }
said:
        if (deliver)
            say(1 - from, frame, (size_t)length);
    }
}

static size_t tags_of(struct input *in, int from, uint8_t *tags, const struct tether_tag_hail *hail, uint32_t rekey)
{
    size_t size = tether_lamp_put(it.pair.end[from], tags, hail, rekey);
    change(in, tags, size);
    return size;
}

/* mac2 of a Hail to end `to`, by a cookie of its own or by one of nobody, when the input says so. */
static void sign(struct input *in, int to, uint8_t *frame, size_t length)
{
    struct pair *p = &it.pair;
    uint8_t cookie[TETHER_COOKIE_SIZE], how = byte(in) & 3;
    const struct tether_jar *jar = how & 2 ? &it.jar : &p->end[to]->jar;
    if (how == 0 || jar->valid == 0 || length < HEAD + TETHER_HAIL_PAYLOAD_MIN ||
        tether_cookie_of(jar, byte(in) % jar->valid, &p->address[1 - to], cookie))
        return;
    (void)tether_mac2(cookie, frame, frame + HEAD, length - HEAD, frame + length - TETHER_MAC2_SIZE);
}

/* A Lamp of end `from`: header, sender_index, Noise message, padding, mac1, all of it as the input changed it. */
static void lamp(struct input *in, int from, struct tether_noise *noise, struct tether_header *header, uint32_t index,
                 const struct tether_tag_hail *hail, int first, uint32_t rekey)
{
    struct pair *p = &it.pair;
    uint8_t frame[LAMP_MAX] = {0}, context[TETHER_NOISE_CONTEXT], tags[TETHER_LAMP_TAGS_MAX], ephemeral[32];
    size_t length = HEAD + 256 + (size_t)(byte(in) & 3) * 64, used;
    int written;
    pair_entropy(&p->entropy[from], ephemeral, sizeof ephemeral);
    used = tags_of(in, from, tags, hail, rekey);
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
    sign(in, 1 - from, frame, length);
    (void)tether_mac1(p->end[1 - from]->mac1_key, frame, frame + HEAD, length - HEAD, frame + TETHER_AT_TAG);
    say(1 - from, frame, length);
}

static void forged_hail(struct input *in, uint32_t rekey)
{
    struct pair *p = &it.pair;
    struct tether_tag_hail hail = {.counter = it.counter, .ciphers = p->end[0]->config.ciphers};
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .grant_amount = 5,
                                   .sequence = it.counter & TETHER_MASK48, .timestamp_ns = 1};
    struct tether_noise noise;
    it.counter += byte(in) & 3; /* the same counter again is a stale one */
    if (tether_noise_initiator(&noise, p->secret[0], p->public_key[0], p->public_key[1]) == 0)
        lamp(in, 0, &noise, &header, 1 + byte(in), &hail, 1, rekey);
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
    hail.status = byte(in) & 3;
    memcpy(context, it.hail, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, it.hail + HEAD, 4);
    if (tether_noise_responder(&noise, p->secret[1], p->public_key[1]) == 0 &&
        tether_noise_read1(&noise, context, it.hail + HEAD + 4, asked.length - 4u, tags, sizeof tags) > 0)
        lamp(in, 1, &noise, &header, 1 + byte(in), &hail, 0, 0);
}

/* A frame that was on the wire, again or changed; mac1 set right when the input says so. */
static void again(struct input *in, int to, const uint8_t *lamp_of, size_t length)
{
    uint8_t frame[LAMP_MAX];
    if (length == 0)
        return;
    memcpy(frame, lamp_of, length);
    change(in, frame, length);
    if (byte(in) & 1) {
        sign(in, to, frame, length);
        (void)tether_mac1(it.pair.end[to]->mac1_key, frame, frame + HEAD, length - HEAD, frame + TETHER_AT_TAG);
    }
    length -= byte(in) % 80 % length;
    say(to, frame, length);
}

/* New keys for the channel that end 1 has, or for one that it has not. */
static uint32_t rekeyed(struct input *in)
{
    struct tether_channel *ch = tether_channel_find(it.pair.end[1], it.pair.channel[1]);
    return ch != NULL ? ch->wire ^ (uint32_t)(byte(in) & 1) << 20 : 1u << 8;
}

/* What a responder under load says to the newest Hail, with a cookie of nobody: it is taken, and good for nothing. */
static void forged_cookie(struct input *in, int to)
{
    struct pair *p = &it.pair;
    uint8_t frame[TETHER_COOKIE_BYTES];
    if (it.hail_length == 0 || tether_jar_turn(&it.jar, p->now_ns, pair_entropy, &p->entropy[0]) ||
        tether_cookie_write(&it.jar, &p->address[to], p->public_key[1 - to], it.hail, frame) != TETHER_COOKIE_BYTES)
        return;
    change(in, frame, sizeof frame);
    say(to, frame, sizeof frame);
}

/* What end `from` keeps of a channel that has ended; NULL. */
static const struct tether_warm *kept(struct input *in, int from)
{
    const struct tether_endpoint *ep = it.pair.end[from];
    const struct tether_warm *warm = ep->greetings.warm ? &ep->greetings.warm[byte(in) % ep->config.max_channels] : NULL;
    return warm != NULL && warm->wire ? warm : NULL;
}

/* A warm Lamp of end `from` (or an answer to its own), changed before and after it is sealed. */
static void forged_warm(struct input *in, int from, int answer)
{
    const struct tether_warm *warm = kept(in, from);
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP};
    uint8_t frame[HEAD + 256 + 64] = {0}, *payload = frame + HEAD, key[TETHER_KEY_SIZE], salt[TETHER_SALT_SIZE] = {0};
    size_t clear = answer ? 0 : TETHER_SALT_SIZE, size = answer ? 64 : 64 * (1 + (size_t)(byte(in) & 3));
    uint64_t counter = answer ? 0 : it.counter;
    if (warm == NULL)
        return;
    it.counter += byte(in) & 3; /* the same counter again is a strike */
    counter -= !answer && byte(in) & 1 ? byte(in) * 8u : 0;
    if (answer) {
        counter = warm->counter;
        memcpy(salt, warm->frame + HEAD, sizeof salt);
        tether_put32(payload + 8, byte(in) & 1);
    } else {
        salt[0] = byte(in);
        memcpy(payload, salt, sizeof salt);
        header.grant_amount = TETHER_WARM_ANSWER / TETHER_BLOCK_BYTES;
    }
    header.channel = answer ? warm->wire : warm->remote;
    header.sequence = counter & TETHER_MASK48;
    header.length = (uint16_t)(answer ? TETHER_WARM_SAID : size - (byte(in) & 31));
    tether_wire_encode(&header, frame);
    tether_put64(payload + clear, counter);
    for (size_t i = header.length; i < size; i++)
        payload[i] = 0;
    change(in, frame, TETHER_AAD_SIZE);
    change(in, payload + clear, size - clear);
    if (tether_warm_key(warm->resume, answer, answer ? !warm->initiator : warm->initiator, counter, salt, key) ||
        tether_aead_key(&it.sealing, TETHER_CIPHER_CHACHA20_POLY1305, key, 1) ||
        tether_aead_seal(&it.sealing, tether_get64(frame + TETHER_AT_SEQUENCE) & TETHER_MASK48, frame, payload + clear,
                         size - clear, payload + clear, frame + TETHER_AT_TAG))
        return;
    if (byte(in) & 1)
        change(in, frame, HEAD + size);
    say(answer ? from : 1 - from, frame, HEAD + size);
}

static void early(struct input *in, int from)
{
    static const uint8_t data[EARLY + 8];
    uint8_t got[EARLY];
    uint32_t peer;
    size_t length = byte(in);
    (void)tether_early_send(it.pair.end[from], it.pair.now_ns, (uint32_t)(2 - from), 0, data,
                            length < sizeof data ? length : sizeof data);
    while (tether_early_read(it.pair.end[1 - from], got, sizeof got, &peer) > 0)
        continue;
}

static void new_keys(int from)
{
    struct pair *p = &it.pair;
    struct tether_channel *ch = tether_channel_find(p->end[from], p->channel[from]);
    if (ch != NULL && ch->state == TETHER_CHANNEL_UP)
        tether_rekey_begin(p->end[from], ch, p->now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct pair *p = &it.pair;
    uint32_t channel;
    uint8_t config = byte(&in);
    memset(&it, 0, sizeof it);
    pair_open(p, 1);
    if (tether_aead_open(&it.sealing))
        return 0;
    for (int i = 0; i < 2; i++) {
        p->config[i].rx_cells = p->config[i].tx_cells = 64;
        p->config[i].max_message = 20000;
        p->config[i].max_channels = 2;
        p->config[i].lamp_source_per_s = config >> 7; /* one a second: then cookies */
        p->config[i].agreement_per_s = config & 0x40 ? 4 : 0;
        p->config[i].early_bytes = config & 0x20 ? 0 : EARLY;
    }
    pair_start(p);
    it.counter = 1u << 20;
    (void)tether_channel_open(p->end[0], p->now_ns, 2, 0, NULL, &channel);
    for (int ops = 0; in.left && ops < OPS_MAX; ops++) {
        uint8_t op = byte(&in);
        switch (op & 15) {
        case 0: forged_hail(&in, 0); break;
        case 1: forged_reply(&in); break;
        case 2: again(&in, 1, it.hail, it.hail_length); break;
        case 3: again(&in, 0, it.reply, it.reply_length); break;
        case 4: p->now_ns += UINT64_C(10000000) << (op >> 4); break;
        case 5: (void)tether_channel_open(p->end[1], p->now_ns, 1, 0, NULL, &channel); break;
        case 6: (void)tether_channel_close(p->end[0], p->now_ns, p->channel[0] ? p->channel[0] : channel); break;
        case 7: forged_hail(&in, rekeyed(&in)); break;
        case 8: forged_cookie(&in, op >> 6 & 1); break;
        case 9: forged_warm(&in, op >> 6 & 1, 0); break;
        case 10: forged_warm(&in, op >> 6 & 1, 1); break;
        case 11: early(&in, op >> 6 & 1); break;
        case 12: new_keys(op >> 6 & 1); break;
        case 13: (void)tether_channel_open(p->end[0], p->now_ns, 2, 0, NULL, &channel); break;
        default: break;
        }
        for (int turn = 0; turn < 2; turn++) {
            hear(0, op >> 4 & 1);
            hear(1, op >> 5 & 1);
        }
        pair_events(p);
        pair_check(p);
    }
    tether_aead_close(&it.sealing);
    pair_close(p);
    return 0;
}
