/* SPDX-License-Identifier: Apache-2.0 */
#include "aead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/tether.h"
#include "../engine/host.h"
#include "../engine/words.h"

enum { FRAMES_AT_ONCE = 256 };

int bench_aead_open(struct bench_aead *bench, uint16_t cipher, size_t payload_bytes)
{
    static const uint8_t key[TETHER_KEY_SIZE] = {0x74, 0x65, 0x74, 0x68, 0x65, 0x72};
    memset(bench, 0, sizeof *bench);
    bench->length = payload_bytes;
    bench->frame = calloc(1, payload_bytes ? payload_bytes : 1);
    int status = bench->frame ? tether_aead_open(&bench->seal) : -ENOMEM;
    if (!status)
        status = tether_aead_open(&bench->open);
    if (!status)
        status = tether_aead_key(&bench->seal, cipher, key, 1);
    if (!status)
        status = tether_aead_key(&bench->open, cipher, key, 0);
    if (status)
        bench_aead_close(bench);
    return status ? words_fail(status, "no AEAD with cipher %u", cipher) : 0;
}

void bench_aead_close(struct bench_aead *bench)
{
    tether_aead_close(&bench->seal);
    tether_aead_close(&bench->open);
    free(bench->frame);
    bench->frame = NULL;
}

uint64_t bench_aead_run(struct bench_aead *bench, uint64_t frames)
{
    uint8_t tag[TETHER_TAG_SIZE];
    uint64_t start = host_now_ns();
    for (uint64_t i = 0; i < frames; i++) {
        uint64_t sequence = ++bench->sequence;
        if (tether_aead_seal(&bench->seal, sequence, bench->header, bench->frame, bench->length, bench->frame, tag) ||
            tether_aead_unseal(&bench->open, sequence, bench->header, bench->frame, bench->length, bench->frame, tag))
            return 0;
    }
    uint64_t elapsed = host_now_ns() - start;
    return elapsed ? elapsed : 1;
}

int tether_bench_aead(uint16_t cipher, uint32_t payload_bytes, uint64_t duration_ns, double *bps)
{
    struct bench_aead bench;
    if (!payload_bytes || payload_bytes > 65535 || !bps)
        return words_fail(-EINVAL, "a payload of %u bytes: 1 to 65535 are possible", payload_bytes);
    int status = bench_aead_open(&bench, cipher, payload_bytes);
    if (status)
        return status;
    uint64_t frames = 0, elapsed = 0;
    do {
        uint64_t took = bench_aead_run(&bench, FRAMES_AT_ONCE);
        if (!took)
            status = words_fail(-EBADMSG, "a sealed frame did not open");
        frames += FRAMES_AT_ONCE;
        elapsed += took;
    } while (!status && elapsed < duration_ns);
    bench_aead_close(&bench);
    if (!status)
        *bps = (double)frames * payload_bytes * 8e9 / (double)elapsed;
    return status;
}
