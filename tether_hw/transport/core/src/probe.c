/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

/* MTU 9000, 1500, tunnels over 1500, IPv6's least, and IPv4's usual least. */
static const uint16_t ladder[] = {139, 22, 20, 18, TETHER_PROBE_NEVER};
enum { RUNGS = sizeof ladder / sizeof ladder[0] };

/* Sizes below `own`. */
static unsigned below(uint16_t own)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RUNGS; i++)
        count += ladder[i] < own;
    return count;
}

static uint16_t size_of(unsigned rung, uint16_t own)
{
    return rung ? ladder[RUNGS - below(own) + rung - 1] : own;
}

uint16_t tether_probe_next(struct tether_probe *probe, uint16_t own)
{
    unsigned smaller = below(own);
    if (probe->alive && probe->tries == TETHER_PROBE_TRIES) {
        probe->tries = 0;
        if (++probe->rung > smaller) { /* it has fallen silent: begin again */
            probe->alive = probe->rung = 0;
            probe->sent = 0;
        }
    }
    if (probe->alive) {
        probe->tries++;
        return size_of(probe->rung, own);
    }
    probe->sent += probe->sent < UINT32_MAX;
    if (probe->sent <= TETHER_PROBE_TRIES || smaller == 0 || (probe->sent - TETHER_PROBE_TRIES) % 2 == 0)
        return own;
    return size_of(1 + (probe->sent - TETHER_PROBE_TRIES) / 2 % smaller, own);
}

uint16_t tether_probe_again(struct tether_probe *probe, uint16_t own)
{
    uint16_t small = own < TETHER_PROBE_NEVER ? own : TETHER_PROBE_NEVER;
    if (probe->alive) {
        if (probe->tries == TETHER_PROBE_AGAIN)
            return small;
        probe->tries++;
        return own;
    }
    probe->sent += probe->sent < UINT32_MAX;
    return probe->sent <= TETHER_PROBE_TRIES || (probe->sent - TETHER_PROBE_TRIES) % 2 == 0 ? own : small;
}

int tether_probe_answered(struct tether_probe *probe, uint16_t blocks, uint16_t own)
{
    if (blocks >= own || probe->alive)
        return 1;
    probe->alive = 1;
    probe->rung = probe->tries = 0;
    return 0;
}
