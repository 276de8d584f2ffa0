/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h: what nearly every frame does is part of its callers; what few frames do is a call, far from there. */
#ifndef TETHER_PATHS_H
#define TETHER_PATHS_H

#define TETHER_USUAL static inline __attribute__((always_inline))
#define TETHER_RARE __attribute__((noinline, cold))
#define TETHER_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define TETHER_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
