/* SPDX-License-Identifier: Apache-2.0 */
/*
 * af_packet: frames through a packet socket, for any Linux device. The receive side is a ring of slots shared with
 * the kernel (TPACKET_V2): a frame takes one slot whatever its size, so the depth is exact and a grant can never
 * overrun it. (TPACKET_V3 packs frames into blocks that are handed over by a timer: more depth, but latency.)
 *
 * The socket is bound to all EtherTypes with a filter for ours, not to 0x88B5: the kernel hands a VLAN-tagged frame to
 * sockets of one EtherType only after it has thrown the tag away, and the tag is part of the sender's address.
 * Lanes that share a device have a socket each and see only frames to their own MAC address: the filter does it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../engine/words.h"
#include "link.h"
#include "netdev.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum {
    PACKET_TX_FRAMES = 256,
    PACKET_RING_FRAMES = 4096,
    PACKET_RING_BYTES_MAX = 64 << 20,
    PACKET_SLOT_HEADER = 128, /* tpacket2_hdr, sockaddr_ll, alignment, MAC header */
    PACKET_TX_HEADROOM = 64,
    PACKET_TRIES = 2000,      /* of a frame that the device has no buffer for; a stalled lane tries once a millisecond */
    PACKET_TRIES_NEW = 8,     /* the same, larger than any that it has taken */
};

struct packet_carrier {
    struct carrier base;
    int accept_fd;
    uint8_t mac[6];
    uint8_t *ring;
    size_t ring_bytes;
    uint32_t slot_bytes, slots;
    uint32_t head;      /* next slot to look at */
    uint32_t lent;
    uint64_t drops;     /* PACKET_STATISTICS resets itself when read */
    uint8_t *tx_data;   /* [PACKET_TX_FRAMES] of tx_stride */
    uint32_t tx_stride;
    struct iovec tx_vectors[PACKET_TX_FRAMES];
    struct mmsghdr tx_messages[PACKET_TX_FRAMES];
    uint32_t tx_head, tx_tail;
    uint32_t stalls;    /* of the frame at tx_head */
    size_t proven;      /* bytes of the largest frame that the device took */
};

static struct tpacket2_hdr *slot_at(const struct packet_carrier *packet, uint32_t at)
{
    return (struct tpacket2_hdr *)(void *)(packet->ring + (size_t)(at % packet->slots) * packet->slot_bytes);
}

static unsigned packet_receive(struct carrier *carrier, struct tether_arrival *frames, unsigned max)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    unsigned count = 0;
    uint64_t bytes = 0, foreign = 0;
    while (packet->lent < max) {
        struct tpacket2_hdr *slot = slot_at(packet, packet->head + packet->lent);
        uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
        if (!(status & TP_STATUS_USER))
            break;
        packet->lent++;
        struct tether_arrival *frame = &frames[count];
        uint8_t *data = (uint8_t *)slot + slot->tp_mac;
        int tci = status & TP_STATUS_VLAN_VALID ? slot->tp_vlan_tci : -1;
        uint32_t offset = link_parse(data, slot->tp_snaplen, tci, &frame->from, &frame->to);
        if (!offset) {
            foreign++;
            continue;
        }
        frame->data = data + offset;
        frame->length = slot->tp_snaplen - offset;
        bytes += frame->length;
        count++;
    }
    if (packet->lent) {
        carrier_count(&carrier->counters.rx_frames, packet->lent);
        carrier_count(&carrier->counters.rx_bytes, bytes);
        carrier_count(&carrier->counters.foreign, foreign);
    }
    return count;
}

static void packet_release(struct carrier *carrier)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    for (uint32_t i = 0; i < packet->lent; i++)
        __atomic_store_n(&slot_at(packet, packet->head + i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    packet->head += packet->lent;
    packet->lent = 0;
}

static unsigned packet_flush(struct carrier *carrier)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    while (packet->tx_head != packet->tx_tail) {
        uint32_t at = packet->tx_head % PACKET_TX_FRAMES;
        uint32_t count = packet->tx_tail - packet->tx_head;
        if (count > PACKET_TX_FRAMES - at)
            count = PACKET_TX_FRAMES - at;
        int sent = sendmmsg(carrier->fd, packet->tx_messages + at, count, MSG_DONTWAIT);
        if (sent > 0) {
            for (uint32_t i = at; i < at + (uint32_t)sent; i++)
                packet->proven = packet->tx_vectors[i].iov_len > packet->proven ? packet->tx_vectors[i].iov_len : packet->proven;
            packet->tx_head += (uint32_t)sent;
            packet->stalls = 0;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM || errno == ENETDOWN) {
            /*
             * A queue that is full for a moment and a device that never takes a frame of this size (its other end has
             * a smaller MTU) give the same answer. The first must not cost a frame, the second must not hold up all
             * that stand behind it, smaller probes among them.
             */
            uint32_t most = packet->tx_vectors[at].iov_len > packet->proven ? PACKET_TRIES_NEW : PACKET_TRIES;
            if (errno != ENOBUFS || ++packet->stalls < most) {
                carrier_count(&carrier->counters.tx_stalled, 1);
                break;
            }
        }
        packet->stalls = 0;
        carrier_count(&carrier->counters.tx_errors, 1);
        packet->tx_head++;
    }
    return packet->tx_tail - packet->tx_head;
}

