/* SPDX-License-Identifier: Apache-2.0 */
#include "tags.h"

#include "contact.h"

static size_t padded(size_t length)
{
    return (length + 7u) & ~(size_t)7u;
}

/* Lengths of the values of the fixed tags; a longer value of a known type is for later versions and is read as its
 * known beginning, a shorter one is malformed. */
enum { HAIL_VALUE = 16, DEFINE_VALUE = 40, MANIFEST_VALUE = 48, SKIP_VALUE = 24, CLOSE_VALUE = 16, BYE_VALUE = 8,
       REKEY_VALUE = 8, WARM_VALUE = 8, PLAN_VALUE = 24 };

static size_t least_value(uint8_t type)
{
    switch (type) {
    case TETHER_TAG_HAIL: return HAIL_VALUE;
    case TETHER_TAG_DEFINE: return DEFINE_VALUE;
    case TETHER_TAG_MANIFEST: return MANIFEST_VALUE;
    case TETHER_TAG_SKIP: return SKIP_VALUE;
    case TETHER_TAG_CLOSE: return CLOSE_VALUE;
    case TETHER_TAG_BYE: return BYE_VALUE;
    case TETHER_TAG_REKEY: return REKEY_VALUE;
    case TETHER_TAG_WARM: return WARM_VALUE;
    case TETHER_TAG_WINDOWS: return PLAN_VALUE;
    case TETHER_TAG_TABLE: return PLAN_VALUE;
    default: return SIZE_MAX;
    }
}

static int zeros(const uint8_t *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (at[i])
            return 0;
    return 1;
}

static int parse_manifest(struct tether_tag_manifest *manifest, const uint8_t *value, size_t length)
{
    struct tether_tag_cursor lanes;
    struct tether_address address;
    uint16_t lane, count = 0;
    int got;
    manifest->floor = tether_get16(value);
    manifest->frame_blocks = tether_get16(value + 2);
    manifest->pool_slots = tether_get32(value + 4);
    manifest->ring_frames = tether_get32(value + 8);
    manifest->ember_frames = tether_get16(value + 12);
    manifest->lanes = tether_get16(value + 14);
    manifest->max_message = tether_get64(value + 16);
    manifest->rtt_ns = tether_get64(value + 24);
    manifest->rate_bps = tether_get64(value + 32);
    manifest->silence_ns = tether_get64(value + 40);
    manifest->lane_bytes = value + MANIFEST_VALUE;
    manifest->lane_length = (uint32_t)(length - MANIFEST_VALUE);
    lanes.at = manifest->lane_bytes;
    lanes.left = manifest->lane_length;
    while ((got = tether_tag_lane(&lanes, &lane, &address)) > 0)
        count++;
    if (got < 0 || count != manifest->lanes)
        return -TETHER_E_TAGS;
    /* A floor above the frame would make frames that no grant covers; both bound what the peer cuts. */
    if (manifest->floor == 0 || manifest->frame_blocks == 0 || manifest->frame_blocks > TETHER_FRAME_BLOCKS_MAX ||
        manifest->floor > TETHER_FRAME_BLOCKS_MAX || manifest->pool_slots < manifest->floor ||
        manifest->pool_slots > UINT32_C(1) << 24 || manifest->ember_frames == 0)
        return -TETHER_E_TAGS;
    return 0;
}

