/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hail.c: how a channel begins (RFC 0001, "Hail"): a Lamp with Noise IK message 1, and its reply with message 2.
 *
 * A Hail costs its receiver one hash (mac1) before anything else, then the bucket of Lamps, then key agreement.
 * Strangers hear nothing. The reply is funded by the Hail and never larger.
 */
#include <errno.h>

#include "endpoint.h"
#include "mac1.h"

enum {
    HAIL_TAGS = TETHER_TAG_HAIL_SIZE + TETHER_TAG_MANIFEST_SIZE,
    HAIL_LENGTH = 4 + TETHER_NOISE_OVERHEAD1 + HAIL_TAGS,
    HAIL_PAYLOAD = TETHER_HAIL_PAYLOAD_MIN,
    REPLY_LENGTH = 4 + TETHER_NOISE_OVERHEAD2 + HAIL_TAGS,
    COUNTERS_LOW = 16
};
_Static_assert(HAIL_LENGTH <= HAIL_PAYLOAD, "a Hail fits its least size");
_Static_assert(REPLY_LENGTH <= HAIL_LENGTH, "the reply is never larger");

/* Header and payload of a Lamp around a Noise message; returns the frame's length or a negative errno. */
static int lamp(uint8_t *frame, uint32_t to_channel, uint64_t sequence, uint64_t grant, uint64_t stamp,
                uint32_t sender_index, uint16_t length, uint8_t context[TETHER_NOISE_CONTEXT], size_t payload)
{
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .length = length,
                                   .channel = to_channel, .sequence = sequence & TETHER_MASK48,
                                   .grant_amount = grant, .timestamp_ns = stamp + (stamp == 0)};
    memset(frame, 0, TETHER_HEADER_BYTES + payload);
    tether_wire_encode(&header, frame);
    tether_put32(frame + TETHER_HEADER_BYTES, sender_index);
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, frame + TETHER_HEADER_BYTES, 4);
    return (int)(TETHER_HEADER_BYTES + payload);
}

static size_t put_tags(struct tether_endpoint *ep, uint8_t *out, const struct tether_tag_hail *hail)
{
    struct tether_tag_manifest manifest;
    size_t length = tether_tag_put_hail(out, hail);
    tether_manifest_of(ep, &manifest);
    return length + tether_tag_put_manifest(out + length, TETHER_TAG_MANIFEST_SIZE, &manifest, NULL, 0);
}

/* The two tags of a handshake payload. 0 or -TETHER_E_TAGS. */
static int get_tags(const uint8_t *payload, size_t length, struct tether_tag_hail *hail,
                    struct tether_tag_manifest *manifest)
{
    struct tether_tag_cursor cursor = {.at = payload, .left = length};
    struct tether_tag tag;
    int got, seen = 0;
    while ((got = tether_tag_next(&cursor, &tag)) > 0) {
        if (tag.type == TETHER_TAG_HAIL && !(seen & 1)) {
            *hail = tag.hail;
            seen |= 1;
        } else if (tag.type == TETHER_TAG_MANIFEST && !(seen & 2)) {
            *manifest = tag.manifest;
            seen |= 2;
        } else {
            return -TETHER_E_TAGS;
        }
    }
    return got < 0 || seen != 3 ? -TETHER_E_TAGS : 0;
}

