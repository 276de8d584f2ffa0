/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core on RFC 0001's test vectors: the same cases that the Python reference passes.
 *
 * test_vectors [FILE.txt ...]   without arguments all of tests/protocol/vectors, looked for from here upwards.
 * The kind of a file is its base name. One line per case: `ok NAME CASE` or `FAIL NAME CASE`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#include "../src/endpoint.h"
#include "../src/mac1.h"

enum { KEYS_MAX = 48, VALUE_MAX = 1 << 14, BYTES_MAX = 1 << 13 };

struct record {
    char *key[KEYS_MAX];
    char *value[KEYS_MAX];
    int count;
};

static const char *file_name;
static const char *case_name;

static void missing(const char *key)
{
    fprintf(stderr, "%s: %s: no %s\n", file_name, case_name, key);
    exit(2);
}

static const char *text_or(const struct record *record, const char *key, const char *otherwise)
{
    for (int i = 0; i < record->count; i++)
        if (strcmp(record->key[i], key) == 0)
            return record->value[i];
    if (otherwise == NULL)
        missing(key);
    return otherwise;
}

static const char *text(const struct record *record, const char *key)
{
    return text_or(record, key, NULL);
}

static uint64_t number(const struct record *record, const char *key)
{
    char *end;
    const char *value = text(record, key);
    uint64_t result;
    errno = 0;
    result = strtoull(value, &end, 10);
    if (errno || end == value || *end)
        missing(key);
    return result;
}

