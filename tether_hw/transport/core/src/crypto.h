/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto.h: the few primitives that RFC 0001 section "Cryptography" names, taken from OpenSSL 3 libcrypto.
 *
 * Nothing here is hand-written cryptography: this file gives the library's calls fixed sizes, one error style
 * (0 or -errno) and contexts that are allocated once, so that sealing and opening a frame allocates nothing.
 */
#ifndef TETHER_CRYPTO_H
#define TETHER_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

enum {
    TETHER_KEY_SIZE = 32,   /* X25519 scalars and points, AEAD keys, chain keys */
    TETHER_HASH_SIZE = 32,  /* BLAKE2s-256 */
    TETHER_TAG_SIZE = 16,   /* AEAD tag and mac1 */
    TETHER_AAD_SIZE = 48,   /* header bytes 0-47 */
};

/* enum tether_cipher: values are the bits of the HAIL tag's `ciphers` field. */
#include "../include/tether.h"

/* ASCII name that enters the key derivation, or NULL for an unknown cipher. */
const char *tether_cipher_name(uint16_t cipher);

/* One keyed AEAD direction. Zero-initialise, then _open once; _key as often as wanted. */
struct tether_aead {
    void *context; /* EVP_CIPHER_CTX */
    uint16_t cipher;
    uint8_t sealing; /* 1: seal only, 0: open only */
    uint8_t reserved;
    uint32_t zero;   /* the first 4 bytes of every nonce; the other 8 follow it */
    uint64_t nonce;
    int written;     /* what the library's calls say and nobody asks */
};

/* Allocate the library's context. 0 or -ENOMEM. */
int tether_aead_open(struct tether_aead *aead);
/* Free and wipe. Safe on a zeroed struct. */
void tether_aead_close(struct tether_aead *aead);
/* Install a 32-byte key for one direction. 0, -EINVAL (unknown cipher) or -EIO (library failure). */
int tether_aead_key(struct tether_aead *aead, uint16_t cipher, const uint8_t key[TETHER_KEY_SIZE], int sealing);
/*
 * Seal `length` bytes from `plain` into `sealed` (may be the same memory) and write the detached tag.
 * Nonce = 4 zero bytes, then `sequence` as u64 little-endian. 0 or -EIO.
 */
int tether_aead_seal(struct tether_aead *aead, uint64_t sequence, const uint8_t aad[TETHER_AAD_SIZE],
                     const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t tag[TETHER_TAG_SIZE]);
/* The reverse; -EBADMSG when the tag does not verify (then `plain` holds nothing of meaning). */
int tether_aead_unseal(struct tether_aead *aead, uint64_t sequence, const uint8_t aad[TETHER_AAD_SIZE],
                       const uint8_t *sealed, size_t length, uint8_t *plain, const uint8_t tag[TETHER_TAG_SIZE]);

/* A run of bytes for the multi-part hashes below. */
struct tether_part {
    const void *data;
    size_t length;
};

/* BLAKE2s-256 over the parts in order. 0 or -EIO. */
int tether_blake2s(const struct tether_part *parts, size_t count, uint8_t out[TETHER_HASH_SIZE]);
/* Keyed BLAKE2s (RFC 7693), 32-byte key, output of 16 or 32 bytes. 0, -EINVAL or -EIO. */
int tether_blake2s_keyed(const uint8_t key[TETHER_KEY_SIZE], const struct tether_part *parts, size_t count,
                         uint8_t *out, size_t out_length);
/* HMAC-BLAKE2s as Noise's HKDF needs it (RFC 2104, block 64). 0 or -EIO. */
int tether_hmac_blake2s(const uint8_t *key, size_t key_length, const struct tether_part *parts, size_t count,
                        uint8_t out[TETHER_HASH_SIZE]);

/* X25519 (RFC 7748). 0, -EBADMSG for an all-zero result (a point of small order), -EIO. */
int tether_x25519(const uint8_t secret[TETHER_KEY_SIZE], const uint8_t point[TETHER_KEY_SIZE],
                  uint8_t shared[TETHER_KEY_SIZE]);
int tether_x25519_public(const uint8_t secret[TETHER_KEY_SIZE], uint8_t point[TETHER_KEY_SIZE]);

/* Constant-time comparison: 1 equal, 0 not. */
int tether_equal(const void *a, const void *b, size_t length);
/* A wipe that the compiler keeps. */
void tether_wipe(void *data, size_t length);

#endif
