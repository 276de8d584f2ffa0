/* SPDX-License-Identifier: Apache-2.0 */
/*
 * af_xdp: frames straight between a hardware queue and the lane's memory. Received frames are decrypted where the
 * kernel put them; frames to send are built in their UMEM chunk.
 *
 * Receive ring, fill ring and receive chunks are one number, and every chunk is in the fill ring, in the receive ring
 * or among the (at most CARRIER_BATCH) frames lent to the lane. So ring_frames = that number - CARRIER_BATCH frames
 * can always arrive, whatever the lane does.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../engine/words.h"
#include "link.h"
#include "steer.h"
#include "xsk.h"

enum {
    XDP_RX_CHUNKS = 4096,
    XDP_TX_SLOTS = 1024,
    XDP_HEADROOM = 256,   /* XDP_PACKET_HEADROOM: the kernel keeps it free in every receive chunk */
    XDP_TX_HEADROOM = 64, /* room for the link header before a frame that is to stay aligned */
    XDP_CHUNK_SMALL = 2048,
    XDP_CHUNK_LARGE = 4096, /* largest aligned chunk: a page */
    XDP_RING_LEAST = 512,
};

struct xdp_carrier {
    struct carrier base;
    struct xsk xsk;
    struct steer *steer;
    bool connected;         /* our socket stands in the program's map */
    int accept_fd;
    uint8_t mac[6];
    uint32_t slot_chunks;   /* chunks of one transmit slot: adjacent, so a frame is built in one piece */
    uint32_t slot_bytes;
    uint32_t free_count;
    uint32_t *free_slots;
    uint8_t *slot_pending;  /* fragments: chunks of a slot that are with the kernel */
    uint8_t *gathered;      /* fragments: [CARRIER_BATCH] frames of `gathered_bytes` */
    uint32_t gathered_bytes;
    uint32_t lent;          /* descriptors lent, at the head of the receive ring */
};

static uint32_t gather(struct xdp_carrier *xdp, uint8_t *out, uint32_t at, uint32_t ready, uint32_t *used)
{
    uint32_t length = 0;
    for (uint32_t i = at; i < ready; i++) {
        const struct xdp_desc *desc = xsk_desc(&xdp->xsk.rx, xdp->xsk.rx.head + i);
        if (length + desc->len <= xdp->gathered_bytes)
            memcpy(out + length, xdp->xsk.umem + desc->addr, desc->len);
        length += desc->len;
        if (!(desc->options & XDP_PKT_CONTD)) {
            *used = i - at + 1;
            return length <= xdp->gathered_bytes ? length : 0;
        }
    }
    *used = 0; /* the rest is not there yet */
    return 0;
}

static unsigned xdp_receive(struct carrier *carrier, struct tether_arrival *frames, unsigned max)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    struct xsk *xsk = &xdp->xsk;
    uint32_t ready = xsk_ready(&xsk->rx, max);
    uint32_t at = 0;
    unsigned count = 0;
    uint64_t bytes = 0, foreign = 0, seen = 0;
    while (at < ready) {
        const struct xdp_desc *desc = xsk_desc(&xsk->rx, xsk->rx.head + at);
        uint8_t *data = xsk->umem + desc->addr;
        uint32_t length = desc->len;
        uint32_t used = 1;
        if (desc->options & XDP_PKT_CONTD) {
            if (!xdp->gathered) {
                length = 0;
            } else {
                data = xdp->gathered + (size_t)count * xdp->gathered_bytes;
                length = gather(xdp, data, at, ready, &used);
                if (!used)
                    break;
            }
        }
        at += used;
        seen++;
        struct tether_arrival *frame = &frames[count];
        uint32_t offset = link_parse(data, length, -1, &frame->from, &frame->to);
        if (!offset) {
            foreign++;
            continue;
        }
        frame->data = data + offset;
        frame->length = length - offset;
        bytes += frame->length;
        count++;
    }
    xdp->lent = at;
    if (seen) {
        carrier_count(&carrier->counters.rx_frames, seen);
        carrier_count(&carrier->counters.rx_bytes, bytes);
        carrier_count(&carrier->counters.foreign, foreign);
    } else if (xsk->zero_copy && (xsk_load(xsk->fill.flags) & XDP_RING_NEED_WAKEUP)) {
        struct pollfd wait = {.fd = xsk->fd, .events = POLLIN};
        (void)poll(&wait, 1, 0); /* the driver sleeps: let it look at the fill ring */
    }
    return count;
}

