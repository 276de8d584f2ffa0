/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mac1.h: proof that the sender of a Hail, or of its reply, knows the receiver's static public key
 * (RFC 0001, "mac1"). It is checked before any state exists and costs one hash.
 */
#ifndef TETHER_MAC1_H
#define TETHER_MAC1_H

#include "crypto.h"

/* key = BLAKE2s-256("tether/1 mac1" || receiver's static public key); made once per key. 0 or -EIO. */
int tether_mac1_key(const uint8_t receiver_public[TETHER_KEY_SIZE], uint8_t key[TETHER_KEY_SIZE]);
/* tag = BLAKE2s-128(key, header bytes 0-47 || all payload blocks, padding included). 0 or -EIO. */
int tether_mac1(const uint8_t key[TETHER_KEY_SIZE], const uint8_t header[TETHER_AAD_SIZE], const uint8_t *payload,
                size_t length, uint8_t tag[TETHER_TAG_SIZE]);
/* 0, -EBADMSG or -EIO; the comparison takes constant time. */
int tether_mac1_check(const uint8_t key[TETHER_KEY_SIZE], const uint8_t header[TETHER_AAD_SIZE],
                      const uint8_t *payload, size_t length, const uint8_t tag[TETHER_TAG_SIZE]);

#endif
