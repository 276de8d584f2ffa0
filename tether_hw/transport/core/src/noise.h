/* SPDX-License-Identifier: Apache-2.0 */
/*
 * noise.h: Noise_IK_25519_ChaChaPoly_BLAKE2s with prologue "tether/1" (RFC 0001, "Hail"; Noise revision 34).
 *
 *   <- s                      the initiator knows the responder's static key from the roster
 *   -> e, es, s, ss           message 1, in the Hail
 *   <- e, ee, se              message 2, in the reply
 *
 * One addition that the specification leaves to the application: before each message both ends mix the
 * frame's header bytes 0-47 and its sender_index into the hash, so that neither can be changed on the way.
 *
 * Use: initiator: _initiator, _write1, _read2, _split. Responder: _responder, _read1, _write2, _split.
 */
#ifndef TETHER_NOISE_H
#define TETHER_NOISE_H

#include "crypto.h"

enum {
    TETHER_NOISE_PAYLOAD_MAX = 512,                                    /* tags that one message may carry */
    TETHER_NOISE_OVERHEAD1 = TETHER_KEY_SIZE + TETHER_KEY_SIZE + TETHER_TAG_SIZE + TETHER_TAG_SIZE, /* 96 */
    TETHER_NOISE_OVERHEAD2 = TETHER_KEY_SIZE + TETHER_TAG_SIZE,        /* 48 */
    TETHER_NOISE_CONTEXT = TETHER_AAD_SIZE + 4,                        /* header[0:48] || sender_index u32 LE */
};

struct tether_noise {
    uint8_t hash[TETHER_HASH_SIZE];           /* h */
    uint8_t chain[TETHER_KEY_SIZE];           /* ck */
    uint8_t key[TETHER_KEY_SIZE];             /* k */
    uint64_t nonce;                           /* n */
    uint8_t local_secret[TETHER_KEY_SIZE];    /* s */
    uint8_t local_public[TETHER_KEY_SIZE];
    uint8_t ephemeral_secret[TETHER_KEY_SIZE];/* e */
    uint8_t ephemeral_public[TETHER_KEY_SIZE];
    uint8_t remote_public[TETHER_KEY_SIZE];   /* rs: known to the initiator, learned by the responder */
    uint8_t remote_ephemeral[TETHER_KEY_SIZE];/* re */
};

/* Begin as initiator towards `remote_public`. 0 or -EIO. */
int tether_noise_initiator(struct tether_noise *noise, const uint8_t local_secret[TETHER_KEY_SIZE],
                           const uint8_t local_public[TETHER_KEY_SIZE], const uint8_t remote_public[TETHER_KEY_SIZE]);
/* Begin as responder. 0 or -EIO. */
int tether_noise_responder(struct tether_noise *noise, const uint8_t local_secret[TETHER_KEY_SIZE],
                           const uint8_t local_public[TETHER_KEY_SIZE]);
/*
 * Write a message: `ephemeral` is 32 fresh random bytes, `context` the frame's header bytes and sender_index.
 * `out` must hold payload_length + the overhead. Returns its length, -EMSGSIZE, -EBADMSG (bad point) or -EIO.
 */
int tether_noise_write1(struct tether_noise *noise, const uint8_t ephemeral[TETHER_KEY_SIZE],
                        const uint8_t context[TETHER_NOISE_CONTEXT], const uint8_t *payload, size_t payload_length,
                        uint8_t *out, size_t capacity);
int tether_noise_write2(struct tether_noise *noise, const uint8_t ephemeral[TETHER_KEY_SIZE],
                        const uint8_t context[TETHER_NOISE_CONTEXT], const uint8_t *payload, size_t payload_length,
                        uint8_t *out, size_t capacity);
/*
 * Read a message: returns the payload's length, -EBADMSG when anything does not verify, -EMSGSIZE when it is too
 * short, longer than TETHER_NOISE_PAYLOAD_MAX or than `capacity`, -EIO. After a failure the state is unchanged,
 * so that a forged message cannot end a handshake. After _read1 `remote_public` says who hails.
 */
int tether_noise_read1(struct tether_noise *noise, const uint8_t context[TETHER_NOISE_CONTEXT],
                       const uint8_t *message, size_t length, uint8_t *payload, size_t capacity);
int tether_noise_read2(struct tether_noise *noise, const uint8_t context[TETHER_NOISE_CONTEXT],
                       const uint8_t *message, size_t length, uint8_t *payload, size_t capacity);
/* After message 2: the keys of the two directions; wipes the state. 0 or -EIO. */
int tether_noise_split(struct tether_noise *noise, uint8_t initiator_to_responder[TETHER_KEY_SIZE],
                       uint8_t responder_to_initiator[TETHER_KEY_SIZE]);

#endif