static void xdp_release(struct carrier *carrier)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    struct xsk *xsk = &xdp->xsk;
    if (!xdp->lent)
        return;
    /* room is certain: there are no more chunks than entries */
    for (uint32_t i = 0; i < xdp->lent; i++) {
        uint64_t chunk = xsk_desc(&xsk->rx, xsk->rx.head + i)->addr & ~(uint64_t)(xsk->chunk_bytes - 1);
        *xsk_addr(&xsk->fill, xsk->fill.tail + i) = chunk;
    }
    xsk_consumed(&xsk->rx, xdp->lent);
    xsk_produced(&xsk->fill, xdp->lent);
    xdp->lent = 0;
}

static void xdp_reap(struct xdp_carrier *xdp)
{
    struct xsk *xsk = &xdp->xsk;
    uint32_t ready = xsk_ready(&xsk->done, xsk->tx_chunks);
    for (uint32_t i = 0; i < ready; i++) {
        uint32_t chunk = (uint32_t)(*xsk_addr(&xsk->done, xsk->done.head + i) / xsk->chunk_bytes) - xsk->rx_chunks;
        uint32_t slot = chunk / xdp->slot_chunks;
        if (xdp->slot_pending && --xdp->slot_pending[slot])
            continue;
        xdp->free_slots[xdp->free_count++] = slot;
    }
    if (ready)
        xsk_consumed(&xsk->done, ready);
}

static unsigned xdp_flush(struct carrier *carrier)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    uint64_t errors = 0;
    uint32_t left = xsk_kick(&xdp->xsk, &errors);
    if (errors)
        carrier_count(&carrier->counters.tx_errors, errors);
    if (left && !xdp->xsk.zero_copy)
        carrier_count(&carrier->counters.tx_stalled, 1);
    return left;
}

static uint8_t *xdp_reserve(struct carrier *carrier)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    if (!xdp->free_count) {
        xdp_reap(xdp);
        if (!xdp->free_count) {
            xdp_flush(carrier);
            xdp_reap(xdp);
        }
        if (!xdp->free_count) {
            carrier_count(&carrier->counters.tx_stalled, 1);
            return NULL;
        }
    }
    uint32_t slot = xdp->free_slots[xdp->free_count - 1];
    return xdp->xsk.umem + (size_t)xdp->xsk.rx_chunks * xdp->xsk.chunk_bytes + (size_t)slot * xdp->slot_bytes +
           XDP_TX_HEADROOM;
}

static void xdp_commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    struct xsk *xsk = &xdp->xsk;
    if (to->kind != TETHER_ADDRESS_MAC) {
        carrier_count(&carrier->counters.tx_errors, 1);
        return;
    }
    uint32_t slot = xdp->free_slots[--xdp->free_count];
    uint64_t start = (uint64_t)xsk->rx_chunks * xsk->chunk_bytes + (uint64_t)slot * xdp->slot_bytes + XDP_TX_HEADROOM;
    uint32_t header = link_build(xsk->umem + start, xdp->mac, to);
    uint64_t at = start - header;
    uint32_t left = (uint32_t)length + header;
    uint32_t used = 0;
    /* there are as many entries as chunks, so there is room */
    while (left) {
        uint32_t piece = xsk->chunk_bytes - (uint32_t)(at & (xsk->chunk_bytes - 1));
        if (piece > left)
            piece = left;
        struct xdp_desc *desc = xsk_desc(&xsk->tx, xsk->tx.tail + used);
        desc->addr = at;
        desc->len = piece;
        left -= piece;
        at += piece;
        desc->options = left ? XDP_PKT_CONTD : 0;
        used++;
    }
    if (xdp->slot_pending)
        xdp->slot_pending[slot] = (uint8_t)used;
    xsk_produced(&xsk->tx, used);
    carrier_count(&carrier->counters.tx_frames, 1);
    carrier_count(&carrier->counters.tx_bytes, length);
}

