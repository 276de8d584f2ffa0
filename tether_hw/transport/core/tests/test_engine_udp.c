/* SPDX-License-Identifier: Apache-2.0 */
/* Two engines over udp on the loopback: transfers, waits and their ends, roster changes, the counter's troubles. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include "../src/crypto.h"
#include "transfer.h"

static void test_bytes_over_lanes(uint32_t lanes, uint64_t bytes)
{
    struct node a, b;
    nodes_udp(&a, &b, lanes);
    transfer_run(&a, &b, lanes, bytes);
    (void)poll(NULL, 0, 50); /* the last receipts */
    node_healthy(&a, 0);
    node_healthy(&b, 0);
    nodes_free(&a, &b);
}

static void test_messages(void)
{
    struct node a, b;
    nodes_udp(&a, &b, 1);
    transfer_echo(&a, &b, 200);
    (void)poll(NULL, 0, 50);
    node_healthy(&a, 0);
    node_healthy(&b, 0);
    nodes_free(&a, &b);
}

struct blocked {
    struct node *node;
    uint64_t handle;
    uint16_t flow;
    int64_t status;
    pthread_t thread;
};

static void *read_blocked(void *argument)
{
    struct blocked *blocked = argument;
    uint8_t byte;
    blocked->status = tether_engine_flow_read(blocked->node->engine, blocked->handle, blocked->flow, &byte, 1, NULL, -1);
    return NULL;
}

static void open_blocked(struct node *a, struct blocked *blocked)
{
    *blocked = (struct blocked){.node = a};
    nodes_must(tether_engine_connect(a->engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &blocked->handle), "connect");
    nodes_must(tether_engine_flow_open(a->engine, blocked->handle, TETHER_FLOW_BYTES, 0, &blocked->flow), "flow");
    CHECK(pthread_create(&blocked->thread, NULL, read_blocked, blocked) == 0);
    (void)poll(NULL, 0, 30);
}

static void test_waits_end(void)
{
    struct node a, b;
    struct blocked blocked;
    uint8_t byte;
    nodes_udp(&a, &b, 1);
    open_blocked(&a, &blocked);
    CHECK(tether_engine_flow_read(a.engine, blocked.handle, blocked.flow, &byte, 1, NULL, 0) == -EAGAIN);
    CHECK(tether_engine_flow_read(a.engine, blocked.handle, blocked.flow, &byte, 1, NULL, 20000000) == -ETIMEDOUT);
    CHECK(strstr(tether_engine_error(a.engine), "time is over") != NULL);
    uint64_t size;
    CHECK(tether_engine_flow_read(a.engine, blocked.handle + 0x100, blocked.flow, &byte, 1, NULL, 0) < 0);
    CHECK(tether_engine_flow_read(a.engine, UINT64_C(9) << 32, 0, &byte, 1, NULL, 0) == -EINVAL);
    CHECK(tether_engine_flow_message_size(a.engine, blocked.handle, 4321, &size, 0) < 0);
    /* the engine stops under a waiting call */
    CHECK(tether_engine_stop(a.engine) == 0);
    pthread_join(blocked.thread, NULL);
    CHECK(blocked.status == -ESHUTDOWN);
    CHECK(tether_engine_flow_read(a.engine, blocked.handle, blocked.flow, &byte, 1, NULL, -1) == -ESHUTDOWN);
    struct tether_event events[64];
    while (tether_engine_wait(a.engine, -1, events, 64) > 0)
        ;
    CHECK(tether_engine_wait(a.engine, -1, events, 64) == -ESHUTDOWN);
    CHECK(tether_engine_start(a.engine) == -EBUSY);
    nodes_free(&a, &b);
}

