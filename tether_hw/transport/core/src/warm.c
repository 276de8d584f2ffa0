/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <stdlib.h>

static const char lamp_label[] = "tether/1 warm", answer_label[] = "tether/1 warm answer";

int tether_warm_key(const uint8_t resume[TETHER_KEY_SIZE], int answer, int initiator, uint64_t counter,
                    const uint8_t salt[TETHER_SALT_SIZE], uint8_t key[TETHER_KEY_SIZE])
{
    uint8_t middle[9] = {initiator != 0};
    const struct tether_part parts[] = {{answer ? answer_label : lamp_label,
                                         (answer ? sizeof answer_label : sizeof lamp_label) - 1},
                                        {middle, sizeof middle},
                                        {salt, TETHER_SALT_SIZE}};
    tether_put64(middle + 1, counter);
    return tether_blake2s_keyed(resume, parts, 3, key, TETHER_KEY_SIZE);
}

int tether_warm_open(struct tether_endpoint *ep)
{
    struct tether_greetings *g = &ep->greetings;
    size_t channels = ep->config.max_channels, frame = ((size_t)ep->config.frame_blocks + 1) * TETHER_BLOCK_BYTES;
    g->due_ns = UINT64_MAX;
    if (ep->config.early_bytes == 0)
        return 0;
    g->warm = calloc(channels, sizeof *g->warm);
    g->bits = calloc(channels * TETHER_REPLAY_WORDS(TETHER_STRIKE_WINDOW), sizeof *g->bits);
    g->frames = calloc(channels, frame);
    g->early_bytes = calloc(TETHER_EARLY_QUEUE, ep->config.early_bytes);
    if (!g->warm || !g->bits || !g->frames || !g->early_bytes || tether_aead_open(&g->sealing) ||
        tether_aead_open(&g->opening))
        return -ENOMEM;
    for (size_t i = 0; i < channels; i++) {
        g->warm[i].strikes.bits = g->bits + i * TETHER_REPLAY_WORDS(TETHER_STRIKE_WINDOW);
        g->warm[i].strikes.window = TETHER_STRIKE_WINDOW;
        g->warm[i].frame = g->frames + i * frame;
    }
    for (size_t i = 0; i < TETHER_EARLY_QUEUE; i++)
        g->early[i].data = g->early_bytes + i * ep->config.early_bytes;
    return 0;
}

void tether_warm_close(struct tether_endpoint *ep)
{
    struct tether_greetings *g = &ep->greetings;
    if (g->warm != NULL)
        tether_wipe(g->warm, ep->config.max_channels * sizeof *g->warm);
    if (g->early_bytes != NULL)
        tether_wipe(g->early_bytes, (size_t)TETHER_EARLY_QUEUE * ep->config.early_bytes);
    tether_aead_close(&g->sealing);
    tether_aead_close(&g->opening);
    free(g->warm);
    free(g->bits);
    free(g->frames);
    free(g->early_bytes);
}

void tether_warm_keep(struct tether_endpoint *ep, const struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_warm *warm;
    if (ep->greetings.warm == NULL || !ch->proven)
        return;
    warm = &ep->greetings.warm[tether_channel_slot(ep, ch)];
    if (warm->pending || warm->told)
        return; /* what is under way with the one before is finished first */
    warm->wire = ch->wire;
    warm->remote = ch->remote;
    warm->peer_id = ch->peer_id;
    warm->remote_lane = ch->remote_lane;
    warm->initiator = ch->initiator;
    warm->address = ch->address;
    warm->until_ns = now_ns + TETHER_WARM_LIFE_NS;
    warm->budget = ch->peer_early < ch->cut_bytes - TETHER_WARM_HEAD ? ch->peer_early : ch->cut_bytes - TETHER_WARM_HEAD;
    memcpy(warm->resume, ch->resume, TETHER_KEY_SIZE);
    memcpy(warm->peer_key, ch->peer_key, TETHER_KEY_SIZE);
    tether_replay_reset(&warm->strikes);
}

static void forget(struct tether_warm *warm)
{
    warm->wire = 0;
    tether_wipe(warm->resume, sizeof warm->resume);
}

/* The entry is good as long as its time lasts and its key is in the roster. */
static int usable(struct tether_endpoint *ep, struct tether_warm *warm, uint64_t now_ns)
{
    uint32_t which;
    if (warm->wire == 0)
        return 0;
    if (now_ns < warm->until_ns && tether_roster_by_key(ep, warm->peer_key, &which) != NULL)
        return 1;
    forget(warm);
    return 0;
}

