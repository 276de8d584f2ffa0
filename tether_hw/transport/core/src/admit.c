/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit.c: which peer may have one more channel (RFC 0001, "Half-open channels"). Nobody takes what keeps others out:
 * the last free channels are for peers that have none, and where none is free a half-open channel that had its time makes
 * room for a Hail that comes now, and at once for a channel of our own.
 */
#include "endpoint.h"

struct census {
    uint32_t free, own, without; /* `without`: peers of the roster that have no channel */
    struct tether_channel *oldest, *own_oldest; /* half-open ones */
};

/* Is it more than what is left of one? */
static int kept(const struct tether_channel *ch)
{
    return ch->state != TETHER_CHANNEL_FREE && ch->state != TETHER_CHANNEL_DEAD && ch->state != TETHER_CHANNEL_CLOSING;
}

static void take_census(struct tether_endpoint *ep, uint32_t peer_id, struct census *census)
{
    memset(census, 0, sizeof *census);
    census->free = ep->config.max_channels;
    census->without = (uint32_t)(ep->peer_count < UINT32_MAX ? ep->peer_count : UINT32_MAX);
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        int first = 1;
        if (!kept(ch))
            continue;
        census->free--;
        census->own += ch->peer_id == peer_id;
        for (uint32_t before = 0; first && before < slot; before++)
            first = !kept(&ep->channels[before]) || ep->channels[before].peer_id != ch->peer_id;
        census->without -= first && census->without > 0;
        if (ch->state != TETHER_CHANNEL_UNCONFIRMED)
            continue;
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
    struct tether_channel *victim = NULL;
    struct census c;
    take_census(ep, peer_id, &c);
    if (c.own > 0 && c.free <= c.without && !replaces(ep, peer_id, lane)) {
        if (c.own_oldest == NULL)
            return NULL;
        victim = c.own_oldest; /* its own half-open ones are its own to give up */
    } else if (c.free == 0) {
        victim = c.own_oldest != NULL ? c.own_oldest : c.oldest;
        /* Who has just been answered gets the time to say so. */
        if (victim == NULL || (victim->peer_id != peer_id && now_ns < victim->keyed_ns + 2 * tether_channel_silence(ep, victim)))
            return NULL;
    }
    if (victim != NULL)
        tether_channel_release(ep, victim);
    return tether_channel_take(ep, now_ns);
}

/* A channel for a Hail of our own, or NULL. */
struct tether_channel *tether_channel_own(struct tether_endpoint *ep, uint64_t now_ns)
{
    struct tether_channel *ch = tether_channel_take(ep, now_ns);
    struct census c;
    if (ch != NULL)
        return ch;
    take_census(ep, 0, &c);
    if (c.oldest == NULL)
        return NULL;
    tether_channel_release(ep, c.oldest);
    return tether_channel_take(ep, now_ns);
}

/* A Hail of ours that is out for this lane pair, or NULL. */
struct tether_channel *tether_channel_hailing(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane)
{
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        if (ch->state == TETHER_CHANNEL_HAILING && ch->peer_id == peer_id && ch->remote_lane == lane)
            return ch;
    }
    return NULL;
}

/* Where a peer's lane is by the newest Manifest that told it; NULL. */
const struct tether_address *tether_channel_known(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane)
{
    const struct tether_channel *newest = NULL;
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        const struct tether_channel *ch = &ep->channels[slot];
        if (ch->state == TETHER_CHANNEL_UP && ch->peer_id == peer_id && ch->peer_addresses[lane].kind != 0 &&
            (newest == NULL || ch->born > newest->born))
            newest = ch;
    }
    return newest ? &newest->peer_addresses[lane] : NULL;
}
