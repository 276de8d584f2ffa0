/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c: a Hail arrives (RFC 0001, "Lamp", "Floods", "Hail"). While the lane's bucket has anything left it costs its
 * receiver one hash (mac1) before anything else, then a place in that bucket and in its source's, under load the proof
 * that the source is where it says (a cookie, for which nothing is kept), and only then key agreement, from a bucket of
 * its own.
 *
 * Strangers hear nothing. What is answered is funded by the Hail and never larger (I5).
 */
#include <errno.h>

#include "lamp.h"
#include "mac1.h"

#define STALE_PAUSE_NS UINT64_C(100000000) /* between two stale answers to one (key, lane) */

/* A place for a frame that answers at once; NULL when too many wait already. */
static struct tether_answer *answer_place(struct tether_endpoint *ep, const struct tether_address *to)
{
    struct tether_answer *answer;
    if (ep->answer_count == TETHER_ANSWERS)
        return NULL;
    answer = &ep->answers[(ep->answer_first + ep->answer_count) % TETHER_ANSWERS];
    answer->to = *to;
    return answer;
}

/* What is in the place may go if it is no larger than the Lamp that paid for it (I5). */
static void answer_ready(struct tether_endpoint *ep, struct tether_answer *answer, int length, size_t funded)
{
    if (length <= 0 || TETHER_BROKEN(ep, (size_t)length <= funded))
        return;
    answer->length = (uint32_t)length;
    ep->answer_count++;
}

/* Write the reply to a Hail that scratch_noise has read, without mac1: its length or a negative errno. */
static int write_reply(struct tether_endpoint *ep, uint8_t *reply, uint64_t stamp, uint32_t index, uint32_t to,
                       const struct tether_tag_hail *tag)
{
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_LAMP_TAGS], ephemeral[TETHER_KEY_SIZE];
    size_t payload = TETHER_REPLY_BLOCKS * TETHER_BLOCK_BYTES;
    int length, written;
    if (ep->config.entropy(ep->config.context, ephemeral, sizeof ephemeral))
        return -EIO;
    length = tether_lamp_frame(reply, to, 0, 0, stamp, index, TETHER_REPLY_LENGTH, context, payload);
    (void)tether_lamp_put(ep, tags, tag, 0);
    written = tether_noise_write2(&ep->scratch_noise, ephemeral, context, tags, sizeof tags,
                                  reply + TETHER_HEADER_BYTES + 4, payload - 4);
    tether_wipe(ephemeral, sizeof ephemeral);
    return written == TETHER_REPLY_LENGTH - 4 ? length : -EIO;
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

/* A Hail that has passed every check up to its counter. */
struct hail {
    struct tether_lamp_tags tags;
    struct tether_peer_entry *entry;
    uint32_t key;
    uint32_t sender_index;
    uint16_t blocks; /* of its payload */
    uint16_t funded; /* payload blocks that its reply may have */
};

/* An answer without a channel: stale counter, or a channel that is not known here. */
static void refuse(struct tether_endpoint *ep, const struct tether_address *from, const struct hail *hail,
                   uint16_t status, uint64_t counter)
{
    struct tether_tag_hail tag = {.counter = counter, .lane = ep->config.lane, .target_lane = hail->tags.hail.lane,
                                  .ciphers = choose(ep, hail->tags.hail.ciphers), .status = status};
    struct tether_answer *place = answer_place(ep, from);
    int length;
    if (place == NULL)
        return;
    length = write_reply(ep, place->frame, 1, 0, hail->sender_index, &tag);
    if (length > 0 && tether_mac1(hail->entry->mac1_key[hail->key], place->frame, place->frame + TETHER_HEADER_BYTES,
                                  TETHER_REPLY_BLOCKS * TETHER_BLOCK_BYTES, place->frame + TETHER_AT_TAG) == 0)
        answer_ready(ep, place, length, ((size_t)hail->blocks + 1) * TETHER_BLOCK_BYTES);
}

