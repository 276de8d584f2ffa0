/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto.h"
#include "aead.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

/*
 * The library that is linked into ours must not read the host's openssl.cnf: what an operator set there for other
 * programs (another provider, FIPS) would take our ciphers away or load the host's modules into this process.
 */
__attribute__((constructor)) static void ignore_host_configuration(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

const char *tether_cipher_name(uint16_t cipher)
{
    switch (cipher) {
    case TETHER_CIPHER_CHACHA20_POLY1305:
        return "ChaCha20-Poly1305";
    case TETHER_CIPHER_AES_256_GCM:
        return "AES-256-GCM";
    default:
        return NULL;
    }
}

int tether_aead_open(struct tether_aead *aead)
{
    aead->context = EVP_CIPHER_CTX_new();
    aead->cipher = 0;
    aead->zero = 0;
    return aead->context == NULL ? -ENOMEM : 0;
}

void tether_aead_close(struct tether_aead *aead)
{
    EVP_CIPHER_CTX_free(aead->context); /* wipes the key schedule */
    memset(aead, 0, sizeof *aead);
}

int tether_aead_key(struct tether_aead *aead, uint16_t cipher, const uint8_t key[TETHER_KEY_SIZE], int sealing)
{
    const EVP_CIPHER *type;

    switch (cipher) {
    case TETHER_CIPHER_CHACHA20_POLY1305:
        type = EVP_chacha20_poly1305();
        break;
    case TETHER_CIPHER_AES_256_GCM:
        type = EVP_aes_256_gcm();
        break;
    default:
        return -EINVAL;
    }
    /* Naming the type again would make the library fetch and allocate; a new key alone does neither. */
    if (aead->cipher == cipher && aead->sealing == (sealing != 0))
        type = NULL;
    if (EVP_CipherInit_ex(aead->context, type, NULL, key, NULL, sealing != 0) != 1) {
        aead->cipher = 0;
        return -EIO;
    }
    aead->cipher = cipher;
    aead->sealing = sealing != 0;
    return 0;
}

int tether_aead_seal(struct tether_aead *aead, uint64_t sequence, const uint8_t aad[TETHER_AAD_SIZE],
                     const uint8_t *plain, size_t length, uint8_t *sealed, uint8_t tag[TETHER_TAG_SIZE])
{
    if (length > INT_MAX || aead->cipher == 0 ||
        tether_aead_seal_with(aead, sequence, aad, plain, length, sealed, tag))
        return -EIO;
    return 0;
}

int tether_aead_unseal(struct tether_aead *aead, uint64_t sequence, const uint8_t aad[TETHER_AAD_SIZE],
                       const uint8_t *sealed, size_t length, uint8_t *plain, const uint8_t tag[TETHER_TAG_SIZE])
{
    if (length > INT_MAX || aead->cipher == 0)
        return -EIO;
    return tether_aead_unseal_with(aead, sequence, aad, sealed, length, plain, tag) ? -EBADMSG : 0;
}

int tether_blake2s(const struct tether_part *parts, size_t count, uint8_t out[TETHER_HASH_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = context != NULL && EVP_DigestInit_ex(context, EVP_blake2s256(), NULL) == 1;

    for (size_t i = 0; good && i < count; i++)
        good = EVP_DigestUpdate(context, parts[i].data, parts[i].length) == 1;
    good = good && EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return good ? 0 : -EIO;
}

/* Looked up by name once: the library's own search costs more than a short hash. Kept as long as the process. */
static CRYPTO_ONCE macs_once = CRYPTO_ONCE_STATIC_INIT;
static EVP_MAC *blake2s_mac, *hmac;

static void find_macs(void)
{
    blake2s_mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static EVP_MAC_CTX *mac_of(EVP_MAC *const *which)
{
    if (CRYPTO_THREAD_run_once(&macs_once, find_macs) != 1 || *which == NULL)
        return NULL;
    return EVP_MAC_CTX_new(*which);
}

int tether_blake2s_keyed(const uint8_t key[TETHER_KEY_SIZE], const struct tether_part *parts, size_t count,
                         uint8_t *out, size_t out_length)
{
    size_t size = out_length;
    size_t written = 0;
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *context;
    int good;

    if (out_length != TETHER_HASH_SIZE && out_length != TETHER_TAG_SIZE)
        return -EINVAL;
    context = mac_of(&blake2s_mac);
    good = context != NULL && EVP_MAC_init(context, key, TETHER_KEY_SIZE, params) == 1;
    for (size_t i = 0; good && i < count; i++)
        good = EVP_MAC_update(context, parts[i].data, parts[i].length) == 1;
    good = good && EVP_MAC_final(context, out, &written, out_length) == 1 && written == out_length;
    EVP_MAC_CTX_free(context);
    return good ? 0 : -EIO;
}

int tether_hmac_blake2s(const uint8_t *key, size_t key_length, const struct tether_part *parts, size_t count,
                        uint8_t out[TETHER_HASH_SIZE])
{
    EVP_MAC_CTX *context = mac_of(&hmac);
    char digest[] = "BLAKE2S-256";
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_end()};
    size_t written = 0;
    int good;

    good = context != NULL && EVP_MAC_init(context, key, key_length, params) == 1;
    for (size_t i = 0; good && i < count; i++)
        good = EVP_MAC_update(context, parts[i].data, parts[i].length) == 1;
    good = good && EVP_MAC_final(context, out, &written, TETHER_HASH_SIZE) == 1 && written == TETHER_HASH_SIZE;
    EVP_MAC_CTX_free(context);
    return good ? 0 : -EIO;
}

int tether_x25519(const uint8_t secret[TETHER_KEY_SIZE], const uint8_t point[TETHER_KEY_SIZE],
                  uint8_t shared[TETHER_KEY_SIZE])
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, TETHER_KEY_SIZE);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, point, TETHER_KEY_SIZE);
    EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t length = TETHER_KEY_SIZE;
    int result = -EIO;

    if (context != NULL && peer != NULL && EVP_PKEY_derive_init(context) == 1 &&
        EVP_PKEY_derive_set_peer(context, peer) == 1) {
        /* libcrypto itself refuses an all-zero shared secret (RFC 7748 section 6.1) */
        result = EVP_PKEY_derive(context, shared, &length) == 1 && length == TETHER_KEY_SIZE ? 0 : -EBADMSG;
    }
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return result;
}

int tether_x25519_public(const uint8_t secret[TETHER_KEY_SIZE], uint8_t point[TETHER_KEY_SIZE])
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, TETHER_KEY_SIZE);
    size_t length = TETHER_KEY_SIZE;
    int good = own != NULL && EVP_PKEY_get_raw_public_key(own, point, &length) == 1 && length == TETHER_KEY_SIZE;

    EVP_PKEY_free(own);
    return good ? 0 : -EIO;
}

int tether_equal(const void *a, const void *b, size_t length)
{
    return CRYPTO_memcmp(a, b, length) == 0;
}

void tether_wipe(void *data, size_t length)
{
    OPENSSL_cleanse(data, length);
}
