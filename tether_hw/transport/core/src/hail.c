/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hail.c: how a channel begins (RFC 0001, "Hail"), the initiator's side: a Lamp with Noise IK message 1, what answers
 * it (a reply, a stale answer, a cookie), and when it is tried again. answer.c is the other side.
 */
#include <errno.h>

#include "lamp.h"
#include "mac1.h"

enum { COUNTERS_LOW = 16 };
#define COUNTER_LEAP (UINT64_C(1) << 32) /* how far one stale answer moves us at most */

static int has_cookie(const struct tether_channel *ch, uint64_t now_ns)
{
    return ch->cookie_ns && now_ns - ch->cookie_ns < TETHER_COOKIE_LIFE_NS;
}

/* The Hail itself, sealed and signed: its length, or 0. */
static int write_hail(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_peer_entry *entry,
                      uint32_t key, uint64_t counter, const uint8_t ephemeral[TETHER_KEY_SIZE], uint64_t now_ns,
                      uint8_t *frame)
{
    struct tether_tag_hail tag = {.counter = counter, .lane = ep->config.lane, .target_lane = ch->remote_lane,
                                  .ciphers = ep->config.ciphers};
    int again = ch->state != TETHER_CHANNEL_HAILING;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_LAMP_TAGS_MAX], *payload = frame + TETHER_HEADER_BYTES;
    size_t size = (size_t)ch->hail_blocks * TETHER_BLOCK_BYTES;
    size_t said = tether_lamp_put(ep, tags, &tag, again ? ch->remote : 0);
    size_t message = said + TETHER_NOISE_OVERHEAD1;
    int length = tether_lamp_frame(frame, 0, counter, size / TETHER_BLOCK_BYTES + 1, tether_stamp(ch, now_ns),
                                   again ? ch->next.wire : ch->wire, (uint16_t)(4 + message), context, size);
    if (tether_noise_initiator(&ch->noise, ep->config.static_secret, ep->public_key, ch->peer_key) ||
        tether_noise_write1(&ch->noise, ephemeral, context, tags, said, payload + 4, size - 4) != (int)message ||
        (has_cookie(ch, now_ns) && tether_mac2(ch->cookie, frame, payload, size, payload + size - TETHER_MAC2_SIZE)) ||
        tether_mac1(entry->mac1_key[key], frame, payload, size, frame + TETHER_AT_TAG))
        return 0;
    memcpy(ch->hail_mac1, frame + TETHER_AT_TAG, TETHER_TAG_SIZE);
    return length;
}

/* Payload blocks of the largest frame that this end would send. */
static uint16_t own_blocks(const struct tether_endpoint *ep, const struct tether_channel *ch)
{
    return ch->state == TETHER_CHANNEL_HAILING ? ep->config.frame_blocks : (uint16_t)(ch->cut_bytes / TETHER_BLOCK_BYTES);
}

static int send_hail(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_peer_entry *entry;
    uint8_t ephemeral[TETHER_KEY_SIZE];
    uint32_t key;
    int length;
    ch->hail_due = 0;
    entry = tether_roster_by_key(ep, ch->peer_key, &key);
    if (entry == NULL)
        return 0;
    /* While a peer's key is being replaced, its keys take turns; a channel keeps the one that it began with. */
    if (ch->state == TETHER_CHANNEL_HAILING)
        key = (uint32_t)(ch->hails_sent % entry->peer.key_count);
    if (ep->counter_next >= ep->counter_limit) { /* no counter, no Hail (I6) */
        if (!ep->counter_asked)
            ep->need_counter = 1;
        return 0;
    }
    if (!tether_purse_pay(&ep->purse, now_ns, 2)) { /* the Hail and the reply that it funds */
        tether_arm(ep, ch, tether_purse_when(&ep->purse, 2));
        return 0;
    }
    if (ep->config.entropy(ep->config.context, ephemeral, sizeof ephemeral)) {
        tether_backoff_sent(&ch->hail_clock, now_ns);
        tether_arm(ep, ch, tether_backoff_hail_due(&ch->hail_clock, tether_channel_silence(ep, ch)));
        return 0;
    }
    memcpy(ch->peer_key, entry->peer.keys[key], TETHER_KEY_SIZE);
    ch->hail_blocks = ch->state == TETHER_CHANNEL_HAILING ? tether_probe_next(&ch->probe, ep->config.frame_blocks)
                                                          : tether_probe_again(&ch->probe, own_blocks(ep, ch));
    ch->hail_blocks = ch->hail_blocks < TETHER_HAIL_BLOCKS ? TETHER_HAIL_BLOCKS : ch->hail_blocks;
    length = write_hail(ep, ch, entry, key, ep->counter_next++, ephemeral, now_ns, frame);
    tether_wipe(ephemeral, sizeof ephemeral);
    if (ep->counter_limit - ep->counter_next < COUNTERS_LOW && !ep->counter_asked)
        ep->need_counter = 1;
    if (length == 0)
        return 0;
    ch->hail_ns = now_ns;
    ch->hails_sent++;
    ch->hail_tries++;
    tether_backoff_sent(&ch->hail_clock, now_ns);
    ch->hail_clock.tries -= ch->hail_tries == 1; /* the first wait is one silence */
    tether_arm(ep, ch, tether_backoff_hail_due(&ch->hail_clock, tether_channel_silence(ep, ch)));
    TETHER_COUNT(ep, lamps_sent);
    TETHER_COUNT(ep, frames_sent);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .count = (uint64_t)length / TETHER_BLOCK_BYTES,
                 .value = ep->counter_next - 1);
    return length;
}