static size_t bytes(const struct record *record, const char *key, uint8_t *out)
{
    const char *hex = text(record, key);
    size_t length = strlen(hex) / 2;
    if (strcmp(hex, "-") == 0)
        return 0;
    if (length > BYTES_MAX || strlen(hex) % 2)
        missing(key);
    for (size_t i = 0; i < length; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

/* Space-separated integers. */
static size_t list(const struct record *record, const char *key, uint64_t *out, size_t capacity)
{
    char *at = (char *)(uintptr_t)text(record, key), *end;
    size_t count = 0;
    if (strcmp(at, "-") == 0)
        return 0;
    for (; *at && count < capacity; at = end + (*end == ' '))
        out[count++] = strtoull(at, &end, 10);
    if (*at)
        missing(key);
    return count;
}

/* ---------------------------------------------------------------------------------------------- codecs */

static void on_header(const struct record *record)
{
    uint8_t wire[BYTES_MAX], again[64], tag[BYTES_MAX];
    struct tether_header header;
    CHECK(bytes(record, "frame", wire) == 64 && bytes(record, "tag", tag) == 16);
    tether_wire_decode(&header, wire);
    CHECK(header.version == number(record, "version"));
    CHECK(header.flags == number(record, "flags"));
    CHECK(header.length == number(record, "length"));
    CHECK(header.channel == number(record, "channel"));
    CHECK(header.sequence == number(record, "sequence"));
    CHECK(header.want == number(record, "want"));
    CHECK(header.flow == number(record, "flow"));
    CHECK(header.grant_amount == number(record, "GrantAmount"));
    CHECK(header.slot == number(record, "slot"));
    CHECK(header.nack_slot == number(record, "NackSlot"));
    CHECK(header.nack_count == number(record, "NackCount"));
    CHECK(header.pace == number(record, "pace"));
    CHECK(header.timestamp_ns == number(record, "Timestamp"));
    CHECK(header.echo_ns == number(record, "echo"));
    CHECK(memcmp(header.tag, tag, 16) == 0);
    tether_wire_encode(&header, again);
    CHECK(memcmp(again, wire, 64) == 0);
}

static void on_float16(const struct record *record)
{
    uint64_t value = number(record, "value");
    uint16_t wire = (uint16_t)number(record, "wire");
    if (strcmp(text(record, "op"), "encode") == 0)
        CHECK(tether_float16(value) == wire);
    else
        CHECK(tether_unfloat16(wire) == value);
}

static void on_serial(const struct record *record)
{
    const char *op = text(record, "op");
    uint64_t wire = number(record, "wire"), reference = number(record, "reference");
    uint64_t result = number(record, "result"), found;
    int valid = number(record, "valid") != 0;
    if (strcmp(op, "slot") == 0) {
        found = tether_expand32(reference, (uint32_t)wire);
        CHECK(valid ? found == result : found > reference && found - reference > UINT64_C(1) << 31);
    } else if (strcmp(op, "nack") == 0) {
        found = tether_expand32_below(reference, (uint32_t)wire);
        if (valid)
            CHECK(found == result);
        else /* what a caller must refuse shows: above what was sent, or too old */
            CHECK(found > reference || number(record, "acknowledged") - found >= UINT64_C(1) << 31);
    } else {
        int64_t raise = tether_distance48(wire, reference);
        CHECK(reference + (uint64_t)(raise > 0 ? raise : 0) == result);
    }
}

static void on_replay(const struct record *record)
{
    static uint64_t sequences[1024], accepted[1024];
    size_t count = list(record, "sequences", sequences, 1024);
    struct tether_replay replay = {.window = (uint32_t)number(record, "window")};
    CHECK(list(record, "accepted", accepted, 1024) == count && count > 0);
    replay.bits = calloc(TETHER_REPLAY_WORDS(replay.window), sizeof *replay.bits);
    tether_replay_reset(&replay);
    for (size_t i = 0; i < count; i++) {
        int fresh = tether_replay_fresh(&replay, sequences[i]);
        CHECK((uint64_t)fresh == accepted[i]);
        if (fresh)
            tether_replay_mark(&replay, sequences[i]);
    }
    free(replay.bits);
}

/* ------------------------------------------------------------------------------------------------ tags */

static void on_lanes(const struct record *record, const struct tether_tag_manifest *manifest)
{
    struct tether_tag_cursor cursor = {manifest->lane_bytes, manifest->lane_length};
    struct tether_address address;
    uint8_t expected[BYTES_MAX];
    uint16_t lane, index = 0;
    char key[32];
    while (tether_tag_lane(&cursor, &lane, &address) > 0) {
        snprintf(key, sizeof key, "lane%u", index);
        CHECK(lane == number(record, key));
        snprintf(key, sizeof key, "kind%u", index);
        CHECK(address.kind == number(record, key));
        snprintf(key, sizeof key, "address%u", index);
        CHECK(bytes(record, key, expected) == address.length && memcmp(expected, address.bytes, address.length) == 0);
        index++;
    }
    CHECK(index == number(record, "lanes"));
}

static void on_tag(const struct record *record, const struct tether_tag *tag)
{
    CHECK(tag->type == number(record, "type"));
    switch (tag->type) {
    case TETHER_TAG_HAIL:
        CHECK(tag->hail.counter == number(record, "counter"));
        CHECK(tag->hail.lane == number(record, "lane"));
        CHECK(tag->hail.target_lane == number(record, "target_lane"));
        CHECK(tag->hail.ciphers == number(record, "ciphers"));
        CHECK(tag->hail.status == number(record, "status"));
        break;
    case TETHER_TAG_DEFINE:
        CHECK(tag->define.flow == number(record, "flow"));
        CHECK(tag->define.kind == number(record, "kind"));
        CHECK(tag->define.reliability == number(record, "reliability"));
        CHECK(tag->define.order == number(record, "order"));
        CHECK(tag->define.scale == number(record, "scale"));
        CHECK(tag->define.bound == number(record, "bound"));
        CHECK(tag->define.latency_ns == number(record, "latency_ns"));
        CHECK(tag->define.budget == number(record, "budget"));
        CHECK(tag->define.deadline_ns == number(record, "deadline_ns"));
        break;
    case TETHER_TAG_MANIFEST:
        CHECK(tag->manifest.floor == number(record, "floor"));
        CHECK(tag->manifest.frame_blocks == number(record, "frame_blocks"));
        CHECK(tag->manifest.pool_slots == number(record, "pool_slots"));
        CHECK(tag->manifest.ring_frames == number(record, "ring_frames"));
        CHECK(tag->manifest.ember_frames == number(record, "ember_frames"));
        CHECK(tag->manifest.max_message == number(record, "max_message"));
        CHECK(tag->manifest.rtt_ns == number(record, "rtt_ns"));
        CHECK(tag->manifest.rate_bps == number(record, "rate_bps"));
        CHECK(tag->manifest.silence_ns == number(record, "silence_ns"));
        on_lanes(record, &tag->manifest);
        break;
    case TETHER_TAG_SKIP:
        CHECK(tag->skip.flow == number(record, "flow"));
        CHECK(tag->skip.first == number(record, "first"));
        CHECK(tag->skip.count == number(record, "count"));
        break;
    case TETHER_TAG_CLOSE:
        CHECK(tag->close.flow == number(record, "flow"));
        CHECK(tag->close.reason == number(record, "reason"));
        CHECK(tag->close.final == number(record, "final"));
        break;
    case TETHER_TAG_BYE:
        CHECK(tag->bye_reason == number(record, "reason"));
        break;
    case TETHER_TAG_WARM:
        CHECK(tag->warm_bytes == number(record, "early_bytes"));
        break;
    case TETHER_TAG_WINDOWS:
    case TETHER_TAG_TABLE:
        CHECK(tag->plan.clock_ns == number(record, "clock_ns"));
        CHECK(tag->plan.stamp == number(record, "stamp"));
        CHECK(tag->plan.count == number(record, "pairs"));
        for (uint16_t i = 0; i < tag->plan.count; i++) {
            char name[16];
            snprintf(name, sizeof name, "at%u", i);
            CHECK(tether_get64(tag->plan.pairs + 16 * i) == number(record, name));
            snprintf(name, sizeof name, "value%u", i);
            CHECK(tether_get64(tag->plan.pairs + 16 * i + 8) == number(record, name));
        }
        break;
    case TETHER_TAG_REKEY:
        CHECK(tag->rekey_channel == number(record, "channel"));
        break;
    default:
        CHECK(tag->type == 0);
    }
}

static void on_tags(const struct record *record)
{
    uint8_t payload[BYTES_MAX];
    struct tether_tag_cursor cursor = {payload, bytes(record, "payload", payload)};
    struct tether_tag tag;
    uint64_t count = 0;
    int got, single = strcmp(text_or(record, "type", ""), "") != 0;
    while ((got = tether_tag_next(&cursor, &tag)) > 0) {
        count++;
        if (single)
            on_tag(record, &tag);
    }
    if (strcmp(text(record, "result"), "ok") != 0) {
        CHECK(got == -TETHER_E_TAGS);
        return;
    }
    CHECK(got == 0);
    if (single && number(record, "type") >= TETHER_TAG_IGNORABLE)
        CHECK(count == 0);
    else if (strcmp(case_name, "several") == 0)
        CHECK(count == number(record, "tags") - 1); /* one of them is skipped by the core */
    else
        CHECK(count == number(record, "tags"));
}

/* -------------------------------------------------------------------------------------------- cryptography */

static void on_mac1(const struct record *record)
{
    uint8_t public_key[BYTES_MAX], expected[BYTES_MAX], frame[BYTES_MAX], tag[16], key[32];
    size_t length = bytes(record, "frame", frame);
    int valid = number(record, "valid") != 0;
    CHECK(bytes(record, "public", public_key) == 32 && bytes(record, "key", expected) == 32 && length >= 64);
    CHECK(tether_mac1_key(public_key, key) == 0 && memcmp(key, expected, 32) == 0);
    CHECK(tether_mac1(key, frame, frame + 64, length - 64, tag) == 0);
    CHECK((memcmp(tag, frame + 48, 16) == 0) == valid);
    CHECK(tether_mac1_check(key, frame, frame + 64, length - 64, frame + 48) == (valid ? 0 : -EBADMSG));
}

static void on_warm(const struct record *record)
{
    static uint8_t resume[BYTES_MAX], salt[BYTES_MAX], message[BYTES_MAX], expected[BYTES_MAX], frame[BYTES_MAX],
        plain[BYTES_MAX], forth[BYTES_MAX], back[BYTES_MAX];
    const struct tether_part parts[] = {{"tether/1 resume", 15}, {back, 32}};
    struct tether_aead aead = {0};
    struct tether_header header;
    uint8_t key[32];
    uint64_t counter = number(record, "counter");
    int initiator = number(record, "initiator") != 0, result;
    size_t said, length;
    bytes(record, "forth", forth);
    bytes(record, "back", back);
    bytes(record, "salt", salt);
    bytes(record, "resume", resume);
    CHECK(tether_blake2s_keyed(forth, parts, 2, key, 32) == 0 && memcmp(key, resume, 32) == 0);
    bytes(record, "answer_key", expected);
    CHECK(tether_warm_key(resume, 1, !initiator, counter, salt, key) == 0 && memcmp(key, expected, 32) == 0);
    bytes(record, "lamp_key", expected);
    CHECK(tether_warm_key(resume, 0, initiator, counter, salt, key) == 0 && memcmp(key, expected, 32) == 0);
    length = bytes(record, "frame", frame);
    said = bytes(record, "message", message);
    tether_wire_decode(&header, frame);
    CHECK(header.sequence == counter && header.length == 24 + said && header.grant_amount == 2);
    CHECK(tether_warm_key(resume, 0, initiator, counter, frame + 64, key) == 0);
    CHECK(tether_aead_open(&aead) == 0 && tether_aead_key(&aead, TETHER_CIPHER_CHACHA20_POLY1305, key, 0) == 0);
    result = tether_aead_unseal(&aead, counter, frame, frame + 80, length - 80, plain, frame + 48);
    CHECK(result == (number(record, "valid") ? 0 : -EBADMSG));
    if (result == 0)
        CHECK(tether_get64(plain) == counter && memcmp(plain + 8, message, said) == 0);
    tether_aead_close(&aead);
}

static void on_cookie(const struct record *record)
{
    static uint8_t secret[BYTES_MAX], responder[BYTES_MAX], expected[BYTES_MAX], hail[BYTES_MAX], frame[BYTES_MAX],
        plain[BYTES_MAX], out[TETHER_COOKIE_BYTES], cookie[TETHER_COOKIE_SIZE], address[BYTES_MAX];
    struct tether_jar jar = {.valid = 1};
    struct tether_address from = {.kind = (uint8_t)number(record, "kind")};
    size_t length = bytes(record, "signed", hail);
    from.length = (uint8_t)bytes(record, "address", address);
    memcpy(from.bytes, address, from.length);
    CHECK(bytes(record, "secret", secret) == 32 && bytes(record, "responder_public", responder) == 32);
    CHECK(bytes(record, "cookie", expected) == 32 && bytes(record, "frame", frame) == TETHER_COOKIE_BYTES);
    CHECK(bytes(record, "hail", plain) == length);
    memcpy(jar.secret[0], secret, 32);
    CHECK(tether_cookie_of(&jar, 0, &from, cookie) == 0 && memcmp(cookie, expected, 32) == 0);
    CHECK(tether_mac2_check(&jar, &from, hail, hail + 64, length - 64) == (number(record, "valid") != 0));
    CHECK(tether_cookie_write(&jar, &from, responder, plain, out) == TETHER_COOKIE_BYTES);
    CHECK((memcmp(out, frame, sizeof out) == 0) == (number(record, "frame_valid") != 0));
    memset(cookie, 0, sizeof cookie);
    CHECK(tether_cookie_read(frame, responder, plain + 48, cookie) ==
          (number(record, "frame_valid") ? 0 : -TETHER_E_MAC1));
    CHECK((memcmp(cookie, expected, 32) == 0) == (number(record, "frame_valid") != 0));
}

static void on_noise(const struct record *record)
{
    static uint8_t is[BYTES_MAX], ip[BYTES_MAX], rs[BYTES_MAX], rp[BYTES_MAX], ie[BYTES_MAX], re[BYTES_MAX];
    static uint8_t p1[BYTES_MAX], p2[BYTES_MAX], c1[BYTES_MAX], c2[BYTES_MAX], m1[BYTES_MAX], m2[BYTES_MAX];
    static uint8_t h[BYTES_MAX], k1[BYTES_MAX], k2[BYTES_MAX], out[BYTES_MAX];
    struct tether_noise initiator, responder;
    size_t p1_length = bytes(record, "payload1", p1), p2_length = bytes(record, "payload2", p2);
    size_t m1_length = bytes(record, "message1", m1), m2_length = bytes(record, "message2", m2);
    uint8_t a[32], b[32], public_key[32];
    bytes(record, "initiator_secret", is);
    bytes(record, "initiator_public", ip);
    bytes(record, "responder_secret", rs);
    bytes(record, "responder_public", rp);
    bytes(record, "initiator_ephemeral", ie);
    bytes(record, "responder_ephemeral", re);
    CHECK(bytes(record, "context1", c1) == TETHER_NOISE_CONTEXT && bytes(record, "context2", c2) == TETHER_NOISE_CONTEXT);
    CHECK(tether_x25519_public(is, public_key) == 0 && memcmp(public_key, ip, 32) == 0);
    CHECK(tether_noise_initiator(&initiator, is, ip, rp) == 0);
    CHECK(tether_noise_responder(&responder, rs, rp) == 0);
    bytes(record, "start_hash", h);
    CHECK(memcmp(initiator.hash, h, 32) == 0 && memcmp(responder.hash, h, 32) == 0);
    CHECK(tether_noise_write1(&initiator, ie, c1, p1, p1_length, out, sizeof out) == (int)m1_length);
    CHECK(memcmp(out, m1, m1_length) == 0);
    CHECK(tether_noise_read1(&responder, c1, m1, m1_length, out, sizeof out) == (int)p1_length);
    CHECK(memcmp(out, p1, p1_length) == 0 && memcmp(responder.remote_public, ip, 32) == 0);
    bytes(record, "hash1", h);
    CHECK(memcmp(initiator.hash, h, 32) == 0 && memcmp(responder.hash, h, 32) == 0);
    CHECK(tether_noise_write2(&responder, re, c2, p2, p2_length, out, sizeof out) == (int)m2_length);
    CHECK(memcmp(out, m2, m2_length) == 0);
    CHECK(tether_noise_read2(&initiator, c2, m2, m2_length, out, sizeof out) == (int)p2_length);
    CHECK(memcmp(out, p2, p2_length) == 0);
    bytes(record, "hash2", h);
    CHECK(memcmp(initiator.hash, h, 32) == 0 && memcmp(responder.hash, h, 32) == 0);
    bytes(record, "key_initiator_to_responder", k1);
    bytes(record, "key_responder_to_initiator", k2);
    CHECK(tether_noise_split(&initiator, a, b) == 0 && memcmp(a, k1, 32) == 0 && memcmp(b, k2, 32) == 0);
    CHECK(tether_noise_split(&responder, a, b) == 0 && memcmp(a, k1, 32) == 0 && memcmp(b, k2, 32) == 0);
}

static void on_keys(const struct record *record)
{
    uint8_t split[BYTES_MAX], expected[BYTES_MAX];
    uint64_t epoch = number(record, "epoch");
    struct tether_keys keys = {0};
    bytes(record, "split_key", split);
    CHECK(bytes(record, "frame_key", expected) == 32);
    CHECK(tether_keys_open(&keys, TETHER_KEYS_AHEAD_MAX, 0) == 0);
    CHECK(tether_keys_set(&keys, (uint16_t)number(record, "cipher"), split) == 0);
    CHECK(tether_keys_find(&keys, epoch) != NULL);
    CHECK(memcmp(keys.ring[epoch % (keys.ahead + 2)], expected, 32) == 0);
    tether_keys_close(&keys);
}

static void on_frames(const struct record *record)
{
    static uint8_t split[BYTES_MAX], frame[BYTES_MAX], plain[BYTES_MAX], made[BYTES_MAX];
    size_t length = bytes(record, "frame", frame), plain_length = bytes(record, "plain", plain);
    uint64_t sequence = number(record, "sequence");
    uint16_t cipher = (uint16_t)number(record, "cipher");
    struct tether_keys seal = {0}, open = {0};
    uint8_t tag[16];
    bytes(record, "split_key", split);
    CHECK(length == 64 + plain_length);
    CHECK(tether_keys_open(&seal, 4, 1) == 0 && tether_keys_open(&open, 4, 0) == 0);
    CHECK(tether_keys_set(&seal, cipher, split) == 0 && tether_keys_set(&open, cipher, split) == 0);
    CHECK(tether_aead_seal(tether_keys_find(&seal, tether_epoch(sequence)), sequence, frame, plain, plain_length, made,
                           tag) == 0);
    CHECK(memcmp(tag, frame + 48, 16) == 0 && memcmp(made, frame + 64, plain_length) == 0);
    CHECK(tether_aead_unseal(tether_keys_find(&open, tether_epoch(sequence)), sequence, frame, frame + 64, plain_length,
                             made, frame + 48) == 0);
    CHECK(memcmp(made, plain, plain_length) == 0);
    tether_keys_close(&seal);
    tether_keys_close(&open);
}

/* -------------------------------------------------------------------------------------- what must be refused */

static int entropy(void *context, uint8_t *out, size_t length)
{
    uint8_t *next = context;
    for (size_t i = 0; i < length; i++)
        out[i] = (*next)++;
    return 0;
}

static struct tether_endpoint *make_endpoint(uint16_t lane, uint16_t frame_blocks, const uint8_t secret[32])
{
    static uint8_t random;
    static const struct tether_address addresses[2] = {
        {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {0}}, {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {1}}};
    struct tether_endpoint_config config = {.struct_size = sizeof config, .lane = lane, .lanes = 2, .max_channels = 8,
        .max_flows = 4, .rx_cells = 64, .tx_cells = 64, .frame_blocks = frame_blocks, .ring_frames = 64,
        .max_message = 16384, .rtt_ns = 50000, .rate_bps = UINT64_C(1000000000), .replay_window = 8192,
        .entropy = entropy, .context = &random, .lane_addresses = addresses};
    struct tether_endpoint *ep = NULL;
    memcpy(config.static_secret, secret, 32);
    CHECK(tether_endpoint_new(&config, &ep) == 0 && ep != NULL);
    return ep;
}

/* The code that a refusal of this name has; 0 for "ok". */
static int reason_code(const char *name)
{
    if (strcmp(name, "ok") == 0)
        return 0;
    for (uint32_t i = 0; i < tether_reject_count(); i++)
        if (strcmp(tether_reject_name(i), name) == 0)
            return -(TETHER_E_SHORT + (int)i);
    missing(name);
    return 1;
}

/* A receiver that knows one channel. Flow 2 is not open: what passes all checks of a key meets E_FLOW. */
static void on_bad_frames(const struct record *record)
{
    static uint8_t frame[BYTES_MAX], split[BYTES_MAX];
    static const uint8_t secret[32] = {1};
    static const struct tether_address from = {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {7}};
    size_t length = bytes(record, "frame", frame);
    uint32_t index = (uint32_t)number(record, "channel"), slot = index >> 8 & (TETHER_CHANNELS_MAX - 1);
    struct tether_endpoint *ep = make_endpoint((uint16_t)(index & 0xff), (uint16_t)number(record, "frame_blocks"), secret);
    struct tether_tag_manifest manifest;
    struct tether_channel *ch = NULL;
    struct tether_replay before;
    uint64_t seen[8];
    size_t count = list(record, "seen", seen, 8);
    int expected = reason_code(text(record, "reason")), got;
    bytes(record, "split_key", split);
    for (uint32_t i = 0; i <= slot; i++) {
        ch = tether_channel_take(ep, 1);
        ch->state = TETHER_CHANNEL_UP;
    }
    ch->index = ch->wire = index;
    tether_rtt_init(&ch->rtt, 50000);
    tether_manifest_of(ep, &manifest);
    CHECK(tether_channel_ready(ep, ch, 1, &manifest) == 0);
    CHECK(tether_keys_set(&ch->rx_keys, (uint16_t)number(record, "cipher"), split) == 0);
    CHECK(ch->rx_keys.ahead == number(record, "epochs_ahead") && ch->replay.window == number(record, "window"));
    for (uint64_t epoch = 0; epoch <= number(record, "newest_epoch"); epoch++)
        CHECK(tether_keys_advance(&ch->rx_keys, epoch) == 0);
    for (size_t i = 0; i < count; i++)
        tether_replay_mark(&ch->replay, seen[i]);
    before = ch->replay;
    got = tether_endpoint_receive(ep, 1000, &from, frame, length);
    CHECK(got == expected || (expected == 0 && got == -TETHER_E_FLOW));
    if (got != expected && expected)
        fprintf(stderr, "%s: %d, expected %d\n", case_name, got, expected);
    if (expected && expected != -TETHER_E_PADDING)
        CHECK(ch->replay.newest == before.newest && ch->frames_received == 0 && ch->receipts == 0);
    tether_endpoint_free(ep);
}

static void on_bad_hails(const struct record *record)
{
    static uint8_t frame[BYTES_MAX], secret[BYTES_MAX], initiator[BYTES_MAX];
    static const struct tether_address from = {.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {7}};
    size_t length = bytes(record, "frame", frame);
    struct tether_peer peer = {.id = 1, .key_count = 1, .hail = from, .rtt_ns = 50000, .name = "initiator"};
    struct tether_endpoint *ep;
    uint8_t out[2048];
    struct tether_address to;
    int expected = reason_code(text(record, "reason")), got;
    bytes(record, "responder_secret", secret);
    CHECK(bytes(record, "initiator_public", initiator) == 32);
    memcpy(peer.keys[0], initiator, 32);
    ep = make_endpoint(0, 22, secret);
    CHECK(tether_endpoint_roster(ep, 1, &peer, 1) == 0);
    got = tether_endpoint_receive(ep, 1000, &from, frame, length);
    CHECK(got == expected);
    if (got != expected)
        fprintf(stderr, "%s: %d, expected %d\n", case_name, got, expected);
    got = tether_endpoint_transmit(ep, 2000, out, sizeof out, &to);
    if (expected) {
        CHECK(got == 0); /* silence */
    } else {
        CHECK(got > 0 && (size_t)got <= length);
        CHECK(tether_get32(out + TETHER_AT_CHANNEL) == number(record, "sender_index"));
        printf("reply %s ", case_name); /* the other implementation reads it */
        for (int i = 0; i < got; i++)
            printf("%02x", out[i]);
        printf("\n");
    }
    tether_endpoint_free(ep);
}

/* ------------------------------------------------------------------------------------------------ runner */

static const struct {
    const char *name;
    void (*run)(const struct record *);
} groups[] = {
    {"header", on_header}, {"float16", on_float16}, {"serial", on_serial}, {"replay", on_replay},
    {"tags", on_tags},     {"mac1", on_mac1},       {"cookie", on_cookie}, {"warm", on_warm}, {"noise", on_noise},   {"keys", on_keys},
    {"frames", on_frames}, {"bad_frames", on_bad_frames}, {"bad_hails", on_bad_hails},
};
enum { GROUPS = sizeof groups / sizeof groups[0] };

static int run_file(const char *path)
{
    static char line[VALUE_MAX], storage[KEYS_MAX][VALUE_MAX];
    struct record record = {.count = 0};
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    void (*run)(const struct record *) = NULL;
    unsigned long cases = 0;
    FILE *file = fopen(path, "r");
    for (int i = 0; i < GROUPS; i++)
        if (strncmp(base, groups[i].name, strlen(groups[i].name)) == 0 && strcmp(base + strlen(groups[i].name), ".txt") == 0) {
            file_name = groups[i].name;
            run = groups[i].run;
        }
    if (file == NULL || run == NULL) {
        fprintf(stderr, "%s: %s\n", path, file == NULL ? strerror(errno) : "no group of this name");
        return 2;
    }
    for (int more = 1; more;) {
        char *equals;
        more = fgets(line, sizeof line, file) != NULL;
        if (more && line[0] == '#')
            continue;
        line[more ? strcspn(line, "\n") : 0] = 0;
        if (more && line[0]) {
            equals = strstr(line, " = ");
            if (equals == NULL || record.count == KEYS_MAX) {
                fprintf(stderr, "%s: bad line: %.60s\n", path, line);
                return 2;
            }
            *equals = 0;
            strcpy(storage[record.count], line);
            record.key[record.count] = storage[record.count];
            record.value[record.count] = storage[record.count] + strlen(line) + 1;
            strcpy(record.value[record.count], equals + 3);
            record.count++;
        } else if (record.count) {
            unsigned long before = harness_failures;
            case_name = text(&record, "case");
            run(&record);
            printf("%s %s %s\n", harness_failures == before ? "ok" : "FAIL", file_name, case_name);
            record.count = 0;
            cases++;
        }
    }
    fclose(file);
    CHECK(cases > 0);
    return 0;
}

/* The folder of the vectors, from the working directory upwards: a build folder lies inside the checkout. */
static const char *vectors_folder(void)
{
    static char path[256];
    for (int up = 0; up < 8; up++) {
        size_t at = 0;
        FILE *file;
        for (int i = 0; i < up; i++)
            at += (size_t)snprintf(path + at, sizeof path - at, "../");
        snprintf(path + at, sizeof path - at, "tests/protocol/vectors/header.txt");
        file = fopen(path, "r");
        if (file != NULL) {
            fclose(file);
            *strrchr(path, '/') = 0;
            return path;
        }
    }
    fprintf(stderr, "no tests/protocol/vectors here or above\n");
    exit(2);
}

int main(int argc, char **argv)
{
    char path[512];
    int bad = 0, files = 0;
    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '/') != NULL) {
            bad |= run_file(argv[i]);
            files++;
        }
    if (files == 0)
        run_arguments(argc, argv);
    for (int i = 0; files == 0 && i < GROUPS; i++)
        if (run_wanted(groups[i].name)) {
            snprintf(path, sizeof path, "%s/%s.txt", vectors_folder(), groups[i].name);
            bad |= run_file(path);
        }
    run_done += files;
    return HARNESS_RESULT() || bad;
}
