/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How deep the socket's receive queue is: the kernel charges each datagram by its skb's truesize, not by its bytes,
 * against SO_RCVBUF as getsockopt reports it, and gives memory back to the account late, up to a quarter of the
 * buffer (udp(7) says nothing of it; __udp_enqueue_schedule_skb and udp_rmem_release do). So the depth is 3/4 of the
 * buffer over the largest truesize of a full frame: a power-of-two head that holds datagram, headers and
 * skb_shared_info, plus the skb itself; doubled off the loopback, where drivers receive into half or whole pages.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "udp_socket.h"

enum {
    UDP_SKB_BYTES = 256, /* struct sk_buff, rounded up to its cache line */
    UDP_SHARED_INFO_BYTES = 320,
    UDP_HEADROOM_BYTES = 64, /* link, IP and UDP headers, alignment */
};

bool udp_name_of(const struct tether_address *address, union udp_name *name, socklen_t *length)
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

void udp_address_of(const union udp_name *name, struct tether_address *address)
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

uint32_t udp_truesize(uint32_t frame_bytes, bool loopback)
{
    uint32_t need = frame_bytes + UDP_HEADROOM_BYTES + UDP_SHARED_INFO_BYTES;
    uint32_t head = 512;
    while (head < need)
        head *= 2;
    return (loopback ? head : 2 * head) + UDP_SKB_BYTES;
}

/* Ask for room; SO_RCVBUFFORCE passes net.core.rmem_max but needs CAP_NET_ADMIN. */
uint32_t udp_buffer(int fd, int force, int plain, uint32_t bytes)
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

bool udp_is_loopback(const union udp_name *name)
{
    if (name->any.sa_family == AF_INET)
        return (ntohl(name->v4.sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&name->v6.sin6_addr);
}
