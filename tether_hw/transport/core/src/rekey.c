/* SPDX-License-Identifier: Apache-2.0 */
#include "lamp.h"

#define ORDER_GAP (UINT64_C(1) << 32) /* more than can still come under the old keys beyond what has */

struct tether_channel *tether_rekey_target(struct tether_endpoint *ep, uint32_t wire, const uint8_t key[TETHER_KEY_SIZE],
                                           uint16_t remote_lane)
{
    uint32_t slot = wire >> 8 & (TETHER_CHANNELS_MAX - 1);
    struct tether_channel *ch = &ep->channels[slot];
    if (slot >= ep->channel_high || ch->state != TETHER_CHANNEL_UP || ch->wire != wire ||
        ch->remote_lane != remote_lane || memcmp(ch->peer_key, key, TETHER_KEY_SIZE) != 0)
        return NULL;
    return ch;
}

void tether_rekey_end(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    (void)ep;
    if (ch->next.state == TETHER_NEXT_NONE)
        return;
    if (ch->next.state != TETHER_NEXT_DRAINING) { /* it came to nothing: not again at once */
        ch->rekey_ns = now_ns + UINT64_C(10000000000);
        ch->hail_due = 0;
        ch->reply_length = 0;
        tether_wipe(&ch->noise, sizeof ch->noise);
    }
    tether_keys_clear(&ch->next.tx_keys);
    tether_keys_clear(&ch->next.rx_keys);
    tether_wipe(ch->next.resume, sizeof ch->next.resume);
    ch->next.state = TETHER_NEXT_NONE;
    ch->next.wire = ch->next.remote = 0;
}

void tether_rekey_begin(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    tether_rekey_end(ep, ch, now_ns);
    ch->next.wire = tether_channel_index(ep, ch);
    ch->next.state = TETHER_NEXT_HAILING;
    ch->next.until_ns = now_ns + tether_channel_patience(ep, ch);
    memset(&ch->hail_clock, 0, sizeof ch->hail_clock);
    ch->hail_clock.since_ns = now_ns;
    ch->hail_tries = 0;
    memset(&ch->probe, 0, sizeof ch->probe);
    ch->hail_due = 1;
    tether_arm(ep, ch, ch->next.until_ns);
    if (ep->counter_next >= ep->counter_limit && !ep->counter_asked)
        ep->need_counter = 1;
    tether_work(ep, ch);
}

int tether_rekey_answer(struct tether_endpoint *ep, struct tether_channel *ch, uint32_t remote, uint16_t cipher)
{
    tether_rekey_end(ep, ch, 0);
    ch->next.wire = tether_channel_index(ep, ch);
    ch->next.remote = remote;
    ch->next.cipher = cipher;
    ch->next.state = TETHER_NEXT_ANSWERED;
    tether_replay_reset(&ch->next.replay);
    return 0;
}

#define SWAP(type, a, b) do { type swap_ = (a); (a) = (b); (b) = swap_; } while (0)

/* From now on the keys in `next` are the channel's, and the old ones open what is still on the way. */
static void activate(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_next *next = &ch->next;
    next->order_base = ch->order_base;
    ch->order_base += ch->replay.newest + ORDER_GAP;
    SWAP(struct tether_keys, ch->tx_keys, next->tx_keys);
    SWAP(struct tether_keys, ch->rx_keys, next->rx_keys);
    SWAP(struct tether_replay, ch->replay, next->replay);
    SWAP(uint32_t, ch->wire, next->wire);
    SWAP(uint32_t, ch->remote, next->remote);
    SWAP(uint16_t, ch->cipher, next->cipher);
    memcpy(ch->resume, next->resume, sizeof ch->resume);
    tether_wipe(next->resume, sizeof next->resume);
    ch->sequence = 1; /* with new keys, and only so (I6) */
    tether_keys_clear(&next->tx_keys); /* nothing is sealed by the old ones any more */
    ch->keyed_ns = now_ns;
    ch->rekey_ns = 0;
    next->state = TETHER_NEXT_DRAINING;
    next->settled = 0;
    next->until_ns = UINT64_MAX;
    TETHER_COUNT(ep, rekeys);
}

