/* SPDX-License-Identifier: Apache-2.0 */
#include "cookie.h"

#include <errno.h>
#include <string.h>

#include "tags.h"

static const char label[] = "tether/1 cookie";
enum { TAG_BYTES = TETHER_TAG_HEAD + TETHER_COOKIE_SIZE + 4, LABEL_BYTES = sizeof label - 1 };

int tether_jar_turn(struct tether_jar *jar, uint64_t now_ns, tether_entropy *entropy, void *context)
{
    uint64_t age = now_ns > jar->since_ns ? now_ns - jar->since_ns : 0;
    uint8_t fresh[TETHER_KEY_SIZE];
    int follows;
    if (jar->valid && age < TETHER_COOKIE_LIFE_NS)
        return 0;
    if (entropy(context, fresh, sizeof fresh)) {
        jar->valid = 0; /* an old secret is worth nothing any more */
        return -EIO;
    }
    memcpy(jar->secret[1], jar->secret[0], TETHER_KEY_SIZE);
    memcpy(jar->secret[0], fresh, TETHER_KEY_SIZE);
    tether_wipe(fresh, sizeof fresh);
    /* Counted from when its time had come, not from when somebody first needed it: so none lives longer than it may. */
    follows = jar->valid && age < 2 * TETHER_COOKIE_LIFE_NS;
    jar->since_ns = follows ? jar->since_ns + TETHER_COOKIE_LIFE_NS : now_ns;
    jar->valid = follows ? 2 : 1;
    return 0;
}

int tether_cookie_of(const struct tether_jar *jar, int which, const struct tether_address *from,
                     uint8_t cookie[TETHER_COOKIE_SIZE])
{
    const struct tether_part parts[] = {{label, LABEL_BYTES}, {&from->kind, 1}, {&from->length, 1},
                                        {from->bytes, from->length}};
    return tether_blake2s_keyed(jar->secret[which], parts, 4, cookie, TETHER_COOKIE_SIZE);
}

int tether_mac2(const uint8_t cookie[TETHER_COOKIE_SIZE], const uint8_t *header, const uint8_t *payload, size_t length,
                uint8_t mac2[TETHER_MAC2_SIZE])
{
    const struct tether_part parts[] = {{header, TETHER_AAD_SIZE}, {payload, length - TETHER_MAC2_SIZE}};
    return tether_blake2s_keyed(cookie, parts, 2, mac2, TETHER_MAC2_SIZE);
}

int tether_mac2_check(const struct tether_jar *jar, const struct tether_address *from, const uint8_t *header,
                      const uint8_t *payload, size_t length)
{
    uint8_t cookie[TETHER_COOKIE_SIZE], expected[TETHER_MAC2_SIZE];
    for (int which = 0; which < jar->valid; which++)
        if (tether_cookie_of(jar, which, from, cookie) == 0 &&
            tether_mac2(cookie, header, payload, length, expected) == 0 &&
            tether_equal(expected, payload + length - TETHER_MAC2_SIZE, TETHER_MAC2_SIZE))
            return 1;
    return 0;
}

static int tag_of(const uint8_t *frame, const uint8_t public_key[TETHER_KEY_SIZE], const uint8_t mac1[TETHER_TAG_SIZE],
                  uint8_t tag[TETHER_TAG_SIZE])
{
    const struct tether_part who[] = {{label, LABEL_BYTES}, {public_key, TETHER_KEY_SIZE}, {mac1, TETHER_TAG_SIZE}};
    const struct tether_part what[] = {{frame, TETHER_AAD_SIZE}, {frame + TETHER_HEADER_BYTES, TETHER_BLOCK_BYTES}};
    uint8_t key[TETHER_KEY_SIZE];
    int failed = tether_blake2s(who, 3, key);
    return failed ? failed : tether_blake2s_keyed(key, what, 2, tag, TETHER_TAG_SIZE);
}

int tether_cookie_write(const struct tether_jar *jar, const struct tether_address *from,
                        const uint8_t public_key[TETHER_KEY_SIZE], const uint8_t *hail, uint8_t *frame)
{
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .length = TAG_BYTES,
                                   .channel = tether_get32(hail + TETHER_HEADER_BYTES)};
    uint8_t *tag = frame + TETHER_HEADER_BYTES;
    memset(frame, 0, TETHER_COOKIE_BYTES);
    tether_wire_encode(&header, frame);
    tag[0] = TETHER_TAG_COOKIE;
    tether_put16(tag + 2, TETHER_COOKIE_SIZE);
    if (tether_cookie_of(jar, 0, from, tag + TETHER_TAG_HEAD) ||
        tag_of(frame, public_key, hail + TETHER_AT_TAG, frame + TETHER_AT_TAG))
        return -EIO;
    return TETHER_COOKIE_BYTES;
}

int tether_cookie_read(const uint8_t *frame, const uint8_t public_key[TETHER_KEY_SIZE], const uint8_t mac1[TETHER_TAG_SIZE],
                       uint8_t cookie[TETHER_COOKIE_SIZE])
{
    const uint8_t *tag = frame + TETHER_HEADER_BYTES;
    uint8_t expected[TETHER_TAG_SIZE], rest = 0;
    if (tag_of(frame, public_key, mac1, expected) || !tether_equal(expected, frame + TETHER_AT_TAG, TETHER_TAG_SIZE))
        return -TETHER_E_MAC1;
    for (int i = TETHER_TAG_HEAD + TETHER_COOKIE_SIZE; i < (int)TETHER_BLOCK_BYTES; i++)
        rest |= tag[i];
    if (tag[0] != TETHER_TAG_COOKIE || tag[1] || tether_get16(tag + 2) != TETHER_COOKIE_SIZE || rest)
        return -TETHER_E_TAGS;
    memcpy(cookie, tag + TETHER_TAG_HEAD, TETHER_COOKIE_SIZE);
    return 0;
}
