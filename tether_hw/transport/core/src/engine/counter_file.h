/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter_file.h: the Hail counter of an identity, durable before use (RFC 0001, "Hail counter").
 *
 * The file says which counters are taken. A stride of 2^20 is written, synced and renamed into place before the first
 * counter of it is used, so a crash loses counters but never repeats one; a start takes a new stride. Key and counter
 * belong together: the file carries a hash of the public key and another key's file is refused. A file that does not
 * verify is refused too, never mended: a counter that goes back would lock this host out at its peers.
 *
 *   0  8  magic "tthrctr1"
 *   8  8  first counter that is not taken, u64 little-endian
 *  16 32  BLAKE2s-256 of the public key
 *  48 32  BLAKE2s-256 of bytes 0-47
 */
#ifndef TETHER_COUNTER_FILE_H
#define TETHER_COUNTER_FILE_H

#include <stdint.h>

enum { COUNTER_FILE_BYTES = 80 };
#define COUNTER_STRIDE (UINT64_C(1) << 20)
/* A peer's word may lift the counter no further than this: one liar must not use up the 48 bits of the wire. */
#define COUNTER_LIFT_MAX (UINT64_C(1) << 47)

struct counter_file {
    char *path;
    int lock_fd; /* "<path>.lock", held: two engines with one identity would repeat counters */
    uint64_t next;
    uint8_t key_hash[32];
};

/* Lock and read; a missing file is a new counter. 0, or negative errno with words. */
int counter_file_open(struct counter_file *file, const char *path, const uint8_t public_key[32]);
/*
 * Take `strides` strides, none of them below `least`: durable when this returns 0, then [*first, *first + strides *
 * COUNTER_STRIDE) may be used. Negative errno with words otherwise, and nothing is taken.
 */
int counter_file_take(struct counter_file *file, uint64_t least, uint32_t strides, uint64_t *first);
void counter_file_close(struct counter_file *file);

#endif
