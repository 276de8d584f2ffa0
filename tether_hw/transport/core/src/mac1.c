/* SPDX-License-Identifier: Apache-2.0 */
#include "mac1.h"

#include <errno.h>

static const char mac1_label[] = "tether/1 mac1";

int tether_mac1_key(const uint8_t receiver_public[TETHER_KEY_SIZE], uint8_t key[TETHER_KEY_SIZE])
{
    const struct tether_part parts[] = {{mac1_label, sizeof mac1_label - 1}, {receiver_public, TETHER_KEY_SIZE}};

    return tether_blake2s(parts, 2, key);
}

int tether_mac1(const uint8_t key[TETHER_KEY_SIZE], const uint8_t header[TETHER_AAD_SIZE], const uint8_t *payload,
                size_t length, uint8_t tag[TETHER_TAG_SIZE])
{
    const struct tether_part parts[] = {{header, TETHER_AAD_SIZE}, {payload, length}};

    return tether_blake2s_keyed(key, parts, 2, tag, TETHER_TAG_SIZE);
}

int tether_mac1_check(const uint8_t key[TETHER_KEY_SIZE], const uint8_t header[TETHER_AAD_SIZE],
                      const uint8_t *payload, size_t length, const uint8_t tag[TETHER_TAG_SIZE])
{
    uint8_t expected[TETHER_TAG_SIZE];
    int result = tether_mac1(key, header, payload, length, expected);

    if (result != 0)
        return result;
    return tether_equal(expected, tag, TETHER_TAG_SIZE) ? 0 : -EBADMSG;
}
