/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tags.h: Flow 0's tags (RFC 0001, "Flow 0"): type u8, reserved u8, length u16, value, zero padding to 8.
 *
 * The parser checks everything before the caller acts on anything: it yields one typed tag at a time from
 * bytes that were verified, and an unknown type below 0x80 or a malformed tag is an error of the channel.
 */
#ifndef TETHER_TAGS_H
#define TETHER_TAGS_H

#include "wire.h"

enum tether_tag_type {
    TETHER_TAG_PADDING = 0,
    TETHER_TAG_HAIL = 1,
    TETHER_TAG_DEFINE = 2,
    TETHER_TAG_MANIFEST = 3,
    TETHER_TAG_SKIP = 4,
    TETHER_TAG_CLOSE = 5,
    TETHER_TAG_BYE = 6,
    TETHER_TAG_WINDOWS = 7,
    TETHER_TAG_COOKIE = 8, /* in a frame of its own, never among others */
    TETHER_TAG_REKEY = 9,
    TETHER_TAG_WARM = 10,
    TETHER_TAG_TABLE = 11, /* of round trips */
    TETHER_TAG_IGNORABLE = 0x80 /* unknown types from here on are skipped */
};

enum { TETHER_HAIL_OK = 0, TETHER_HAIL_STALE = 1, TETHER_HAIL_GONE = 2 };
enum { TETHER_CLOSE_END = 0, TETHER_CLOSE_CLOSED = 1, TETHER_CLOSE_REFUSED = 2 };
enum { TETHER_BYE_CLOSED = 0, TETHER_BYE_PROTOCOL = 1, TETHER_BYE_HOARD = 2, TETHER_BYE_ROSTER = 3, TETHER_BYE_PATH = 4 };

enum {
    TETHER_TAG_HEAD = 4,
    TETHER_TAG_HAIL_SIZE = 24, /* whole tag, padded */
    TETHER_TAG_DEFINE_SIZE = 48,
    TETHER_TAG_MANIFEST_SIZE = 56, /* without lanes */
    TETHER_TAG_SKIP_SIZE = 32,
    TETHER_TAG_CLOSE_SIZE = 24,
    TETHER_TAG_BYE_SIZE = 16,
    TETHER_TAG_REKEY_SIZE = 16,
    TETHER_TAG_WARM_SIZE = 16,
    TETHER_TAG_PLAN_SIZE = 32, /* without its pairs of 16 */
    TETHER_TAG_LANE_MAX = 4 + 32 /* one lane entry of the Manifest at most */
};

struct tether_tag_hail {
    uint64_t counter;
    uint16_t lane, target_lane, ciphers, status;
};

struct tether_tag_define {
    uint64_t bound, latency_ns, budget, deadline_ns;
    uint16_t flow;
    uint8_t kind, reliability, order, scale;
};

struct tether_tag_manifest {
    uint64_t max_message, rtt_ns, rate_bps, silence_ns;
    uint32_t pool_slots, ring_frames;
    uint16_t floor, frame_blocks, ember_frames, lanes;
    const uint8_t *lane_bytes; /* parsed: the lane entries, checked; composed: unused */
    uint32_t lane_length;
};

struct tether_plan;

/* WINDOWS and TABLE */
struct tether_tag_plan {
    uint64_t clock_ns, stamp; /* a reading of the sender's clock, and its Timestamp at that moment */
    const uint8_t *pairs;     /* [count] of two u64 */
    uint16_t count;
};

struct tether_tag_skip {
    uint64_t first, count;
    uint16_t flow;
};

struct tether_tag_close {
    uint64_t final;
    uint32_t reason;
    uint16_t flow;
};

struct tether_tag {
    uint8_t type;
    union {
        struct tether_tag_hail hail;
        struct tether_tag_define define;
        struct tether_tag_manifest manifest;
        struct tether_tag_plan plan;
        struct tether_tag_skip skip;
        struct tether_tag_close close;
        uint32_t bye_reason;
        uint32_t rekey_channel;
        uint32_t warm_bytes;
    };
};

struct tether_tag_cursor {
    const uint8_t *at;
    size_t left;
};

/* Next tag: 1 and *tag filled in, 0 at the end, -TETHER_E_TAGS when malformed or unknown. */
int tether_tag_next(struct tether_tag_cursor *cursor, struct tether_tag *tag);
/* Next lane entry of a Manifest: 1, 0 at the end, -TETHER_E_TAGS. */
int tether_tag_lane(struct tether_tag_cursor *cursor, uint16_t *lane, struct tether_address *address);

/* Composers: write one whole padded tag and return its size; the caller has made room. */
size_t tether_tag_put_hail(uint8_t *out, const struct tether_tag_hail *hail);
size_t tether_tag_put_define(uint8_t *out, const struct tether_tag_define *define);
/* `lanes` addresses follow for manifest->lanes entries numbered from `first_lane`; `capacity` bounds the tag: 0 = too small. */
size_t tether_tag_put_manifest(uint8_t *out, size_t capacity, const struct tether_tag_manifest *manifest,
                               const struct tether_address *addresses, uint16_t first_lane);
/* WINDOWS or TABLE; the caller has made room for its pairs too. */
size_t tether_tag_put_plan(uint8_t *out, uint8_t type, const struct tether_plan *plan, uint64_t clock_ns, uint64_t stamp);
size_t tether_tag_put_skip(uint8_t *out, const struct tether_tag_skip *skip);
size_t tether_tag_put_close(uint8_t *out, const struct tether_tag_close *close);
size_t tether_tag_put_bye(uint8_t *out, uint32_t reason);
size_t tether_tag_put_rekey(uint8_t *out, uint32_t channel);
size_t tether_tag_put_warm(uint8_t *out, uint32_t bytes);

#endif