/* `frame` has header and payload; everything behind the salt is sealed in place. 0 or -EIO. */
static int seal(struct tether_greetings *g, const uint8_t *key, uint64_t counter, uint8_t *frame, size_t payload,
                size_t clear)
{
    uint8_t *sealed = frame + TETHER_HEADER_BYTES + clear;
    if (tether_aead_key(&g->sealing, TETHER_CIPHER_CHACHA20_POLY1305, key, 1))
        return -EIO;
    return tether_aead_seal(&g->sealing, counter, frame, sealed, payload - clear, sealed, frame + TETHER_AT_TAG);
}

static int unseal(struct tether_greetings *g, const uint8_t *key, uint64_t counter, const uint8_t *frame, size_t payload,
                  size_t clear, uint8_t *plain)
{
    if (tether_aead_key(&g->opening, TETHER_CIPHER_CHACHA20_POLY1305, key, 0))
        return -EIO;
    return tether_aead_unseal(&g->opening, counter, frame, frame + TETHER_HEADER_BYTES + clear, payload - clear, plain,
                              frame + TETHER_AT_TAG);
}

TETHER_API int tether_early_send(tether_endpoint *ep, uint64_t now_ns, uint32_t peer_id, uint16_t remote_lane,
                                 const void *data, size_t length)
{
    struct tether_greetings *g = &ep->greetings;
    struct tether_warm *warm = NULL;
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP};
    uint8_t key[TETHER_KEY_SIZE], *payload;
    size_t size = (TETHER_WARM_HEAD + length + TETHER_BLOCK_BYTES - 1) / TETHER_BLOCK_BYTES * TETHER_BLOCK_BYTES;
    for (uint32_t i = 0; g->warm != NULL && i < ep->config.max_channels; i++)
        if (g->warm[i].peer_id == peer_id && g->warm[i].remote_lane == remote_lane && usable(ep, &g->warm[i], now_ns) &&
            (warm == NULL || g->warm[i].until_ns > warm->until_ns))
            warm = &g->warm[i];
    if (warm == NULL || warm->budget == 0)
        return -ENOENT;
    if (data == NULL || length == 0)
        return -EINVAL;
    if (length > warm->budget)
        return -EMSGSIZE;
    if (warm->pending || warm->told)
        return -EBUSY;
    if (ep->counter_next > TETHER_MASK48)
        return -ENOENT; /* the header has no room for more: such a node hails */
    if (ep->counter_next >= ep->counter_limit) { /* no counter, no Lamp (I6) */
        ep->need_counter |= !ep->counter_asked;
        return -EAGAIN;
    }
    warm->counter = ep->counter_next++;
    header.length = (uint16_t)(TETHER_WARM_HEAD + length);
    header.channel = warm->remote;
    header.sequence = warm->counter & TETHER_MASK48;
    header.grant_amount = TETHER_WARM_ANSWER / TETHER_BLOCK_BYTES;
    payload = warm->frame + TETHER_HEADER_BYTES;
    memset(warm->frame, 0, TETHER_HEADER_BYTES + size);
    tether_wire_encode(&header, warm->frame);
    if (ep->config.entropy(ep->config.context, payload, TETHER_SALT_SIZE))
        return -EIO;
    tether_put64(payload + TETHER_SALT_SIZE, warm->counter);
    memcpy(payload + TETHER_WARM_HEAD, data, length);
    if (tether_warm_key(warm->resume, 0, warm->initiator, warm->counter, payload, key) ||
        seal(g, key, header.sequence, warm->frame, size, TETHER_SALT_SIZE))
        return -EIO;
    tether_wipe(key, sizeof key);
    warm->blocks = (uint16_t)(size / TETHER_BLOCK_BYTES);
    TETHER_COUNT(ep, early_sent);
    warm->pending = 1;
    warm->tries = 0;
    warm->due_ns = g->due_ns = now_ns;
    return 0;
}

static void outcome(struct tether_greetings *g, struct tether_warm *warm, int32_t status)
{
    warm->pending = 0;
    warm->status = status;
    warm->told = 1;
    g->outcomes++;
}

int tether_warm_transmit(struct tether_endpoint *ep, uint64_t now_ns, uint8_t *frame, struct tether_address *to)
{
    struct tether_greetings *g = &ep->greetings;
    uint64_t next = UINT64_MAX, wait = ep->config.rtt_ns < UINT64_C(1) << 46 ? ep->config.rtt_ns * 3 / 2 : UINT64_MAX / 64;
    if (now_ns < g->due_ns)
        return 0;
    wait = wait < ep->config.silence_ns ? ep->config.silence_ns : wait;
    for (uint32_t i = 0; i < ep->config.max_channels; i++) {
        struct tether_warm *warm = &g->warm[i];
        if (!warm->pending)
            continue;
        if (now_ns >= warm->due_ns && (warm->tries == TETHER_WARM_TRIES || !usable(ep, warm, now_ns))) {
            outcome(g, warm, -ETIMEDOUT); /* whether it has arrived is not known */
            continue;
        }
        if (now_ns >= warm->due_ns) {
            if (!tether_purse_pay(&ep->purse, now_ns, 2)) {
                next = now_ns + wait < next ? now_ns + wait : next;
                continue;
            }
            /* The same bytes again: the strike register of the peer tells a repetition from a new Lamp. */
            memcpy(frame, warm->frame, TETHER_HEADER_BYTES + (size_t)warm->blocks * TETHER_BLOCK_BYTES);
            *to = warm->address;
            warm->due_ns = now_ns + (wait << warm->tries);
            warm->tries++;
            g->due_ns = now_ns; /* the others are looked at next */
            TETHER_COUNT(ep, lamps_sent);
            TETHER_COUNT(ep, frames_sent);
            return (int)(TETHER_HEADER_BYTES + (size_t)warm->blocks * TETHER_BLOCK_BYTES);
        }
        next = warm->due_ns < next ? warm->due_ns : next;
    }
    g->due_ns = next;
    return 0;
}

