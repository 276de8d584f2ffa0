/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c: events and keys on their way out, and the text of both. */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "endpoint.h"

/* What slot, count and value of a kind are called in a line; NULL = it has none. */
static const struct {
    const char *name, *slot, *count, *value;
} kinds[TETHER_TRACE_END_] = {
    [TETHER_TRACE_SENT] = {"sent", "slot", "count", "bytes"},
    [TETHER_TRACE_RECEIVED] = {"received", "slot", "count", "bytes"},
    [TETHER_TRACE_REJECTED] = {"rejected", NULL, NULL, NULL},
    [TETHER_TRACE_GRANTED] = {"granted", "slot", "count", "demand"},
    [TETHER_TRACE_NACK] = {"nack", "slot", "count", NULL},
    [TETHER_TRACE_REPAIR] = {"repair", "slot", "count", "bytes"},
    [TETHER_TRACE_VOID] = {"void", "slot", "count", NULL},
    [TETHER_TRACE_DELIVERED] = {"delivered", "slot", NULL, "bytes"},
    [TETHER_TRACE_RECEIPT] = {"receipt", "slot", NULL, "left"},
    [TETHER_TRACE_BLOCKED] = {"blocked", "slot", "count", "tries"},
    [TETHER_TRACE_REFRESH] = {"refresh", "slot", "count", "tries"},
    [TETHER_TRACE_LAMP] = {"lamp", NULL, "blocks", "counter"},
    [TETHER_TRACE_UP] = {"up", "remote", NULL, "answered"},
    [TETHER_TRACE_DOWN] = {"down", NULL, NULL, NULL},
    [TETHER_TRACE_PACE] = {"pace", NULL, NULL, "slots_per_s"},
};

void tether_trace_put(struct tether_endpoint *ep, const struct tether_channel *ch, uint64_t now_ns,
                      struct tether_told told)
{
    struct tether_trace_event event = {
        .at_ns = now_ns,
        .kind = told.kind,
        .flags = told.flags,
        .flow = told.flow,
        .lane = ep->config.lane,
        .channel = ch != NULL ? ch->index : 0,
        .peer_id = ch != NULL ? ch->peer_id : 0,
        .sequence = told.sequence,
        .slot = told.slot,
        .count = told.count,
        .value = told.value,
    };
    ep->config.trace(ep->config.trace_context, &event);
}

void tether_trace_received(struct tether_endpoint *ep, const struct tether_channel *ch,
                           const struct tether_header *header, uint64_t slot, uint32_t used, int duplicate,
                           uint64_t now_ns)
{
    uint64_t sequence = header->sequence - tether_order_base(ch);
    TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_RECEIVED, .flow = header->flow, .sequence = sequence,
                 .flags = duplicate ? TETHER_TRACE_DUPLICATE : 0, .slot = slot,
                 .count = used, .value = header->length);
    if (header->flags & TETHER_FLAG_BLOCKED && header->length == 0)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_BLOCKED, .flags = TETHER_TRACE_HEARD, .flow = header->flow,
                     .sequence = sequence, .slot = slot, .count = tether_unfloat16(header->want));
}

void tether_trace_told(struct tether_endpoint *ep, const struct tether_channel *ch, const struct tether_flow *flow,
                       const struct tether_header *header, uint64_t raised, uint64_t slot, uint64_t now_ns)
{
    const struct tether_flow_tx *tx = &flow->tx;
    uint64_t sequence = header->sequence - tether_order_base(ch);
    if (raised)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_GRANTED, .flags = TETHER_TRACE_HEARD, .flow = flow->id,
                     .sequence = sequence, .slot = tether_ledger_limit(&tx->ledger), .count = raised);
    if (slot > tether_ledger_next(&tx->ledger))
        return;
    if (header->nack_count)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_NACK, .flags = TETHER_TRACE_HEARD, .flow = flow->id,
                     .sequence = sequence, .slot = slot, .count = header->nack_count);
    else if (tx->head != TETHER_NIL && slot > ep->tx.cells[tx->head].slot)
        TETHER_TRACE(ep, ch, now_ns, .kind = TETHER_TRACE_RECEIPT, .flags = TETHER_TRACE_HEARD, .flow = flow->id,
                     .sequence = sequence, .slot = slot);
}