static int send_hail(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    struct tether_peer_entry *entry;
    struct tether_tag_hail tag = {.lane = ep->config.lane, .target_lane = ch->remote_lane,
                                  .ciphers = ep->config.ciphers};
    uint8_t context[TETHER_NOISE_CONTEXT], tags[HAIL_TAGS], ephemeral[TETHER_KEY_SIZE];
    uint32_t key;
    int length, written;
    ch->hail_due = 0;
    entry = tether_roster_by_key(ep, ch->peer_key, &key);
    if (entry == NULL)
        return 0;
    /* While a peer's key is being replaced, its keys take turns. */
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
    tag.counter = ep->counter_next++;
    if (ep->counter_limit - ep->counter_next < COUNTERS_LOW && !ep->counter_asked)
        ep->need_counter = 1;
    memcpy(ch->peer_key, entry->peer.keys[key], TETHER_KEY_SIZE);
    length = lamp(frame, 0, tag.counter, (TETHER_HEADER_BYTES + HAIL_PAYLOAD) / TETHER_BLOCK_BYTES,
                  tether_stamp(ch, now_ns), ch->index, HAIL_LENGTH, context, HAIL_PAYLOAD);
    (void)put_tags(ep, tags, &tag);
    if (tether_noise_initiator(&ch->noise, ep->config.static_secret, ep->public_key, ch->peer_key))
        return 0;
    written = tether_noise_write1(&ch->noise, ephemeral, context, tags, sizeof tags,
                                  frame + TETHER_HEADER_BYTES + 4, HAIL_PAYLOAD - 4);
    tether_wipe(ephemeral, sizeof ephemeral);
    if (written != HAIL_LENGTH - 4 ||
        tether_mac1(entry->mac1_key[key], frame, frame + TETHER_HEADER_BYTES, HAIL_PAYLOAD, frame + TETHER_AT_TAG))
        return 0;
    ch->hail_ns = now_ns;
    ch->hails_sent++;
    tether_backoff_sent(&ch->hail_clock, now_ns);
    ch->hail_clock.tries -= ch->hails_sent == 1; /* the first wait is one silence */
    tether_arm(ep, ch, tether_backoff_hail_due(&ch->hail_clock, tether_channel_silence(ep, ch)));
    TETHER_COUNT(ep, lamps_sent);
    TETHER_COUNT(ep, frames_sent);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .count = (uint64_t)length / TETHER_BLOCK_BYTES,
                 .value = tag.counter);
    return length;
}

/* A Hail, or the reply that waits on an unconfirmed channel. */
int tether_hail_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    if (ch->state == TETHER_CHANNEL_HAILING)
        return send_hail(ep, ch, now_ns, frame);
    ch->hail_due = 0;
    if (ch->state != TETHER_CHANNEL_UNCONFIRMED || ch->reply_length == 0)
        return 0;
    memcpy(frame, ch->reply, ch->reply_length);
    TETHER_COUNT(ep, lamps_sent);
    TETHER_COUNT(ep, frames_sent);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .count = ch->reply_length / TETHER_BLOCK_BYTES);
    return (int)ch->reply_length;
}

/* Write the reply to a Hail that `noise` has read: its length or a negative errno. */
static int write_reply(struct tether_endpoint *ep, struct tether_noise *noise, uint8_t *reply, uint64_t now_ns,
                       const struct tether_channel *ch, uint32_t to, const struct tether_tag_hail *tag,
                       const uint8_t mac1_key[TETHER_KEY_SIZE])
{
    uint8_t context[TETHER_NOISE_CONTEXT], tags[HAIL_TAGS], ephemeral[TETHER_KEY_SIZE];
    size_t payload = tether_blocks(REPLY_LENGTH) * TETHER_BLOCK_BYTES;
    int length, written;
    if (ep->config.entropy(ep->config.context, ephemeral, sizeof ephemeral))
        return -EIO;
    length = lamp(reply, to, 0, 0, ch ? tether_stamp(ch, now_ns) : 1, ch ? ch->index : 0, REPLY_LENGTH, context,
                  payload);
    (void)put_tags(ep, tags, tag);
    written = tether_noise_write2(noise, ephemeral, context, tags, sizeof tags, reply + TETHER_HEADER_BYTES + 4,
                                  payload - 4);
    tether_wipe(ephemeral, sizeof ephemeral);
    if (written != REPLY_LENGTH - 4 ||
        tether_mac1(mac1_key, reply, reply + TETHER_HEADER_BYTES, payload, reply + TETHER_AT_TAG))
        return -EIO;
    return length;
}

static int set_keys(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_noise *noise, int initiator)
{
    uint8_t forth[TETHER_KEY_SIZE], back[TETHER_KEY_SIZE];
    int failed = tether_noise_split(noise, forth, back) ||
                 tether_keys_set(&ch->tx_keys, ch->cipher, initiator ? forth : back) ||
                 tether_keys_set(&ch->rx_keys, ch->cipher, initiator ? back : forth);
    if (!failed)
        tether_keylog_put(ep, ch, ch->remote, forth, back);
    tether_wipe(forth, sizeof forth);
    tether_wipe(back, sizeof back);
    return failed ? -EIO : 0;
}

