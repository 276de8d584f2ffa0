/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a frame from the wire: refused, and never answered, for the sender has no key. */
#include "../tests/pair.h"

static struct pair pair;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[PAIR_FRAME];
    struct tether_header header;
    struct tether_stats before, after;
    if (pair.end[0] == NULL) {
        pair_open(&pair, 1);
        pair_start(&pair);
        pair_connect(&pair);
        pair_run(&pair, 100000000);
    }
    if (size > sizeof frame)
        size = sizeof frame;
    memcpy(frame, data, size);
    if (size >= TETHER_HEADER_BYTES) { /* the codec is a bijection */
        uint8_t again[TETHER_HEADER_BYTES];
        tether_header_decode(&header, frame);
        tether_header_encode(&header, again);
        if (memcmp(frame, again, sizeof again))
            __builtin_trap();
        if (frame[0] & 0x80) /* most random channels are strangers: look at the real one too */
            memcpy(frame + TETHER_AT_CHANNEL, &pair.channel[1], 4), frame[0] = 1;
    }
    before = pair_stats(&pair, 1);
    if (tether_endpoint_receive(pair.end[1], pair.now_ns, &pair.address[0], frame, size) >= 0)
        __builtin_trap();
    after = pair_stats(&pair, 1);
    if (before.frames_received != after.frames_received || before.frames_sent != after.frames_sent)
        __builtin_trap();
    return 0;
}
