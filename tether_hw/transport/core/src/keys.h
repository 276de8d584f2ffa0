/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h: epoch keys of one direction of one channel (RFC 0001, "Key schedule").
 *
 *   chain_0     = BLAKE2s-256(key = k, "tether/1 chain" || cipher name)        k from the Noise Split()
 *   frame_key_e = BLAKE2s-256(key = chain_e, "tether/1 frame")
 *   chain_(e+1) = BLAKE2s-256(key = chain_e, "tether/1 next")
 *   e           = sequence >> 22
 *
 * Keys exist for [newest verified - 1, newest verified + ahead] and nothing else: a frame's epoch is looked up,
 * never derived on demand, because it stands in a field that nobody has verified yet.
 */
#ifndef TETHER_KEYS_H
#define TETHER_KEYS_H

#include "crypto.h"

enum {
    TETHER_EPOCH_SHIFT = 22,      /* frames per key: 2^22, half of RFC 9001's limit for AES-GCM */
    TETHER_KEYS_AHEAD_MAX = 1024, /* the RFC's bound on k */
    TETHER_KEYS_CONTEXTS = 3,     /* keyed library contexts: the epochs e-1, e, e+1 that a healthy channel uses */
};

struct tether_keys {
    uint64_t now_epoch; /* asked for last, and its context is contexts[now]; UINT64_MAX: none */
    uint32_t now;
    uint32_t context_next;  /* round-robin victim */
    uint64_t first;    /* oldest epoch whose key is held */
    uint64_t last;     /* newest epoch whose key is held */
    uint32_t ahead;    /* k: epochs derived beyond the newest verified one */
    uint16_t cipher;   /* 0 until _set */
    uint8_t sealing;
    uint8_t reserved;
    uint8_t chain[TETHER_KEY_SIZE];                /* chain key of epoch last + 1 */
    uint8_t (*ring)[TETHER_KEY_SIZE];              /* [ahead + 2] frame keys, by epoch modulo its size */
    struct tether_aead contexts[TETHER_KEYS_CONTEXTS];
    uint64_t context_epoch[TETHER_KEYS_CONTEXTS];  /* which epoch a context is keyed for, UINT64_MAX none */
};

/* Allocate for `ahead` epochs (1..1024). 0, -EINVAL, -ENOMEM. Call once; _set may follow any number of times. */
int tether_keys_open(struct tether_keys *keys, uint32_t ahead, int sealing);
void tether_keys_close(struct tether_keys *keys);
/* chain_0 of a direction from its Split() key. 0, -EINVAL, -EIO. */
int tether_keys_chain(uint16_t cipher, const uint8_t split[TETHER_KEY_SIZE], uint8_t chain[TETHER_KEY_SIZE]);
/* Start a channel's direction from its Split() key: epochs 0..ahead are derived. 0, -EINVAL, -EIO. */
int tether_keys_set(struct tether_keys *keys, uint16_t cipher, const uint8_t split[TETHER_KEY_SIZE]);
/* Wipe all keys (the channel ended); _set may follow. */
void tether_keys_clear(struct tether_keys *keys);
/* The same for another epoch than the last one. */
struct tether_aead *tether_keys_load(struct tether_keys *keys, uint64_t epoch);

/* The AEAD for an epoch by table look-up; NULL outside the held range. */
static inline struct tether_aead *tether_keys_find(struct tether_keys *keys, uint64_t epoch)
{
    return __builtin_expect(keys->now_epoch == epoch, 1) ? &keys->contexts[keys->now] : tether_keys_load(keys, epoch);
}

/*
 * A frame of `epoch` verified (or, when sealing, is about to be sent): hold [epoch - 1, epoch + ahead].
 * Derives at most `ahead` keys and is a no-op unless the epoch is newer than any before. 0 or -EIO.
 */
int tether_keys_advance(struct tether_keys *keys, uint64_t epoch);
/* Is that epoch newer than any before? */
static inline int tether_keys_newer(const struct tether_keys *keys, uint64_t epoch)
{
    return epoch + keys->ahead > keys->last;
}

/* The first sequence of an epoch, and the last: the very last of a channel is one. */
static inline int tether_epoch_border(uint64_t sequence)
{
    return ((sequence + 1) & ((UINT64_C(1) << TETHER_EPOCH_SHIFT) - 1)) <= 1;
}

static inline uint64_t tether_epoch(uint64_t sequence)
{
    return sequence >> TETHER_EPOCH_SHIFT;
}

#endif