static void test_nobody_answers(void)
{
    struct node a, b;
    uint64_t handle;
    nodes_udp(&a, &b, 1);
    tether_engine_stop(b.engine);
    CHECK(tether_engine_connect(a.engine, 0, 1, 0, NULL, 50000000, &handle) == -ETIMEDOUT);
    CHECK(tether_engine_connect(a.engine, 0, 2, 0, NULL, 50000000, &handle) == -ENOENT); /* no such peer */
    CHECK(tether_engine_connect(a.engine, 3, 1, 0, NULL, 50000000, &handle) == -EINVAL); /* no such lane */
    struct tether_stats stats = {.struct_size = sizeof stats};
    CHECK(tether_engine_stats(a.engine, 0, &stats, NULL) == 0);
    CHECK(stats.lamps_sent >= 1);
    nodes_free(&a, &b);
}

static void test_roster_change_ends_the_wait(void)
{
    struct node a, b;
    struct blocked blocked;
    nodes_udp(&a, &b, 1);
    open_blocked(&a, &blocked);
    CHECK(tether_engine_roster(a.engine, NULL, 0) == 0);
    pthread_join(blocked.thread, NULL);
    CHECK(blocked.status < 0 && blocked.status != -ETIMEDOUT);
    CHECK(node_event(&a, TETHER_EVENT_CHANNEL_DOWN).status == -EACCES);
    uint64_t handle;
    CHECK(tether_engine_connect(a.engine, 0, 1, 0, NULL, 50000000, &handle) == -ENOENT);
    /* and back again, without a restart */
    struct tether_peer peer = node_peer(&b, 1);
    CHECK(tether_engine_roster(a.engine, &peer, 1) == 0);
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    nodes_free(&a, &b);
}

static void restart(struct node *a, struct node *b)
{
    tether_engine_free(a->engine);
    struct tether_address any = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};
    node_new(a, 0, 1);
    node_lane(a, 0, "udp", NULL, 0, &any);
    struct tether_peer peer = node_peer(b, 1);
    nodes_must(tether_engine_roster(a->engine, &peer, 1), "roster");
    nodes_must(tether_engine_start(a->engine), "start");
}

static void test_restart_of_a_node(void)
{
    PROVES("T-RST-4", "T-RST-1");
    struct node a, b;
    nodes_udp(&a, &b, 1);
    transfer_run(&a, &b, 1, 100000);
    for (int i = 0; i < 3; i++) {
        restart(&a, &b);
        transfer_run(&a, &b, 1, 100000); /* its Hail counter is above the one before */
    }
    nodes_free(&a, &b);
}

/* The peer has seen counters of a later stride than the one that node a now begins with. */
static void nodes_lost_counter(struct node *a, struct node *b)
{
    nodes_udp(a, b, 1);
    restart(a, b);
    restart(a, b);
    transfer_run(a, b, 1, 100000);
    CHECK(unlink(a->counter) == 0);
    restart(a, b);
}

/* The file is gone, the key is not: the peer calls the counter stale and says how far it was, the engine jumps. */
static void test_lost_counter(void)
{
    PROVES("T-STL-2");
    struct node a, b;
    nodes_lost_counter(&a, &b);
    transfer_run(&a, &b, 1, 100000);
    nodes_free(&a, &b);
}

/* The same, but the disk takes nothing: no Hail goes out on a counter that is not durable, and the words say why. */
static void test_counter_on_a_full_disk(void)
{
    struct node a, b;
    struct rlimit full = {16, RLIM_INFINITY}, free_again = {RLIM_INFINITY, RLIM_INFINITY};
    uint64_t handle;
    nodes_lost_counter(&a, &b);
    CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
    int status = -ETIMEDOUT; /* until the peer has said how far it is, which takes long where all is emulated */
    for (int i = 0; i < 50 && status == -ETIMEDOUT; i++)
        status = tether_engine_connect(a.engine, 0, 1, 0, NULL, 300000000, &handle);
    CHECK(status == -EIO);
    CHECK(strstr(tether_engine_error(a.engine), a.counter) != NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &free_again) == 0);
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect"); /* heals */
    nodes_free(&a, &b);
}

