/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../engine/words.h"

enum { REPLY_BYTES = 32768 };

static const struct rtattr *attribute_next(const struct rtattr *attribute, size_t *room)
{
    size_t step = RTA_ALIGN(attribute->rta_len);
    if (step >= *room) {
        *room = 0;
        return attribute;
    }
    *room -= step;
    return (const struct rtattr *)(const void *)((const char *)attribute + step);
}

static bool attribute_ok(const struct rtattr *attribute, size_t room)
{
    return room >= sizeof *attribute && attribute->rta_len >= sizeof *attribute && attribute->rta_len <= room;
}

static const void *attribute_data(const struct rtattr *attribute)
{
    return (const char *)attribute + RTA_LENGTH(0);
}

static uint32_t attribute_u32(const struct rtattr *attribute)
{
    uint32_t value = 0;
    if (attribute->rta_len >= RTA_LENGTH(sizeof value))
        memcpy(&value, attribute_data(attribute), sizeof value);
    return value;
}

static uint32_t xdp_program(const struct rtattr *nest)
{
    const struct rtattr *attribute = attribute_data(nest);
    size_t room = nest->rta_len - RTA_LENGTH(0);
    for (; attribute_ok(attribute, room); attribute = attribute_next(attribute, &room)) {
        switch (attribute->rta_type) {
        case IFLA_XDP_PROG_ID:
        case IFLA_XDP_DRV_PROG_ID:
        case IFLA_XDP_SKB_PROG_ID:
        case IFLA_XDP_HW_PROG_ID:
            if (attribute_u32(attribute))
                return attribute_u32(attribute);
            break;
        default:
            break;
        }
    }
    return 0;
}

static int reply_parse(const char *reply, size_t length, struct netdev *device)
{
    const struct nlmsghdr *header = (const void *)reply;
    if (length < sizeof *header || header->nlmsg_len > length)
        return -EBADMSG;
    if (header->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = (const void *)(reply + NLMSG_HDRLEN);
        return length >= NLMSG_HDRLEN + sizeof *error && error->error ? error->error : -EBADMSG;
    }
    size_t fixed = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct ifinfomsg));
    if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < fixed)
        return -EBADMSG;
    const struct ifinfomsg *link = (const void *)(reply + NLMSG_HDRLEN);
    device->index = (uint32_t)link->ifi_index;
    device->up = link->ifi_flags & IFF_UP;
    const struct rtattr *attribute = (const void *)(reply + fixed);
    size_t room = header->nlmsg_len - fixed;
    for (; attribute_ok(attribute, room); attribute = attribute_next(attribute, &room)) {
        switch (attribute->rta_type & NLA_TYPE_MASK) {
        case IFLA_MTU:
            device->mtu = attribute_u32(attribute);
            break;
        case IFLA_NUM_RX_QUEUES:
            device->rx_queues = attribute_u32(attribute);
            break;
        case IFLA_ADDRESS:
            if (attribute->rta_len >= RTA_LENGTH(6))
                memcpy(device->mac, attribute_data(attribute), 6);
            break;
        case IFLA_XDP:
            device->xdp_program = xdp_program(attribute);
            break;
        default:
            break;
        }
    }
    return 0;
}

static int link_ask(int fd, const char *name, struct netdev *device)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
        struct rtattr attribute;
        char name[16];
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
        .link = {.ifi_family = AF_UNSPEC},
        .attribute = {.rta_len = (uint16_t)RTA_LENGTH(strlen(name) + 1), .rta_type = IFLA_IFNAME},
    };
    memcpy(request.name, name, strlen(name) + 1);
    if (send(fd, &request, sizeof request, 0) < 0)
        return -errno;
    char reply[REPLY_BYTES] __attribute__((aligned(8)));
    ssize_t got = recv(fd, reply, sizeof reply, MSG_TRUNC);
    if (got < 0)
        return -errno;
    if ((size_t)got > sizeof reply)
        return -EMSGSIZE;
    return reply_parse(reply, (size_t)got, device);
}

int netdev_find(const char *name, struct netdev *device)
{
    memset(device, 0, sizeof *device);
    if (!name || !*name || strlen(name) >= sizeof device->name)
        return words_fail(-EINVAL, "'%s' is no name of a network device", name ? name : "");
    snprintf(device->name, sizeof device->name, "%s", name);
    struct stat status;
    if (stat("/proc/thread-self/ns/net", &status) == 0)
        device->netns = status.st_ino;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return words_fail(-errno, "no rtnetlink socket: %s", words_errno(errno));
    int status_code = link_ask(fd, name, device);
    close(fd);
    if (status_code == -ENODEV)
        return words_fail(-ENODEV, "there is no network device %s here", name);
    if (status_code)
        return words_fail(status_code, "cannot read network device %s: %s", name, words_errno(status_code));
    return 0;
}

int netdev_accept(const struct netdev *device, const uint8_t mac[6])
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: receives nothing */
    if (fd < 0)
        return words_fail(-errno, "no packet socket for the lane's address on %s: %s%s", device->name,
                          words_errno(errno), errno == EPERM ? " (needs CAP_NET_RAW)" : "");
    struct packet_mreq request = {
        .mr_ifindex = (int)device->index, .mr_type = PACKET_MR_UNICAST, .mr_alen = 6};
    memcpy(request.mr_address, mac, 6);
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request)) {
        int error = errno;
        close(fd);
        return words_fail(-error, "%s does not accept one more unicast address: %s", device->name, words_errno(error));
    }
    return fd;
}

int netdev_carry(const struct carrier_options *options, struct netdev *device, struct carrier *carrier)
{
    int status = netdev_find(options->device, device);
    if (status)
        return status;
    if (!device->up)
        return words_fail(-ENETDOWN, "%s is down", device->name);
    carrier->mtu = options->mtu ? options->mtu : (uint16_t)(device->mtu > UINT16_MAX ? UINT16_MAX : device->mtu);
    if (carrier->mtu > device->mtu)
        return words_fail(-EMSGSIZE, "the lane's MTU of %u is above the %u of %s", carrier->mtu, device->mtu,
                          device->name);
    carrier->frame_bytes = carrier_frame_fit(carrier->mtu, 0);
    if (!carrier->frame_bytes)
        return words_fail(-EINVAL, "an MTU of %u holds no frame of two blocks", carrier->mtu);
    return 0;
}