TETHER_API const char *tether_trace_name(uint32_t kind)
{
    return kind > 0 && kind < TETHER_TRACE_END_ ? kinds[kind].name : NULL;
}

struct text {
    char *at;
    size_t left;
    int full;
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;
    va_start(arguments, format);
    length = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= text->left) {
        text->full = 1;
        return;
    }
    text->at += length;
    text->left -= (size_t)length;
}

static void put_number(struct text *text, const char *name, uint64_t value)
{
    if (name != NULL)
        put(text, ",\"%s\":%" PRIu64, name, value);
}

/* A name of a node: what JSON would have to escape cannot be in one, and is shown as a dot. */
static void put_node(struct text *text, const char *node)
{
    put(text, ",\"node\":\"");
    for (; *node; node++)
        put(text, "%c", *node >= ' ' && *node < 0x7f && *node != '"' && *node != '\\' ? *node : '.');
    put(text, "\"");
}

TETHER_API int tether_trace_line(const struct tether_trace_event *event, const char *node, char *line,
                                 size_t capacity)
{
    struct text text = {line, capacity, 0};
    const char *name = tether_trace_name(event->kind);
    const char *reject;
    if (name == NULL)
        return -EINVAL;
    put(&text, "{\"at_ns\":%" PRIu64 ",\"event\":\"%s\"", event->at_ns, name);
    put_node(&text, node);
    put(&text, ",\"lane\":%u,\"channel\":%" PRIu32 ",\"flow\":%u", event->lane, event->channel, event->flow);
    put_number(&text, event->sequence ? "sequence" : NULL, event->sequence);
    put_number(&text, kinds[event->kind].slot, event->slot);
    put_number(&text, kinds[event->kind].count, event->count);
    if (event->kind == TETHER_TRACE_DOWN)
        put(&text, ",\"status\":%" PRId64, (int64_t)event->value);
    else if (event->kind == TETHER_TRACE_REJECTED) {
        reject = tether_reject_name((uint32_t)event->value - TETHER_E_SHORT);
        put(&text, ",\"reason\":\"%s\"", reject != NULL ? reject : "?");
    } else if (!(event->flags & TETHER_TRACE_HEARD) || event->kind == TETHER_TRACE_LAMP ||
               event->kind == TETHER_TRACE_PACE)
        put_number(&text, kinds[event->kind].value, event->value);
    if (event->flags & TETHER_TRACE_HEARD)
        put(&text, ",\"heard\":true");
    if (event->flags & TETHER_TRACE_EMBER)
        put(&text, ",\"ember\":true");
    if (event->flags & TETHER_TRACE_DUPLICATE)
        put(&text, ",\"duplicate\":true");
    put(&text, "}\n");
    return text.full ? -ENOSPC : (int)(text.at - line);
}

/* ----------------------------------------------------------------- key log */

static void keylog_line(struct tether_endpoint *ep, uint32_t channel, const char *sealer, uint16_t cipher,
                        const uint8_t split[32])
{
    uint8_t chain[TETHER_KEY_SIZE];
    char line[TETHER_KEYLOG_LINE];
    struct text text = {line, sizeof line, 0};
    if (tether_keys_chain(cipher, split, chain))
        return;
    put(&text, "TETHER %08" PRIx32 " %s %s ", channel, sealer, tether_cipher_name(cipher));
    for (size_t i = 0; i < sizeof chain; i++)
        put(&text, "%02x", chain[i]);
    if (!text.full)
        ep->config.keylog(ep->config.keylog_context, line);
    tether_wipe(chain, sizeof chain);
    tether_wipe(line, sizeof line);
}

void tether_keylog_put(struct tether_endpoint *ep, uint32_t wire, uint32_t remote, int initiator, uint16_t cipher,
                       const uint8_t forth[32], const uint8_t back[32])
{
    if (ep->config.keylog == NULL)
        return;
    /* `forth` seals what the initiator sends, to the index that the responder chose. */
    keylog_line(ep, initiator ? remote : wire, "initiator", cipher, forth);
    keylog_line(ep, initiator ? wire : remote, "responder", cipher, back);
}
