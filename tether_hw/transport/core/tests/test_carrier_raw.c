/* SPDX-License-Identifier: Apache-2.0 */
/* af_packet and af_xdp over veth between two namespaces: frames, tags, queues, depth, refusals. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "../src/carrier/steer.h"
#include "../src/engine/words.h"
#include "exchange.h"
#include "lab.h"

static struct tether_address mac_address(uint8_t host, uint8_t lane, uint16_t vlan)
{
    struct tether_address address;
    carrier_mac_address(&address, (const uint8_t[6]){2, 0x74, 0, 0, host, lane}, vlan);
    return address;
}

struct raw {
    const char *carrier;
    uint32_t queue;
    uint16_t vlan, mtu, flags;
    uint32_t ring_frames;
};

static int try_raw(int host, uint8_t lane, const struct raw *raw, struct carrier **carrier)
{
    struct carrier_options options = {.device = "data0",
                                      .queue = raw->queue,
                                      .address = mac_address((uint8_t)host, lane, raw->vlan),
                                      .mtu = raw->mtu,
                                      .flags = raw->flags,
                                      .ring_frames = raw->ring_frames};
    *carrier = NULL;
    lab_enter(host);
    return carrier_open(raw->carrier, &options, carrier);
}

static struct carrier *open_raw(int host, uint8_t lane, struct raw raw)
{
    struct carrier *carrier;
    int status = try_raw(host, lane, &raw, &carrier);
    if (status) {
        fprintf(stderr, "%s\n", words_last());
        exit(1);
    }
    return carrier;
}

static void close_both(struct carrier *a, struct carrier *b)
{
    a->ops->close(a);
    b->ops->close(b);
}

static void test_exchange(struct raw raw, uint32_t frame_bytes, uint16_t want_flags)
{
    struct carrier *a = open_raw(0, 0, raw), *b = open_raw(1, 0, raw);
    if ((a->flags & want_flags) != want_flags)
        fprintf(stderr, "%s: %s\n", raw.carrier, a->note);
    CHECK((a->flags & want_flags) == want_flags);
    CHECK(a->frame_bytes == frame_bytes);
    CHECK(exchange_run(a, b, 5000, 100) == 5000);
    CHECK(exchange_run(b, a, 2000, 1) == 2000);
    CHECK(exchange_drops(a) == 0 && exchange_drops(b) == 0);
    CHECK(atomic_load(&a->counters.tx_errors) == 0 && atomic_load(&b->counters.tx_errors) == 0);
    close_both(a, b);
}

static void test_depth(struct raw raw)
{
    struct carrier *a = open_raw(0, 0, raw), *b = open_raw(1, 0, raw);
    exchange_depth(a, b, b->frame_bytes);
    close_both(a, b);
}

/* Lanes that share a device: each sees its own frames only. */
static void test_two_lanes(const char *name)
{
    struct carrier *a[2], *b[2];
    for (uint8_t lane = 0; lane < 2; lane++) {
        a[lane] = open_raw(0, lane, (struct raw){.carrier = name, .queue = lane, .vlan = 0xffff});
        b[lane] = open_raw(1, lane, (struct raw){.carrier = name, .queue = lane, .vlan = 0xffff});
    }
    for (int lane = 0; lane < 2; lane++)
        CHECK(exchange_run(a[lane], b[lane], 1000, 64) == 1000);
    for (int lane = 0; lane < 2; lane++) {
        CHECK(atomic_load(&b[lane]->counters.rx_frames) == 1000);
        CHECK(exchange_drain(b[lane]) == 0);
    }
    close_both(a[0], b[0]);
    CHECK(exchange_run(b[1], a[1], 1000, 64) == 1000); /* the other pair is untouched */
    close_both(a[1], b[1]);
}

/* A packet socket of the test's own on host 0 sends what a carrier never would. */
static void send_words(const uint8_t to[6], const uint16_t *words, size_t count)
{
    char command[512];
    int used = snprintf(command, sizeof command,
                        "python3 -c \"import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW);"
                        "s.bind(('data0',0));s.send(bytes.fromhex('%02x%02x%02x%02x%02x%02x027400000077",
                        to[0], to[1], to[2], to[3], to[4], to[5]);
    for (size_t i = 0; i < count; i++)
        used += snprintf(command + used, sizeof command - (size_t)used, "%04x", words[i]);
    snprintf(command + used, sizeof command - (size_t)used, "')+bytes(64))\"");
    lab_enter(0);
    CHECK(system(command) == 0);
}

