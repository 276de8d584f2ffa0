/* SPDX-License-Identifier: Apache-2.0 */
#include "noise.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

static const char protocol_name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
static const char prologue[] = "tether/1";

static int mix_hash(struct tether_noise *noise, const void *data, size_t length)
{
    const struct tether_part parts[] = {{noise->hash, TETHER_HASH_SIZE}, {data, length}};
    uint8_t out[TETHER_HASH_SIZE];
    int result = tether_blake2s(parts, 2, out);

    if (result == 0)
        memcpy(noise->hash, out, sizeof out);
    return result;
}

/* HKDF(chain, input, 2) of Noise section 4.3; the outputs may be the state's own fields. */
static int hkdf2(const uint8_t chain[TETHER_KEY_SIZE], const uint8_t *input, size_t length,
                 uint8_t first[TETHER_KEY_SIZE], uint8_t second[TETHER_KEY_SIZE])
{
    const uint8_t one = 1, two = 2;
    uint8_t temp[TETHER_HASH_SIZE], a[TETHER_HASH_SIZE], b[TETHER_HASH_SIZE];
    const struct tether_part in[] = {{input, length}};
    const struct tether_part out1[] = {{&one, 1}};
    const struct tether_part out2[] = {{a, sizeof a}, {&two, 1}};
    int result = tether_hmac_blake2s(chain, TETHER_KEY_SIZE, in, 1, temp);

    if (result == 0)
        result = tether_hmac_blake2s(temp, sizeof temp, out1, 1, a);
    if (result == 0)
        result = tether_hmac_blake2s(temp, sizeof temp, out2, 2, b);
    if (result == 0) {
        memcpy(first, a, sizeof a);
        memcpy(second, b, sizeof b);
    }
    tether_wipe(temp, sizeof temp);
    tether_wipe(a, sizeof a);
    tether_wipe(b, sizeof b);
    return result;
}

/* MixKey(DH(secret, point)) */
static int mix_dh(struct tether_noise *noise, const uint8_t secret[TETHER_KEY_SIZE],
                  const uint8_t point[TETHER_KEY_SIZE])
{
    uint8_t shared[TETHER_KEY_SIZE];
    int result = tether_x25519(secret, point, shared);

    if (result == 0)
        result = hkdf2(noise->chain, shared, sizeof shared, noise->chain, noise->key);
    if (result == 0)
        noise->nonce = 0;
    tether_wipe(shared, sizeof shared);
    return result;
}

/*
 * Noise's own AEAD calls: the associated data is the hash (32 bytes), not a frame's 48 header bytes,
 * so they do not go through tether_aead. Handshakes may allocate (design 2, sans-IO rule).
 */
static int handshake_aead(struct tether_noise *noise, int sealing, const uint8_t *in, size_t length, uint8_t *out)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t nonce[12] = {0};
    uint8_t tag[TETHER_TAG_SIZE];
    int written = 0;
    int good;

    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(noise->nonce >> (8 * i));
    if (!sealing)
        memcpy(tag, in + length, sizeof tag);
    good = context != NULL &&
           EVP_CipherInit_ex(context, EVP_chacha20_poly1305(), NULL, noise->key, nonce, sealing) == 1 &&
           (sealing || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TETHER_TAG_SIZE, tag) == 1) &&
           EVP_CipherUpdate(context, NULL, &written, noise->hash, TETHER_HASH_SIZE) == 1 &&
           (length == 0 || EVP_CipherUpdate(context, out, &written, in, (int)length) == 1) &&
           EVP_CipherFinal_ex(context, out + length, &written) == 1 &&
           (!sealing || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TETHER_TAG_SIZE, out + length) == 1);
    EVP_CIPHER_CTX_free(context);
    if (!good)
        return sealing ? -EIO : -EBADMSG;
    noise->nonce++;
    return 0;
}

/* EncryptAndHash: `out` takes length + 16 bytes. */
static int seal_and_hash(struct tether_noise *noise, const uint8_t *plain, size_t length, uint8_t *out)
{
    int result = handshake_aead(noise, 1, plain, length, out);

    return result != 0 ? result : mix_hash(noise, out, length + TETHER_TAG_SIZE);
}

