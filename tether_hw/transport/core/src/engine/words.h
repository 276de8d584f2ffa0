/* SPDX-License-Identifier: Apache-2.0 */
/* words.h: errors in words, one buffer per thread. */
#ifndef TETHER_WORDS_H
#define TETHER_WORDS_H

enum { WORDS_BYTES = 512 };

/* Keep the sentence for words_last() and return `code` (negative errno or -TETHER_E_*). */
int words_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Put a sentence before the one that is kept: "lane 3: <last>". Returns `code`. */
int words_prefix(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Never NULL. */
const char *words_last(void);
/* strerror without its shared buffer. */
const char *words_errno(int error);

#endif
