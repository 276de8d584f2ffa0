/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once on two lanes: byte flows both ways, a reader that dawdles, messages with cancels, roster reloads,
 * stats and events read meanwhile. At the end every byte is right, nothing overran, credit is back where it stood.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "transfer.h"

enum { LANES = 2, PAIRS = 2 * LANES * 2, BYTES = 1500000, MESSAGES = 150, MESSAGE_MOST = 60000 };

static _Atomic int over;
static struct tether_peer peers[2]; /* peers[i]: how node i stands in the other's roster */

static void *dawdle(void *argument)
{
    struct transfer *transfer = argument;
    uint8_t piece[4000];
    uint64_t at = 0;
    for (uint32_t flags = 0; !(flags & TETHER_READ_END) || at < transfer->bytes;) {
        int64_t got = tether_engine_flow_read(transfer->engine, transfer->handle, transfer->flow, piece, sizeof piece,
                                              &flags, TRANSFER_PATIENCE);
        if (got < 0) {
            transfer->status = got;
            return NULL;
        }
        for (int64_t i = 0; i < got; i++, at++) {
            if (piece[i] != transfer_byte(at))
                transfer->status = -EBADMSG;
        }
        if (at / 40000 != (at - (uint64_t)got) / 40000)
            (void)poll(NULL, 0, 3);
        if (got == 0)
            break;
    }
    if (at != transfer->bytes)
        transfer->status = -EIO;
    return NULL;
}

/* Messages, each begins with its number and length; some are cancelled before they are sent. */
static void *send_messages(void *argument)
{
    struct transfer *transfer = argument;
    static _Thread_local uint8_t message[MESSAGE_MOST];
    for (uint32_t i = 1; i <= MESSAGES; i++) {
        uint32_t length = i == MESSAGES ? 8 : 8 + i * 7919 % (MESSAGE_MOST - 8);
        for (uint32_t k = 8; k < length; k++)
            message[k] = transfer_byte(i + k);
        memcpy(message, &i, 4);
        memcpy(message + 4, &length, 4);
        int64_t took = tether_engine_flow_write(transfer->engine, transfer->handle, transfer->flow, message, length,
                                                TETHER_WRITE_FLUSH, TRANSFER_PATIENCE);
        if (took != (int64_t)length)
            transfer->status = took < 0 ? took : -EIO;
        if (i % 16 == 5)
            (void)tether_engine_flow_cancel(transfer->engine, transfer->handle, transfer->flow);
    }
    return NULL;
}

static void *take_messages(void *argument)
{
    struct transfer *transfer = argument;
    static _Thread_local uint8_t message[MESSAGE_MOST];
    uint32_t last = 0;
    while (last < MESSAGES && !transfer->status) {
        int64_t got = tether_engine_flow_read(transfer->engine, transfer->handle, transfer->flow, message,
                                              sizeof message, NULL, TRANSFER_PATIENCE);
        uint32_t number, length;
        memcpy(&number, message, 4);
        memcpy(&length, message + 4, 4);
        if (got < 8 || length != got || number <= last) { /* whole, in order, at most once */
            transfer->status = got < 0 ? got : -EBADMSG;
            break;
        }
        for (uint32_t k = 8; k < length; k++) {
            if (message[k] != transfer_byte(number + k))
                transfer->status = -EBADMSG;
        }
        last = number;
    }
    return NULL;
}

static void *disturb(void *argument)
{
    struct node *nodes = argument;
    while (!atomic_load(&over)) {
        for (int i = 0; i < 2; i++) {
            (void)tether_engine_roster(nodes[i].engine, &peers[!i], 1);
            for (uint16_t lane = 0; lane < LANES; lane++) {
                struct tether_stats stats = {.struct_size = sizeof stats};
                struct tether_carrier_stats carrier = {.struct_size = sizeof carrier};
                (void)tether_engine_stats(nodes[i].engine, lane, &stats, &carrier);
            }
        }
        (void)poll(NULL, 0, 2);
    }
    return NULL;
}

/* A flow from one node to the other on the channel of `lane`; both ends filled in. */
static void open_pair(struct node *from, uint64_t from_handle, struct node *to, uint8_t kind, struct transfer *writer,
                      struct transfer *reader)
{
    *writer = (struct transfer){.engine = from->engine, .handle = from_handle, .bytes = BYTES};
    nodes_must(tether_engine_flow_open(from->engine, from_handle, kind, kind == TETHER_FLOW_MESSAGE ? MESSAGE_MOST : 0,
                                       &writer->flow), "flow");
    struct tether_event event = node_event(to, TETHER_EVENT_FLOW_OPENED);
    CHECK(event.flow == writer->flow && event.status == kind);
    *reader = (struct transfer){
        .engine = to->engine, .handle = tether_engine_handle(&event), .flow = event.flow, .bytes = BYTES};
}

static void test_everything_at_once(void)
{
    struct node nodes[2];
    struct transfer writers[PAIRS], readers[PAIRS];
    uint64_t handles[2][LANES];
    uint32_t pairs = 0;
    nodes_udp(&nodes[0], &nodes[1], LANES);
    for (uint16_t lane = 0; lane < LANES; lane++) {
        nodes_must(tether_engine_connect(nodes[0].engine, lane, 1, lane, &nodes[1].addresses[lane], TRANSFER_PATIENCE,
                                         &handles[0][lane]), "connect");
        struct tether_event event = node_event(&nodes[1], TETHER_EVENT_CHANNEL_UP);
        handles[1][lane] = tether_engine_handle(&event);
    }
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (int way = 0; way < 2; way++) {
            for (uint8_t kind = TETHER_FLOW_BYTES; kind <= TETHER_FLOW_MESSAGE; kind++, pairs++)
                open_pair(&nodes[way], handles[way][lane], &nodes[!way], kind, &writers[pairs], &readers[pairs]);
        }
    }
    pthread_t disturber;
    for (int i = 0; i < 2; i++)
        peers[i] = node_peer(&nodes[i], 1);
    CHECK(pthread_create(&disturber, NULL, disturb, nodes) == 0);
    for (uint32_t i = 0; i < pairs; i++) {
        bool messages = i % 2;
        CHECK(pthread_create(&readers[i].thread, NULL,
                             messages ? take_messages : i == 0 ? dawdle : transfer_read_thread, &readers[i]) == 0);
        CHECK(pthread_create(&writers[i].thread, NULL, messages ? send_messages : transfer_write, &writers[i]) == 0);
    }
    for (uint32_t i = 0; i < pairs; i++) {
        pthread_join(writers[i].thread, NULL);
        pthread_join(readers[i].thread, NULL);
        if (writers[i].status || readers[i].status)
            fprintf(stderr, "pair %u: writer %lld, reader %lld\n", i, (long long)writers[i].status,
                    (long long)readers[i].status);
        CHECK(writers[i].status == 0 && readers[i].status == 0);
    }
    atomic_store(&over, 1);
    pthread_join(disturber, NULL);
    (void)poll(NULL, 0, 200); /* the last skips and receipts */
    node_healthy(&nodes[0], 0);
    node_healthy(&nodes[1], 0);
    nodes_free(&nodes[0], &nodes[1]);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_everything_at_once);
    return HARNESS_RESULT();
}
