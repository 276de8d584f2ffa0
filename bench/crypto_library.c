/* SPDX-License-Identifier: Apache-2.0 */
/* One run of ChaCha20-Poly1305 (IETF) seal + open by OpenSSL's EVP and by libsodium, interleaved in slices so that both meet
 * the same machine. Prints one line per library and size: name, payload bytes, ns per seal + open. */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLICES = 40, FRAMES_PER_SLICE = 2000, AAD_BYTES = 48, TAG_BYTES = 16 };

static uint8_t key[32] = {1}, aad[AAD_BYTES], plain[2048], sealed[2048 + TAG_BYTES], opened[2048];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int ok)
{
    if (!ok) {
        fprintf(stderr, "the library refused\n");
        exit(1);
    }
}

static EVP_CIPHER_CTX *seal_context, *open_context;

static void run_openssl(int size, const uint8_t nonce[12])
{
    int written = 0;
    check(EVP_EncryptInit_ex2(seal_context, NULL, NULL, nonce, NULL));
    check(EVP_EncryptUpdate(seal_context, NULL, &written, aad, AAD_BYTES));
    check(EVP_EncryptUpdate(seal_context, sealed, &written, plain, size));
    check(EVP_EncryptFinal_ex(seal_context, sealed + written, &written));
    check(EVP_CIPHER_CTX_ctrl(seal_context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, sealed + size));
    check(EVP_DecryptInit_ex2(open_context, NULL, NULL, nonce, NULL));
    check(EVP_CIPHER_CTX_ctrl(open_context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, sealed + size));
    check(EVP_DecryptUpdate(open_context, NULL, &written, aad, AAD_BYTES));
    check(EVP_DecryptUpdate(open_context, opened, &written, sealed, size));
    check(EVP_DecryptFinal_ex(open_context, opened + written, &written));
}

static void run_sodium(int size, const uint8_t nonce[12])
{
    unsigned long long length = 0;
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, &length, plain, (unsigned long long)size, aad, AAD_BYTES, NULL, nonce, key);
    check(crypto_aead_chacha20poly1305_ietf_decrypt(opened, &length, NULL, sealed, length, aad, AAD_BYTES, nonce, key) == 0);
}

int main(void)
{
    static const int sizes[] = {64, 1408};
    check(sodium_init() >= 0);
    seal_context = EVP_CIPHER_CTX_new();
    open_context = EVP_CIPHER_CTX_new();
    check(seal_context != NULL && open_context != NULL);
    check(EVP_EncryptInit_ex2(seal_context, EVP_chacha20_poly1305(), key, NULL, NULL));
    check(EVP_DecryptInit_ex2(open_context, EVP_chacha20_poly1305(), key, NULL, NULL));
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t spent_ns[2] = {0, 0};
        uint64_t sequence = 0;
        for (int slice = 0; slice < 2 * SLICES; slice++) {
            uint64_t began = now_ns();
            for (int frame = 0; frame < FRAMES_PER_SLICE; frame++) {
                uint8_t nonce[12] = {0};
                sequence++;
                memcpy(nonce + 4, &sequence, sizeof sequence);
                if (slice & 1)
                    run_sodium(sizes[s], nonce);
                else
                    run_openssl(sizes[s], nonce);
            }
            spent_ns[slice & 1] += now_ns() - began;
            check(memcmp(opened, plain, (size_t)sizes[s]) == 0);
        }
        for (int library = 0; library < 2; library++)
            printf("%s %d %.1f\n", library ? "libsodium" : "openssl", sizes[s],
                   (double)spent_ns[library] / (SLICES * FRAMES_PER_SLICE));
    }
    EVP_CIPHER_CTX_free(seal_context);
    EVP_CIPHER_CTX_free(open_context);
    return 0;
}
