/* SPDX-License-Identifier: Apache-2.0 */
/* lamp.h: the frames around Noise messages, as Hail (hail.c) and reply (answer.c) share them. */
#ifndef TETHER_LAMP_H
#define TETHER_LAMP_H

#include "endpoint.h"

enum {
    TETHER_LAMP_TAGS = TETHER_TAG_HAIL_SIZE + TETHER_TAG_MANIFEST_SIZE,
    TETHER_LAMP_TAGS_MAX = TETHER_LAMP_TAGS + TETHER_TAG_REKEY_SIZE,
    TETHER_HAIL_LENGTH = 4 + TETHER_NOISE_OVERHEAD1 + TETHER_LAMP_TAGS,
    TETHER_HAIL_LENGTH_MAX = 4 + TETHER_NOISE_OVERHEAD1 + TETHER_LAMP_TAGS_MAX,
    TETHER_REPLY_LENGTH = 4 + TETHER_NOISE_OVERHEAD2 + TETHER_LAMP_TAGS,
    TETHER_REPLY_BLOCKS = (TETHER_REPLY_LENGTH + TETHER_BLOCK_BYTES - 1) / TETHER_BLOCK_BYTES,
    TETHER_HAIL_BLOCKS = TETHER_HAIL_PAYLOAD_MIN / TETHER_BLOCK_BYTES
};
_Static_assert(TETHER_HAIL_LENGTH_MAX + TETHER_MAC2_SIZE <= TETHER_HAIL_PAYLOAD_MIN, "a Hail fits its least size");
_Static_assert(TETHER_REPLY_LENGTH <= TETHER_HAIL_LENGTH, "the reply is never larger");

/* What the payload of a handshake message says. */
struct tether_lamp_tags {
    struct tether_tag_hail hail;
    struct tether_tag_manifest manifest;
    uint32_t rekey; /* the responder's index of the channel that gets new keys; 0 = none */
};

/* Header and zeroed payload of a Lamp around a Noise message, and the context of that message. The frame's length. */
int tether_lamp_frame(uint8_t *frame, uint32_t to_channel, uint64_t sequence, uint64_t grant, uint64_t stamp,
                      uint32_t sender_index, uint16_t length, uint8_t context[TETHER_NOISE_CONTEXT], size_t payload);
void tether_lamp_context(const uint8_t *frame, uint8_t context[TETHER_NOISE_CONTEXT]);
size_t tether_lamp_put(struct tether_endpoint *ep, uint8_t *out, const struct tether_tag_hail *hail, uint32_t rekey);
/* 0 or -TETHER_E_TAGS. */
int tether_lamp_get(const uint8_t *payload, size_t length, struct tether_lamp_tags *tags);
/* Are payload bytes [from, to) zero? */
int tether_lamp_zeros(const uint8_t *payload, size_t from, size_t to);
/* Both directions' keys, and the one for when the channel has ended, from the handshake that scratch_noise has finished; the indices are for the key log. 0 or -EIO. */
int tether_lamp_keys(struct tether_endpoint *ep, int initiator, uint16_t cipher, uint32_t wire, uint32_t remote,
                     struct tether_keys *tx, struct tether_keys *rx, uint8_t resume[TETHER_KEY_SIZE]);

#endif
