/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aead.h: a frame is sealed and opened by five calls of the library each. They are part of the two places that do it for
 * every frame; all others call crypto.h.
 */
#ifndef TETHER_AEAD_H
#define TETHER_AEAD_H

#include "crypto.h"
#include "paths.h"
#include "wire.h"

#include <openssl/evp.h>

/* The nonce of a frame: 4 zero bytes and its sequence. It stands in `aead`: a place on the stack costs a guard there. */
TETHER_USUAL const uint8_t *tether_aead_nonce(struct tether_aead *aead, uint64_t sequence)
{
    _Static_assert(offsetof(struct tether_aead, nonce) == offsetof(struct tether_aead, zero) + 4, "12 bytes in a row");
    aead->nonce = TETHER_LE64(sequence);
    return (const uint8_t *)aead + offsetof(struct tether_aead, zero);
}

/* `length` bytes from `plain` into `sealed`, with the tag; 0 or -1. */
TETHER_USUAL int tether_aead_seal_with(struct tether_aead *aead, uint64_t sequence, const uint8_t *aad,
                                       const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t *tag)
{
    EVP_CIPHER_CTX *context = aead->context;
    int *written = &aead->written;
    if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, tether_aead_nonce(aead, sequence)) != 1 ||
        EVP_EncryptUpdate(context, NULL, written, aad, TETHER_AAD_SIZE) != 1 ||
        (length > 0 && EVP_EncryptUpdate(context, sealed, written, plain, (int)length) != 1) ||
        EVP_EncryptFinal_ex(context, sealed + length, written) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TETHER_TAG_SIZE, tag) != 1)
        return -1;
    return 0;
}

/* The reverse; -1 when the tag does not verify. */
TETHER_USUAL int tether_aead_unseal_with(struct tether_aead *aead, uint64_t sequence, const uint8_t *aad,
                                         const uint8_t *sealed, size_t length, uint8_t *plain, const uint8_t *tag)
{
    EVP_CIPHER_CTX *context = aead->context;
    void *expected = (void *)(uintptr_t)tag; /* the library's interface is not const, but it only reads it */
    int *written = &aead->written;
    if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, tether_aead_nonce(aead, sequence)) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TETHER_TAG_SIZE, expected) != 1 ||
        EVP_DecryptUpdate(context, NULL, written, aad, TETHER_AAD_SIZE) != 1 ||
        (length > 0 && EVP_DecryptUpdate(context, plain, written, sealed, (int)length) != 1) ||
        EVP_DecryptFinal_ex(context, plain + length, written) != 1)
        return -1;
    return 0;
}

/* A frame whose first 48 bytes are written: its payload goes behind the header, the tag into it. */
TETHER_USUAL int tether_frame_aead_seal(struct tether_aead *aead, uint64_t sequence, uint8_t *frame, const uint8_t *plain,
                                        size_t length)
{
    return tether_aead_seal_with(aead, sequence, frame, plain, length, frame + TETHER_HEADER_BYTES,
                                 frame + TETHER_AT_TAG);
}

/* The payload of a frame that has come, into `plain`. */
TETHER_USUAL int tether_frame_aead_unseal(struct tether_aead *aead, uint64_t sequence, const uint8_t *frame, size_t length,
                                          uint8_t *plain)
{
    return tether_aead_unseal_with(aead, sequence, frame, frame + TETHER_HEADER_BYTES, length, plain,
                                   frame + TETHER_AT_TAG);
}

#endif
