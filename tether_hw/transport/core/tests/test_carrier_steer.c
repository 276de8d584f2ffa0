/* SPDX-License-Identifier: Apache-2.0 */
/* The XDP program, run by the kernel on crafted frames: what goes to the socket and what to the kernel. */
#include "harness.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

#include "../src/carrier/steer.h"
#include "../src/carrier/xsk.h"
#include "../src/engine/words.h"
#include "lab.h"

static int bpf_call(int command, union bpf_attr *attribute)
{
    return (int)syscall(SYS_bpf, command, attribute, sizeof *attribute);
}

/* What the program says to a frame; -errno when the kernel would not run it. */
static int verdict(int program_fd, const uint8_t *frame, size_t length)
{
    uint8_t out[4096];
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.test.prog_fd = (uint32_t)program_fd;
    attribute.test.data_in = (uint64_t)(uintptr_t)frame;
    attribute.test.data_size_in = (uint32_t)length;
    attribute.test.data_out = (uint64_t)(uintptr_t)out;
    attribute.test.data_size_out = sizeof out;
    attribute.test.repeat = 1;
    if (bpf_call(BPF_PROG_TEST_RUN, &attribute))
        return -errno;
    CHECK(attribute.test.data_size_out == length && memcmp(out, frame, length) == 0); /* untouched */
    return (int)attribute.test.retval;
}

/* MACs, the given 16-bit words (tags and EtherType), then zeros. */
static size_t craft(uint8_t *frame, const uint16_t *words, size_t count, size_t length)
{
    memset(frame, 0, 2048);
    memset(frame, 0x02, 12);
    for (size_t i = 0; i < count; i++) {
        frame[12 + 2 * i] = (uint8_t)(words[i] >> 8);
        frame[13 + 2 * i] = (uint8_t)words[i];
    }
    return length;
}

static const struct {
    const char *what;
    uint16_t words[8];
    size_t count;
    size_t length;
    int steered;
} cases[] = {
    {"plain", {0x88b5}, 1, 14 + 64, 1},
    {"plain, full size", {0x88b5}, 1, 1514, 1},
    {"one 802.1Q tag", {0x8100, 7, 0x88b5}, 3, 18 + 64, 1},
    {"one 802.1ad tag", {0x88a8, 7, 0x88b5}, 3, 18 + 64, 1},
    {"two 802.1Q tags", {0x8100, 7, 0x8100, 8, 0x88b5}, 5, 22 + 64, 1},
    {"802.1ad over 802.1Q", {0x88a8, 7, 0x8100, 8, 0x88b5}, 5, 22 + 64, 1},
    {"802.1Q over 802.1ad", {0x8100, 7, 0x88a8, 8, 0x88b5}, 5, 22 + 64, 1},
    {"three tags", {0x8100, 7, 0x8100, 8, 0x8100, 9, 0x88b5}, 7, 26 + 64, 0},
    {"IPv4", {0x0800}, 1, 98, 0},
    {"IPv6", {0x86dd}, 1, 98, 0},
    {"ARP", {0x0806}, 1, 60, 0},
    {"our EtherType with its bytes swapped", {0xb588}, 1, 98, 0},
    {"neighbour EtherType", {0x88b6}, 1, 98, 0},
    {"IPv4 under a tag", {0x8100, 7, 0x0800}, 3, 98, 0},
    {"our number as a VLAN id", {0x8100, 0x88b5, 0x0800}, 3, 98, 0},
    {"IPv4 under two tags", {0x88a8, 7, 0x8100, 8, 0x0800}, 5, 98, 0},
    /* truncated ones of ours still come to us, to be counted */
    {"header only", {0x88b5}, 1, 14, 1},
    {"one tag, nothing behind", {0x8100, 7, 0x88b5}, 3, 18, 1},
    {"two tags, nothing behind", {0x8100, 7, 0x8100, 8, 0x88b5}, 5, 22, 1},
    /* cut inside the tags: nothing behind the end is read */
    {"cut in the first tag", {0x8100, 7}, 2, 14, 0},
    {"cut before the EtherType", {0x8100, 7, 0x88b5}, 3, 17, 0},
    {"cut in the second tag", {0x8100, 7, 0x8100, 8}, 4, 18, 0},
    {"cut before the last EtherType", {0x8100, 7, 0x8100, 8, 0x88b5}, 5, 21, 0},
};

static void run_cases(int program_fd, int with_socket)
{
    uint8_t frame[2048];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = craft(frame, cases[i].words, cases[i].count, cases[i].length);
        int want = cases[i].steered && with_socket ? XDP_REDIRECT : XDP_PASS;
        int got = verdict(program_fd, frame, length);
        if (got != want)
            fprintf(stderr, "%s: verdict %d, wanted %d\n", cases[i].what, got, want);
        CHECK(got == want);
    }
}

static void test_program(bool fragments)
{
    int program_fd = -1, map_fd = -1;
    int status = steer_load(4, fragments, &program_fd, &map_fd);
    if (status == -EPERM)
        lab_skip("CAP_BPF and CAP_NET_ADMIN to load an XDP program");
    if (status)
        fprintf(stderr, "%s\n", words_last());
    CHECK(status == 0);
    run_cases(program_fd, 0); /* a queue without a socket: the kernel keeps its frames */

    struct netdev device;
    struct xsk xsk;
    struct xsk_options options = {.queue = 0, .chunk_bytes = 2048, .rx_chunks = 64, .tx_chunks = 64, .copy_only = true};
    CHECK(netdev_find("lo", &device) == 0);
    int opened = xsk_open(&device, &options, &xsk);
    if (opened)
        fprintf(stderr, "%s\n", words_last());
    CHECK(opened == 0);
    uint32_t key = 0;
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_fd = (uint32_t)map_fd;
    attribute.key = (uint64_t)(uintptr_t)&key;
    attribute.value = (uint64_t)(uintptr_t)&xsk.fd;
    CHECK(bpf_call(BPF_MAP_UPDATE_ELEM, &attribute) == 0);
    run_cases(program_fd, 1);
    xsk_close(&xsk);
    run_cases(program_fd, 0); /* the socket is gone, and with it its entry */
    close(program_fd);
    close(map_fd);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    lab_open(1, 1500);
    RUN(test_program, false);
    RUN(test_program, true);
    return HARNESS_RESULT();
}