int tether_tag_next(struct tether_tag_cursor *cursor, struct tether_tag *tag)
{
    for (;;) {
        const uint8_t *at = cursor->at;
        size_t length, whole;
        uint8_t type;
        if (cursor->left == 0)
            return 0;
        if (cursor->left < TETHER_TAG_HEAD)
            return zeros(at, cursor->left) ? (cursor->left = 0, 0) : -TETHER_E_TAGS;
        type = at[0];
        if (type == TETHER_TAG_PADDING) {
            if (!zeros(at, cursor->left))
                return -TETHER_E_TAGS;
            cursor->left = 0;
            return 0;
        }
        length = tether_get16(at + 2);
        whole = padded(TETHER_TAG_HEAD + length);
        if (at[1] != 0 || whole > cursor->left || !zeros(at + TETHER_TAG_HEAD + length, whole - TETHER_TAG_HEAD - length))
            return -TETHER_E_TAGS;
        cursor->at += whole;
        cursor->left -= whole;
        if (type >= TETHER_TAG_IGNORABLE)
            continue;
        if (length < least_value(type))
            return -TETHER_E_TAGS; /* also every unknown type */
        at += TETHER_TAG_HEAD;
        tag->type = type;
        switch (type) {
        case TETHER_TAG_HAIL:
            tag->hail = (struct tether_tag_hail){.counter = tether_get64(at), .lane = tether_get16(at + 8),
                .target_lane = tether_get16(at + 10), .ciphers = tether_get16(at + 12), .status = tether_get16(at + 14)};
            return 1;
        case TETHER_TAG_DEFINE:
            tag->define = (struct tether_tag_define){.flow = tether_get16(at), .kind = at[2], .reliability = at[3],
                .order = at[4], .scale = at[5], .bound = tether_get64(at + 8), .latency_ns = tether_get64(at + 16),
                .budget = tether_get64(at + 24), .deadline_ns = tether_get64(at + 32)};
            return 1;
        case TETHER_TAG_MANIFEST:
            return parse_manifest(&tag->manifest, at, length) ? -TETHER_E_TAGS : 1;
        case TETHER_TAG_SKIP:
            tag->skip = (struct tether_tag_skip){.flow = tether_get16(at), .first = tether_get64(at + 8),
                .count = tether_get64(at + 16)};
            return 1;
        case TETHER_TAG_CLOSE:
            tag->close = (struct tether_tag_close){.flow = tether_get16(at), .reason = tether_get32(at + 4),
                .final = tether_get64(at + 8)};
            return 1;
        case TETHER_TAG_WINDOWS:
        case TETHER_TAG_TABLE:
            tag->plan = (struct tether_tag_plan){.clock_ns = tether_get64(at), .stamp = tether_get64(at + 8),
                .count = tether_get16(at + 16), .pairs = at + PLAN_VALUE};
            return length < PLAN_VALUE + 16 * (size_t)tag->plan.count ? -TETHER_E_TAGS : 1;
        case TETHER_TAG_REKEY:
            tag->rekey_channel = tether_get32(at);
            return 1;
        case TETHER_TAG_WARM:
            tag->warm_bytes = tether_get32(at);
            return 1;
        default: /* BYE: least_value has refused the rest */
            tag->bye_reason = tether_get32(at);
            return 1;
        }
    }
}

/* Addresses of the kinds that we know have one length each; others are passed on for the caller to ignore. */
static int length_fits(uint8_t kind, size_t length)
{
    switch (kind) {
    case TETHER_ADDRESS_MAC: return length == 8;
    case TETHER_ADDRESS_UDP4: return length == 6;
    case TETHER_ADDRESS_UDP6: return length == 18;
    default: return 1;
    }
}

int tether_tag_lane(struct tether_tag_cursor *cursor, uint16_t *lane, struct tether_address *address)
{
    const uint8_t *at = cursor->at;
    size_t length, whole;
    if (cursor->left == 0)
        return 0;
    if (cursor->left < 8)
        return -TETHER_E_TAGS;
    length = at[3];
    whole = padded(4 + length);
    *lane = tether_get16(at);
    if (length > sizeof address->bytes || whole > cursor->left || *lane > 0xff || !length_fits(at[2], length) ||
        !zeros(at + 4 + length, whole - 4 - length))
        return -TETHER_E_TAGS;
    memset(address, 0, sizeof *address);
    address->kind = at[2];
    address->length = (uint8_t)length;
    memcpy(address->bytes, at + 4, length);
    cursor->at += whole;
    cursor->left -= whole;
    return 1;
}

static uint8_t *begin(uint8_t *out, uint8_t type, size_t value_length)
{
    memset(out, 0, padded(TETHER_TAG_HEAD + value_length));
    out[0] = type;
    tether_put16(out + 2, (uint16_t)value_length);
    return out + TETHER_TAG_HEAD;
}

size_t tether_tag_put_hail(uint8_t *out, const struct tether_tag_hail *hail)
{
    uint8_t *at = begin(out, TETHER_TAG_HAIL, HAIL_VALUE);
    tether_put64(at, hail->counter);
    tether_put16(at + 8, hail->lane);
    tether_put16(at + 10, hail->target_lane);
    tether_put16(at + 12, hail->ciphers);
    tether_put16(at + 14, hail->status);
    return TETHER_TAG_HAIL_SIZE;
}