/* Say what has become of a Lamp: sealed under a key of its own, no larger than the Lamp (I5). */
static void answer(struct tether_endpoint *ep, const struct tether_warm *warm, const struct tether_address *from,
                   const struct tether_header *lamp, uint64_t counter, const uint8_t *salt, uint32_t status, size_t funded)
{
    struct tether_header header = {.version = TETHER_WIRE_VERSION, .flags = TETHER_FLAG_LAMP, .length = TETHER_WARM_SAID,
                                   .channel = warm->remote, .sequence = lamp->sequence};
    struct tether_answer *place;
    uint8_t key[TETHER_KEY_SIZE];
    if (ep->answer_count == TETHER_ANSWERS || TETHER_BROKEN(ep, funded >= TETHER_WARM_ANSWER))
        return;
    place = &ep->answers[(ep->answer_first + ep->answer_count) % TETHER_ANSWERS];
    memset(place->frame, 0, TETHER_WARM_ANSWER);
    tether_wire_encode(&header, place->frame);
    tether_put64(place->frame + TETHER_HEADER_BYTES, counter);
    tether_put32(place->frame + TETHER_HEADER_BYTES + 8, status);
    if (tether_warm_key(warm->resume, 1, warm->initiator, counter, salt, key) ||
        seal(&ep->greetings, key, header.sequence, place->frame, TETHER_BLOCK_BYTES, 0))
        return;
    tether_wipe(key, sizeof key);
    place->to = *from;
    place->length = TETHER_WARM_ANSWER;
    ep->answer_count++;
}

/* The answer to our Lamp. */
static int answered(struct tether_endpoint *ep, struct tether_warm *warm, const struct tether_header *header,
                    const uint8_t *frame, size_t length)
{
    uint8_t key[TETHER_KEY_SIZE], plain[TETHER_BLOCK_BYTES];
    if (!warm->pending || header->sequence != (warm->counter & TETHER_MASK48))
        return -TETHER_E_STATE;
    if (length != TETHER_WARM_ANSWER)
        return -TETHER_E_LENGTH;
    if (tether_warm_key(warm->resume, 1, !warm->initiator, warm->counter, warm->frame + TETHER_HEADER_BYTES, key) ||
        unseal(&ep->greetings, key, header->sequence, frame, TETHER_BLOCK_BYTES, 0, plain))
        return -TETHER_E_AUTH;
    if (tether_get64(plain) != warm->counter)
        return -TETHER_E_TAGS;
    outcome(&ep->greetings, warm, tether_get32(plain + 8) == TETHER_WARM_TAKEN ? 0 : -ECONNREFUSED);
    TETHER_COUNT(ep, frames_received);
    return 0;
}