static void xdp_drops(struct carrier *carrier, struct carrier_drops *drops)
{
    xsk_drops(&((struct xdp_carrier *)carrier)->xsk, drops);
}

static void xdp_close(struct carrier *carrier)
{
    struct xdp_carrier *xdp = (struct xdp_carrier *)carrier;
    if (xdp->connected)
        steer_disconnect(xdp->steer, carrier->queue);
    if (xdp->steer)
        steer_release(xdp->steer);
    if (xdp->xsk.fd >= 0)
        xsk_close(&xdp->xsk);
    if (xdp->accept_fd >= 0)
        close(xdp->accept_fd);
    free(xdp->free_slots);
    free(xdp->slot_pending);
    free(xdp->gathered);
    free(xdp);
}

static const struct carrier_ops xdp_ops = {
    .name = "af_xdp",
    .receive = xdp_receive,
    .release = xdp_release,
    .reserve = xdp_reserve,
    .commit = xdp_commit,
    .flush = xdp_flush,
    .drops = xdp_drops,
    .close = xdp_close,
};

/* Chunks for frames of `frame_bytes`: small, a page, or several pages. */
static void xdp_layout(struct xdp_carrier *xdp, uint32_t frame_bytes, struct xsk_options *socket)
{
    uint32_t wire = frame_bytes + LINK_HEADER_MAX;
    socket->chunk_bytes = wire <= XDP_CHUNK_SMALL - XDP_HEADROOM ? XDP_CHUNK_SMALL : XDP_CHUNK_LARGE;
    socket->fragments = wire > XDP_CHUNK_LARGE - XDP_HEADROOM;
    xdp->slot_chunks = 1;
    while (xdp->slot_chunks * socket->chunk_bytes < frame_bytes + XDP_TX_HEADROOM)
        xdp->slot_chunks *= 2;
    xdp->slot_bytes = xdp->slot_chunks * socket->chunk_bytes;
    socket->rx_chunks = XDP_RX_CHUNKS;
    socket->tx_chunks = XDP_TX_SLOTS * xdp->slot_chunks;
    while (xdp->slot_chunks > 1 && socket->tx_chunks > 4096)
        socket->tx_chunks /= 2;
}

static int xdp_memory(struct xdp_carrier *xdp, const struct xsk_options *socket)
{
    uint32_t slots = socket->tx_chunks / xdp->slot_chunks;
    xdp->free_slots = calloc(slots, sizeof *xdp->free_slots);
    if (!xdp->free_slots)
        return words_fail(-ENOMEM, "af_xdp: no memory");
    for (uint32_t i = 0; i < slots; i++)
        xdp->free_slots[i] = slots - 1 - i;
    xdp->free_count = slots;
    if (!socket->fragments)
        return 0;
    xdp->gathered_bytes = (xdp->base.frame_bytes + LINK_HEADER_MAX + 63) & ~63u;
    xdp->slot_pending = calloc(slots, 1);
    xdp->gathered = aligned_alloc(64, (size_t)xdp->gathered_bytes * CARRIER_BATCH);
    return xdp->slot_pending && xdp->gathered ? 0 : words_fail(-ENOMEM, "af_xdp: no memory");
}

static int xdp_socket(struct xdp_carrier *xdp, const struct netdev *device, struct xsk_options *socket)
{
    int status;
    do {
        status = xsk_open(device, socket, &xdp->xsk);
        if (status != -ENOBUFS && status != -ENOMEM)
            return status;
        socket->rx_chunks /= 2; /* pinned memory is limited here: a shallower ring grants less and works */
    } while (socket->rx_chunks >= XDP_RING_LEAST);
    return status;
}

