/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h: checkable bytes and messages through two running engines, by their blocking calls. */
#ifndef TETHER_TEST_TRANSFER_H
#define TETHER_TEST_TRANSFER_H

#include <pthread.h>

#include "nodes.h"

enum { TRANSFER_PIECE = 100000 };
#define TRANSFER_PATIENCE INT64_C(20000000000)

static inline uint8_t transfer_byte(uint64_t at)
{
    return (uint8_t)(at * 167 + (at >> 8) * 13 + (at >> 16));
}

struct transfer {
    tether_engine *engine;
    uint64_t handle, bytes;
    uint16_t flow;
    int64_t status;
    pthread_t thread;
};

static inline void *transfer_write(void *argument)
{
    struct transfer *transfer = argument;
    static _Thread_local uint8_t piece[TRANSFER_PIECE];
    for (uint64_t at = 0; at < transfer->bytes;) {
        size_t length = transfer->bytes - at < sizeof piece ? (size_t)(transfer->bytes - at) : sizeof piece;
        for (size_t i = 0; i < length; i++)
            piece[i] = transfer_byte(at + i);
        uint32_t flags = at + length == transfer->bytes ? TETHER_WRITE_END | TETHER_WRITE_FLUSH : 0;
        int64_t took = tether_engine_flow_write(transfer->engine, transfer->handle, transfer->flow, piece, length,
                                                flags, TRANSFER_PATIENCE);
        if (took != (int64_t)length) {
            transfer->status = took < 0 ? took : -EIO;
            fprintf(stderr, "write at %llu: %s\n", (unsigned long long)at, tether_engine_error(NULL));
            return NULL;
        }
        at += length;
    }
    transfer->status = tether_engine_flow_drain(transfer->engine, transfer->handle, transfer->flow, TRANSFER_PATIENCE);
    return NULL;
}

/* Reads to the end of the flow; how many bytes were right. */
static inline uint64_t transfer_read(struct transfer *transfer)
{
    static _Thread_local uint8_t piece[TRANSFER_PIECE];
    uint64_t at = 0;
    for (;;) {
        uint32_t flags = 0;
        int64_t got = tether_engine_flow_read(transfer->engine, transfer->handle, transfer->flow, piece, sizeof piece,
                                              &flags, TRANSFER_PATIENCE);
        if (got < 0) {
            fprintf(stderr, "read at %llu: %s\n", (unsigned long long)at, tether_engine_error(NULL));
            transfer->status = got;
            return at;
        }
        for (int64_t i = 0; i < got; i++, at++) {
            if (piece[i] != transfer_byte(at)) {
                fprintf(stderr, "wrong byte at %llu\n", (unsigned long long)at);
                transfer->status = -EBADMSG;
                return at;
            }
        }
        if (got == 0 && (flags & TETHER_READ_END))
            return at;
    }
}

static inline void *transfer_read_thread(void *argument)
{
    struct transfer *transfer = argument;
    uint64_t got = transfer_read(transfer);
    if (!transfer->status && got != transfer->bytes)
        transfer->status = -EIO;
    return NULL;
}

/* One byte flow each on `channels` channels (lane i to lane i), all at once; every byte checked. */
static inline void transfer_run(struct node *a, struct node *b, uint32_t channels, uint64_t bytes)
{
    struct transfer writers[NODES_LANES_MAX], readers[NODES_LANES_MAX];
    for (uint16_t i = 0; i < channels; i++) {
        writers[i] = (struct transfer){.engine = a->engine, .bytes = bytes};
        nodes_must(tether_engine_connect(a->engine, i, 1, i, &b->addresses[i], TRANSFER_PATIENCE, &writers[i].handle),
                   "connect");
        nodes_must(tether_engine_flow_open(a->engine, writers[i].handle, TETHER_FLOW_BYTES, 0, &writers[i].flow),
                   "flow");
        struct tether_event event = node_event(b, TETHER_EVENT_FLOW_OPENED);
        CHECK(event.lane == i && event.flow == writers[i].flow);
        readers[i] = (struct transfer){
            .engine = b->engine, .bytes = bytes, .handle = tether_engine_handle(&event), .flow = event.flow};
    }
    for (uint32_t i = 0; i < channels; i++) {
        CHECK(pthread_create(&writers[i].thread, NULL, transfer_write, &writers[i]) == 0);
        CHECK(pthread_create(&readers[i].thread, NULL, transfer_read_thread, &readers[i]) == 0);
    }
    for (uint32_t i = 0; i < channels; i++) {
        pthread_join(writers[i].thread, NULL);
        pthread_join(readers[i].thread, NULL);
        CHECK(writers[i].status == 0 && readers[i].status == 0);
    }
}

/* `count` messages there and back over one channel; the last one is large. */
static inline void transfer_echo(struct node *a, struct node *b, uint32_t count)
{
    static uint8_t message[300000], back[300000];
    uint64_t handle;
    uint16_t flow;
    nodes_must(tether_engine_connect(a->engine, 0, 1, 0, NULL, TRANSFER_PATIENCE, &handle), "connect");
    nodes_must(tether_engine_flow_open(a->engine, handle, TETHER_FLOW_MESSAGE, sizeof message, &flow), "flow");
    struct tether_event event = node_event(b, TETHER_EVENT_FLOW_OPENED);
    CHECK(event.status == TETHER_FLOW_MESSAGE && event.value == sizeof message);
    for (uint32_t i = 0; i < count; i++) {
        size_t length = i + 1 == count ? sizeof message : 1 + i * 37 % 5000;
        for (size_t k = 0; k < length; k++)
            message[k] = transfer_byte(i * 1000 + k);
        CHECK(tether_engine_flow_write(a->engine, handle, flow, message, length, TETHER_WRITE_FLUSH,
                                       TRANSFER_PATIENCE) == (int64_t)length);
        uint64_t size = 0;
        CHECK(tether_engine_flow_message_size(b->engine, tether_engine_handle(&event), event.flow, &size,
                                              TRANSFER_PATIENCE) == 0);
        CHECK(size == length);
        CHECK(tether_engine_flow_read(b->engine, tether_engine_handle(&event), event.flow, back, size, NULL, 0) ==
              (int64_t)length);
        CHECK(memcmp(message, back, length) == 0);
        CHECK(tether_engine_flow_write(b->engine, tether_engine_handle(&event), event.flow, back, length,
                                       TETHER_WRITE_FLUSH, TRANSFER_PATIENCE) == (int64_t)length);
        memset(back, 0, length);
        CHECK(tether_engine_flow_read(a->engine, handle, flow, back, sizeof back, NULL, TRANSFER_PATIENCE) ==
              (int64_t)length);
        CHECK(memcmp(message, back, length) == 0);
    }
    CHECK(tether_engine_flow_drain(b->engine, tether_engine_handle(&event), event.flow, TRANSFER_PATIENCE) == 0);
}

#endif
