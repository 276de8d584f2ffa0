/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaks.h: what a core does that breaks one invariant on purpose, so that a test can see the simulator catch it. One at
 * a time, by -DTETHER_BREAK=I1 and so on; in every build that is used these say nothing. UNKNOWN: the sender is told
 * that messages were never sent which may have been delivered.
 */
#ifndef TETHER_BREAKS_H
#define TETHER_BREAKS_H

#if defined(TETHER_BREAK_I1)
#define TETHER_BREAK_I1_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I1_BY(...)
#endif
#if defined(TETHER_BREAK_I2)
#define TETHER_BREAK_I2_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I2_BY(...)
#endif
#if defined(TETHER_BREAK_I3)
#define TETHER_BREAK_I3_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I3_BY(...)
#endif
#if defined(TETHER_BREAK_I4)
#define TETHER_BREAK_I4_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I4_BY(...)
#endif
#if defined(TETHER_BREAK_I5)
#define TETHER_BREAK_I5_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I5_BY(...)
#endif
#if defined(TETHER_BREAK_I6)
#define TETHER_BREAK_I6_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I6_BY(...)
#endif
#if defined(TETHER_BREAK_I7)
#define TETHER_BREAK_I7_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I7_BY(...)
#endif
#if defined(TETHER_BREAK_I8)
#define TETHER_BREAK_I8_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_I8_BY(...)
#endif
#if defined(TETHER_BREAK_UNKNOWN)
#define TETHER_BREAK_UNKNOWN_BY(...) __VA_ARGS__
#else
#define TETHER_BREAK_UNKNOWN_BY(...)
#endif

#endif