static int xdp_setup(struct xdp_carrier *xdp, const struct carrier_options *options)
{
    struct carrier *carrier = &xdp->base;
    struct netdev device;
    int status = netdev_carry(options, &device, carrier);
    if (status)
        return status;
    if (options->queue >= device.rx_queues)
        return words_fail(-EINVAL, "%s has %u receive queues, there is no queue %u", device.name, device.rx_queues,
                          options->queue);
    struct xsk_options socket = {.queue = options->queue, .copy_only = options->flags & TETHER_LANE_COPY_ONLY};
    xdp_layout(xdp, carrier->frame_bytes, &socket);
    while (options->ring_frames && socket.rx_chunks / 2 >= options->ring_frames + CARRIER_BATCH)
        socket.rx_chunks /= 2;
    status = xdp_memory(xdp, &socket);
    if (status)
        return status;
    memcpy(xdp->mac, options->address.bytes, 6);
    if (memcmp(xdp->mac, device.mac, 6) != 0) {
        xdp->accept_fd = netdev_accept(&device, xdp->mac);
        if (xdp->accept_fd < 0)
            return xdp->accept_fd;
    }
    /* program before socket: a zero-copy bind asks the driver for a queue that XDP runs on */
    bool generic_only = options->flags & TETHER_LANE_GENERIC_ONLY;
    status = steer_acquire(&device, generic_only, socket.fragments, &xdp->steer);
    if (status)
        return status;
    status = xdp_socket(xdp, &device, &socket);
    if (status)
        return status;
    status = steer_connect(xdp->steer, options->queue, xdp->xsk.fd);
    if (status)
        return status;
    xdp->connected = true;
    carrier->fd = xdp->xsk.fd;
    carrier->ring_frames = socket.rx_chunks - CARRIER_BATCH;
    if (options->ring_frames && carrier->ring_frames > options->ring_frames)
        carrier->ring_frames = options->ring_frames;
    bool native = steer_is_native(xdp->steer);
    carrier->flags = (uint16_t)(TETHER_LANE_NEED_WAKEUP | (xdp->xsk.zero_copy ? TETHER_LANE_ZERO_COPY : 0) |
                                (native ? TETHER_LANE_NATIVE_XDP : 0) |
                                (socket.fragments ? TETHER_LANE_MULTI_BUFFER : 0));
    snprintf(carrier->note, sizeof carrier->note, "%s XDP%s%s%s, %s%s%s%s, %u frames of %u bytes%s%s",
             native ? "native" : "generic", native ? "" : " (", native ? "" : steer_reason(xdp->steer),
             native ? "" : ")", xdp->xsk.zero_copy ? "zero-copy" : "copy mode", xdp->xsk.zero_copy ? "" : " (",
             xdp->xsk.copy_reason, xdp->xsk.zero_copy ? "" : ")", carrier->ring_frames, socket.chunk_bytes,
             socket.fragments ? ", several buffers to a frame" : "", xdp->xsk.huge_pages ? ", huge pages" : "");
    return 0;
}

int carrier_open_af_xdp(const struct carrier_options *options, struct carrier **out)
{
    if (options->address.kind != TETHER_ADDRESS_MAC)
        return words_fail(-EINVAL, "af_xdp: the lane's address is not a MAC address (kind %u)", options->address.kind);
    struct xdp_carrier *xdp = calloc(1, sizeof *xdp);
    if (!xdp)
        return words_fail(-ENOMEM, "af_xdp: no memory");
    struct carrier *carrier = &xdp->base;
    carrier->ops = &xdp_ops;
    carrier->fd = -1;
    carrier->queue = options->queue;
    carrier->address = options->address;
    if (options->device)
        snprintf(carrier->device, sizeof carrier->device, "%.15s", options->device);
    xdp->xsk.fd = -1;
    xdp->accept_fd = -1;
    int status = xdp_setup(xdp, options);
    if (status) {
        xdp_close(carrier);
        return words_prefix(status, "af_xdp");
    }
    *out = carrier;
    return 0;
}