/* DecryptAndHash: `sealed` holds length + 16 bytes. */
static int open_and_hash(struct tether_noise *noise, const uint8_t *sealed, size_t length, uint8_t *plain)
{
    int result = handshake_aead(noise, 0, sealed, length, plain);

    return result != 0 ? result : mix_hash(noise, sealed, length + TETHER_TAG_SIZE);
}

static int start(struct tether_noise *noise, const uint8_t local_secret[TETHER_KEY_SIZE],
                 const uint8_t local_public[TETHER_KEY_SIZE], const uint8_t responder_public[TETHER_KEY_SIZE])
{
    /* The name is longer than the hash, so h = HASH(name) (Noise section 5.2). */
    const struct tether_part name = {protocol_name, sizeof protocol_name - 1};
    int result;

    _Static_assert(sizeof protocol_name - 1 > TETHER_HASH_SIZE, "otherwise the name is padded, not hashed");
    memset(noise, 0, sizeof *noise);
    memcpy(noise->local_secret, local_secret, TETHER_KEY_SIZE);
    memcpy(noise->local_public, local_public, TETHER_KEY_SIZE);
    result = tether_blake2s(&name, 1, noise->hash);
    if (result == 0) {
        memcpy(noise->chain, noise->hash, TETHER_KEY_SIZE);
        result = mix_hash(noise, prologue, sizeof prologue - 1);
    }
    return result != 0 ? result : mix_hash(noise, responder_public, TETHER_KEY_SIZE);
}

int tether_noise_initiator(struct tether_noise *noise, const uint8_t local_secret[TETHER_KEY_SIZE],
                           const uint8_t local_public[TETHER_KEY_SIZE], const uint8_t remote_public[TETHER_KEY_SIZE])
{
    int result = start(noise, local_secret, local_public, remote_public);

    memcpy(noise->remote_public, remote_public, TETHER_KEY_SIZE);
    return result;
}

int tether_noise_responder(struct tether_noise *noise, const uint8_t local_secret[TETHER_KEY_SIZE],
                           const uint8_t local_public[TETHER_KEY_SIZE])
{
    return start(noise, local_secret, local_public, local_public);
}

/* What both messages begin with: the frame's context, then a fresh e. Checks that everything fits. */
static int write_e(struct tether_noise *noise, const uint8_t ephemeral[TETHER_KEY_SIZE],
                   const uint8_t context[TETHER_NOISE_CONTEXT], size_t payload_length, size_t overhead, uint8_t *out,
                   size_t capacity)
{
    int result;

    if (payload_length > TETHER_NOISE_PAYLOAD_MAX || capacity < payload_length + overhead)
        return -EMSGSIZE;
    memcpy(noise->ephemeral_secret, ephemeral, TETHER_KEY_SIZE);
    result = tether_x25519_public(ephemeral, noise->ephemeral_public);
    if (result == 0)
        result = mix_hash(noise, context, TETHER_NOISE_CONTEXT);
    if (result != 0)
        return result;
    memcpy(out, noise->ephemeral_public, TETHER_KEY_SIZE);
    return mix_hash(noise, noise->ephemeral_public, TETHER_KEY_SIZE);
}

/* The other end of write_e; the payload's length comes back in `payload_length`. */
static int read_e(struct tether_noise *noise, const uint8_t context[TETHER_NOISE_CONTEXT], const uint8_t *message,
                  size_t length, size_t overhead, size_t capacity, size_t *payload_length)
{
    int result;

    if (length < overhead || length - overhead > TETHER_NOISE_PAYLOAD_MAX || length - overhead > capacity)
        return -EMSGSIZE;
    *payload_length = length - overhead;
    result = mix_hash(noise, context, TETHER_NOISE_CONTEXT);
    if (result != 0)
        return result;
    memcpy(noise->remote_ephemeral, message, TETHER_KEY_SIZE);
    return mix_hash(noise, noise->remote_ephemeral, TETHER_KEY_SIZE);
}

