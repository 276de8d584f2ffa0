/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 (RFC 8032), the checking half: what operators signed is checked on hosts that have no other library for it. */
#include "../include/tether.h"

#include <errno.h>

#include <openssl/evp.h>

TETHER_API int tether_signature_check(const uint8_t public_key[32], const uint8_t *message, size_t length,
                                      const uint8_t signature[64])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int result = -EIO;

    if (key != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1)
        result = EVP_DigestVerify(context, signature, 64, message, length) == 1 ? 0 : -EBADMSG;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return result;
}
