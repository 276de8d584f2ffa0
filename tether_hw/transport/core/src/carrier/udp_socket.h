/* SPDX-License-Identifier: Apache-2.0 */
/* udp_socket.h: addresses of UDP lanes as the socket calls want them, and how many frames a socket's buffer holds. */
#ifndef TETHER_CARRIER_UDP_SOCKET_H
#define TETHER_CARRIER_UDP_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "carrier.h"

union udp_name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* False for an address that is not IP. */
bool udp_name_of(const struct tether_address *address, union udp_name *name, socklen_t *length);
void udp_address_of(const union udp_name *name, struct tether_address *address);
bool udp_is_loopback(const union udp_name *name);
/* Bytes that one full frame is charged against the receive buffer, at most. */
uint32_t udp_truesize(uint32_t frame_bytes, bool loopback);
/* Ask for a buffer by both options (forced, plain); returns what the kernel accounts, 0 when it does not say. */
uint32_t udp_buffer(int fd, int force, int plain, uint32_t bytes);

#endif
