/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp: Tether frames inside UDP datagrams, where a raw EtherType cannot go or the privilege for it is missing.
 *
 * Frames of one size to one peer go through the stack as one (UDP_SEGMENT) and, where the kernel joined them, come out
 * as one (UDP_GRO): a frame then costs a fraction of a system call. Joined frames are charged less, never more.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../engine/words.h"
#include "carrier.h"
#include "udp_socket.h"

/* Later than some C libraries' headers. */
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    UDP_TX_FRAMES = 256,       /* own queue before the socket */
    UDP_SEGMENTS = 64,         /* frames in one send; the kernel's limit before 6.9 */
    UDP_JOINED_BYTES = 65000,  /* of one send, under IPv4's 65,507 */
    UDP_RX_MESSAGES = 8,       /* joined datagrams of one receive */
    UDP_RX_BYTES = 65536,      /* each */
    UDP_RING_WANTED = 4096,    /* receive frames asked for, when the kernel lets us */
};

union udp_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

struct udp_carrier {
    struct carrier base;
    uint32_t stride;
    bool segment;              /* UDP_SEGMENT works here */
    uint8_t *rx_data;          /* [UDP_RX_MESSAGES] of UDP_RX_BYTES */
    union udp_name rx_names[UDP_RX_MESSAGES];
    union udp_control rx_control[UDP_RX_MESSAGES];
    struct iovec rx_vectors[UDP_RX_MESSAGES];
    struct mmsghdr rx_messages[UDP_RX_MESSAGES];
    uint32_t rx_count, rx_at;  /* datagrams received, and the one that is being taken apart */
    uint32_t rx_offset, rx_segment;
    struct tether_address rx_from;
    uint8_t *tx_data;          /* [UDP_TX_FRAMES] of `stride` */
    union udp_name tx_names[UDP_TX_FRAMES];
    socklen_t tx_name_lengths[UDP_TX_FRAMES];
    struct iovec tx_vectors[UDP_TX_FRAMES];
    struct mmsghdr tx_messages[UDP_TX_FRAMES];
    union udp_control tx_control[UDP_TX_FRAMES];
    uint32_t tx_head, tx_tail; /* free running; [head, tail) queued */
    uint64_t drops_before;     /* of the sockets that it had before */
};

/* Size of the frames that were joined into one datagram; 0 = it is one frame. */
static uint32_t udp_segment_of(struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(control), sizeof segment);
            return segment > 0 ? (uint32_t)segment : 0;
        }
    }
    return 0;
}

static bool udp_next_datagram(struct udp_carrier *udp)
{
    if (udp->rx_at < udp->rx_count && ++udp->rx_at < udp->rx_count)
        goto found;
    for (unsigned i = 0; i < UDP_RX_MESSAGES; i++) {
        udp->rx_messages[i].msg_hdr.msg_namelen = sizeof udp->rx_names[i];
        udp->rx_messages[i].msg_hdr.msg_controllen = sizeof udp->rx_control[i];
    }
    int count = recvmmsg(udp->base.fd, udp->rx_messages, UDP_RX_MESSAGES, MSG_DONTWAIT, NULL);
    udp->rx_count = count > 0 ? (uint32_t)count : 0;
    udp->rx_at = 0;
    if (!udp->rx_count)
        return false;
found:
    udp->rx_offset = 0;
    udp->rx_segment = udp_segment_of(&udp->rx_messages[udp->rx_at].msg_hdr);
    udp_address_of(&udp->rx_names[udp->rx_at], &udp->rx_from);
    return true;
}