/* The cipher of the reply: what we prefer among what is offered and allowed; 0 = none. */
static uint16_t choose(const struct tether_endpoint *ep, uint16_t offered)
{
    uint16_t both = offered & ep->config.ciphers;
    if (both & ep->config.prefer_cipher)
        return ep->config.prefer_cipher;
    if (both & TETHER_CIPHER_AES_256_GCM)
        return TETHER_CIPHER_AES_256_GCM;
    return both & TETHER_CIPHER_CHACHA20_POLY1305;
}

/* Our channel that has hailed the same lane of the same peer, if any. */
static struct tether_channel *crossing(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane)
{
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        if (ch->state == TETHER_CHANNEL_HAILING && ch->peer_id == peer_id && ch->remote_lane == lane && ch->hails_sent)
            return ch;
    }
    return NULL;
}

static void drop_unconfirmed(struct tether_endpoint *ep, uint32_t peer_id, uint16_t lane)
{
    for (uint32_t slot = 0; slot < ep->channel_high; slot++) {
        struct tether_channel *ch = &ep->channels[slot];
        if (ch->state == TETHER_CHANNEL_UNCONFIRMED && ch->peer_id == peer_id && ch->remote_lane == lane && !ch->visible)
            tether_channel_release(ep, ch);
    }
}

/*
 * Answer a verified Hail: make a channel and leave the reply on it. A Hail of our own to the same lane goes on until
 * this one is confirmed: the Hail that we answer may be an old one, replayed.
 */
static int answer(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from, uint32_t remote,
                  struct tether_peer_entry *entry, uint32_t key, const struct tether_tag_hail *hail,
                  const struct tether_tag_manifest *manifest)
{
    struct tether_channel *ch;
    struct tether_tag_hail tag = {.counter = hail->counter, .lane = ep->config.lane, .target_lane = hail->lane,
                                  .ciphers = choose(ep, hail->ciphers)};
    int length;
    if (tag.ciphers == 0)
        return -TETHER_E_STATE;
    drop_unconfirmed(ep, entry->peer.id, hail->lane);
    ch = tether_channel_take(ep, now_ns);
    if (ch == NULL)
        return -TETHER_E_CELLS;
    ch->state = TETHER_CHANNEL_UNCONFIRMED;
    ch->initiator = 0;
    ch->remote = remote;
    ch->peer_id = entry->peer.id;
    ch->remote_lane = hail->lane;
    ch->cipher = tag.ciphers;
    ch->address = *from;
    ch->rate_bps = entry->peer.rate_bps ? entry->peer.rate_bps : ep->config.rate_bps;
    ch->peer_floor = ch->peer_frame_blocks = 0;
    memcpy(ch->peer_key, entry->peer.keys[key], TETHER_KEY_SIZE);
    tether_rtt_init(&ch->rtt, entry->peer.rtt_ns ? entry->peer.rtt_ns : ep->config.rtt_ns);
    length = write_reply(ep, &ep->scratch_noise, ch->reply, now_ns, ch, remote, &tag, entry->mac1_key[key]);
    if (length < 0 || set_keys(ep, ch, &ep->scratch_noise, 0) || tether_channel_ready(ep, ch, now_ns, manifest)) {
        tether_channel_release(ep, ch);
        return -TETHER_E_STATE;
    }
    ch->reply_length = (uint32_t)length;
    ch->hail_due = 1;
    ch->expire_ns = now_ns + 8 * tether_channel_silence(ep, ch) + UINT64_C(3000000000);
    tether_arm(ep, ch, ch->expire_ns);
    tether_work(ep, ch);
    return 0;
}