/* A Hail, or the reply that waits on a channel. */
int tether_hail_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    if (ch->state == TETHER_CHANNEL_HAILING || (ch->state == TETHER_CHANNEL_UP && ch->next.state == TETHER_NEXT_HAILING))
        return send_hail(ep, ch, now_ns, frame);
    ch->hail_due = 0;
    return tether_answer_transmit(ep, ch, now_ns, frame);
}

/* Our next Hail goes at once: the one before was answered, but not by what we need. */
static void hail_again(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    memset(&ch->hail_clock, 0, sizeof ch->hail_clock);
    ch->hail_clock.since_ns = now_ns;
    ch->hail_tries = 0;
    ch->hail_due = 1;
    tether_work(ep, ch);
}

/* The Hail met a responder under load: the next one carries the proof that we are where we say. */
static int take_cookie(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, const uint8_t *frame)
{
    int had = has_cookie(ch, now_ns), refused;
    refused = tether_cookie_read(frame, ch->peer_key, ch->hail_mac1, ch->cookie);
    if (refused)
        return refused;
    ch->cookie_ns = now_ns ? now_ns : 1;
    if (!had) /* else the one we had was no good either: the back-off decides */
        hail_again(ep, ch, now_ns);
    TETHER_COUNT(ep, frames_received);
    return 0;
}

/* Our counter is behind what this peer has seen. */
static void stale(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint64_t counter)
{
    TETHER_COUNT(ep, frames_received);
    if (counter >= UINT64_C(1) << 63) { /* nobody gets there by counting */
        if (ch->state == TETHER_CHANNEL_HAILING) {
            tether_channel_down(ep, ch, now_ns, -ESTALE, counter);
            tether_channel_reap(ep, ch);
        } else {
            tether_rekey_end(ep, ch, now_ns);
        }
        return;
    }
    if (ep->counter_next > counter)
        return; /* the next try, at its time, has a higher counter */
    /* One lying peer must not spoil the counter for all: a long way is gone in leaps, one for each Hail. */
    if (counter - ep->counter_next > COUNTER_LEAP)
        counter = ep->counter_next + COUNTER_LEAP;
    ep->counter_next = counter + 1;
    if (ep->counter_next >= ep->counter_limit) {
        ep->counter_stale = counter;
        ep->need_counter = 1;
        ep->counter_asked = 0;
    }
}

/* The channel that we hailed for is up: the first frame of ours confirms it to the responder. */
static int up(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t remote,
              const struct tether_lamp_tags *tags)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    ch->cipher = tags->hail.ciphers;
    ch->path_blocks = ch->hail_blocks > TETHER_HAIL_BLOCKS ? ch->hail_blocks : 0;
    if (tether_lamp_keys(ep, 1, ch->cipher, ch->wire, remote, &ch->tx_keys, &ch->rx_keys, ch->resume) ||
        tether_channel_ready(ep, ch, now_ns, &tags->manifest))
        return -TETHER_E_STATE;
    tether_wipe(&ch->noise, sizeof ch->noise);
    ch->remote = remote;
    ch->state = TETHER_CHANNEL_UP;
    ch->hail_due = 0;
    TETHER_COUNT(ep, frames_received);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_UP, .slot = remote);
    control->control = (uint8_t)(TETHER_CONTROL_MANIFEST | (ep->config.early_bytes ? TETHER_CONTROL_WARM : 0));
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_event_set(ep, control, TETHER_EVENT_CHANNEL_UP);
    tether_work(ep, ch);
    return 0;
}

