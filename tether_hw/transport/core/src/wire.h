/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h: the frame header as bytes (RFC 0001, "Header"), float16 and serial arithmetic.
 *
 * Decoding has no conditional jump: every field is present in every frame, and six aligned
 * little-endian words hold them all.
 */
#ifndef TETHER_WIRE_H
#define TETHER_WIRE_H

#include <string.h>

#include "../include/tether.h"

enum {
    TETHER_WIRE_VERSION = 1,
    TETHER_HAIL_PAYLOAD_MIN = 256, /* payload bytes of a Hail at least: it funds its reply */
    TETHER_AT_VERSION = 0,
    TETHER_AT_FLAGS = 1,
    TETHER_AT_LENGTH = 2,
    TETHER_AT_CHANNEL = 4,
    TETHER_AT_SEQUENCE = 8,
    TETHER_AT_WANT = 14,
    TETHER_AT_FLOW = 16,
    TETHER_AT_GRANT = 18,
    TETHER_AT_SLOT = 24,
    TETHER_AT_NACK_SLOT = 28,
    TETHER_AT_NACK_COUNT = 32,
    TETHER_AT_PACE = 34,
    TETHER_AT_TIMESTAMP = 36,
    TETHER_AT_ECHO = 42,
    TETHER_AT_TAG = 48
};

#define TETHER_MASK48 ((UINT64_C(1) << 48) - 1)

/* The layout as a struct of bytes, only to let the compiler check the offsets above. */
struct tether_wire_header {
    uint8_t version[1], flags[1], length[2], channel[4];
    uint8_t sequence[6], want[2];
    uint8_t flow[2], grant_amount[6];
    uint8_t slot[4], nack_slot[4];
    uint8_t nack_count[2], pace[2], timestamp[6], echo[6];
    uint8_t tag[16];
};
_Static_assert(sizeof(struct tether_wire_header) == 64, "one cache line");
_Static_assert(offsetof(struct tether_wire_header, length) == TETHER_AT_LENGTH, "length");
_Static_assert(offsetof(struct tether_wire_header, channel) == TETHER_AT_CHANNEL, "channel");
_Static_assert(offsetof(struct tether_wire_header, sequence) == TETHER_AT_SEQUENCE, "sequence");
_Static_assert(offsetof(struct tether_wire_header, want) == TETHER_AT_WANT, "want");
_Static_assert(offsetof(struct tether_wire_header, flow) == TETHER_AT_FLOW, "flow");
_Static_assert(offsetof(struct tether_wire_header, grant_amount) == TETHER_AT_GRANT, "grant_amount");
_Static_assert(offsetof(struct tether_wire_header, slot) == TETHER_AT_SLOT, "slot");
_Static_assert(offsetof(struct tether_wire_header, nack_slot) == TETHER_AT_NACK_SLOT, "nack_slot");
_Static_assert(offsetof(struct tether_wire_header, nack_count) == TETHER_AT_NACK_COUNT, "nack_count");
_Static_assert(offsetof(struct tether_wire_header, pace) == TETHER_AT_PACE, "pace");
_Static_assert(offsetof(struct tether_wire_header, timestamp) == TETHER_AT_TIMESTAMP, "timestamp");
_Static_assert(offsetof(struct tether_wire_header, echo) == TETHER_AT_ECHO, "echo");
_Static_assert(offsetof(struct tether_wire_header, tag) == TETHER_AT_TAG, "tag");

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TETHER_LE16(x) (x)
#define TETHER_LE32(x) (x)
#define TETHER_LE64(x) (x)
#else
#define TETHER_LE16(x) __builtin_bswap16(x)
#define TETHER_LE32(x) __builtin_bswap32(x)
#define TETHER_LE64(x) __builtin_bswap64(x)
#endif

static inline uint16_t tether_get16(const uint8_t *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return TETHER_LE16(value);
}

static inline uint32_t tether_get32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return TETHER_LE32(value);
}

static inline uint64_t tether_get64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return TETHER_LE64(value);
}

static inline void tether_put16(uint8_t *to, uint16_t value)
{
    value = TETHER_LE16(value);
    memcpy(to, &value, sizeof value);
}

static inline void tether_put32(uint8_t *to, uint32_t value)
{
    value = TETHER_LE32(value);
    memcpy(to, &value, sizeof value);
}

static inline void tether_put64(uint8_t *to, uint64_t value)
{
    value = TETHER_LE64(value);
    memcpy(to, &value, sizeof value);
}