size_t tether_tag_put_define(uint8_t *out, const struct tether_tag_define *define)
{
    uint8_t *at = begin(out, TETHER_TAG_DEFINE, DEFINE_VALUE);
    tether_put16(at, define->flow);
    at[2] = define->kind;
    at[3] = define->reliability;
    at[4] = define->order;
    at[5] = define->scale;
    tether_put64(at + 8, define->bound);
    tether_put64(at + 16, define->latency_ns);
    tether_put64(at + 24, define->budget);
    tether_put64(at + 32, define->deadline_ns);
    return TETHER_TAG_DEFINE_SIZE;
}

size_t tether_tag_put_manifest(uint8_t *out, size_t capacity, const struct tether_tag_manifest *manifest,
                               const struct tether_address *addresses, uint16_t first_lane)
{
    size_t value = MANIFEST_VALUE;
    uint8_t *at;
    for (uint16_t i = 0; i < manifest->lanes; i++)
        value += padded(4 + (size_t)addresses[i].length);
    if (padded(TETHER_TAG_HEAD + value) > capacity || value > UINT16_MAX)
        return 0;
    at = begin(out, TETHER_TAG_MANIFEST, value);
    tether_put16(at, manifest->floor);
    tether_put16(at + 2, manifest->frame_blocks);
    tether_put32(at + 4, manifest->pool_slots);
    tether_put32(at + 8, manifest->ring_frames);
    tether_put16(at + 12, manifest->ember_frames);
    tether_put16(at + 14, manifest->lanes);
    tether_put64(at + 16, manifest->max_message);
    tether_put64(at + 24, manifest->rtt_ns);
    tether_put64(at + 32, manifest->rate_bps);
    tether_put64(at + 40, manifest->silence_ns);
    at += MANIFEST_VALUE;
    for (uint16_t i = 0; i < manifest->lanes; i++) {
        tether_put16(at, (uint16_t)(first_lane + i));
        at[2] = addresses[i].kind;
        at[3] = addresses[i].length;
        memcpy(at + 4, addresses[i].bytes, addresses[i].length);
        at += padded(4 + (size_t)addresses[i].length);
    }
    return padded(TETHER_TAG_HEAD + value);
}

size_t tether_tag_put_plan(uint8_t *out, uint8_t type, const struct tether_plan *plan, uint64_t clock_ns, uint64_t stamp)
{
    uint8_t *at = begin(out, type, PLAN_VALUE + 16 * (size_t)plan->count);
    tether_put64(at, clock_ns);
    tether_put64(at + 8, stamp);
    tether_put16(at + 16, (uint16_t)plan->count);
    for (uint32_t i = 0; i < plan->count; i++) {
        tether_put64(at + PLAN_VALUE + 16 * (size_t)i, plan->at[i]);
        tether_put64(at + PLAN_VALUE + 16 * (size_t)i + 8, plan->value[i]);
    }
    return padded(TETHER_TAG_HEAD + PLAN_VALUE + 16 * (size_t)plan->count);
}

size_t tether_tag_put_skip(uint8_t *out, const struct tether_tag_skip *skip)
{
    uint8_t *at = begin(out, TETHER_TAG_SKIP, SKIP_VALUE);
    tether_put16(at, skip->flow);
    tether_put64(at + 8, skip->first);
    tether_put64(at + 16, skip->count);
    return TETHER_TAG_SKIP_SIZE;
}

size_t tether_tag_put_close(uint8_t *out, const struct tether_tag_close *close)
{
    uint8_t *at = begin(out, TETHER_TAG_CLOSE, CLOSE_VALUE);
    tether_put16(at, close->flow);
    tether_put32(at + 4, close->reason);
    tether_put64(at + 8, close->final);
    return TETHER_TAG_CLOSE_SIZE;
}

size_t tether_tag_put_bye(uint8_t *out, uint32_t reason)
{
    uint8_t *at = begin(out, TETHER_TAG_BYE, BYE_VALUE);
    tether_put32(at, reason);
    return TETHER_TAG_BYE_SIZE;
}

size_t tether_tag_put_rekey(uint8_t *out, uint32_t channel)
{
    tether_put32(begin(out, TETHER_TAG_REKEY, REKEY_VALUE), channel);
    return TETHER_TAG_REKEY_SIZE;
}

size_t tether_tag_put_warm(uint8_t *out, uint32_t bytes)
{
    tether_put32(begin(out, TETHER_TAG_WARM, WARM_VALUE), bytes);
    return TETHER_TAG_WARM_SIZE;
}
