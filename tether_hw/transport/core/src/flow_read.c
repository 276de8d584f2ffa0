/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_read.c: what the application fetches: messages, bytes, and the holes between them.
 *
 * Whatever is deliverable stands in `head`..`tail`. In an ordered flow a hole shows as slots between what was read
 * last and what comes next; an unordered one has no such place, so its holes are listed as they become known.
 */
#include <errno.h>

#include "endpoint.h"

/* Where a frame's bytes stand in a positioned flow, whose frames are all full but the last. */
static uint64_t offset_of(const struct tether_flow *flow, uint64_t slot)
{
    return slot / flow->rx.floor * flow->cut_bytes;
}

static int64_t read_message(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t *offset, uint8_t *data,
                            size_t capacity)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t size = ep->rx.cells[rx->head].sent_ns;
    size_t done = 0;
    int end = 0;
    if (size > capacity)
        return -EMSGSIZE;
    *offset = ep->rx.cells[rx->head].slot;
    while (!end) {
        uint32_t cell = rx->head;
        struct tether_cell *c = &ep->rx.cells[cell];
        memcpy(data + done, tether_cell_payload(&ep->rx, cell), c->length);
        done += c->length;
        end = c->flags & TETHER_FLAG_END;
        rx->delivered = c->slot + rx->floor;
        rx->head = c->next;
        if (rx->message_prev == cell)
            rx->message_prev = TETHER_NIL;
        tether_rx_free(ep, flow, cell);
    }
    if (rx->head == TETHER_NIL)
        rx->tail = TETHER_NIL;
    rx->readable_messages--;
    rx->readable_bytes -= size;
    return (int64_t)size;
}

/* Bytes that follow each other; a positioned flow stops where the next cell stands elsewhere. */
static int64_t read_bytes(struct tether_endpoint *ep, struct tether_flow *flow, uint64_t *offset, uint8_t *data,
                          size_t capacity)
{
    struct tether_flow_rx *rx = &flow->rx;
    size_t done = 0;
    *offset = tether_flow_positioned(flow) ? offset_of(flow, ep->rx.cells[rx->head].slot) + ep->rx.cells[rx->head].offset
                                           : rx->read_bytes;
    while (rx->head != TETHER_NIL && done < capacity) {
        uint32_t cell = rx->head;
        struct tether_cell *c = &ep->rx.cells[cell];
        size_t piece = (size_t)c->length - c->offset;
        if (tether_flow_positioned(flow) && offset_of(flow, c->slot) + c->offset != *offset + done)
            break;
        if (piece > capacity - done)
            piece = capacity - done;
        memcpy(data + done, tether_cell_payload(&ep->rx, cell) + c->offset, piece);
        done += piece;
        c->offset = (uint16_t)(c->offset + piece);
        if (c->offset < c->length)
            break;
        rx->delivered = c->slot + rx->floor;
        rx->head = c->next;
        tether_rx_free(ep, flow, cell);
    }
    if (rx->head == TETHER_NIL)
        rx->tail = TETHER_NIL;
    rx->readable_bytes -= done;
    rx->read_bytes += done;
    return (int64_t)done;
}

/* The next hole that has its turn: its first slot, and its end in *end; UINT64_MAX = none. */
static uint64_t next_hole(const struct tether_endpoint *ep, struct tether_flow *flow, uint64_t *end)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t upto;
    if (flow->order == TETHER_FLOW_UNORDERED) {
        struct tether_hole hole = rx->holes[0];
        if (rx->hole_count == 0)
            return UINT64_MAX;
        memmove(rx->holes, rx->holes + 1, --rx->hole_count * sizeof rx->holes[0]);
        *end = hole.end;
        return hole.first;
    }
    upto = rx->head != TETHER_NIL ? ep->rx.cells[rx->head].slot : rx->contig;
    upto = upto < rx->final ? upto : rx->final;
    if (upto <= rx->delivered)
        return UINT64_MAX;
    *end = upto;
    upto = rx->delivered;
    rx->delivered = *end;
    return upto;
}

/* A hole at the end of a positioned flow is told before its end is. */
static int hole_behind(const struct tether_flow *flow)
{
    const struct tether_flow_rx *rx = &flow->rx;
    if (!tether_flow_positioned(flow))
        return 0;
    return flow->order == TETHER_FLOW_UNORDERED ? rx->hole_count != 0
                                                : rx->delivered < (rx->contig < rx->final ? rx->contig : rx->final);
}