static void test_tags(const char *name)
{
    PROVES("T-ENC-1");
    struct carrier *b = open_raw(1, 0, (struct raw){.carrier = name, .vlan = 0xffff});
    static const struct {
        uint16_t words[7];
        size_t count;
        int arrives;
        uint16_t vlan;
    } cases[] = {
        {{0x88b5}, 1, 1, 0xffff},
        {{0x8100, 0x0007, 0x88b5}, 3, 1, 7},
        {{0x8100, 0xe005, 0x88b5}, 3, 1, 5},      /* priority bits are no part of the VLAN */
        {{0x8100, 0xe000, 0x88b5}, 3, 1, 0xffff}, /* priority tag */
        {{0x88a8, 0x0009, 0x8100, 0x0007, 0x88b5}, 5, 1, 9},
        {{0x8100, 0x0009, 0x8100, 0x0007, 0x88b5}, 5, 1, 9},
        {{0x8100, 1, 0x8100, 2, 0x8100, 3, 0x88b5}, 7, 0, 0},
        {{0x0800}, 1, 0, 0},
        {{0x8100, 0x0007, 0x88b6}, 3, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_words(b->address.bytes, cases[i].words, cases[i].count);
        struct tether_arrival frames[CARRIER_BATCH];
        unsigned n = 0;
        for (int wait = 0; !n && wait < (cases[i].arrives ? 1000 : 30); wait++) {
            (void)poll(NULL, 0, 1);
            n = b->ops->receive(b, frames, CARRIER_BATCH);
            if (n) {
                CHECK(n == 1 && frames[0].length == 64);
                if (carrier_vlan(&frames[0].from) != cases[i].vlan || !cases[i].arrives)
                    fprintf(stderr, "%s: tag case %zu: VLAN %u\n", name, i, carrier_vlan(&frames[0].from));
                CHECK(carrier_vlan(&frames[0].from) == cases[i].vlan && cases[i].arrives);
                CHECK(frames[0].from.bytes[5] == 0x77 && memcmp(frames[0].to.bytes, b->address.bytes, 6) == 0);
            }
            b->ops->release(b);
        }
        if ((int)n != cases[i].arrives)
            fprintf(stderr, "%s: tag case %zu: %u frames\n", name, i, n);
        CHECK((int)n == cases[i].arrives);
    }
    b->ops->close(b);
}

static int xdp_attached(int host)
{
    struct netdev device;
    lab_enter(host);
    CHECK(netdev_find("data0", &device) == 0);
    return device.xdp_program != 0;
}

static void test_program_goes_with_the_lanes(void)
{
    struct raw raw = {.carrier = "af_xdp", .vlan = 0xffff};
    CHECK(!xdp_attached(0));
    struct carrier *first = open_raw(0, 0, raw);
    raw.queue = 1;
    struct carrier *second = open_raw(0, 1, raw);
    CHECK(xdp_attached(0));
    first->ops->close(first);
    CHECK(xdp_attached(0));
    second->ops->close(second);
    CHECK(!xdp_attached(0));
}

static void test_refusals_in_words(void)
{
    struct carrier *carrier;
    struct raw raw = {.carrier = "af_xdp", .vlan = 0xffff, .queue = 9};
    CHECK(try_raw(0, 0, &raw, &carrier) == -EINVAL);
    CHECK(strstr(words_last(), "2 receive queues") != NULL);
    raw.queue = 0;
    raw.mtu = 1501;
    CHECK(try_raw(0, 0, &raw, &carrier) == -EMSGSIZE);
    raw.mtu = 100;
    CHECK(try_raw(0, 0, &raw, &carrier) == -EINVAL);
    raw.mtu = 0;
    struct carrier *standing = open_raw(0, 0, raw);
    CHECK(try_raw(0, 1, &raw, &carrier) == -EBUSY); /* the same queue twice */
    CHECK(xdp_attached(0));
    struct raw other = {.carrier = "af_xdp", .vlan = 0xffff, .queue = 1};
    struct carrier *second = open_raw(0, 1, other); /* and the refusal has hurt nothing */
    second->ops->close(second);
    standing->ops->close(standing);

    /* a foreign program: named by its id, af_packet works beside it */
    int program_fd, map_fd;
    CHECK(steer_load(1, false, &program_fd, &map_fd) == 0);
    lab_enter(0);
    struct netdev device;
    CHECK(netdev_find("data0", &device) == 0);
    struct steer *foreign;
    CHECK(steer_acquire(&device, true, false, &foreign) == 0);
    CHECK(netdev_find("data0", &device) == 0);
    device.index += 1000; /* as another process would see it: not in this process's list */
    struct steer *steer;
    CHECK(steer_acquire(&device, false, false, &steer) == -EBUSY);
    char id[32];
    snprintf(id, sizeof id, "id %u", device.xdp_program);
    CHECK(device.xdp_program != 0 && strstr(words_last(), id) != NULL);
    steer_release(foreign);
    close(program_fd);
    close(map_fd);

    struct carrier_options options = {.device = "nothere0", .address = mac_address(0, 0, 0xffff)};
    CHECK(carrier_open("af_xdp", &options, &carrier) == -ENODEV);
    CHECK(strstr(words_last(), "nothere0") != NULL);
    CHECK(carrier_open("af_packet", &options, &carrier) == -ENODEV);
    options = (struct carrier_options){.device = "data0",
                                       .address = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}}};
    CHECK(carrier_open("af_xdp", &options, &carrier) == -EINVAL);
    CHECK(carrier_open("af_packet", &options, &carrier) == -EINVAL);
}

