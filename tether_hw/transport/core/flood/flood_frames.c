/* SPDX-License-Identifier: Apache-2.0 */
/* flood_frames.c: frames that no receiver may accept, made from what was overheard. */
#include <string.h>

#include "../src/mac1.h"
#include "../src/wire.h"
#include "flood.h"

enum { HAIL_PAYLOAD = 256, HAIL_LENGTH = 180 };

const char *flood_kind_name(enum flood_kind kind)
{
    static const char *const names[FLOOD_KINDS] = {
        "replayed", "mutated", "truncated", "extended", "forged", "random", "hail_replayed", "hail_mutated",
        "hail_invented", "hail_of_a_stranger",
    };
    return names[kind];
}

enum flood_kind flood_kind_of(uint64_t *random)
{
    static const uint8_t parts[FLOOD_KINDS] = {16, 20, 8, 8, 16, 4, 2, 2, 2, 2}; /* of 80 */
    uint32_t at = (uint32_t)((flood_random(random) >> 32) * 80 >> 32), kind = 0;
    while (at >= parts[kind])
        at -= parts[kind++];
    return (enum flood_kind)kind;
}

static void fill(uint8_t *at, size_t length, uint64_t *random)
{
    for (size_t i = 0; i < length; i += 8) {
        uint64_t value = flood_random(random);
        memcpy(at + i, &value, length - i < 8 ? length - i : 8);
    }
}

static uint32_t below(uint64_t *random, uint32_t bound)
{
    return (uint32_t)((flood_random(random) >> 32) * bound >> 32);
}

/* At least one byte is another one than before. */
static void change(uint8_t *at, uint32_t length, uint64_t *random)
{
    uint32_t changes = 1 + below(random, 8), first = below(random, length);
    at[first] = (uint8_t)(at[first] ^ (1 + below(random, 255)));
    for (uint32_t i = 1; i < changes; i++) {
        uint32_t place = below(random, length);
        if (place != first)
            at[place] = (uint8_t)flood_random(random);
    }
}

static void sign(const struct flood_recording *recording, struct flood_frame *frame)
{
    (void)tether_mac1(recording->mac1_key, frame->bytes, frame->bytes + TETHER_HEADER_BYTES,
                      frame->length - TETHER_HEADER_BYTES, frame->bytes + TETHER_AT_TAG);
}

static void forge(const struct flood_recording *recording, uint64_t *random, struct flood_frame *frame)
{
    uint32_t blocks = below(random, 23);
    struct tether_header header = {
        .version = TETHER_WIRE_VERSION,
        .flags = (uint8_t)(flood_random(random) & ~(uint64_t)TETHER_FLAG_LAMP),
        .length = (uint16_t)(blocks * TETHER_BLOCK_BYTES - (blocks ? below(random, 64) : 0)),
        .channel = recording->standing,
        .sequence = (recording->sequence + below(random, 1u << 20)) & TETHER_MASK48,
        .grant_amount = flood_random(random) & TETHER_MASK48,
        .timestamp_ns = flood_random(random) & TETHER_MASK48,
        .echo_ns = flood_random(random) & TETHER_MASK48,
        .slot = below(random, 1u << 16),
        .nack_slot = below(random, 1u << 16),
        .nack_count = (uint16_t)below(random, 100),
        .want = (uint16_t)flood_random(random),
        .pace = (uint16_t)flood_random(random),
        .flow = (uint16_t)below(random, 4),
    };
    fill(header.tag, sizeof header.tag, random);
    tether_wire_encode(&header, frame->bytes);
    memcpy(frame->bytes + TETHER_AT_TAG, header.tag, sizeof header.tag);
    fill(frame->bytes + TETHER_HEADER_BYTES, blocks * TETHER_BLOCK_BYTES, random);
    frame->length = TETHER_HEADER_BYTES + blocks * TETHER_BLOCK_BYTES;
}

static void invent_hail(const struct flood_recording *recording, uint64_t *random, struct flood_frame *frame)
{
    struct tether_header header = {
        .version = TETHER_WIRE_VERSION,
        .flags = TETHER_FLAG_LAMP,
        .length = HAIL_LENGTH,
        .sequence = flood_random(random) & TETHER_MASK48,
        .grant_amount = (TETHER_HEADER_BYTES + HAIL_PAYLOAD) / TETHER_BLOCK_BYTES,
        .timestamp_ns = flood_random(random) & TETHER_MASK48,
    };
    tether_wire_encode(&header, frame->bytes);
    fill(frame->bytes + TETHER_HEADER_BYTES, HAIL_LENGTH, random);
    memset(frame->bytes + TETHER_HEADER_BYTES + HAIL_LENGTH, 0, HAIL_PAYLOAD - HAIL_LENGTH);
    frame->length = TETHER_HEADER_BYTES + HAIL_PAYLOAD;
    sign(recording, frame);
}

/* A byte of the Noise message is another one, so what verified once does not any more. */
static void change_hail(const struct flood_recording *recording, uint64_t *random, struct flood_frame *frame)
{
    *frame = recording->hails[below(random, recording->hail_count)];
    change(frame->bytes + TETHER_HEADER_BYTES + 4, HAIL_LENGTH - 4, random);
    sign(recording, frame);
}

void flood_make(const struct flood_recording *recording, enum flood_kind kind, uint64_t *random,
                struct flood_frame *frame)
{
    const struct flood_frame *old = &recording->frames[below(random, recording->count)];
    switch (kind) {
    case FLOOD_REPLAY:
        *frame = *old;
        break;
    case FLOOD_MUTATED:
        *frame = *old;
        change(frame->bytes, frame->length, random);
        break;
    case FLOOD_TRUNCATED:
        *frame = *old;
        frame->length = 1 + below(random, old->length - 1);
        break;
    case FLOOD_EXTENDED: {
        uint32_t more = 1 + below(random, FLOOD_FRAME - old->length < 512 ? FLOOD_FRAME - old->length : 512);
        *frame = *old;
        fill(frame->bytes + old->length, more, random);
        frame->length += more;
        break;
    }
    case FLOOD_FORGED:
        forge(recording, random, frame);
        break;
    case FLOOD_RANDOM:
        frame->length = 1 + below(random, 1472);
        fill(frame->bytes, frame->length, random);
        break;
    case FLOOD_OLD_HAIL:
        *frame = recording->hails[below(random, recording->hail_count)];
        break;
    case FLOOD_CHANGED_HAIL:
        change_hail(recording, random, frame);
        break;
    case FLOOD_INVENTED_HAIL:
        invent_hail(recording, random, frame);
        break;
    default:
        *frame = recording->strangers[below(random, FLOOD_STRANGERS)];
        break;
    }
}