/* The reply of a channel: as large as the Hail was, so that the way back is probed too, and signed now. */
int tether_answer_transmit(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint8_t *frame)
{
    size_t size = (size_t)(ch->hail_blocks < ep->config.frame_blocks ? ch->hail_blocks : ep->config.frame_blocks) *
                  TETHER_BLOCK_BYTES;
    uint32_t key;
    struct tether_peer_entry *entry = tether_roster_by_key(ep, ch->peer_key, &key);
    int waits = ch->state == TETHER_CHANNEL_UNCONFIRMED ||
                (ch->state == TETHER_CHANNEL_UP && ch->next.state == TETHER_NEXT_ANSWERED);
    if (!waits || ch->reply_length == 0 || entry == NULL)
        return 0;
    size = size < ch->reply_length - TETHER_HEADER_BYTES ? ch->reply_length - TETHER_HEADER_BYTES : size;
    if (TETHER_BROKEN(ep, size <= (size_t)ch->hail_blocks * TETHER_BLOCK_BYTES)) /* I5 */
        return 0;
    memcpy(frame, ch->reply, ch->reply_length);
    memset(frame + ch->reply_length, 0, TETHER_HEADER_BYTES + size - ch->reply_length);
    TETHER_BREAK_I5_BY(ch->hail_due = 1; if (0))
    ch->reply_length = 0; /* once for each Hail */
    if (tether_mac1(entry->mac1_key[key], frame, frame + TETHER_HEADER_BYTES, size, frame + TETHER_AT_TAG))
        return 0;
    TETHER_COUNT(ep, lamps_sent);
    TETHER_COUNT(ep, frames_sent);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_LAMP, .count = size / TETHER_BLOCK_BYTES + 1);
    return (int)(TETHER_HEADER_BYTES + size);
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

/* Leave the reply on the channel. 0 or a negative errno. */
static int leave_reply(struct tether_endpoint *ep, struct tether_channel *ch, const struct hail *hail, uint64_t now_ns,
                       uint32_t index, const struct tether_tag_hail *tag)
{
    int length = write_reply(ep, ch->reply, tether_stamp(ch, now_ns), index, hail->sender_index, tag);
    if (length < 0)
        return length;
    ch->reply_length = (uint32_t)length;
    ch->hail_blocks = hail->funded;
    ch->hail_due = 1;
    tether_work(ep, ch);
    return 0;
}

/* New keys for a channel that is up: they wait for their first frame (rekey.c). */
static int answer_rekey(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct hail *hail, const struct tether_tag_hail *tag)
{
    struct tether_channel *ch = tether_rekey_target(ep, hail->tags.rekey, hail->entry->peer.keys[hail->key],
                                                    hail->tags.hail.lane);
    if (ch == NULL) {
        refuse(ep, from, hail, TETHER_HAIL_GONE, hail->tags.hail.counter);
        return -TETHER_E_STRANGER;
    }
    if (ch->next.state == TETHER_NEXT_HAILING && memcmp(ep->public_key, ch->peer_key, TETHER_KEY_SIZE) < 0)
        return -TETHER_E_STATE; /* crossing: the lesser key's Hail stands */
    if (hail->tags.manifest.floor != ch->peer_floor || hail->tags.manifest.frame_blocks != ch->peer_frame_blocks)
        return -TETHER_E_TAGS;
    if (tether_rekey_answer(ep, ch, hail->sender_index, tag->ciphers) ||
        leave_reply(ep, ch, hail, now_ns, ch->next.wire, tag) ||
        tether_lamp_keys(ep, 0, tag->ciphers, ch->next.wire, ch->next.remote, &ch->next.tx_keys, &ch->next.rx_keys,
                         ch->next.resume)) {
        tether_rekey_end(ep, ch, now_ns);
        return -TETHER_E_STATE;
    }
    return 0;
}

/*
 * Answer a verified Hail: make a channel and leave the reply on it. A Hail of our own to the same lane goes on until
 * this one is confirmed: the Hail that we answer may be an old one, replayed.
 */