/* A message that was read counts only when all of it verified: a forged one leaves the state as it was. */
static int settle(struct tether_noise *noise, struct tether_noise *next, int result, size_t payload_length)
{
    if (result == 0)
        *noise = *next;
    tether_wipe(next, sizeof *next);
    return result != 0 ? result : (int)payload_length;
}

int tether_noise_write1(struct tether_noise *noise, const uint8_t ephemeral[TETHER_KEY_SIZE],
                        const uint8_t context[TETHER_NOISE_CONTEXT], const uint8_t *payload, size_t payload_length,
                        uint8_t *out, size_t capacity)
{
    int result = write_e(noise, ephemeral, context, payload_length, TETHER_NOISE_OVERHEAD1, out, capacity);

    if (result == 0) /* es */
        result = mix_dh(noise, noise->ephemeral_secret, noise->remote_public);
    if (result == 0) /* s */
        result = seal_and_hash(noise, noise->local_public, TETHER_KEY_SIZE, out + 32);
    if (result == 0) /* ss */
        result = mix_dh(noise, noise->local_secret, noise->remote_public);
    if (result == 0)
        result = seal_and_hash(noise, payload, payload_length, out + 80);
    return result != 0 ? result : (int)(payload_length + TETHER_NOISE_OVERHEAD1);
}

int tether_noise_read1(struct tether_noise *noise, const uint8_t context[TETHER_NOISE_CONTEXT],
                       const uint8_t *message, size_t length, uint8_t *payload, size_t capacity)
{
    struct tether_noise next = *noise;
    size_t payload_length = 0;
    int result = read_e(&next, context, message, length, TETHER_NOISE_OVERHEAD1, capacity, &payload_length);

    if (result == 0) /* es */
        result = mix_dh(&next, next.local_secret, next.remote_ephemeral);
    if (result == 0) /* s */
        result = open_and_hash(&next, message + 32, TETHER_KEY_SIZE, next.remote_public);
    if (result == 0) /* ss */
        result = mix_dh(&next, next.local_secret, next.remote_public);
    if (result == 0)
        result = open_and_hash(&next, message + 80, payload_length, payload);
    return settle(noise, &next, result, payload_length);
}

int tether_noise_write2(struct tether_noise *noise, const uint8_t ephemeral[TETHER_KEY_SIZE],
                        const uint8_t context[TETHER_NOISE_CONTEXT], const uint8_t *payload, size_t payload_length,
                        uint8_t *out, size_t capacity)
{
    int result = write_e(noise, ephemeral, context, payload_length, TETHER_NOISE_OVERHEAD2, out, capacity);

    if (result == 0) /* ee */
        result = mix_dh(noise, noise->ephemeral_secret, noise->remote_ephemeral);
    if (result == 0) /* se */
        result = mix_dh(noise, noise->ephemeral_secret, noise->remote_public);
    if (result == 0)
        result = seal_and_hash(noise, payload, payload_length, out + 32);
    return result != 0 ? result : (int)(payload_length + TETHER_NOISE_OVERHEAD2);
}

int tether_noise_read2(struct tether_noise *noise, const uint8_t context[TETHER_NOISE_CONTEXT],
                       const uint8_t *message, size_t length, uint8_t *payload, size_t capacity)
{
    struct tether_noise next = *noise;
    size_t payload_length = 0;
    int result = read_e(&next, context, message, length, TETHER_NOISE_OVERHEAD2, capacity, &payload_length);

    if (result == 0) /* ee */
        result = mix_dh(&next, next.ephemeral_secret, next.remote_ephemeral);
    if (result == 0) /* se: the initiator's static, the responder's ephemeral */
        result = mix_dh(&next, next.local_secret, next.remote_ephemeral);
    if (result == 0)
        result = open_and_hash(&next, message + 32, payload_length, payload);
    return settle(noise, &next, result, payload_length);
}

int tether_noise_split(struct tether_noise *noise, uint8_t initiator_to_responder[TETHER_KEY_SIZE],
                       uint8_t responder_to_initiator[TETHER_KEY_SIZE])
{
    const uint8_t nothing = 0;
    int result = hkdf2(noise->chain, &nothing, 0, initiator_to_responder, responder_to_initiator);

    tether_wipe(noise, sizeof *noise);
    return result;
}