static unsigned udp_receive(struct carrier *carrier, struct tether_arrival *frames, unsigned max)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    unsigned count = 0;
    uint64_t bytes = 0;
    while (count < max) {
        uint32_t length = udp->rx_at < udp->rx_count ? udp->rx_messages[udp->rx_at].msg_len : 0;
        if (udp->rx_at >= udp->rx_count || udp->rx_offset >= length) {
            /* frames that are lent already lie in the buffers that a new receive would overwrite */
            if (count && udp->rx_at + 1 >= udp->rx_count)
                break;
            if (!udp_next_datagram(udp))
                break;
            length = udp->rx_messages[udp->rx_at].msg_len;
        }
        uint32_t piece = length - udp->rx_offset;
        if (udp->rx_segment && piece > udp->rx_segment)
            piece = udp->rx_segment;
        struct tether_arrival *frame = &frames[count++];
        frame->data = udp->rx_data + (size_t)udp->rx_at * UDP_RX_BYTES + udp->rx_offset;
        frame->length = piece;
        frame->from = udp->rx_from;
        frame->to = carrier->address;
        bytes += piece;
        udp->rx_offset += piece;
        if (!length) /* an empty datagram is a frame too short, once */
            udp->rx_messages[udp->rx_at].msg_len = udp->rx_offset = 1;
    }
    if (count) {
        carrier_count(&carrier->counters.rx_frames, count);
        carrier_count(&carrier->counters.rx_bytes, bytes);
    }
    return count;
}

static void udp_release(struct carrier *carrier)
{
    (void)carrier;
}

/* How many queued frames from `at` on can go as one: one peer, one size, only the last may be shorter. */
static uint32_t udp_join(const struct udp_carrier *udp, uint32_t at, uint32_t count)
{
    size_t size = udp->tx_vectors[at].iov_len, total = size;
    uint32_t joined = 1;
    while (udp->segment && joined < count && joined < UDP_SEGMENTS) {
        size_t next = udp->tx_vectors[at + joined].iov_len;
        if (next > size || total + next > UDP_JOINED_BYTES ||
            udp->tx_name_lengths[at + joined] != udp->tx_name_lengths[at] ||
            memcmp(&udp->tx_names[at + joined], &udp->tx_names[at], udp->tx_name_lengths[at]) != 0)
            break;
        joined++;
        total += next;
        if (next < size)
            break;
    }
    return joined;
}

/* Describe frames [at, at + count) as sends; how many sends. */
static uint32_t udp_describe(struct udp_carrier *udp, uint32_t at, uint32_t count)
{
    uint32_t sends = 0;
    for (uint32_t end = at + count; at < end; sends++) {
        uint32_t joined = udp_join(udp, at, end - at);
        struct msghdr *message = &udp->tx_messages[sends].msg_hdr;
        memset(message, 0, sizeof *message);
        message->msg_name = &udp->tx_names[at];
        message->msg_namelen = udp->tx_name_lengths[at];
        message->msg_iov = &udp->tx_vectors[at];
        message->msg_iovlen = joined;
        if (joined > 1) {
            uint16_t size = (uint16_t)udp->tx_vectors[at].iov_len;
            message->msg_control = &udp->tx_control[sends];
            message->msg_controllen = CMSG_SPACE(sizeof size);
            struct cmsghdr *control = CMSG_FIRSTHDR(message);
            control->cmsg_level = SOL_UDP;
            control->cmsg_type = UDP_SEGMENT;
            control->cmsg_len = CMSG_LEN(sizeof size);
            memcpy(CMSG_DATA(control), &size, sizeof size);
        }
        at += joined;
    }
    return sends;
}

static unsigned udp_flush(struct carrier *carrier)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    while (udp->tx_head != udp->tx_tail) {
        uint32_t at = udp->tx_head % UDP_TX_FRAMES;
        uint32_t count = udp->tx_tail - udp->tx_head;
        if (count > UDP_TX_FRAMES - at)
            count = UDP_TX_FRAMES - at;
        int sent = sendmmsg(carrier->fd, udp->tx_messages, udp_describe(udp, at, count), MSG_DONTWAIT);
        for (int i = 0; i < sent; i++)
            udp->tx_head += (uint32_t)udp->tx_messages[i].msg_hdr.msg_iovlen;
        if (sent > 0 || errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM) {
            carrier_count(&carrier->counters.tx_stalled, 1);
            break;
        }
        if (udp->tx_messages[0].msg_hdr.msg_iovlen > 1) {
            udp->segment = false; /* the way to this peer cannot: one by one from now on */
            continue;
        }
        /* no route, too large for the path, refused by a filter: this frame will never go; the timers repair */
        carrier_count(&carrier->counters.tx_errors, 1);
        udp->tx_head++;
    }
    return udp->tx_tail - udp->tx_head;
}