static int answer(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                  const struct hail *hail)
{
    const struct tether_tag_hail *offer = &hail->tags.hail;
    const struct tether_peer *peer = &hail->entry->peer;
    struct tether_channel *ch;
    struct tether_tag_hail tag = {.counter = offer->counter, .lane = ep->config.lane, .target_lane = offer->lane,
                                  .ciphers = choose(ep, offer->ciphers)};
    uint64_t rtt_ns = peer->rtt_ns ? peer->rtt_ns : ep->config.rtt_ns;
    if (tag.ciphers == 0)
        return -TETHER_E_STATE;
    if (hail->tags.rekey)
        return answer_rekey(ep, now_ns, from, hail, &tag);
    drop_unconfirmed(ep, peer->id, offer->lane);
    ch = tether_channel_admit(ep, now_ns, peer->id, offer->lane);
    if (ch == NULL)
        return -TETHER_E_CELLS;
    ch->state = TETHER_CHANNEL_UNCONFIRMED;
    ch->remote = hail->sender_index;
    ch->peer_id = peer->id;
    ch->remote_lane = offer->lane;
    ch->cipher = tag.ciphers;
    ch->address = *from;
    ch->path_blocks = hail->blocks > TETHER_HAIL_BLOCKS ? hail->blocks : 0;
    ch->rate_bps = peer->rate_bps ? peer->rate_bps : ep->config.rate_bps;
    memcpy(ch->peer_key, peer->keys[hail->key], TETHER_KEY_SIZE);
    tether_rtt_init(&ch->rtt, rtt_ns);
    if (leave_reply(ep, ch, hail, now_ns, ch->wire, &tag) ||
        tether_lamp_keys(ep, 0, tag.ciphers, ch->wire, ch->remote, &ch->tx_keys, &ch->rx_keys, ch->resume) ||
        tether_channel_ready(ep, ch, now_ns, &hail->tags.manifest)) {
        tether_channel_release(ep, ch);
        return -TETHER_E_STATE;
    }
    /* By what we declare ourselves: what the peer says must not make a half-open channel stay. */
    rtt_ns = rtt_ns < UINT64_C(1) << 46 ? rtt_ns * 12 : UINT64_C(12) << 46;
    ch->expire_ns = now_ns + UINT64_C(3000000000) + (rtt_ns > 8 * ep->config.silence_ns ? rtt_ns : 8 * ep->config.silence_ns);
    tether_arm(ep, ch, ch->expire_ns);
    return 0;
}

/*
 * Is there anything left to pay for a Hail with? Looked at before its hash is made, so that a flood beyond the lane's
 * bucket costs a comparison a frame; nothing is taken, since whose mac1 is bad must not empty it for others.
 */
static int affordable(struct tether_endpoint *ep, uint64_t now_ns, const uint8_t *payload, size_t size)
{
    tether_purse_refill(&ep->lamps, now_ns);
    if (ep->lamps.frames)
        return 1;
    tether_purse_refill(&ep->proven, now_ns);
    return ep->proven.frames && ep->jar.valid && !tether_lamp_zeros(payload, size - TETHER_MAC2_SIZE, size);
}

/* May this Hail cost a key agreement? 0, or -TETHER_E_FLOOD: then it may have been answered with a cookie. */
static int admit(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from, const uint8_t *frame,
                 size_t size)
{
    const uint8_t *payload = frame + TETHER_HEADER_BYTES;
    int signed2 = !tether_lamp_zeros(payload, size - TETHER_MAC2_SIZE, size), proven = 0;
    struct tether_answer *place;
    if (signed2 && ep->jar.valid) /* secrets grow old while nobody needs a new one */
        (void)tether_jar_turn(&ep->jar, now_ns, ep->config.entropy, ep->config.context);
    tether_purse_refill(&ep->agreements, now_ns);
    if (!tether_purse_pay(&ep->lamps, now_ns, 1)) {
        /* The flood has taken all: who has proved his address finds a share of his own. */
        proven = signed2 && tether_mac2_check(&ep->jar, from, frame, payload, size);
        if (!proven || !tether_purse_pay(&ep->proven, now_ns, 1))
            return -TETHER_E_FLOOD;
    }
    if (!proven && ep->lamps.frames >= ep->lamps.frames_max / 2 && ep->agreements.frames >= ep->agreements.frames_max / 2 &&
        tether_sources_pay(&ep->sources, from, 0, now_ns))
        return tether_purse_pay(&ep->agreements, now_ns, 1) ? 0 : -TETHER_E_FLOOD;
    proven = proven || (signed2 && tether_mac2_check(&ep->jar, from, frame, payload, size));
    if (proven)
        return tether_sources_pay(&ep->sources, from, 1, now_ns) && tether_purse_pay(&ep->agreements, now_ns, 1)
                   ? 0
                   : -TETHER_E_FLOOD;
    if (tether_jar_turn(&ep->jar, now_ns, ep->config.entropy, ep->config.context) ||
        (place = answer_place(ep, from)) == NULL)
        return -TETHER_E_FLOOD;
    TETHER_COUNT(ep, cookies_sent);
    answer_ready(ep, place, tether_cookie_write(&ep->jar, from, ep->public_key, frame, place->frame),
                 TETHER_HEADER_BYTES + size);
    return -TETHER_E_FLOOD;
}

