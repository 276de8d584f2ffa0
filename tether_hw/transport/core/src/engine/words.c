/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char words[WORDS_BYTES];

int words_fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return code;
}

int words_prefix(int code, const char *format, ...)
{
    char before[WORDS_BYTES / 4];
    char after[WORDS_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(before, sizeof before, format, arguments);
    va_end(arguments);
    memcpy(after, words, sizeof after);
    snprintf(words, sizeof words, "%s: %.*s", before, (int)(sizeof words - sizeof before - 3), after);
    return code;
}

const char *words_last(void)
{
    return words;
}

const char *words_errno(int error)
{
    const char *text = strerrordesc_np(error < 0 ? -error : error);
    return text ? text : "unknown error";
}