static uint8_t *packet_reserve(struct carrier *carrier)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    if (packet->tx_tail - packet->tx_head == PACKET_TX_FRAMES && packet_flush(carrier) == PACKET_TX_FRAMES)
        return NULL;
    return packet->tx_data + (size_t)(packet->tx_tail % PACKET_TX_FRAMES) * packet->tx_stride + PACKET_TX_HEADROOM;
}

static void packet_commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    if (to->kind != TETHER_ADDRESS_MAC) {
        carrier_count(&carrier->counters.tx_errors, 1);
        return;
    }
    uint32_t at = packet->tx_tail % PACKET_TX_FRAMES;
    uint8_t *frame = packet->tx_data + (size_t)at * packet->tx_stride + PACKET_TX_HEADROOM;
    uint32_t header = link_build(frame, packet->mac, to);
    packet->tx_vectors[at] = (struct iovec){frame - header, length + header};
    packet->tx_tail++;
    carrier_count(&carrier->counters.tx_frames, 1);
    carrier_count(&carrier->counters.tx_bytes, length);
}

static void packet_drops(struct carrier *carrier, struct carrier_drops *drops)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    struct tpacket_stats statistics;
    socklen_t length = sizeof statistics;
    memset(&statistics, 0, sizeof statistics);
    memset(drops, 0, sizeof *drops);
    if (getsockopt(carrier->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0)
        packet->drops += statistics.tp_drops;
    drops->kernel = packet->drops;
}

static void packet_close(struct carrier *carrier)
{
    struct packet_carrier *packet = (struct packet_carrier *)carrier;
    if (packet->ring)
        munmap(packet->ring, packet->ring_bytes);
    if (carrier->fd >= 0)
        close(carrier->fd);
    if (packet->accept_fd >= 0)
        close(packet->accept_fd);
    free(packet->tx_data);
    free(packet);
}

static const struct carrier_ops packet_ops = {
    .name = "af_packet",
    .receive = packet_receive,
    .release = packet_release,
    .reserve = packet_reserve,
    .commit = packet_commit,
    .flush = packet_flush,
    .drops = packet_drops,
    .close = packet_close,
};

/*
 * Frames to `mac` with our EtherType. The kernel has taken the outer tag out of the data already, so the EtherType
 * stands at 12, or behind one inner tag at 16 when there was an outer one.
 */