/* Everything after the key agreement of a Hail that is in scratch_noise. */
static int verified(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                    const struct tether_header *header, struct hail *hail, const uint8_t *payload, int got)
{
    const struct tether_tag_hail *offer = &hail->tags.hail;
    uint64_t *last, *told_ns;
    hail->entry = tether_roster_by_key(ep, ep->scratch_noise.remote_public, &hail->key);
    if (hail->entry == NULL)
        return -TETHER_E_STRANGER;
    if (tether_lamp_get(payload, (size_t)got, &hail->tags) || offer->lane > 255 || offer->status ||
        hail->sender_index == 0 || (offer->counter & TETHER_MASK48) != header->sequence)
        return -TETHER_E_TAGS;
    if (offer->target_lane != ep->config.lane)
        return -TETHER_E_ADDRESS;
    /* The reply must be funded: no larger than the Lamp says, nor than the Lamp itself. */
    if (header->grant_amount < TETHER_REPLY_BLOCKS + 1 || header->grant_amount > hail->blocks + UINT64_C(1))
        return -TETHER_E_GRANT;
    hail->funded = (uint16_t)(header->grant_amount - 1);
    last = &hail->entry->last_counter[hail->key][offer->lane];
    if (offer->counter < *last) { /* kept as newest + 1 */
        /* The buckets have paid for it: an old Hail, replayed for ever, costs our timers and Hails nothing. */
        told_ns = &hail->entry->stale_ns[hail->key][offer->lane];
        if (*told_ns == 0 || now_ns - *told_ns >= STALE_PAUSE_NS) {
            *told_ns = now_ns ? now_ns : 1;
            refuse(ep, from, hail, TETHER_HAIL_STALE, *last - 1);
        }
        return -TETHER_E_COUNTER;
    }
    if (offer->counter == UINT64_MAX)
        return -TETHER_E_COUNTER;
    if (!hail->tags.rekey && crossing(ep, hail->entry->peer.id, offer->lane) != NULL &&
        memcmp(ep->public_key, hail->entry->peer.keys[hail->key], TETHER_KEY_SIZE) < 0)
        return -TETHER_E_STATE; /* crossing Hails: the one from the lesser public key stands */
    *last = offer->counter + 1;
    TETHER_COUNT(ep, lamps_received);
    TETHER_COUNT(ep, frames_received);
    TETHER_TRACE(ep, NULL, now_ns, .kind = TETHER_TRACE_LAMP, .flags = TETHER_TRACE_HEARD, .count = hail->blocks + UINT64_C(1),
                 .value = offer->counter);
    return answer(ep, now_ns, from, hail);
}

int tether_hail_receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct tether_header *header, const uint8_t *frame, size_t length)
{
    const uint8_t *payload = frame + TETHER_HEADER_BYTES;
    /* A Hail is all whole blocks that came: it may be longer than it must, to probe the path. */
    size_t padded = (length - TETHER_HEADER_BYTES) / TETHER_BLOCK_BYTES * TETHER_BLOCK_BYTES;
    uint8_t context[TETHER_NOISE_CONTEXT], tags[TETHER_NOISE_PAYLOAD_MAX];
    struct hail hail = {.blocks = (uint16_t)(padded / TETHER_BLOCK_BYTES)};
    int got;
    if (padded < TETHER_HAIL_PAYLOAD_MIN || padded > TETHER_FRAME_BLOCKS_MAX * TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    if (header->flags != TETHER_FLAG_LAMP || header->flow != 0 || header->length < TETHER_HAIL_LENGTH ||
        header->length > padded - TETHER_MAC2_SIZE)
        return -TETHER_E_STATE;
    if (!affordable(ep, now_ns, payload, padded))
        return -TETHER_E_FLOOD;
    if (tether_mac1_check(ep->mac1_key, frame, payload, padded, header->tag))
        return -TETHER_E_MAC1;
    if (from == NULL || from->kind == 0 || from->length > sizeof from->bytes)
        return -TETHER_E_ADDRESS;
    if (!tether_lamp_zeros(payload, header->length, padded - TETHER_MAC2_SIZE))
        return -TETHER_E_PADDING;
    got = admit(ep, now_ns, from, frame, padded);
    if (got)
        return got;
    tether_lamp_context(frame, context);
    hail.sender_index = tether_get32(payload);
    got = -TETHER_E_AUTH;
    if (tether_noise_responder(&ep->scratch_noise, ep->config.static_secret, ep->public_key) == 0) {
        got = tether_noise_read1(&ep->scratch_noise, context, payload + 4, (size_t)header->length - 4, tags, sizeof tags);
        got = got < 0 ? -TETHER_E_AUTH : verified(ep, now_ns, from, header, &hail, tags, got);
    }
    tether_wipe(&ep->scratch_noise, sizeof ep->scratch_noise);
    return got;
}