int tether_hail_receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct tether_header *header, const uint8_t *frame, size_t length)
{
    const uint8_t *payload = frame + TETHER_HEADER_BYTES;
    /* A Hail is all whole blocks that came: it may be longer than it must, to be worth a longer reply. */
    size_t padded = (length - TETHER_HEADER_BYTES) / TETHER_BLOCK_BYTES * TETHER_BLOCK_BYTES;
    uint32_t key = 0;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_tag_hail hail = {0};
    struct tether_tag_manifest manifest = {0};
    struct tether_peer_entry *entry;
    struct tether_channel *ours;
    int got, lesser;
    if (padded < TETHER_HAIL_PAYLOAD_MIN || padded > TETHER_FRAME_BLOCKS_MAX * TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    if (header->flags != TETHER_FLAG_LAMP || header->flow != 0 || header->length < HAIL_LENGTH)
        return -TETHER_E_STATE;
    if (tether_mac1_check(ep->mac1_key, frame, payload, padded, header->tag))
        return -TETHER_E_MAC1;
    if (from == NULL || from->kind == 0 || from->length > sizeof from->bytes)
        return -TETHER_E_ADDRESS;
    for (size_t i = header->length; i < padded; i++)
        if (payload[i])
            return -TETHER_E_PADDING;
    if (!tether_purse_pay(&ep->lamps, now_ns, 1))
        return -TETHER_E_FLOOD;
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, payload, 4);
    if (tether_noise_responder(&ep->scratch_noise, ep->config.static_secret, ep->public_key))
        return -TETHER_E_AUTH;
    got = tether_noise_read1(&ep->scratch_noise, context, payload + 4, (size_t)header->length - 4, tags, sizeof tags);
    if (got < 0)
        return -TETHER_E_AUTH;
    entry = tether_roster_by_key(ep, ep->scratch_noise.remote_public, &key);
    if (entry == NULL)
        return -TETHER_E_STRANGER;
    if (get_tags(tags, (size_t)got, &hail, &manifest) || manifest.lanes || hail.lane > 255 || hail.status ||
        tether_get32(payload) == 0 || (hail.counter & TETHER_MASK48) != header->sequence)
        return -TETHER_E_TAGS;
    if (hail.target_lane != ep->config.lane)
        return -TETHER_E_ADDRESS;
    /* The reply must be funded: no larger than the Lamp says, nor than the Lamp itself. */
    if (header->grant_amount * TETHER_BLOCK_BYTES <
            TETHER_HEADER_BYTES + (uint64_t)tether_blocks(REPLY_LENGTH) * TETHER_BLOCK_BYTES ||
        header->grant_amount * TETHER_BLOCK_BYTES > TETHER_HEADER_BYTES + padded)
        return -TETHER_E_GRANT;
    if (hail.counter < entry->last_counter[key][hail.lane]) { /* kept as newest + 1 */
        struct tether_tag_hail stale = {.counter = entry->last_counter[key][hail.lane] - 1, .lane = ep->config.lane,
                                        .target_lane = hail.lane, .ciphers = choose(ep, hail.ciphers),
                                        .status = TETHER_HAIL_STALE};
        /* The bucket of Lamps has paid for it: an old Hail, replayed for ever, costs our timers and Hails nothing. */
        got = write_reply(ep, &ep->scratch_noise, ep->answer.frame, now_ns, NULL, tether_get32(payload), &stale,
                          entry->mac1_key[key]);
        ep->answer.length = got > 0 ? (uint32_t)got : 0;
        ep->answer.to = *from;
        return -TETHER_E_COUNTER;
    }
    if (hail.counter == UINT64_MAX)
        return -TETHER_E_COUNTER;
    ours = crossing(ep, entry->peer.id, hail.lane);
    lesser = memcmp(ep->public_key, entry->peer.keys[key], TETHER_KEY_SIZE) < 0;
    if (ours != NULL && lesser)
        return -TETHER_E_STATE; /* crossing Hails: the one from the lesser public key stands */
    entry->last_counter[key][hail.lane] = hail.counter + 1;
    TETHER_COUNT(ep, lamps_received);
    TETHER_COUNT(ep, frames_received);
    TETHER_TRACE(ep, NULL, now_ns, .kind = TETHER_TRACE_LAMP, .flags = TETHER_TRACE_HEARD,
                 .count = length / TETHER_BLOCK_BYTES, .value = hail.counter);
    return answer(ep, now_ns, from, tether_get32(payload), entry, key, &hail, &manifest);
}

