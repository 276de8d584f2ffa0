/* SPDX-License-Identifier: Apache-2.0 */
#include "lamp.h"

#include <errno.h>

int tether_lamp_frame(uint8_t *frame, uint32_t to_channel, uint64_t sequence, uint64_t grant, uint64_t stamp,
                      uint32_t sender_index, uint16_t length, uint8_t context[TETHER_NOISE_CONTEXT], size_t payload)
{
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .length = length,
                                   .channel = to_channel, .sequence = sequence & TETHER_MASK48,
                                   .grant_amount = grant, .timestamp_ns = stamp + (stamp == 0)};
    memset(frame, 0, TETHER_HEADER_BYTES + payload);
    tether_wire_encode(&header, frame);
    tether_put32(frame + TETHER_HEADER_BYTES, sender_index);
    tether_lamp_context(frame, context);
    return (int)(TETHER_HEADER_BYTES + payload);
}

void tether_lamp_context(const uint8_t *frame, uint8_t context[TETHER_NOISE_CONTEXT])
{
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, frame + TETHER_HEADER_BYTES, 4);
}

size_t tether_lamp_put(struct tether_endpoint *ep, uint8_t *out, const struct tether_tag_hail *hail, uint32_t rekey)
{
    struct tether_tag_manifest manifest;
    size_t length = tether_tag_put_hail(out, hail);
    tether_manifest_of(ep, &manifest);
    length += tether_tag_put_manifest(out + length, TETHER_TAG_MANIFEST_SIZE, &manifest, NULL, 0);
    return rekey ? length + tether_tag_put_rekey(out + length, rekey) : length;
}

int tether_lamp_get(const uint8_t *payload, size_t length, struct tether_lamp_tags *tags)
{
    struct tether_tag_cursor cursor = {.at = payload, .left = length};
    struct tether_tag tag;
    int got, seen = 0;
    memset(tags, 0, sizeof *tags);
    while ((got = tether_tag_next(&cursor, &tag)) > 0) {
        if (tag.type == TETHER_TAG_HAIL && !(seen & 1)) {
            tags->hail = tag.hail;
            seen |= 1;
        } else if (tag.type == TETHER_TAG_MANIFEST && !(seen & 2)) {
            tags->manifest = tag.manifest;
            seen |= 2;
        } else if (tag.type == TETHER_TAG_REKEY && !tags->rekey && tag.rekey_channel) {
            tags->rekey = tag.rekey_channel;
        } else {
            return -TETHER_E_TAGS;
        }
    }
    return got < 0 || seen != 3 || tags->manifest.lanes ? -TETHER_E_TAGS : 0;
}

int tether_lamp_zeros(const uint8_t *payload, size_t from, size_t to)
{
    uint8_t any = 0;
    for (size_t i = from; i < to; i++)
        any |= payload[i];
    return any == 0;
}

int tether_lamp_keys(struct tether_endpoint *ep, int initiator, uint16_t cipher, uint32_t wire, uint32_t remote,
                     struct tether_keys *tx, struct tether_keys *rx, uint8_t resume[TETHER_KEY_SIZE])
{
    static const char label[] = "tether/1 resume";
    uint8_t forth[TETHER_KEY_SIZE], back[TETHER_KEY_SIZE];
    const struct tether_part parts[] = {{label, sizeof label - 1}, {back, TETHER_KEY_SIZE}};
    int failed = tether_noise_split(&ep->scratch_noise, forth, back) || tether_keys_set(tx, cipher, initiator ? forth : back) ||
                 tether_keys_set(rx, cipher, initiator ? back : forth) ||
                 tether_blake2s_keyed(forth, parts, 2, resume, TETHER_KEY_SIZE);
    if (!failed)
        tether_keylog_put(ep, wire, remote, initiator, cipher, forth, back);
    tether_wipe(forth, sizeof forth);
    tether_wipe(back, sizeof back);
    return failed ? -EIO : 0;
}