static uint8_t *udp_reserve(struct carrier *carrier)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    if (udp->tx_tail - udp->tx_head == UDP_TX_FRAMES && udp_flush(carrier) == UDP_TX_FRAMES)
        return NULL;
    return udp->tx_data + (size_t)(udp->tx_tail % UDP_TX_FRAMES) * udp->stride;
}

static void udp_commit(struct carrier *carrier, size_t length, const struct tether_address *to)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    uint32_t at = udp->tx_tail % UDP_TX_FRAMES;
    if (!udp_name_of(to, &udp->tx_names[at], &udp->tx_name_lengths[at])) {
        carrier_count(&carrier->counters.tx_errors, 1);
        return;
    }
    udp->tx_vectors[at].iov_len = length;
    udp->tx_tail++;
    carrier_count(&carrier->counters.tx_frames, 1);
    carrier_count(&carrier->counters.tx_bytes, length);
}

static void udp_drops(struct carrier *carrier, struct carrier_drops *drops)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof memory;
    memset(drops, 0, sizeof *drops);
    drops->kernel = ((struct udp_carrier *)carrier)->drops_before;
    if (getsockopt(carrier->fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0)
        drops->kernel += memory[SK_MEMINFO_DROPS];
}

static void udp_close(struct carrier *carrier)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    if (carrier->fd >= 0)
        close(carrier->fd);
    free(udp->rx_data);
    free(udp->tx_data);
    free(udp);
}