/* Reply to our Hail, on a channel that is hailing. */
int tether_hail_reply(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns,
                      const struct tether_header *header, const uint8_t *frame, size_t length)
{
    const uint8_t *payload = frame + TETHER_HEADER_BYTES;
    uint32_t padded = tether_blocks(header->length) * TETHER_BLOCK_BYTES, remote;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    struct tether_tag_hail hail = {0};
    struct tether_tag_manifest manifest = {0};
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    int got;
    if (ch->state != TETHER_CHANNEL_HAILING || ch->hails_sent == 0 || header->flags != TETHER_FLAG_LAMP ||
        header->flow != 0 || header->sequence != 0)
        return -TETHER_E_STATE;
    if (length < TETHER_HEADER_BYTES + padded || header->length < REPLY_LENGTH || padded > HAIL_PAYLOAD)
        return -TETHER_E_LENGTH;
    if (tether_mac1_check(ep->mac1_key, frame, payload, padded, header->tag))
        return -TETHER_E_MAC1;
    for (uint32_t i = header->length; i < padded; i++)
        if (payload[i])
            return -TETHER_E_PADDING;
    /* An old reply, replayed, has a good mac1 too: its own bucket bounds what the key agreements cost. */
    if (!tether_purse_pay(&ep->replies, now_ns, 1))
        return -TETHER_E_FLOOD;
    memcpy(context, frame, TETHER_AAD_SIZE);
    memcpy(context + TETHER_AAD_SIZE, payload, 4);
    ep->scratch_noise = ch->noise;
    got = tether_noise_read2(&ep->scratch_noise, context, payload + 4, (size_t)header->length - 4, tags, sizeof tags);
    if (got < 0)
        return -TETHER_E_AUTH;
    if (get_tags(tags, (size_t)got, &hail, &manifest) || manifest.lanes || hail.lane != ch->remote_lane ||
        hail.target_lane != ep->config.lane)
        return -TETHER_E_TAGS;
    if (hail.status == TETHER_HAIL_STALE) {
        TETHER_COUNT(ep, frames_received);
        if (hail.counter >= UINT64_C(1) << 63) {
            tether_channel_down(ep, ch, now_ns, -ESTALE, hail.counter);
            tether_channel_reap(ep, ch);
            return 0;
        }
        if (ep->counter_next <= hail.counter)
            ep->counter_next = hail.counter + 1;
        if (ep->counter_next >= ep->counter_limit) {
            ep->counter_stale = hail.counter;
            ep->need_counter = 1;
            ep->counter_asked = 0;
        }
        return 0; /* the next try, at its time, has a higher counter */
    }
    remote = tether_get32(payload);
    if (hail.status != TETHER_HAIL_OK || remote == 0 || (hail.ciphers & ep->config.ciphers) != hail.ciphers ||
        (hail.ciphers != TETHER_CIPHER_CHACHA20_POLY1305 && hail.ciphers != TETHER_CIPHER_AES_256_GCM))
        return -TETHER_E_TAGS;
    ch->cipher = hail.ciphers;
    ch->remote = remote;
    if (set_keys(ep, ch, &ep->scratch_noise, 1) || tether_channel_ready(ep, ch, now_ns, &manifest))
        return -TETHER_E_STATE;
    tether_wipe(&ch->noise, sizeof ch->noise);
    ch->state = TETHER_CHANNEL_UP;
    ch->hail_due = 0;
    TETHER_COUNT(ep, frames_received);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .flags = TETHER_TRACE_HEARD,
                 .count = length / TETHER_BLOCK_BYTES);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_UP, .slot = remote);
    if (now_ns > ch->hail_ns)
        tether_rtt_sample(&ch->rtt, now_ns - ch->hail_ns);
    /* The Manifest with the lanes is our first transport frame: it confirms the channel to the responder. */
    control->control = TETHER_CONTROL_MANIFEST;
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_event_set(ep, control, TETHER_EVENT_CHANNEL_UP);
    tether_work(ep, ch);
    return 0;
}
