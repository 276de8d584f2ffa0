/* SPDX-License-Identifier: Apache-2.0 */
#include "buckets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

int tether_sources_open(struct tether_sources *sources, uint64_t burst, uint64_t frames_per_s)
{
    sources->burst = burst ? burst : 1;
    sources->ns_per_frame = frames_per_s ? UINT64_C(1000000000) / frames_per_s : UINT64_MAX;
    sources->ns_per_frame = sources->ns_per_frame ? sources->ns_per_frame : 1;
    sources->places = calloc(TETHER_SOURCE_PLACES, sizeof *sources->places);
    return sources->places == NULL ? -ENOMEM : 0;
}

void tether_sources_close(struct tether_sources *sources)
{
    free(sources->places);
    sources->places = NULL;
    tether_wipe(sources->secret, sizeof sources->secret);
}

/* What of an address is one source: who has a host has all its ports, and all of an IPv6 /64. */
static size_t source_bytes(const struct tether_address *from)
{
    switch (from->kind) {
    case TETHER_ADDRESS_UDP4: return 4;
    case TETHER_ADDRESS_UDP6: return 8;
    default: return from->length;
    }
}

static void refill(const struct tether_sources *sources, struct tether_source *source, uint64_t now_ns)
{
    uint64_t gained;
    if (now_ns <= source->filled_ns)
        return;
    gained = (now_ns - source->filled_ns) / sources->ns_per_frame;
    if (gained >= sources->burst - source->frames) {
        source->frames = sources->burst;
        source->filled_ns = now_ns;
    } else {
        source->frames += gained;
        source->filled_ns += gained * sources->ns_per_frame;
    }
}

int tether_sources_pay(struct tether_sources *sources, const struct tether_address *from, int proven, uint64_t now_ns)
{
    uint8_t head[2] = {from->kind, proven != 0}, hash[16];
    const struct tether_part parts[] = {{head, sizeof head}, {from->bytes, source_bytes(from)}};
    struct tether_source *place, *source = NULL;
    uint64_t mark;
    if (tether_blake2s_keyed(sources->secret, parts, 2, hash, sizeof hash))
        return 0;
    mark = tether_get64(hash) | 1;
    place = sources->places[tether_get64(hash + 8) % TETHER_SOURCE_PLACES];
    for (int i = 0; i < TETHER_SOURCE_WAYS && source == NULL; i++) {
        if (place[i].mark == 0) { /* never used: the first of its four */
            place[i].frames = sources->burst;
            place[i].filled_ns = now_ns;
            place[i].mark = mark;
        }
        if (place[i].mark == mark)
            source = &place[i];
    }
    for (int i = 0; source == NULL && i < TETHER_SOURCE_WAYS; i++)
        refill(sources, &place[i], now_ns);
    if (source == NULL) {
        source = &place[0];
        for (int i = 1; i < TETHER_SOURCE_WAYS; i++)
            if (place[i].frames > source->frames)
                source = &place[i];
        source->mark = mark;
    }
    refill(sources, source, now_ns);
    if (source->frames == 0)
        return 0;
    source->frames--;
    return 1;
}