/* The peer has closed, and what it had sent before is here (or can no longer come). */
static int nothing_follows(const struct tether_channel *ch, const struct tether_flow *flow)
{
    return flow->flags & TETHER_FLOW_REMOTE_CLOSED &&
           (ch->state != TETHER_CHANNEL_UP || flow->rx.contig >= flow->rx.final);
}

static int readable(const struct tether_flow *flow)
{
    return flow->kind == TETHER_FLOW_MESSAGE ? flow->rx.readable_messages != 0 : flow->rx.readable_bytes != 0;
}

static int64_t read_any(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                        uint64_t *offset, void *data, size_t capacity, uint32_t *flags)
{
    int64_t done;
    if (!readable(flow)) {
        if (flow->flags & TETHER_FLOW_REMOTE_END && flow->kind == TETHER_FLOW_BYTES) {
            *flags = TETHER_READ_END;
            return 0;
        }
        return nothing_follows(ch, flow) ? -EPIPE : -EAGAIN;
    }
    if (flow->kind == TETHER_FLOW_MESSAGE)
        done = read_message(ep, flow, offset, data, capacity);
    else
        done = read_bytes(ep, flow, offset, data, capacity);
    if (done > 0 && flow->kind == TETHER_FLOW_BYTES && flow->rx.readable_bytes == 0 &&
        flow->flags & TETHER_FLOW_REMOTE_END && !hole_behind(flow))
        *flags = TETHER_READ_END;
    if (flow->remote_gone && flow->rx.readable_bytes == 0)
        tether_flow_settle(ep, flow);
    return done;
}

TETHER_API int64_t tether_flow_read(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id, void *data,
                                    size_t capacity, uint32_t *flags)
{
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
    uint64_t offset;
    uint32_t unasked;
    (void)now_ns;
    flags = flags != NULL ? flags : &unasked;
    *flags = 0;
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (flow->mute)
        return -EPIPE;
    if (data == NULL && capacity)
        return -EINVAL;
    if (tether_flow_positioned(flow))
        return -EOPNOTSUPP; /* without its offset a piece says nothing */
    return read_any(ep, ch, flow, &offset, data, capacity, flags);
}

TETHER_API int64_t tether_flow_read_at(tether_endpoint *ep, uint64_t now_ns, uint32_t channel, uint16_t id,
                                       uint64_t *offset, void *data, size_t capacity, uint32_t *flags)
{
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
    uint64_t first, end;
    uint32_t unasked;
    (void)now_ns;
    flags = flags != NULL ? flags : &unasked;
    *flags = 0;
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (flow->mute)
        return -EPIPE;
    if (offset == NULL || (data == NULL && capacity))
        return -EINVAL;
    first = flow->kind == TETHER_FLOW_MESSAGE || tether_flow_positioned(flow) ? next_hole(ep, flow, &end) : UINT64_MAX;
    if (first == UINT64_MAX)
        return read_any(ep, ch, flow, offset, data, capacity, flags);
    *flags = TETHER_READ_HOLE;
    *offset = flow->kind == TETHER_FLOW_MESSAGE ? first : offset_of(flow, first);
    return (int64_t)(flow->kind == TETHER_FLOW_MESSAGE ? end - first : offset_of(flow, end) - offset_of(flow, first));
}

TETHER_API int tether_flow_message_size(const tether_endpoint *cep, uint32_t channel, uint16_t id, uint64_t *size)
{
    struct tether_endpoint *ep = (struct tether_endpoint *)(uintptr_t)cep;
    struct tether_channel *ch;
    struct tether_flow *flow = tether_flow_lookup(ep, channel, id, &ch);
    if (flow == NULL)
        return ch == NULL ? -EPIPE : -EBADF;
    if (flow->kind != TETHER_FLOW_MESSAGE)
        return -EINVAL;
    if (flow->mute)
        return -EPIPE;
    if (flow->rx.readable_messages == 0)
        return nothing_follows(ch, flow) ? -EPIPE : -EAGAIN;
    *size = ep->rx.cells[flow->rx.head].sent_ns;
    return 0;
}