int tether_warm_receive(struct tether_endpoint *ep, uint64_t now_ns, const struct tether_address *from,
                        const struct tether_header *header, const uint8_t *frame, size_t length)
{
    struct tether_greetings *g = &ep->greetings;
    uint32_t slot = header->channel >> 8 & (TETHER_CHANNELS_MAX - 1);
    size_t payload = (size_t)tether_blocks(header->length) * TETHER_BLOCK_BYTES, said;
    struct tether_warm *warm;
    uint8_t key[TETHER_KEY_SIZE], *plain;
    uint64_t counter;
    if (g->warm == NULL || slot >= ep->config.max_channels || g->warm[slot].wire != header->channel ||
        !usable(ep, &g->warm[slot], now_ns))
        return -TETHER_E_STRANGER;
    warm = &g->warm[slot];
    if (header->flags != TETHER_FLAG_LAMP || header->flow != 0)
        return -TETHER_E_STATE;
    if (header->length == TETHER_WARM_SAID)
        return answered(ep, warm, header, frame, length);
    if (header->length <= TETHER_WARM_HEAD || payload > (size_t)ep->config.frame_blocks * TETHER_BLOCK_BYTES ||
        length >= TETHER_HEADER_BYTES + payload + TETHER_BLOCK_BYTES)
        return -TETHER_E_LENGTH;
    if (from == NULL || from->kind == 0 || from->length > sizeof from->bytes)
        return -TETHER_E_ADDRESS;
    if (header->grant_amount < TETHER_WARM_ANSWER / TETHER_BLOCK_BYTES ||
        header->grant_amount * TETHER_BLOCK_BYTES > TETHER_HEADER_BYTES + payload)
        return -TETHER_E_GRANT;
    if (!tether_purse_pay(&ep->lamps, now_ns, 1) || !tether_sources_pay(&ep->sources, from, 0, now_ns))
        return -TETHER_E_FLOOD;
    /* All counters below 2^48: beyond, a node hails (T-WRM-5). */
    counter = header->sequence;
    plain = tether_cell_payload(&ep->rx, ep->rx_spare);
    if (tether_warm_key(warm->resume, 0, !warm->initiator, counter, frame + TETHER_HEADER_BYTES, key) ||
        unseal(g, key, header->sequence, frame, payload, TETHER_SALT_SIZE, plain))
        return -TETHER_E_AUTH;
    said = header->length - (size_t)TETHER_SALT_SIZE;
    for (size_t i = said; i < payload - TETHER_SALT_SIZE; i++)
        if (plain[i])
            return -TETHER_E_PADDING;
    if (tether_get64(plain) != counter)
        return -TETHER_E_TAGS;
    said -= 8;
    TETHER_COUNT(ep, lamps_received);
    TETHER_COUNT(ep, frames_received);
    if (!tether_replay_fresh(&warm->strikes, counter)) {
        /* Seen: its answer was lost, say it again. Older than the register knows: it may have been; so it is refused. */
        int unsure = warm->strikes.newest - counter >= TETHER_STRIKE_WINDOW;
        ep->stats.early_refused += (unsigned)unsure;
        ep->stats.early_repeated += (unsigned)!unsure;
        answer(ep, warm, from, header, counter, frame + TETHER_HEADER_BYTES, unsure ? TETHER_WARM_REFUSED : TETHER_WARM_TAKEN,
               TETHER_HEADER_BYTES + payload);
        return 0;
    }
    if (said > ep->config.early_bytes || g->early_count == TETHER_EARLY_QUEUE) {
        /* Not marked: what is refused was not delivered, and a Lamp of its own may bring it later. */
        TETHER_COUNT(ep, early_refused);
        answer(ep, warm, from, header, counter, frame + TETHER_HEADER_BYTES, TETHER_WARM_REFUSED,
               TETHER_HEADER_BYTES + payload);
        return 0;
    }
    tether_replay_mark(&warm->strikes, counter);
    TETHER_COUNT(ep, early_received);
    {
        struct tether_early *early = &g->early[(g->early_first + g->early_count++) % TETHER_EARLY_QUEUE];
        early->peer_id = warm->peer_id;
        early->length = (uint32_t)said;
        memcpy(early->data, plain + 8, said);
    }
    answer(ep, warm, from, header, counter, frame + TETHER_HEADER_BYTES, TETHER_WARM_TAKEN, TETHER_HEADER_BYTES + payload);
    return 0;
}

int tether_warm_event(struct tether_endpoint *ep, struct tether_event *event)
{
    struct tether_greetings *g = &ep->greetings;
    if (g->early_told < g->early_count) {
        const struct tether_early *early = &g->early[(g->early_first + g->early_told++) % TETHER_EARLY_QUEUE];
        event->kind = TETHER_EVENT_EARLY;
        event->peer_id = early->peer_id;
        event->value = early->length;
        return 1;
    }
    for (uint32_t i = 0; g->outcomes && i < ep->config.max_channels; i++) {
        struct tether_warm *warm = &g->warm[i];
        if (!warm->told)
            continue;
        warm->told = 0;
        g->outcomes--;
        event->kind = TETHER_EVENT_EARLY_DONE;
        event->peer_id = warm->peer_id;
        event->value = warm->counter;
        event->extra = warm->remote_lane;
        event->status = warm->status;
        return 1;
    }
    return 0;
}

TETHER_API int64_t tether_early_read(tether_endpoint *ep, void *data, size_t capacity, uint32_t *peer_id)
{
    struct tether_greetings *g = &ep->greetings;
    const struct tether_early *early = &g->early[g->early_first];
    if (g->early_count == 0)
        return -EAGAIN;
    if (early->length > capacity)
        return -EMSGSIZE;
    memcpy(data, early->data, early->length);
    if (peer_id != NULL)
        *peer_id = early->peer_id;
    g->early_first = (g->early_first + 1) % TETHER_EARLY_QUEUE;
    g->early_count--;
    g->early_told -= g->early_told > 0;
    return (int64_t)early->length;
}
