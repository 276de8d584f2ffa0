/* SPDX-License-Identifier: Apache-2.0 */
/* Two engines over af_packet and af_xdp between two namespaces; frames that arrive on the wrong queue. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../src/carrier/carrier.h"
#include "../src/carrier/netdev.h"
#include "../src/endpoint.h"
#include "../src/engine/engine.h"
#include "lab.h"
#include "transfer.h"

static void nodes_raw(struct node *a, struct node *b, const char *carrier, uint32_t lanes)
{
    struct node *both[2] = {a, b};
    for (int host = 0; host < 2; host++) {
        lab_enter(host);
        node_new(both[host], host, lanes);
        for (uint16_t lane = 0; lane < lanes; lane++) {
            struct tether_address address;
            carrier_mac_address(&address, (const uint8_t[6]){2, 0x74, 0, 0, (uint8_t)host, (uint8_t)lane}, 0xffff);
            node_lane(both[host], lane, carrier, "data0", lane, &address);
        }
    }
    nodes_start(a, b);
}

static void test_transfer(const char *carrier, uint64_t bytes)
{
    struct node a, b;
    nodes_raw(&a, &b, carrier, 2);
    transfer_run(&a, &b, 2, bytes);
    transfer_echo(&a, &b, 50);
    (void)poll(NULL, 0, 50);
    node_healthy(&a, 0);
    node_healthy(&b, 0);
    nodes_free(&a, &b);
}

/* On a direct veth pair the sender's queue is the receiver's queue: lane 1 that talks to lane 0 is misdirected. */
static void test_misdirected(void)
{
    PROVES("T-ENC-3");
    struct node a, b;
    nodes_raw(&a, &b, "af_xdp", 2);
    uint64_t handle;
    uint16_t flow;
    nodes_must(tether_engine_connect(a.engine, 1, 1, 0, &b.addresses[0], TRANSFER_PATIENCE, &handle), "connect");
    nodes_must(tether_engine_flow_open(a.engine, handle, TETHER_FLOW_BYTES, 0, &flow), "flow");
    struct tether_event event = node_event(&b, TETHER_EVENT_FLOW_OPENED);
    CHECK(event.lane == 0);
    struct transfer writer = {.engine = a.engine, .handle = handle, .flow = flow, .bytes = 3000000};
    struct transfer reader = {
        .engine = b.engine, .handle = tether_engine_handle(&event), .flow = event.flow, .bytes = 3000000};
    CHECK(pthread_create(&writer.thread, NULL, transfer_write, &writer) == 0);
    CHECK(transfer_read(&reader) == 3000000);
    pthread_join(writer.thread, NULL);
    CHECK(writer.status == 0 && reader.status == 0);
    (void)poll(NULL, 0, 50);
    node_healthy(&a, UINT64_MAX);
    node_healthy(&b, UINT64_MAX);
    struct tether_carrier_stats on0 = {.struct_size = sizeof on0}, on1 = {.struct_size = sizeof on1};
    CHECK(tether_engine_stats(b.engine, 0, NULL, &on0) == 0);
    CHECK(tether_engine_stats(b.engine, 1, NULL, &on1) == 0);
    CHECK(on1.misdirected > 2000 && on0.misdirected == 0); /* counted where they arrived */
    CHECK(on0.handed_over == on1.misdirected && on1.handed_over == 0);
    nodes_free(&a, &b);
}

/* A frame of the test's own to `to`, on the wire from host 0: what a Hail that somebody broadcasts looks like. */
static void send_lamp(const char *to)
{
    lab_enter(0);
    CHECK(lab_run("python3 -c \"import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW);s.bind(('data0',0));"
                  "s.send(bytes.fromhex('%s''02740000007788b5''0101b400')+bytes(60+256))\"", to) == 0);
}

/* Lamps to everybody are nobody's: only the one that was sent to this very lane is looked at. */
static void test_lamps_to_everybody(const char *carrier)
{
    PROVES("T-LMP-5");
    static const char *const to[] = {"ffffffffffff", "333300000001", "01005e000001", "0274000001ff", "027400000100"};
    struct node a, b;
    nodes_raw(&a, &b, carrier, 1);
    for (int i = 0; i < 5; i++) {
        struct tether_stats stats = {.struct_size = sizeof stats};
        struct tether_carrier_stats on = {.struct_size = sizeof on};
        uint64_t rejected = 0;
        send_lamp(to[i]);
        for (int wait = 0; wait < (i == 4 ? 2000 : 50) && rejected == 0; wait++) {
            (void)poll(NULL, 0, 1);
            CHECK(tether_engine_stats(b.engine, 0, &stats, &on) == 0);
            rejected = stats.rejects[TETHER_E_MAC1 - TETHER_E_SHORT];
        }
        CHECK(rejected == (i == 4));
    }
    nodes_free(&a, &b);
}

