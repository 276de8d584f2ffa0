/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char chain_label[] = "tether/1 chain";
static const char frame_label[] = "tether/1 frame";
static const char next_label[] = "tether/1 next";

/* Held epochs never exceed ahead + 2 ([e-1, e+ahead]), so a ring of that size has a place of its own for each. */
static uint64_t ring_size(const struct tether_keys *keys)
{
    return (uint64_t)keys->ahead + 2;
}

int tether_keys_open(struct tether_keys *keys, uint32_t ahead, int sealing)
{
    memset(keys, 0, sizeof *keys);
    if (ahead < 1 || ahead > TETHER_KEYS_AHEAD_MAX)
        return -EINVAL;
    keys->now_epoch = UINT64_MAX;
    keys->ahead = ahead;
    keys->sealing = sealing != 0;
    keys->ring = calloc(ring_size(keys), sizeof *keys->ring);
    if (keys->ring == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < TETHER_KEYS_CONTEXTS; i++) {
        keys->context_epoch[i] = UINT64_MAX;
        if (tether_aead_open(&keys->contexts[i]) != 0) {
            tether_keys_close(keys);
            return -ENOMEM;
        }
    }
    return 0;
}

void tether_keys_close(struct tether_keys *keys)
{
    if (keys->ring != NULL)
        tether_wipe(keys->ring, ring_size(keys) * sizeof *keys->ring);
    free(keys->ring);
    for (unsigned i = 0; i < TETHER_KEYS_CONTEXTS; i++)
        tether_aead_close(&keys->contexts[i]);
    tether_wipe(keys, sizeof *keys);
}

/* Derive the frame key of `epoch` from the chain that stands there, and step the chain. */
static int derive(struct tether_keys *keys, uint64_t epoch)
{
    const struct tether_part frame = {frame_label, sizeof frame_label - 1};
    const struct tether_part next = {next_label, sizeof next_label - 1};
    uint8_t stepped[TETHER_KEY_SIZE];
    int result;

    result = tether_blake2s_keyed(keys->chain, &frame, 1, keys->ring[epoch % ring_size(keys)], TETHER_KEY_SIZE);
    if (result == 0)
        result = tether_blake2s_keyed(keys->chain, &next, 1, stepped, TETHER_KEY_SIZE);
    if (result == 0)
        memcpy(keys->chain, stepped, TETHER_KEY_SIZE);
    tether_wipe(stepped, sizeof stepped);
    return result;
}

int tether_keys_chain(uint16_t cipher, const uint8_t split[TETHER_KEY_SIZE], uint8_t chain[TETHER_KEY_SIZE])
{
    const char *name = tether_cipher_name(cipher);

    if (name == NULL)
        return -EINVAL;
    const struct tether_part start[] = {{chain_label, sizeof chain_label - 1}, {name, strlen(name)}};
    return tether_blake2s_keyed(split, start, 2, chain, TETHER_KEY_SIZE);
}

int tether_keys_set(struct tether_keys *keys, uint16_t cipher, const uint8_t split[TETHER_KEY_SIZE])
{
    int result;

    if (tether_cipher_name(cipher) == NULL)
        return -EINVAL;
    tether_keys_clear(keys);
    result = tether_keys_chain(cipher, split, keys->chain);
    for (uint64_t epoch = 0; result == 0 && epoch <= keys->ahead; epoch++)
        result = derive(keys, epoch);
    if (result != 0) {
        tether_keys_clear(keys);
        return result;
    }
    keys->cipher = cipher;
    keys->first = 0;
    keys->last = keys->ahead;
    return 0;
}

void tether_keys_clear(struct tether_keys *keys)
{
    tether_wipe(keys->ring, ring_size(keys) * sizeof *keys->ring);
    tether_wipe(keys->chain, sizeof keys->chain);
    keys->now_epoch = UINT64_MAX;
    keys->cipher = 0;
    keys->first = 0;
    keys->last = 0;
    for (unsigned i = 0; i < TETHER_KEYS_CONTEXTS; i++)
        keys->context_epoch[i] = UINT64_MAX;
}

struct tether_aead *tether_keys_load(struct tether_keys *keys, uint64_t epoch)
{
    uint32_t victim;

    if (keys->cipher == 0 || epoch < keys->first || epoch > keys->last)
        return NULL;
    keys->now_epoch = UINT64_MAX;
    for (uint32_t i = 0; i < TETHER_KEYS_CONTEXTS; i++)
        if (keys->context_epoch[i] == epoch) {
            keys->now_epoch = epoch;
            return &keys->contexts[keys->now = i];
        }
    victim = keys->context_next;
    keys->context_next = (victim + 1) % TETHER_KEYS_CONTEXTS;
    keys->context_epoch[victim] = UINT64_MAX;
    if (tether_aead_key(&keys->contexts[victim], keys->cipher, keys->ring[epoch % ring_size(keys)], keys->sealing) != 0)
        return NULL;
    keys->context_epoch[victim] = epoch;
    keys->now_epoch = epoch;
    return &keys->contexts[keys->now = victim];
}

int tether_keys_advance(struct tether_keys *keys, uint64_t epoch)
{
    if (keys->cipher == 0 || epoch + keys->ahead <= keys->last)
        return 0;
    assert(epoch <= keys->last); /* only an epoch whose key was held can have verified */
    keys->now_epoch = UINT64_MAX; /* it may be forgotten now */
    /* Forget what is older than epoch - 1 first: the ring has no place for more. */
    while (keys->first + 1 < epoch) {
        tether_wipe(keys->ring[keys->first % ring_size(keys)], TETHER_KEY_SIZE);
        for (unsigned i = 0; i < TETHER_KEYS_CONTEXTS; i++) {
            if (keys->context_epoch[i] == keys->first)
                keys->context_epoch[i] = UINT64_MAX;
        }
        keys->first++;
    }
    while (keys->last < epoch + keys->ahead) {
        int result = derive(keys, keys->last + 1);

        if (result != 0)
            return result;
        keys->last++;
    }
    return 0;
}