static void test_auto(void)
{
    struct carrier *best = open_raw(0, 0, (struct raw){.carrier = "auto", .vlan = 0xffff});
    CHECK(strcmp(best->ops->name, "af_xdp") == 0);
    struct carrier *second = open_raw(0, 1, (struct raw){.carrier = "auto", .vlan = 0xffff, .queue = 0});
    CHECK(strcmp(second->ops->name, "af_packet") == 0); /* the queue is taken */
    CHECK(strstr(second->note, "auto: af_xdp") != NULL);
    close_both(best, second);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    lab_open(2, 1500);
    uint16_t none = 0xffff;
    RUN(test_exchange, (struct raw){.carrier = "af_packet", .vlan = none}, 23 * 64, 0);
    RUN(test_exchange, (struct raw){.carrier = "af_packet", .vlan = 42}, 23 * 64, 0);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none}, 23 * 64, TETHER_LANE_NATIVE_XDP);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = 42}, 23 * 64, TETHER_LANE_NATIVE_XDP);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none, .flags = TETHER_LANE_COPY_ONLY}, 23 * 64, 0);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none, .flags = TETHER_LANE_GENERIC_ONLY}, 23 * 64, 0);
    RUN(test_depth, (struct raw){.carrier = "af_packet", .vlan = none});
    RUN(test_depth, (struct raw){.carrier = "af_xdp", .vlan = none});
    RUN(test_depth, (struct raw){.carrier = "af_xdp", .vlan = none, .ring_frames = 448}); /* 512 - a batch */
    RUN(test_two_lanes, "af_packet");
    RUN(test_two_lanes, "af_xdp");
    RUN(test_program_goes_with_the_lanes);
    RUN(test_refusals_in_words);
    RUN(test_auto);

    lab_open(1, 1500); /* one queue: the test's own socket does not choose one */
    RUN(test_tags, "af_packet");
    RUN(test_tags, "af_xdp");
    lab_open(1, 3506); /* the largest single buffer of native XDP on veth */
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none}, 54 * 64, TETHER_LANE_NATIVE_XDP);
    lab_open(1, 9000);
    RUN(test_exchange, (struct raw){.carrier = "af_packet", .vlan = none}, 140 * 64, 0);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none}, 140 * 64,
                  TETHER_LANE_NATIVE_XDP | TETHER_LANE_MULTI_BUFFER);
    RUN(test_exchange, (struct raw){.carrier = "af_xdp", .vlan = none, .mtu = 1500}, 23 * 64, TETHER_LANE_NATIVE_XDP);
    return HARNESS_RESULT();
}
