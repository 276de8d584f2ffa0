/* SPDX-License-Identifier: Apache-2.0 */
/* aead.h: raw AEAD speed: seal and open of the same full frame in the same buffer, by the calls the endpoint uses. */
#ifndef TETHER_BENCH_AEAD_H
#define TETHER_BENCH_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "../crypto.h"

struct bench_aead {
    struct tether_aead seal, open;
    uint8_t header[TETHER_AAD_SIZE];
    uint8_t *frame;
    size_t length;
    uint64_t sequence;
};

int bench_aead_open(struct bench_aead *bench, uint16_t cipher, size_t payload_bytes);
void bench_aead_close(struct bench_aead *bench);
/* Seal and open `frames` frames; the time it took in ns, 0 when a frame did not verify. */
uint64_t bench_aead_run(struct bench_aead *bench, uint64_t frames);

#endif
