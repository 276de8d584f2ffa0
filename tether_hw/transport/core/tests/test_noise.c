/* SPDX-License-Identifier: Apache-2.0 */
/* Noise IK: both ends reach the same keys; every changed byte ends it; a failure leaves the state as it was. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "../src/mac1.h"
#include "../src/noise.h"

struct side {
    uint8_t secret[TETHER_KEY_SIZE];
    uint8_t point[TETHER_KEY_SIZE];
};

static struct side make_side(uint8_t seed)
{
    struct side side;

    memset(side.secret, seed, sizeof side.secret);
    CHECK(tether_x25519_public(side.secret, side.point) == 0);
    return side;
}

static const uint8_t payload1[] = "tags of the hail";
static const uint8_t payload2[] = "tags of the reply";

static void test_both_ends_agree(void)
{
    PROVES("T-NOI-5");
    struct side a = make_side(1), b = make_side(2);
    uint8_t ephemeral_a[32], ephemeral_b[32], context1[TETHER_NOISE_CONTEXT] = {9}, context2[TETHER_NOISE_CONTEXT] = {8};
    uint8_t message[256], payload[TETHER_NOISE_PAYLOAD_MAX], keys[4][TETHER_KEY_SIZE];
    struct tether_noise initiator, responder;
    int length;

    memset(ephemeral_a, 3, sizeof ephemeral_a);
    memset(ephemeral_b, 4, sizeof ephemeral_b);
    CHECK(tether_noise_initiator(&initiator, a.secret, a.point, b.point) == 0);
    CHECK(tether_noise_responder(&responder, b.secret, b.point) == 0);
    length = tether_noise_write1(&initiator, ephemeral_a, context1, payload1, sizeof payload1, message, sizeof message);
    CHECK(length == (int)sizeof payload1 + TETHER_NOISE_OVERHEAD1);
    CHECK(tether_noise_read1(&responder, context1, message, (size_t)length, payload, sizeof payload) ==
          (int)sizeof payload1);
    CHECK(memcmp(payload, payload1, sizeof payload1) == 0);
    CHECK(memcmp(responder.remote_public, a.point, TETHER_KEY_SIZE) == 0);
    length = tether_noise_write2(&responder, ephemeral_b, context2, payload2, sizeof payload2, message, sizeof message);
    CHECK(length == (int)sizeof payload2 + TETHER_NOISE_OVERHEAD2);
    CHECK(tether_noise_read2(&initiator, context2, message, (size_t)length, payload, sizeof payload) ==
          (int)sizeof payload2);
    CHECK(memcmp(payload, payload2, sizeof payload2) == 0);
    CHECK(memcmp(initiator.hash, responder.hash, TETHER_HASH_SIZE) == 0);
    CHECK(tether_noise_split(&initiator, keys[0], keys[1]) == 0);
    CHECK(tether_noise_split(&responder, keys[2], keys[3]) == 0);
    CHECK(memcmp(keys[0], keys[2], TETHER_KEY_SIZE) == 0);
    CHECK(memcmp(keys[1], keys[3], TETHER_KEY_SIZE) == 0);
    CHECK(memcmp(keys[0], keys[1], TETHER_KEY_SIZE) != 0);
}

static void test_every_changed_byte_is_refused(void)
{
    PROVES("T-NOI-2", "T-NOI-4");
    struct side a = make_side(1), b = make_side(2);
    uint8_t ephemeral[32], context[TETHER_NOISE_CONTEXT] = {5}, message[256], payload[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_noise initiator, responder, before;
    int length;

    memset(ephemeral, 6, sizeof ephemeral);
    CHECK(tether_noise_initiator(&initiator, a.secret, a.point, b.point) == 0);
    CHECK(tether_noise_responder(&responder, b.secret, b.point) == 0);
    length = tether_noise_write1(&initiator, ephemeral, context, payload1, sizeof payload1, message, sizeof message);
    CHECK(length > 0);
    before = responder;
    for (int i = 0; i < length; i++) {
        message[i] ^= 0x40;
        CHECK(tether_noise_read1(&responder, context, message, (size_t)length, payload, sizeof payload) < 0);
        message[i] ^= 0x40;
    }
    for (unsigned i = 0; i < sizeof context; i++) {
        context[i] ^= 1;
        CHECK(tether_noise_read1(&responder, context, message, (size_t)length, payload, sizeof payload) == -EBADMSG);
        context[i] ^= 1;
    }
    for (int cut = 0; cut < length; cut++)
        CHECK(tether_noise_read1(&responder, context, message, (size_t)cut, payload, sizeof payload) < 0);
    CHECK(memcmp(&before, &responder, sizeof before) == 0);
    CHECK(tether_noise_read1(&responder, context, message, (size_t)length, payload, sizeof payload1 - 1) == -EMSGSIZE);
    CHECK(tether_noise_read1(&responder, context, message, (size_t)length, payload, sizeof payload) > 0);
}

static void test_another_responder_cannot_read(void)
{
    struct side a = make_side(1), b = make_side(2), c = make_side(3);
    uint8_t ephemeral[32] = {7}, context[TETHER_NOISE_CONTEXT] = {0}, message[256], payload[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_noise initiator, stranger;
    int length;

    CHECK(tether_noise_initiator(&initiator, a.secret, a.point, b.point) == 0);
    CHECK(tether_noise_responder(&stranger, c.secret, c.point) == 0);
    length = tether_noise_write1(&initiator, ephemeral, context, payload1, sizeof payload1, message, sizeof message);
    CHECK(tether_noise_read1(&stranger, context, message, (size_t)length, payload, sizeof payload) == -EBADMSG);
}

static void test_small_order_point_is_refused(void)
{
    PROVES("T-NOI-3");
    struct side b = make_side(2);
    uint8_t zero[96 + 16] = {0}, context[TETHER_NOISE_CONTEXT] = {0}, payload[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_noise responder;

    CHECK(tether_noise_responder(&responder, b.secret, b.point) == 0);
    CHECK(tether_noise_read1(&responder, context, zero, sizeof zero, payload, sizeof payload) == -EBADMSG);
}

static void test_limits(void)
{
    struct side a = make_side(1), b = make_side(2);
    static uint8_t large[TETHER_NOISE_PAYLOAD_MAX + 1], out[1024];
    uint8_t ephemeral[32] = {7}, context[TETHER_NOISE_CONTEXT] = {0};
    struct tether_noise initiator;

    CHECK(tether_noise_initiator(&initiator, a.secret, a.point, b.point) == 0);
    CHECK(tether_noise_write1(&initiator, ephemeral, context, large, sizeof large, out, sizeof out) == -EMSGSIZE);
    CHECK(tether_noise_write1(&initiator, ephemeral, context, large, 100, out, 195) == -EMSGSIZE);
    CHECK(tether_noise_write1(&initiator, ephemeral, context, large, TETHER_NOISE_PAYLOAD_MAX, out, sizeof out) > 0);
}

static void test_mac1(void)
{
    PROVES("T-MAC-1", "T-MAC-2");
    struct side b = make_side(2);
    uint8_t key[TETHER_KEY_SIZE], header[TETHER_AAD_SIZE] = {1}, payload[128] = {2}, tag[TETHER_TAG_SIZE];

    CHECK(tether_mac1_key(b.point, key) == 0);
    CHECK(tether_mac1(key, header, payload, sizeof payload, tag) == 0);
    CHECK(tether_mac1_check(key, header, payload, sizeof payload, tag) == 0);
    payload[127] ^= 1; /* padding is covered as well */
    CHECK(tether_mac1_check(key, header, payload, sizeof payload, tag) == -EBADMSG);
    payload[127] ^= 1;
    header[47] ^= 1;
    CHECK(tether_mac1_check(key, header, payload, sizeof payload, tag) == -EBADMSG);
    header[47] ^= 1;
    CHECK(tether_mac1_check(key, header, payload, sizeof payload - 64, tag) == -EBADMSG);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_both_ends_agree);
    RUN(test_every_changed_byte_is_refused);
    RUN(test_another_responder_cannot_read);
    RUN(test_small_order_point_is_refused);
    RUN(test_limits);
    RUN(test_mac1);
    return HARNESS_RESULT();
}
