/* SPDX-License-Identifier: Apache-2.0 */
/* payload.c: what applications send, made from its place and checked by its place: nothing of it is kept. */
#include "random.h"

#include <string.h>

void sim_payload_fill(uint64_t key, uint64_t at, uint8_t *out, uint64_t length)
{
    uint64_t word = at / 8, skip = at % 8, value;
    if (skip && length) {
        uint64_t take = 8 - skip < length ? 8 - skip : length;
        value = sim_word(key, word++);
        memcpy(out, (const uint8_t *)&value + skip, take);
        out += take;
        length -= take;
    }
    for (; length >= 8; length -= 8, out += 8) {
        value = sim_word(key, word++);
        memcpy(out, &value, 8);
    }
    if (length) {
        value = sim_word(key, word);
        memcpy(out, &value, length);
    }
}

int sim_payload_right(uint64_t key, uint64_t at, const uint8_t *bytes, uint64_t length)
{
    uint64_t word = at / 8, skip = at % 8, value, got, wrong = 0;
    if (skip && length) {
        uint64_t take = 8 - skip < length ? 8 - skip : length;
        value = sim_word(key, word++);
        if (memcmp(bytes, (const uint8_t *)&value + skip, take))
            return 0;
        bytes += take;
        length -= take;
    }
    for (; length >= 8; length -= 8, bytes += 8) {
        memcpy(&got, bytes, 8);
        wrong |= got ^ sim_word(key, word++);
    }
    if (wrong)
        return 0;
    value = sim_word(key, word);
    return length == 0 || memcmp(bytes, &value, length) == 0;
}
