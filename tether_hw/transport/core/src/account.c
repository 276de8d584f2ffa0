/* SPDX-License-Identifier: Apache-2.0 */
/* account.c: the channels of one peer share one account. */
#include "account.h"

static int used(const struct tether_channel *other, const struct tether_channel *ch)
{
    return other != ch && other->state != TETHER_CHANNEL_FREE && other->accounted;
}

/*
 * The account for a channel whose peer is known now: that of another channel of the same peer, or one that no channel
 * uses. There are as many as channels, so one is always there.
 */
uint32_t tether_account_for(struct tether_endpoint *ep, const struct tether_channel *ch)
{
    uint32_t own = tether_channel_slot(ep, ch);
    for (uint32_t i = 0; i < ep->channel_high; i++)
        if (used(&ep->channels[i], ch) && ep->channels[i].peer_id == ch->peer_id)
            return ep->channels[i].account;
    for (uint32_t i = 0; i < ep->channel_high; i++) /* whoever began with it may have left it to its peer's others */
        if (used(&ep->channels[i], ch) && ep->channels[i].account == own) {
            own = (own + 1) % ep->config.max_channels;
            i = UINT32_MAX; /* from the beginning */
        }
    memset(&ep->accounts[own], 0, sizeof ep->accounts[own]);
    return own;
}