/* Keys with which no handshake can succeed are refused where the roster comes in, and change nothing. */
static void test_keys_that_are_nobodys(void)
{
    static const char *low_order[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", /* the highest bit does not count */
        "0000000000000000000000000000000000000000000000000000000000000080",
    };
    struct node a, b;
    uint64_t handle;
    uint8_t shared[32];
    nodes_udp(&a, &b, 1);
    struct tether_peer peers[2] = {node_peer(&b, 1), node_peer(&a, 2)};
    snprintf(peers[1].name, sizeof peers[1].name, "twin");
    CHECK(tether_engine_roster(a.engine, peers, 2) == -EINVAL);
    CHECK(strstr(tether_engine_error(NULL), "the key of twin is this node's own") != NULL);
    for (size_t i = 0; i < sizeof low_order / sizeof *low_order; i++) {
        for (size_t k = 0; k < 32; k++) {
            unsigned byte;
            CHECK(sscanf(low_order[i] + 2 * k, "%2x", &byte) == 1);
            peers[1].keys[0][k] = (uint8_t)byte;
        }
        CHECK(tether_x25519(a.secret, peers[1].keys[0], shared) != 0);
        CHECK(tether_engine_roster(a.engine, peers, 2) == -EINVAL);
        CHECK(strstr(tether_engine_error(NULL), "the key of twin is a point of low order") != NULL);
    }
    peers[1] = node_peer(&b, 2);
    peers[1].keys[0][5] ^= 1;
    CHECK(tether_engine_roster(a.engine, peers, 2) == 0);
    nodes_must(tether_engine_connect(a.engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    nodes_free(&a, &b);
}

static void test_refusals_in_words(void)
{
    struct node a, b;
    node_new(&a, 0, 1);
    struct tether_lane_config lane = {.struct_size = sizeof lane, .carrier = "udp", .cpu = 1000};
    CHECK(tether_engine_add_lane(a.engine, &lane) == -EINVAL);
    CHECK(strstr(tether_engine_error(NULL), "CPU 1000") != NULL);
    struct tether_engine_config config = node_config(&a, 1);
    tether_engine *second = NULL;
    CHECK(tether_engine_new(&config, &second) == -EBUSY); /* one engine to one identity */
    CHECK(strstr(tether_engine_error(NULL), "another engine") != NULL);
    config.static_secret[0] ^= 8;
    tether_engine_free(a.engine);
    node_new(&a, 0, 1);
    struct tether_address any = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};
    CHECK(tether_engine_start(a.engine) == -EINVAL); /* lane 0 was not added */
    CHECK(strstr(tether_engine_error(NULL), "lane 0") != NULL);
    tether_engine_free(a.engine);
    node_new(&a, 0, 1);
    node_lane(&a, 0, "udp", NULL, 0, &any);
    nodes_must(tether_engine_start(a.engine), "start");
    tether_engine_free(a.engine);
    CHECK(tether_engine_new(&config, &second) == -EKEYREJECTED); /* another key's counter */
    config = node_config(&a, 1);
    config.lanes = 0;
    CHECK(tether_engine_new(&config, &second) == -EINVAL);
    config.lanes = 257;
    CHECK(tether_engine_new(&config, &second) == -EINVAL);
    config = node_config(&a, 1);
    config.counter_path = "/nonexistent-folder/counter";
    CHECK(tether_engine_new(&config, &second) == -ENOENT);
    config.struct_size--;
    CHECK(tether_engine_new(&config, &second) == -EINVAL);
    a.engine = NULL;
    node_new(&b, 1, 1);
    nodes_free(&a, &b);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    signal(SIGXFSZ, SIG_IGN);
    RUN(test_messages);
    RUN(test_bytes_over_lanes, 1, 4000001);
    RUN(test_bytes_over_lanes, 2, 4000000);
    RUN(test_waits_end);
    RUN(test_nobody_answers);
    RUN(test_roster_change_ends_the_wait);
    RUN(test_restart_of_a_node);
    RUN(test_lost_counter);
    RUN(test_counter_on_a_full_disk);
    RUN(test_keys_that_are_nobodys);
    RUN(test_refusals_in_words);
    return HARNESS_RESULT();
}
