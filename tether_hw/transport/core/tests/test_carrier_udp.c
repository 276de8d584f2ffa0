/* SPDX-License-Identifier: Apache-2.0 */
/* udp on the loopback: whole frames, the depth that the socket really has, errors in words. */
#include "harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../src/engine/words.h"
#include "exchange.h"

static struct tether_address loopback(int version)
{
    struct tether_address address = {0};
    if (version == 4) {
        address = (struct tether_address){.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};
    } else {
        address = (struct tether_address){.kind = TETHER_ADDRESS_UDP6, .length = 18};
        address.bytes[15] = 1;
    }
    return address;
}

static struct carrier *open_udp(int version, uint16_t mtu, uint32_t ring_frames)
{
    struct carrier_options options = {.address = loopback(version), .mtu = mtu, .ring_frames = ring_frames};
    struct carrier *carrier = NULL;
    int status = carrier_open("udp", &options, &carrier);
    if (status)
        fprintf(stderr, "%s\n", words_last());
    CHECK(status == 0);
    return carrier;
}

static void test_exchange(int version, uint16_t mtu, uint32_t frame_bytes)
{
    struct carrier *a = open_udp(version, mtu, 0), *b = open_udp(version, mtu, 0);
    CHECK(a->frame_bytes == frame_bytes);
    CHECK(exchange_run(a, b, 3000, b->ring_frames) == 3000);
    CHECK(exchange_run(b, a, 3000, 1) == 3000);
    CHECK(exchange_drops(a) == 0 && exchange_drops(b) == 0);
    a->ops->close(a);
    b->ops->close(b);
}

static void test_depth(uint16_t mtu)
{
    struct carrier *a = open_udp(4, mtu, 0), *b = open_udp(4, mtu, 128);
    exchange_depth(a, b, b->frame_bytes);
    a->ops->close(a);
    b->ops->close(b);
}

/* A plain socket sees each frame as one datagram of its own, and what is sent may not be cut on the way. */
static void test_one_frame_to_a_datagram(void)
{
    PROVES("T-ENC-2", "T-PMT-5");
    struct carrier *a = open_udp(4, 1500, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    uint8_t datagram[4096];
    int plain = socket(AF_INET, SOCK_DGRAM, 0), discover = -1;
    struct timeval patience = {.tv_sec = 5};
    CHECK(bind(plain, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(setsockopt(plain, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(getsockname(plain, (struct sockaddr *)&name, &size) == 0);
    struct tether_address to = {.kind = TETHER_ADDRESS_UDP4, .length = 6};
    memcpy(to.bytes, &name.sin_addr, 4);
    memcpy(to.bytes + 4, &name.sin_port, 2);
    for (uint32_t i = 0; i < 100; i++)
        CHECK(exchange_send(a, i, i % 3 ? 23 * 64 : 64 * (1 + i % 23), &to) == 1);
    CHECK(a->ops->flush(a) == 0);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK(recv(plain, datagram, sizeof datagram, 0) == (ssize_t)(i % 3 ? 23 * 64 : 64 * (1 + i % 23)));
        CHECK(memcmp(datagram, &i, sizeof i) == 0);
    }
    size = sizeof discover;
    CHECK(getsockopt(a->fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, &size) == 0);
    CHECK(discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE);
    close(plain);
    a->ops->close(a);
}

/* Frames in a peer's socket buffer are this sender's problem only when that is full: nothing is lost here. */
static void test_frames_that_cannot_go(void)
{
    struct carrier *a = open_udp(4, 1500, 0), *b = open_udp(4, 1500, 0);
    struct tether_address nowhere = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {0, 0, 0, 0, 0, 0}};
    CHECK(exchange_send(a, 0, 128, &nowhere) == 1); /* port 0: the kernel refuses it for good */
    CHECK(exchange_send(a, 0, exchange_length(a, 0), &b->address) == 1);
    CHECK(a->ops->flush(a) == 0);
    CHECK(atomic_load(&a->counters.tx_errors) == 1);
    CHECK(exchange_drain(b) == 1); /* the frame behind it went */
    struct tether_address mac;
    carrier_mac_address(&mac, (const uint8_t[6]){2}, 0xffff);
    CHECK(exchange_send(a, 0, 128, &mac) == 1);
    CHECK(atomic_load(&a->counters.tx_errors) == 2);
    a->ops->close(a);
    b->ops->close(b);
}

static void test_refusals_in_words(void)
{
    struct carrier *carrier = NULL, *taken = open_udp(4, 1500, 0);
    struct carrier_options options = {.address = taken->address};
    CHECK(carrier_open("udp", &options, &carrier) == -EADDRINUSE);
    CHECK(strstr(words_last(), "127.0.0.1") != NULL);
    options = (struct carrier_options){.address = loopback(4), .mtu = 150};
    CHECK(carrier_open("udp", &options, &carrier) == -EINVAL);
    CHECK(strstr(words_last(), "MTU of 150") != NULL);
    carrier_mac_address(&options.address, (const uint8_t[6]){2}, 0xffff);
    CHECK(carrier_open("udp", &options, &carrier) == -EINVAL);
    CHECK(carrier_open("avian", &options, &carrier) == -EINVAL);
    CHECK(strstr(words_last(), "avian") != NULL);
    taken->ops->close(taken);
}

static void test_auto(void)
{
    struct carrier_options options = {.address = loopback(4)};
    struct carrier *carrier = NULL;
    CHECK(carrier_open("auto", &options, &carrier) == 0);
    CHECK(strcmp(carrier->ops->name, "udp") == 0);
    CHECK(strstr(carrier->note, "auto: ") != NULL);
    carrier->ops->close(carrier);
    memset(&options.address, 0, sizeof options.address);
    CHECK(carrier_open("auto", &options, &carrier) == -EINVAL);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_exchange, 4, 1500, 23 * 64);
    RUN(test_exchange, 4, 9000, 140 * 64);
    RUN(test_exchange, 6, 1500, 22 * 64);
    RUN(test_depth, 1500);
    RUN(test_depth, 9000);
    RUN(test_depth, 576);
    RUN(test_one_frame_to_a_datagram);
    RUN(test_frames_that_cannot_go);
    RUN(test_refusals_in_words);
    RUN(test_auto);
    return HARNESS_RESULT();
}
