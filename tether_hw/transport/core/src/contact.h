/* SPDX-License-Identifier: Apache-2.0 */
/* contact.h: a plan in time: when a link can be used, or how long its round trip is (RFC 0001, "Contact windows"). */
#ifndef TETHER_CONTACT_H
#define TETHER_CONTACT_H

#include <stdint.h>

enum { TETHER_PLAN_MAX = 16 };

/* Pairs of (start, length) for windows, of (from, RTT) for the table, by time. */
struct tether_plan {
    uint64_t at[TETHER_PLAN_MAX], value[TETHER_PLAN_MAX];
    uint32_t count;
};

#endif
