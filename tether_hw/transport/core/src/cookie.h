/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cookie.h: proof that a Hail's sender is where it says (RFC 0001, "Floods"), without a byte of state about it.
 *
 *   cookie = BLAKE2s-256(secret, "tether/1 cookie" || kind || length || address)    the secret changes every 120 s
 *   mac2   = BLAKE2s-128(cookie, header bytes 0-47 || payload but its last 16 bytes) in those 16 bytes
 *   tag    = BLAKE2s-128(BLAKE2s-256("tether/1 cookie" || responder's key || the Hail's mac1), header 0-47 || payload)
 *
 * Two secrets are valid, so a cookie lives 120 to 240 s. It proves reachability and nothing else.
 */
#ifndef TETHER_COOKIE_H
#define TETHER_COOKIE_H

#include "crypto.h"

enum {
    TETHER_COOKIE_SIZE = 32,
    TETHER_MAC2_SIZE = 16,
    TETHER_COOKIE_BYTES = 2 * 64 /* the whole frame: never larger than any Hail */
};
#define TETHER_COOKIE_LIFE_NS UINT64_C(120000000000)

struct tether_jar {
    uint8_t secret[2][TETHER_KEY_SIZE]; /* the newest first */
    uint64_t since_ns;                  /* when the newest was drawn */
    uint8_t valid;                      /* how many of them are */
};

typedef int tether_entropy(void *context, uint8_t *out, size_t length);

/* Draw a new secret when it is time. 0, or negative: there is none. */
int tether_jar_turn(struct tether_jar *jar, uint64_t now_ns, tether_entropy *entropy, void *context);
/* The cookie of an address under secret `which`. 0 or -EIO. */
int tether_cookie_of(const struct tether_jar *jar, int which, const struct tether_address *from,
                     uint8_t cookie[TETHER_COOKIE_SIZE]);
/* Does mac2 of this Hail (payload: `length` bytes, mac2 the last 16) belong to its source? 1 or 0. */
int tether_mac2_check(const struct tether_jar *jar, const struct tether_address *from, const uint8_t *header,
                      const uint8_t *payload, size_t length);
int tether_mac2(const uint8_t cookie[TETHER_COOKIE_SIZE], const uint8_t *header, const uint8_t *payload, size_t length,
                uint8_t mac2[TETHER_MAC2_SIZE]);
/* The frame that answers a Hail with a cookie: TETHER_COOKIE_BYTES, or a negative errno. */
int tether_cookie_write(const struct tether_jar *jar, const struct tether_address *from,
                        const uint8_t public_key[TETHER_KEY_SIZE], const uint8_t *hail, uint8_t *frame);
/* Read one as the answer to the Hail with `mac1` to the owner of `public_key`: 0, -TETHER_E_MAC1 or -TETHER_E_TAGS. */
int tether_cookie_read(const uint8_t *frame, const uint8_t public_key[TETHER_KEY_SIZE], const uint8_t mac1[TETHER_TAG_SIZE],
                       uint8_t cookie[TETHER_COOKIE_SIZE]);

#endif