static int packet_filter(int fd, const uint8_t mac[6])
{
    uint32_t high = (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
    uint32_t low = (uint32_t)mac[4] << 8 | mac[5];
    struct sock_filter code[] = {
        /* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        /* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 11),
        /* 2 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        /* 3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 9),
        /* 4 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        /* 5 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TETHER_ETHERTYPE, 6, 0),
        /* 6 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LINK_TPID_Q, 1, 0),
        /* 7 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LINK_TPID_AD, 0, 5),
        /* 8 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
        /* 9 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
        /* 10 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 16),
        /* 11 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TETHER_ETHERTYPE, 0, 1),
        /* 12 */ BPF_STMT(BPF_RET | BPF_K, 0x40000),
        /* 13 */ BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
        return words_fail(-errno, "cannot set the socket filter: %s", words_errno(errno));
    return 0;
}

static int packet_ring(struct packet_carrier *packet, uint32_t wanted)
{
    struct carrier *carrier = &packet->base;
    int version = TPACKET_V2;
    if (setsockopt(carrier->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version))
        return words_fail(-errno, "no TPACKET_V2: %s", words_errno(errno));
    packet->slot_bytes = 2048;
    while (packet->slot_bytes < carrier->frame_bytes + LINK_HEADER_MAX + PACKET_SLOT_HEADER)
        packet->slot_bytes *= 2;
    uint32_t block = packet->slot_bytes > 65536 ? packet->slot_bytes : 65536;
    packet->slots = wanted;
    while ((uint64_t)packet->slots * packet->slot_bytes > PACKET_RING_BYTES_MAX)
        packet->slots /= 2;
    uint32_t per_block = block / packet->slot_bytes;
    if (packet->slots < per_block)
        packet->slots = per_block;
    packet->slots -= packet->slots % per_block;
    struct tpacket_req request = {
        .tp_block_size = block,
        .tp_block_nr = packet->slots / per_block,
        .tp_frame_size = packet->slot_bytes,
        .tp_frame_nr = packet->slots,
    };
    if (setsockopt(carrier->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
        return words_fail(-errno, "cannot make a ring of %u frames: %s", packet->slots, words_errno(errno));
    packet->ring_bytes = (size_t)request.tp_block_nr * block;
    void *at = mmap(NULL, packet->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, carrier->fd, 0);
    if (at == MAP_FAILED)
        return words_fail(-errno, "cannot map the ring: %s", words_errno(errno));
    packet->ring = at;
    carrier->ring_frames = packet->slots - CARRIER_BATCH; /* frames lent to the lane take slots too */
    return 0;
}

static int packet_memory(struct packet_carrier *packet)
{
    packet->tx_stride = (packet->base.frame_bytes + PACKET_TX_HEADROOM + 63) & ~63u;
    packet->tx_data = aligned_alloc(64, (size_t)packet->tx_stride * PACKET_TX_FRAMES);
    if (!packet->tx_data)
        return words_fail(-ENOMEM, "no memory");
    for (int i = 0; i < PACKET_TX_FRAMES; i++) {
        packet->tx_messages[i].msg_hdr.msg_iov = &packet->tx_vectors[i];
        packet->tx_messages[i].msg_hdr.msg_iovlen = 1;
    }
    return 0;
}

static int packet_setup(struct packet_carrier *packet, const struct carrier_options *options)
{
    struct carrier *carrier = &packet->base;
    struct netdev device;
    int status = netdev_carry(options, &device, carrier);
    if (status)
        return status;
    memcpy(packet->mac, options->address.bytes, 6);
    if (memcmp(packet->mac, device.mac, 6) != 0) {
        packet->accept_fd = netdev_accept(&device, packet->mac);
        if (packet->accept_fd < 0)
            return packet->accept_fd;
    }
    /* protocol 0 until the filter and the ring stand: nothing arrives before */
    carrier->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (carrier->fd < 0)
        return words_fail(-errno, "no packet socket: %s%s", words_errno(errno),
                          errno == EPERM ? " (needs CAP_NET_RAW)" : "");
    int on = 1;
    if (setsockopt(carrier->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on))
        return words_fail(-errno, "cannot ignore outgoing frames (Linux 4.20 or later needed): %s",
                          words_errno(errno));
    status = packet_filter(carrier->fd, packet->mac);
    uint32_t wanted = PACKET_RING_FRAMES;
    while (options->ring_frames && wanted / 2 >= options->ring_frames + CARRIER_BATCH)
        wanted /= 2;
    if (!status)
        status = packet_ring(packet, wanted);
    if (!status)
        status = packet_memory(packet);
    if (status)
        return status;
    if (options->ring_frames && carrier->ring_frames > options->ring_frames)
        carrier->ring_frames = options->ring_frames;
    int bytes = 8 << 20;
    if (setsockopt(carrier->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes))
        (void)setsockopt(carrier->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    struct sockaddr_ll name = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)device.index};
    if (bind(carrier->fd, (struct sockaddr *)&name, sizeof name))
        return words_fail(-errno, "cannot bind to %s: %s", device.name, words_errno(errno));
    snprintf(carrier->note, sizeof carrier->note, "packet socket, ring of %u frames of %u bytes", packet->slots,
             packet->slot_bytes);
    return 0;
}

int carrier_open_af_packet(const struct carrier_options *options, struct carrier **out)
{
    if (options->address.kind != TETHER_ADDRESS_MAC)
        return words_fail(-EINVAL, "af_packet: the lane's address is not a MAC address (kind %u)",
                          options->address.kind);
    struct packet_carrier *packet = calloc(1, sizeof *packet);
    if (!packet)
        return words_fail(-ENOMEM, "af_packet: no memory");
    struct carrier *carrier = &packet->base;
    carrier->ops = &packet_ops;
    carrier->fd = -1;
    carrier->queue = options->queue;
    carrier->address = options->address;
    if (options->device)
        snprintf(carrier->device, sizeof carrier->device, "%.15s", options->device);
    packet->accept_fd = -1;
    int status = packet_setup(packet, options);
    if (status) {
        packet_close(carrier);
        return words_prefix(status, "af_packet");
    }
    *out = carrier;
    return 0;
}