/* What the lanes of one device may have under way fits the ring that all of it could come to. */
static void test_lanes_share_the_ring(void)
{
    PROVES("T-GRT-14", "T-SCH-1");
    struct node a, b;
    nodes_raw(&a, &b, "af_packet", 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct tether_endpoint *ends[2] = {b.engine->lanes[0].endpoint, b.engine->lanes[1].endpoint};
        CHECK(ends[0]->window + ends[1]->window > 0);
        CHECK(ends[0]->window + ends[1]->window <= b.engine->lanes[i].carrier->ring_frames / 4 * 3);
    }
    nodes_free(&a, &b);
}

/* The cable is pulled in the middle: nobody loses a byte, and traffic goes on by itself when it is back. */
static void test_cut_link(const char *carrier)
{
    struct node a, b;
    nodes_raw(&a, &b, carrier, 1);
    uint64_t handle;
    uint16_t flow;
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    nodes_must(tether_engine_flow_open(a.engine, handle, TETHER_FLOW_BYTES, 0, &flow), "flow");
    struct tether_event event = node_event(&b, TETHER_EVENT_FLOW_OPENED);
    struct transfer writer = {.engine = a.engine, .handle = handle, .flow = flow, .bytes = 40000000};
    struct transfer reader = {
        .engine = b.engine, .handle = tether_engine_handle(&event), .flow = event.flow, .bytes = 40000000};
    CHECK(pthread_create(&reader.thread, NULL, transfer_read_thread, &reader) == 0);
    CHECK(pthread_create(&writer.thread, NULL, transfer_write, &writer) == 0);
    for (int host = 0; host < 2; host++) {
        (void)poll(NULL, 0, 20);
        lab_enter(host);
        CHECK(lab_run("ip link set data0 down") == 0);
        (void)poll(NULL, 0, 100);
        CHECK(lab_run("ip link set data0 up") == 0);
    }
    pthread_join(writer.thread, NULL);
    pthread_join(reader.thread, NULL);
    CHECK(writer.status == 0 && reader.status == 0);
    nodes_free(&a, &b);
}

static uint32_t program_on(int host)
{
    struct netdev device;
    lab_enter(host);
    CHECK(netdev_find("data0", &device) == 0);
    return device.xdp_program;
}

/* Killed without a chance to clean up: the program goes with the process, and the next engine starts. */
static void test_killed(void)
{
    int ready[2];
    struct node a, b;
    CHECK(pipe(ready) == 0);
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        snprintf(nodes_folder, sizeof nodes_folder, "/tmp/tether-nodes-killed-%d", (int)parent); /* the parent removes it */
        CHECK(mkdir(nodes_folder, 0700) == 0);
        nodes_raw(&a, &b, "af_xdp", 2);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(program_on(0) != 0 && program_on(1) != 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 100 && (program_on(0) || program_on(1)); i++)
        (void)poll(NULL, 0, 10);
    CHECK(program_on(0) == 0 && program_on(1) == 0);
    nodes_raw(&a, &b, "af_xdp", 2);
    transfer_run(&a, &b, 2, 100000);
    nodes_free(&a, &b);
    CHECK(lab_run("rm -r /tmp/tether-nodes-killed-%d", (int)getpid()) == 0);
    close(ready[0]);
    close(ready[1]);
}

/* Frames of 140 blocks over one queue of a jumbo link. */
static void test_jumbo(void)
{
    struct node a, b;
    nodes_raw(&a, &b, "af_xdp", 1);
    transfer_run(&a, &b, 1, 10000000);
    nodes_free(&a, &b);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    lab_open(2, 1500);
    RUN(test_transfer, "af_packet", 3000000);
    RUN(test_transfer, "af_xdp", 10000000);
    RUN(test_misdirected);
    RUN(test_lanes_share_the_ring);
    RUN(test_cut_link, "af_packet");
    RUN(test_cut_link, "af_xdp");
    RUN(test_killed);
    lab_open(1, 9000);
    RUN(test_jumbo); /* one queue: the test's own socket does not choose one */
    RUN(test_lamps_to_everybody, "af_packet");
    RUN(test_lamps_to_everybody, "af_xdp");
    return HARNESS_RESULT();
}
