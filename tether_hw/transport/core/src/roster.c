/* SPDX-License-Identifier: Apache-2.0 */
/* roster.c: who may speak to us. Everybody else is a stranger and hears nothing. */
#include <errno.h>
#include <stdlib.h>

#include "endpoint.h"
#include "mac1.h"

struct tether_peer_entry *tether_roster_by_key(struct tether_endpoint *ep, const uint8_t key[TETHER_KEY_SIZE],
                                               uint32_t *which)
{
    for (size_t i = 0; i < ep->peer_count; i++)
        for (uint32_t k = 0; k < ep->peers[i].peer.key_count; k++)
            if (memcmp(ep->peers[i].peer.keys[k], key, TETHER_KEY_SIZE) == 0) {
                *which = k;
                return &ep->peers[i];
            }
    return NULL;
}

struct tether_peer_entry *tether_roster_by_id(struct tether_endpoint *ep, uint32_t id)
{
    for (size_t i = 0; i < ep->peer_count; i++)
        if (ep->peers[i].peer.id == id)
            return &ep->peers[i];
    return NULL;
}

TETHER_API int tether_endpoint_roster(tether_endpoint *ep, uint64_t now_ns, const struct tether_peer *peers,
                                      size_t count)
{
    struct tether_peer_entry *entries = calloc(count ? count : 1, sizeof *entries), *old = ep->peers;
    uint32_t which;
    if (entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (peers[i].key_count == 0 || peers[i].key_count > 2)
            goto invalid;
        for (size_t j = 0; j < i; j++)
            if (peers[j].id == peers[i].id)
                goto invalid;
        entries[i].peer = peers[i];
        for (uint32_t k = 0; k < peers[i].key_count; k++) {
            struct tether_peer_entry *known = tether_roster_by_key(ep, peers[i].keys[k], &which);
            if (tether_mac1_key(peers[i].keys[k], entries[i].mac1_key[k])) {
                free(entries);
                return -EIO;
            }
            if (known != NULL) /* the newest Hail counter of a key outlives any change around it */
                memcpy(entries[i].last_counter[k], known->last_counter[which], sizeof entries[i].last_counter[k]);
        }
    }
    ep->peers = entries;
    ep->peer_count = count;
    free(old);
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        struct tether_peer_entry *entry;
        if (ch->state == TETHER_CHANNEL_FREE || ch->state == TETHER_CHANNEL_DEAD)
            continue;
        entry = tether_roster_by_key(ep, ch->peer_key, &which);
        if (entry != NULL && entry->peer.id == ch->peer_id)
            continue;
        if (ch->state == TETHER_CHANNEL_CLOSING)
            continue; /* its BYE is on the way, and nothing else is heard */
        if (ch->state == TETHER_CHANNEL_UP) {
            tether_channel_fail(ep, ch, now_ns, TETHER_BYE_ROSTER);
            continue;
        }
        if (ch->state == TETHER_CHANNEL_HAILING)
            tether_channel_down(ep, ch, now_ns, -EACCES, 0);
        tether_channel_reap(ep, ch);
    }
    return 0;
invalid:
    free(entries);
    return -EINVAL;
}
