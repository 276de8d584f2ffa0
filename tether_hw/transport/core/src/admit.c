/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit.c: which peer may have one more channel (RFC 0001, "Half-open channels"). Nobody takes what keeps others out:
 * the last free channels are for peers that have none, half of all are never half-open, and a half-open channel that
 * had its time makes room for a Hail that comes now.
 */
#include "endpoint.h"

struct census {
    uint32_t free, half_open, own, without; /* `without`: peers of the roster that have no channel */
    struct tether_channel *oldest, *own_oldest; /* half-open ones */
};

static void take_census(struct tether_endpoint *ep, uint32_t peer_id, struct census *census)
{
    memset(census, 0, sizeof *census);
    census->free = ep->config.max_channels;
    census->without = (uint32_t)(ep->peer_count < UINT32_MAX ? ep->peer_count : UINT32_MAX);
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        int first = 1;
        if (ch->state == TETHER_CHANNEL_FREE || ch->state == TETHER_CHANNEL_DEAD)
            continue;
        census->free--;
        census->own += ch->peer_id == peer_id;
        for (uint32_t before = 0; first && before < slot; before++)
            first = ep->channels[before].state == TETHER_CHANNEL_FREE ||
                    ep->channels[before].state == TETHER_CHANNEL_DEAD || ep->channels[before].peer_id != ch->peer_id;
        census->without -= first && census->without > 0;
        if (ch->state != TETHER_CHANNEL_UNCONFIRMED)
            continue;
        census->half_open++;
        if (census->oldest == NULL || ch->born < census->oldest->born)
            census->oldest = ch;
        if (ch->peer_id == peer_id && (census->own_oldest == NULL || ch->born < census->own_oldest->born))
            census->own_oldest = ch;
    }
}

static int replaces(const struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane)
{
    for (uint32_t slot = 0; slot < ep->channel_high; slot++)
        if (ep->channels[slot].state == TETHER_CHANNEL_UP && ep->channels[slot].peer_id == peer_id &&
            ep->channels[slot].remote_lane == lane)
            return 1;
    return 0;
}

/* A channel for a Hail of this peer's lane, or NULL. */
struct tether_channel *tether_channel_admit(struct tether_endpoint *ep, uint64_t now_ns, uint32_t peer_id, uint16_t lane)
{
    uint32_t most = ep->config.max_channels - ep->config.max_channels / 2;
    struct tether_channel *victim = NULL;
    struct census c;
    take_census(ep, peer_id, &c);
    if (c.own > 0 && c.free <= c.without && !replaces(ep, peer_id, lane)) {
        if (c.own_oldest == NULL)
            return NULL;
        victim = c.own_oldest; /* its own half-open ones are its own to give up */
    } else if (c.free == 0 || c.half_open >= most) {
        victim = c.own_oldest != NULL ? c.own_oldest : c.oldest;
        /* Who has just been answered gets the time to say so. */
        if (victim != NULL && victim->peer_id != peer_id &&
            now_ns < victim->keyed_ns + 2 * tether_channel_silence(ep, victim))
            return NULL;
        if (victim == NULL && c.free == 0)
            return NULL;
    }
    if (victim != NULL)
        tether_channel_release(ep, victim);
    return tether_channel_take(ep, now_ns);
}