static void drain(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    ch->next.settled = 1;
    ch->next.until_ns = now_ns + 2 * tether_rtt_worst(&ch->rtt);
    tether_arm(ep, ch, ch->next.until_ns);
}

int tether_rekey_replied(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, uint32_t remote,
                         const struct tether_lamp_tags *tags)
{
    struct tether_flow *control = tether_flow_at(ep, ch, 0);
    if (tags->manifest.floor != ch->peer_floor || tags->manifest.frame_blocks != ch->peer_frame_blocks)
        return -TETHER_E_TAGS;
    ch->next.remote = remote;
    ch->next.cipher = tags->hail.ciphers;
    tether_replay_reset(&ch->next.replay);
    if (tether_lamp_keys(ep, 1, ch->next.cipher, ch->next.wire, remote, &ch->next.tx_keys, &ch->next.rx_keys,
                         ch->next.resume)) {
        tether_rekey_end(ep, ch, now_ns);
        return -TETHER_E_STATE;
    }
    tether_wipe(&ch->noise, sizeof ch->noise);
    ch->hail_due = 0;
    activate(ep, ch, now_ns);
    ch->unanswered_ns = 0;
    TETHER_COUNT(ep, frames_received);
    /* The peer goes over when it hears us under the new keys: the Manifest again, which is repaired until it arrives. */
    control->control |= TETHER_CONTROL_MANIFEST;
    control->refresh_round = 0;
    tether_enqueue(ep, control, TETHER_Q_CONTROL);
    tether_work(ep, ch);
    return 0;
}

void tether_rekey_heard(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns, int by_next)
{
    if (by_next && ch->next.state == TETHER_NEXT_ANSWERED) {
        ch->hail_due = 0;
        ch->reply_length = 0;
        activate(ep, ch, now_ns);
        drain(ep, ch, now_ns);
    } else if (!by_next && ch->next.state == TETHER_NEXT_DRAINING && !ch->next.settled) {
        drain(ep, ch, now_ns);
    }
}

uint64_t tether_rekey_timer(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t due, least = 10 * tether_rtt_now(&ch->rtt), period = (uint64_t)ep->config.rekey_s * UINT64_C(1000000000);
    if (ch->state != TETHER_CHANNEL_UP)
        return UINT64_MAX;
    switch (ch->next.state) {
    case TETHER_NEXT_HAILING:
        if (now_ns >= ch->next.until_ns) {
            tether_rekey_end(ep, ch, now_ns);
            return ch->rekey_ns;
        }
        due = tether_backoff_hail_due(&ch->hail_clock, tether_channel_silence(ep, ch));
        if (due <= now_ns || ch->hail_tries == 0) {
            due = ch->next.until_ns;
            if (ep->counter_next < ep->counter_limit) {
                ch->hail_due = 1;
                tether_work(ep, ch);
                due = tether_purse_when(&ep->purse, 2);
                due = due > now_ns ? due : ch->next.until_ns;
            }
        }
        return due < ch->next.until_ns ? due : ch->next.until_ns;
    case TETHER_NEXT_ANSWERED:
        return UINT64_MAX;
    case TETHER_NEXT_DRAINING:
        if (now_ns < ch->next.until_ns)
            return ch->next.until_ns;
        tether_rekey_end(ep, ch, now_ns);
        break;
    default:
        break;
    }
    if (now_ns < ch->rekey_ns)
        return ch->rekey_ns;
    /* Nobody answers our timer frames: a peer that has restarted says so to a Hail. */
    due = ch->unanswered_ns ? ch->unanswered_ns + tether_channel_patience(ep, ch) / 4 : UINT64_MAX;
    if (ep->config.rekey_s != UINT32_MAX && ch->sequence + ch->replay.newest >= TETHER_REKEY_FRAMES) {
        period = period > least ? period : least;
        period = ch->initiator ? period : 2 * period; /* so that the two ends seldom cross */
        due = ch->keyed_ns + period < due ? ch->keyed_ns + period : due;
    }
    if (ch->sequence >= UINT64_C(1) << 47)
        due = 0;
    if (due > now_ns)
        return due;
    tether_rekey_begin(ep, ch, now_ns);
    return now_ns;
}
