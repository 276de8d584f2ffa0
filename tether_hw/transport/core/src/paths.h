/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h: what nearly every frame does is part of its callers; what few frames do is a call, far from there. */
#ifndef TETHER_PATHS_H
#define TETHER_PATHS_H

#define TETHER_USUAL static inline __attribute__((always_inline))
#define TETHER_RARE __attribute__((noinline, cold))
#define TETHER_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define TETHER_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* One of many conditions in a row that all hold nearly always. */
#define TETHER_SURE(condition) __builtin_expect_with_probability(!!(condition), 1, 0.9999)
#define TETHER_ODD(condition) (!TETHER_SURE(!(condition)))

#endif
