/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp: Tether frames inside UDP datagrams, where a raw EtherType cannot go or the privilege for it is missing.
 *
 * How deep the socket's receive queue is: the kernel charges each datagram by its skb's truesize, not by its bytes,
 * against SO_RCVBUF as getsockopt reports it, and gives memory back to the account late, up to a quarter of the
 * buffer (udp(7) says nothing of it; __udp_enqueue_schedule_skb and udp_rmem_release do). So the depth is 3/4 of the
 * buffer over the largest truesize of a full frame: a power-of-two head that holds datagram, headers and
 * skb_shared_info, plus the skb itself; doubled off the loopback, where drivers receive into half or whole pages.
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

enum {
    UDP_TX_FRAMES = 256,       /* own queue before the socket */
    UDP_RING_WANTED = 4096,    /* receive frames asked for, when the kernel lets us */
    UDP_SKB_BYTES = 256,       /* struct sk_buff, rounded up to its cache line */
    UDP_SHARED_INFO_BYTES = 320,
    UDP_HEADROOM_BYTES = 64,   /* link, IP and UDP headers, alignment */
};

union udp_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct udp_carrier {
    struct carrier base;
    uint32_t stride;
    uint8_t *rx_data, *tx_data; /* [CARRIER_BATCH], [UDP_TX_FRAMES] of `stride` */
    union udp_name rx_names[CARRIER_BATCH], tx_names[UDP_TX_FRAMES];
    struct iovec rx_vectors[CARRIER_BATCH], tx_vectors[UDP_TX_FRAMES];
    struct mmsghdr rx_messages[CARRIER_BATCH], tx_messages[UDP_TX_FRAMES];
    uint32_t tx_head, tx_tail;  /* free running; [head, tail) queued */
};

static bool udp_name_of(const struct tether_address *address, union udp_name *name, socklen_t *length)
{
    memset(name, 0, sizeof *name);
    if (address->kind == TETHER_ADDRESS_UDP4) {
        name->v4.sin_family = AF_INET;
        memcpy(&name->v4.sin_addr, address->bytes, 4);
        memcpy(&name->v4.sin_port, address->bytes + 4, 2);
        *length = sizeof name->v4;
    } else if (address->kind == TETHER_ADDRESS_UDP6) {
        name->v6.sin6_family = AF_INET6;
        memcpy(&name->v6.sin6_addr, address->bytes, 16);
        memcpy(&name->v6.sin6_port, address->bytes + 16, 2);
        *length = sizeof name->v6;
    } else {
        return false;
    }
    return true;
}

static void udp_address_of(const union udp_name *name, struct tether_address *address)
{
    memset(address, 0, sizeof *address);
    if (name->any.sa_family == AF_INET) {
        address->kind = TETHER_ADDRESS_UDP4;
        address->length = 6;
        memcpy(address->bytes, &name->v4.sin_addr, 4);
        memcpy(address->bytes + 4, &name->v4.sin_port, 2);
    } else {
        address->kind = TETHER_ADDRESS_UDP6;
        address->length = 18;
        memcpy(address->bytes, &name->v6.sin6_addr, 16);
        memcpy(address->bytes + 16, &name->v6.sin6_port, 2);
    }
}

static unsigned udp_receive(struct carrier *carrier, struct carrier_frame *frames, unsigned max)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    for (unsigned i = 0; i < max; i++)
        udp->rx_messages[i].msg_hdr.msg_namelen = sizeof udp->rx_names[i];
    int count = recvmmsg(carrier->fd, udp->rx_messages, max, MSG_DONTWAIT, NULL);
    if (count <= 0)
        return 0;
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        frames[i].data = udp->rx_data + (size_t)i * udp->stride;
        frames[i].length = udp->rx_messages[i].msg_len;
        udp_address_of(&udp->rx_names[i], &frames[i].from);
        frames[i].to = carrier->address;
        bytes += frames[i].length;
    }
    carrier_count(&carrier->counters.rx_frames, (unsigned)count);
    carrier_count(&carrier->counters.rx_bytes, bytes);
    return (unsigned)count;
}

static void udp_release(struct carrier *carrier)
{
    (void)carrier;
}

