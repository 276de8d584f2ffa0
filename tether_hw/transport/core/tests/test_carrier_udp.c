/* SPDX-License-Identifier: Apache-2.0 */
/* udp on the loopback: whole frames, the depth that the socket really has, errors in words. */
#include "harness.h"

#include <errno.h>
#include <string.h>

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
    RUN(test_frames_that_cannot_go);
    RUN(test_refusals_in_words);
    RUN(test_auto);
    return HARNESS_RESULT();
}