static int udp_bind(struct udp_carrier *udp, const struct carrier_options *options)
{
    struct carrier *carrier = &udp->base;
    union udp_name name;
    socklen_t name_length = 0;
    if (!udp_name_of(&options->address, &name, &name_length))
        return words_fail(-EINVAL, "udp: the lane's address is not an IP address and port (kind %u)",
                          options->address.kind);
    carrier->fd = socket(name.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (carrier->fd < 0)
        return words_fail(-errno, "udp: no socket: %s", words_errno(errno));
    int on = 1;
    bool v4 = name.any.sa_family == AF_INET;
    if (!v4)
        (void)setsockopt(carrier->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    /* a frame is never cut into fragments: one that is too large for the path is an error of this end */
    int discover = v4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
    (void)setsockopt(carrier->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &discover,
                     sizeof discover);
    if (options->device && *options->device &&
        setsockopt(carrier->fd, SOL_SOCKET, SO_BINDTODEVICE, options->device, (socklen_t)strlen(options->device)))
        return words_fail(-errno, "udp: cannot bind to device %s: %s", options->device, words_errno(errno));

    bool loopback = udp_is_loopback(&name);
    uint32_t truesize = udp_truesize(carrier->frame_bytes, loopback);
    uint32_t wanted = options->ring_frames ? options->ring_frames : UDP_RING_WANTED;
    uint32_t room = udp_buffer(carrier->fd, SO_RCVBUFFORCE, SO_RCVBUF, (wanted + 1) * truesize / 3 * 4);
    (void)udp_buffer(carrier->fd, SO_SNDBUFFORCE, SO_SNDBUF, UDP_TX_FRAMES * truesize);
    carrier->ring_frames = (room - room / 4) / truesize;
    if (carrier->ring_frames > wanted)
        carrier->ring_frames = wanted;
    if (carrier->ring_frames < 8)
        return words_fail(-ENOBUFS, "udp: a receive buffer of %u bytes holds only %u frames; raise net.core.rmem_max",
                          room, carrier->ring_frames);
    if (bind(carrier->fd, &name.any, name_length)) {
        struct tether_address shown = options->address;
        int error = errno;
        char text[INET6_ADDRSTRLEN] = "?";
        inet_ntop(name.any.sa_family, shown.bytes, text, sizeof text);
        return words_fail(-error, "udp: cannot bind to %s port %u: %s", text, ntohs(v4 ? name.v4.sin_port : name.v6.sin6_port),
                          words_errno(error));
    }
    name_length = sizeof name;
    if (getsockname(carrier->fd, &name.any, &name_length))
        return words_fail(-errno, "udp: getsockname: %s", words_errno(errno));
    udp_address_of(&name, &carrier->address);
    snprintf(carrier->note, sizeof carrier->note, "UDP, receive buffer %u bytes = %u frames of truesize %u%s", room,
             carrier->ring_frames, truesize, loopback ? " (loopback)" : "");
    return 0;
}

/* Frames that the stack joins, where it can. */
static void udp_joins(struct udp_carrier *udp)
{
    int on = 1, none = 0;
    (void)setsockopt(udp->base.fd, SOL_UDP, UDP_GRO, &on, sizeof on); /* without it each frame comes by itself */
    udp->segment = setsockopt(udp->base.fd, SOL_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

static int udp_rebind(struct carrier *carrier, const struct tether_address *address)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    struct tether_address before = carrier->address;
    struct carrier_options options = {.device = carrier->device, .address = *address,
                                      .ring_frames = carrier->ring_frames};
    struct carrier_drops drops;
    uint32_t ring = carrier->ring_frames;
    int fd = carrier->fd;
    if (address->kind != before.kind)
        return words_fail(-EINVAL, "udp: an address of kind %u does not become one of kind %u", before.kind,
                          address->kind);
    udp_drops(carrier, &drops);
    int status = udp_bind(udp, &options);
    if (!status && carrier->ring_frames < ring) /* what peers may have under way was promised */
        status = words_fail(-ENOBUFS, "udp: the new socket holds %u frames, the old one %u", carrier->ring_frames, ring);
    if (status) {
        if (carrier->fd >= 0 && carrier->fd != fd)
            close(carrier->fd);
        carrier->fd = fd;
        carrier->ring_frames = ring;
        carrier->address = before;
        return status;
    }
    udp->drops_before = drops.kernel;
    udp_joins(udp);
    close(fd);
    return 0;
}

static const struct carrier_ops udp_ops = {
    .name = "udp",
    .receive = udp_receive,
    .release = udp_release,
    .reserve = udp_reserve,
    .commit = udp_commit,
    .flush = udp_flush,
    .drops = udp_drops,
    .rebind = udp_rebind,
    .close = udp_close,
};

int carrier_open_udp(const struct carrier_options *options, struct carrier **out)
{
    uint16_t mtu = options->mtu ? options->mtu : 1500;
    uint32_t headers = options->address.kind == TETHER_ADDRESS_UDP6 ? 48 : 28;
    uint32_t frame_bytes = carrier_frame_fit(mtu, headers);
    if (!frame_bytes)
        return words_fail(-EINVAL, "udp: an MTU of %u holds no frame of two blocks after %u bytes of headers", mtu,
                          headers);
    struct udp_carrier *udp = calloc(1, sizeof *udp);
    if (!udp)
        return words_fail(-ENOMEM, "udp: no memory");
    struct carrier *carrier = &udp->base;
    carrier->ops = &udp_ops;
    carrier->fd = -1;
    carrier->mtu = mtu;
    carrier->queue = options->queue;
    carrier->frame_bytes = frame_bytes;
    if (options->device)
        snprintf(carrier->device, sizeof carrier->device, "%s", options->device);
    udp->stride = frame_bytes;
    udp->rx_data = aligned_alloc(64, (size_t)UDP_RX_BYTES * UDP_RX_MESSAGES);
    udp->tx_data = aligned_alloc(64, (size_t)udp->stride * UDP_TX_FRAMES);
    int status = udp->rx_data && udp->tx_data ? udp_bind(udp, options) : words_fail(-ENOMEM, "udp: no memory");
    if (status) {
        udp_close(carrier);
        return status;
    }
    for (int i = 0; i < UDP_RX_MESSAGES; i++) {
        udp->rx_vectors[i] = (struct iovec){udp->rx_data + (size_t)i * UDP_RX_BYTES, UDP_RX_BYTES};
        udp->rx_messages[i].msg_hdr.msg_name = &udp->rx_names[i];
        udp->rx_messages[i].msg_hdr.msg_iov = &udp->rx_vectors[i];
        udp->rx_messages[i].msg_hdr.msg_iovlen = 1;
        udp->rx_messages[i].msg_hdr.msg_control = &udp->rx_control[i];
    }
    for (int i = 0; i < UDP_TX_FRAMES; i++)
        udp->tx_vectors[i] = (struct iovec){udp->tx_data + (size_t)i * udp->stride, 0};
    udp_joins(udp);
    *out = carrier;
    return 0;
}