static unsigned udp_flush(struct carrier *carrier)
{
    struct udp_carrier *udp = (struct udp_carrier *)carrier;
    while (udp->tx_head != udp->tx_tail) {
        uint32_t at = udp->tx_head % UDP_TX_FRAMES;
        uint32_t count = udp->tx_tail - udp->tx_head;
        if (count > UDP_TX_FRAMES - at)
            count = UDP_TX_FRAMES - at;
        int sent = sendmmsg(carrier->fd, udp->tx_messages + at, count, MSG_DONTWAIT);
        if (sent > 0) {
            uint64_t bytes = 0;
            for (int i = 0; i < sent; i++)
                bytes += udp->tx_vectors[at + (uint32_t)i].iov_len;
            carrier_count(&carrier->counters.tx_frames, (unsigned)sent);
            carrier_count(&carrier->counters.tx_bytes, bytes);
            udp->tx_head += (uint32_t)sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM) {
            carrier_count(&carrier->counters.tx_stalled, 1);
            break;
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
    socklen_t name_length;
    if (!udp_name_of(to, &udp->tx_names[at], &name_length)) {
        carrier_count(&carrier->counters.tx_errors, 1);
        return;
    }
    udp->tx_messages[at].msg_hdr.msg_namelen = name_length;
    udp->tx_vectors[at].iov_len = length;
    udp->tx_tail++;
}

static void udp_drops(struct carrier *carrier, struct carrier_drops *drops)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof memory;
    memset(drops, 0, sizeof *drops);
    if (getsockopt(carrier->fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0)
        drops->kernel = memory[SK_MEMINFO_DROPS];
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

static const struct carrier_ops udp_ops = {
    .name = "udp",
    .receive = udp_receive,
    .release = udp_release,
    .reserve = udp_reserve,
    .commit = udp_commit,
    .flush = udp_flush,
    .drops = udp_drops,
    .close = udp_close,
};

static uint32_t udp_truesize(uint32_t frame_bytes, bool loopback)
{
    uint32_t need = frame_bytes + UDP_HEADROOM_BYTES + UDP_SHARED_INFO_BYTES;
    uint32_t head = 512;
    while (head < need)
        head *= 2;
    return (loopback ? head : 2 * head) + UDP_SKB_BYTES;
}

/* Ask for room; SO_RCVBUFFORCE passes net.core.rmem_max but needs CAP_NET_ADMIN. */
static uint32_t udp_buffer(int fd, int force, int plain, uint32_t bytes)
{
    int wanted = (int)(bytes / 2); /* the kernel doubles it */
    if (setsockopt(fd, SOL_SOCKET, force, &wanted, sizeof wanted))
        (void)setsockopt(fd, SOL_SOCKET, plain, &wanted, sizeof wanted);
    int real = 0;
    socklen_t length = sizeof real;
    if (getsockopt(fd, SOL_SOCKET, plain, &real, &length) || real < 0)
        return 0;
    return (uint32_t)real;
}

static bool udp_is_loopback(const union udp_name *name)
{
    if (name->any.sa_family == AF_INET)
        return (ntohl(name->v4.sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&name->v6.sin6_addr);
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
    /* one byte more than a frame shows a datagram that is too large, which the endpoint then refuses by length */
    udp->stride = (frame_bytes + 1 + 63) & ~63u;
    udp->rx_data = aligned_alloc(64, (size_t)udp->stride * CARRIER_BATCH);
    udp->tx_data = aligned_alloc(64, (size_t)udp->stride * UDP_TX_FRAMES);
    int status = udp->rx_data && udp->tx_data ? udp_bind(udp, options) : words_fail(-ENOMEM, "udp: no memory");
    if (status) {
        udp_close(carrier);
        return status;
    }
    for (int i = 0; i < CARRIER_BATCH; i++) {
        udp->rx_vectors[i] = (struct iovec){udp->rx_data + (size_t)i * udp->stride, udp->stride};
        udp->rx_messages[i].msg_hdr.msg_name = &udp->rx_names[i];
        udp->rx_messages[i].msg_hdr.msg_iov = &udp->rx_vectors[i];
        udp->rx_messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (int i = 0; i < UDP_TX_FRAMES; i++) {
        udp->tx_vectors[i] = (struct iovec){udp->tx_data + (size_t)i * udp->stride, 0};
        udp->tx_messages[i].msg_hdr.msg_name = &udp->tx_names[i];
        udp->tx_messages[i].msg_hdr.msg_iov = &udp->tx_vectors[i];
        udp->tx_messages[i].msg_hdr.msg_iovlen = 1;
    }
    *out = carrier;
    return 0;
}
