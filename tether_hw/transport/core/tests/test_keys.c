/* SPDX-License-Identifier: Apache-2.0 */
/* Epoch keys: both directions agree, the held range is exact, nothing is derived on demand. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "../src/keys.h"

enum { AHEAD = 4 };

static const uint8_t split[TETHER_KEY_SIZE] = {7, 7, 7};
static const uint8_t aad[TETHER_AAD_SIZE] = {1, 2, 3};

/* One frame of `epoch` sealed by `sender` opens at `receiver`. */
static int crosses(struct tether_keys *sender, struct tether_keys *receiver, uint64_t epoch)
{
    uint64_t sequence = (epoch << TETHER_EPOCH_SHIFT) + 5;
    uint8_t block[64] = "sixty-four bytes", tag[TETHER_TAG_SIZE], opened[64];
    struct tether_aead *seal = tether_keys_find(sender, epoch);
    struct tether_aead *open = tether_keys_find(receiver, epoch);

    return seal != NULL && open != NULL &&
           tether_aead_seal(seal, sequence, aad, block, sizeof block, block, tag) == 0 &&
           tether_aead_unseal(open, sequence, aad, block, sizeof block, opened, tag) == 0 &&
           memcmp(opened, "sixty-four bytes", 17) == 0;
}

static void test_agreement_over_many_epochs(void)
{
    PROVES("T-KEY-1");
    struct tether_keys sender, receiver;

    CHECK(tether_keys_open(&sender, 1, 1) == 0);
    CHECK(tether_keys_open(&receiver, AHEAD, 0) == 0);
    for (uint16_t cipher = TETHER_CIPHER_CHACHA20_POLY1305; cipher <= TETHER_CIPHER_AES_256_GCM; cipher++) {
        CHECK(tether_keys_set(&sender, cipher, split) == 0);
        CHECK(tether_keys_set(&receiver, cipher, split) == 0);
        for (uint64_t epoch = 0; epoch < 50; epoch++) {
            CHECK(crosses(&sender, &receiver, epoch));
            CHECK(tether_keys_advance(&sender, epoch) == 0);
            CHECK(tether_keys_advance(&receiver, epoch) == 0);
            CHECK(crosses(&sender, &receiver, epoch)); /* still held */
            if (epoch > 0)
                CHECK(tether_keys_find(&receiver, epoch - 1) != NULL); /* late frames of the epoch before */
        }
    }
    tether_keys_close(&sender);
    tether_keys_close(&receiver);
}

static void test_range_is_exact(void)
{
    PROVES("T-EPO-1", "T-KEY-2");
    struct tether_keys keys;

    CHECK(tether_keys_open(&keys, AHEAD, 0) == 0);
    CHECK(tether_keys_find(&keys, 0) == NULL); /* no key before _set */
    CHECK(tether_keys_set(&keys, TETHER_CIPHER_CHACHA20_POLY1305, split) == 0);
    CHECK(tether_keys_find(&keys, AHEAD) != NULL);
    CHECK(tether_keys_find(&keys, AHEAD + 1) == NULL);
    CHECK(tether_keys_find(&keys, UINT64_MAX) == NULL);
    CHECK(keys.last == AHEAD); /* the look-ups derived nothing */
    CHECK(tether_keys_advance(&keys, 3) == 0);
    CHECK(keys.first == 2 && keys.last == 3 + AHEAD);
    CHECK(tether_keys_find(&keys, 1) == NULL);
    CHECK(tether_keys_find(&keys, 2) != NULL);
    CHECK(tether_keys_advance(&keys, 2) == 0); /* an older epoch moves nothing */
    CHECK(keys.first == 2 && keys.last == 3 + AHEAD);
    tether_keys_clear(&keys);
    CHECK(tether_keys_find(&keys, 3) == NULL);
    tether_keys_close(&keys);
}

static void test_a_jump_uses_the_right_keys(void)
{
    struct tether_keys sender, receiver;

    /* An outage may skip up to `ahead` epochs; the context cache must not serve a stale key. */
    CHECK(tether_keys_open(&sender, AHEAD, 1) == 0);
    CHECK(tether_keys_open(&receiver, AHEAD, 0) == 0);
    CHECK(tether_keys_set(&sender, TETHER_CIPHER_AES_256_GCM, split) == 0);
    CHECK(tether_keys_set(&receiver, TETHER_CIPHER_AES_256_GCM, split) == 0);
    for (uint64_t epoch = 0; epoch < 40; epoch += AHEAD) {
        for (uint64_t near = epoch; near <= epoch + AHEAD; near++)
            CHECK(crosses(&sender, &receiver, near));
        CHECK(tether_keys_advance(&sender, epoch + AHEAD) == 0);
        CHECK(tether_keys_advance(&receiver, epoch + AHEAD) == 0);
    }
    tether_keys_close(&sender);
    tether_keys_close(&receiver);
}

static void test_bad_arguments(void)
{
    struct tether_keys keys;

    CHECK(tether_keys_open(&keys, 0, 0) == -EINVAL);
    CHECK(tether_keys_open(&keys, TETHER_KEYS_AHEAD_MAX + 1, 0) == -EINVAL);
    CHECK(tether_keys_open(&keys, TETHER_KEYS_AHEAD_MAX, 0) == 0);
    CHECK(tether_keys_set(&keys, 0, split) == -EINVAL);
    CHECK(tether_keys_set(&keys, 3, split) == -EINVAL);
    tether_keys_close(&keys);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_agreement_over_many_epochs);
    RUN(test_range_is_exact);
    RUN(test_a_jump_uses_the_right_keys);
    RUN(test_bad_arguments);
    return HARNESS_RESULT();
}