/* What a verified reply says. */
static int act(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t remote, int got,
               const uint8_t *payload)
{
    struct tether_lamp_tags tags;
    int again = ch->state != TETHER_CHANNEL_HAILING;
    if (tether_lamp_get(payload, (size_t)got, &tags) || tags.rekey || tags.hail.lane != ch->remote_lane ||
        tags.hail.target_lane != ep->config.lane)
        return -TETHER_E_TAGS;
    if (tags.hail.status == TETHER_HAIL_STALE) {
        stale(ep, ch, now_ns, tags.hail.counter);
        return 0;
    }
    if (tags.hail.status == TETHER_HAIL_GONE && again) { /* the peer has restarted: it knows nothing of this channel */
        tether_channel_down(ep, ch, now_ns, -ECONNRESET, 0);
        tether_channel_reap(ep, ch);
        return 0;
    }
    if (tags.hail.status != TETHER_HAIL_OK || remote == 0 || (tags.hail.ciphers & ep->config.ciphers) != tags.hail.ciphers ||
        (tags.hail.ciphers != TETHER_CIPHER_CHACHA20_POLY1305 && tags.hail.ciphers != TETHER_CIPHER_AES_256_GCM))
        return -TETHER_E_TAGS;
    if (now_ns > ch->hail_ns)
        tether_rtt_sample(&ch->rtt, now_ns - ch->hail_ns);
    if (!tether_probe_answered(&ch->probe, ch->hail_blocks, own_blocks(ep, ch))) {
        hail_again(ep, ch, now_ns); /* somebody is there: do larger frames come through? */
        if (again)
            ch->next.until_ns = now_ns + 2 * tether_channel_patience(ep, ch);
        TETHER_COUNT(ep, frames_received);
        return 0;
    }
    if (again && ch->hail_blocks < own_blocks(ep, ch)) { /* the path has become narrower: what was cut cannot pass */
        tether_rekey_end(ep, ch, now_ns);
        tether_channel_fail(ep, ch, now_ns, TETHER_BYE_PATH);
        TETHER_COUNT(ep, frames_received);
        return 0;
    }
    if (again)
        return tether_rekey_replied(ep, ch, now_ns, remote, &tags);
    return up(ep, ch, now_ns, remote, &tags);
}

/* A Lamp on a channel: the reply to our Hail, for which `index` was given, or a cookie. */
int tether_hail_reply(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns,
                      const struct tether_header *header, const uint8_t *frame, size_t length)
{
    const uint8_t *payload = frame + TETHER_HEADER_BYTES;
    size_t padded = (length - TETHER_HEADER_BYTES) / TETHER_BLOCK_BYTES * TETHER_BLOCK_BYTES;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    int hailing = ch->state == TETHER_CHANNEL_HAILING ? header->channel == ch->wire
                                                      : ch->state == TETHER_CHANNEL_UP &&
                                                            ch->next.state == TETHER_NEXT_HAILING &&
                                                            header->channel == ch->next.wire;
    int got;
    if (!hailing || ch->hail_tries == 0 || header->flags != TETHER_FLAG_LAMP || header->flow != 0 || header->sequence != 0)
        return -TETHER_E_STATE;
    if (length == TETHER_COOKIE_BYTES && header->length < TETHER_BLOCK_BYTES)
        return take_cookie(ep, ch, now_ns, frame);
    if (header->length < TETHER_REPLY_LENGTH)
        return -TETHER_E_LENGTH;
    /* After a retry what does not fit may well be the reply to the Hail before: late, not forged. */
    if (padded > (size_t)ch->hail_blocks * TETHER_BLOCK_BYTES)
        return ch->hail_tries > 1 ? -TETHER_E_STATE : -TETHER_E_LENGTH;
    if (tether_mac1_check(ep->mac1_key, frame, payload, padded, header->tag))
        return -TETHER_E_MAC1;
    if (!tether_lamp_zeros(payload, header->length, padded))
        return -TETHER_E_PADDING;
    /* An old reply, replayed, has a good mac1 too: its own bucket bounds what the key agreements cost. */
    if (!tether_purse_pay(&ep->replies, now_ns, 1))
        return -TETHER_E_FLOOD;
    tether_lamp_context(frame, context);
    ep->scratch_noise = ch->noise;
    got = tether_noise_read2(&ep->scratch_noise, context, payload + 4, (size_t)header->length - 4, tags, sizeof tags);
    if (got < 0)
        got = ch->hail_tries > 1 ? -TETHER_E_STATE : -TETHER_E_AUTH;
    else
        got = act(ep, ch, now_ns, tether_get32(payload), got, tags);
    if (got == 0)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .flags = TETHER_TRACE_HEARD,
                     .count = length / TETHER_BLOCK_BYTES);
    tether_wipe(&ep->scratch_noise, sizeof ep->scratch_noise);
    return got;
}