/* All but the tag, which opening reads. */
static inline void tether_wire_decode_fields(struct tether_header *header, const uint8_t *wire)
{
    uint64_t w0 = tether_get64(wire), w1 = tether_get64(wire + 8), w2 = tether_get64(wire + 16);
    uint64_t w3 = tether_get64(wire + 24), w4 = tether_get64(wire + 32), w5 = tether_get64(wire + 40);
    header->version = (uint8_t)w0;
    header->flags = (uint8_t)(w0 >> 8);
    header->length = (uint16_t)(w0 >> 16);
    header->channel = (uint32_t)(w0 >> 32);
    header->sequence = w1 & TETHER_MASK48;
    header->want = (uint16_t)(w1 >> 48);
    header->flow = (uint16_t)w2;
    header->grant_amount = w2 >> 16;
    header->slot = (uint32_t)w3;
    header->nack_slot = (uint32_t)(w3 >> 32);
    header->nack_count = (uint16_t)w4;
    header->pace = (uint16_t)(w4 >> 16);
    header->timestamp_ns = (w4 >> 32) | ((w5 & 0xffff) << 32);
    header->echo_ns = w5 >> 16;
}

static inline void tether_wire_decode(struct tether_header *header, const uint8_t *wire)
{
    tether_wire_decode_fields(header, wire);
    memcpy(header->tag, wire + TETHER_AT_TAG, sizeof header->tag);
}

/* All but the tag, which sealing writes; a sequence has 48 bits. */
static inline void tether_wire_encode_fields(const struct tether_header *header, uint8_t *wire)
{
    uint64_t timestamp = header->timestamp_ns & TETHER_MASK48;
    tether_put64(wire, (uint64_t)header->version | (uint64_t)header->flags << 8 | (uint64_t)header->length << 16 |
                           (uint64_t)header->channel << 32);
    tether_put64(wire + 8, header->sequence | (uint64_t)header->want << 48);
    tether_put64(wire + 16, (uint64_t)header->flow | header->grant_amount << 16);
    tether_put64(wire + 24, (uint64_t)header->slot | (uint64_t)header->nack_slot << 32);
    tether_put64(wire + 32, (uint64_t)header->nack_count | (uint64_t)header->pace << 16 | timestamp << 32);
    tether_put64(wire + 40, timestamp >> 32 | header->echo_ns << 16);
}

static inline void tether_wire_encode(const struct tether_header *header, uint8_t *wire)
{
    tether_wire_encode_fields(header, wire);
    memcpy(wire + TETHER_AT_TAG, header->tag, sizeof header->tag);
}

/* float16 of want and pace: mantissa << exponent, smallest exponent, rounded down. */
static inline uint16_t tether_float16(uint64_t value)
{
    unsigned exponent;
    if (value < 1024)
        return (uint16_t)value;
    exponent = 54u - (unsigned)__builtin_clzll(value); /* brings the top bit to bit 9; a u64 cannot saturate */
    return (uint16_t)(exponent << 10 | (unsigned)(value >> exponent));
}

/* What it stands for is put into *rounded, cheaper than by tether_unfloat16. */
static inline uint16_t tether_float16_rounded(uint64_t value, uint64_t *rounded)
{
    unsigned exponent = value < 1024 ? 0 : 54u - (unsigned)__builtin_clzll(value);
    uint64_t mantissa = value >> exponent;
    *rounded = mantissa << exponent;
    return (uint16_t)((exponent << 10) + (unsigned)mantissa);
}

static inline uint64_t tether_unfloat16(uint16_t wire)
{
    unsigned exponent = wire >> 10;
    uint64_t mantissa = wire & 1023u;
    if (exponent <= 54)
        return mantissa << exponent;
    if (mantissa == 0)
        return 0;
    return mantissa >> (64u - exponent) ? UINT64_MAX : mantissa << exponent;
}

/* Largest value that rounds down to this float16: what the sender may really want. */
static inline uint64_t tether_unfloat16_ceiling(uint16_t wire)
{
    unsigned exponent = wire >> 10;
    uint64_t low = tether_unfloat16(wire);
    uint64_t slack = (UINT64_C(1) << exponent) - 1;
    return low > UINT64_MAX - slack ? UINT64_MAX : low + slack;
}

/* The 64-bit value nearest to `near` whose low 32 bits are `low` (slots at the receiver). */
static inline uint64_t tether_expand32(uint64_t near, uint32_t low)
{
    return near + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)near);
}

/* The 64-bit value at or below `top` whose low 32 bits are `low` (NackSlot at the sender). */
static inline uint64_t tether_expand32_below(uint64_t top, uint32_t low)
{
    return top - (uint32_t)((uint32_t)top - low);
}

/* Signed distance a - b modulo 2^48. */
static inline int64_t tether_distance48(uint64_t a, uint64_t b)
{
    return (int64_t)((a - b) << 16) >> 16;
}

static inline uint32_t tether_blocks(uint32_t bytes)
{
    return (bytes + TETHER_BLOCK_BYTES - 1) / TETHER_BLOCK_BYTES;
}

#endif
