/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between lanes: several threads put, one takes, nothing is lost, torn or doubled; full is said. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "../src/engine/handover.h"

enum { PRODUCERS = 3, FRAMES_EACH = 20000, FRAME_BYTES = 192 };

struct producer {
    pthread_t thread;
    struct handover *handover;
    uint32_t number;
};

static void *produce(void *argument)
{
    struct producer *producer = argument;
    uint8_t data[FRAME_BYTES];
    struct tether_arrival frame = {.data = data, .length = FRAME_BYTES};
    frame.from.kind = TETHER_ADDRESS_PIPE;
    frame.from.bytes[0] = (uint8_t)producer->number;
    for (uint32_t i = 0; i < FRAMES_EACH;) {
        memset(data, (int)(i & 0xff), sizeof data);
        memcpy(data, &i, sizeof i);
        if (handover_put(producer->handover, &frame))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void test_many_to_one(void)
{
    struct producer producers[PRODUCERS];
    uint32_t next[PRODUCERS] = {0}, got = 0;
    struct handover *handover = handover_new(64, FRAME_BYTES);
    CHECK(handover != NULL);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.handover = handover, .number = i};
        CHECK(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
    }
    while (got < PRODUCERS * FRAMES_EACH) {
        struct tether_arrival frame;
        if (!handover_take(handover, &frame)) {
            sched_yield();
            continue;
        }
        uint32_t from = frame.from.bytes[0], number;
        memcpy(&number, frame.data, sizeof number);
        int whole = frame.length == FRAME_BYTES && from < PRODUCERS && number == next[from < PRODUCERS ? from : 0];
        for (uint32_t i = 4; i < FRAME_BYTES; i++)
            whole &= frame.data[i] == (number & 0xff);
        CHECK(whole);
        if (!whole)
            break;
        next[from]++;
        got++;
        handover_done(handover);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
    CHECK(!handover_waits(handover));
    handover_free(handover);
}

static void test_bounds(void)
{
    struct handover *handover = handover_new(5, 100); /* 8 frames, 128 bytes */
    uint8_t data[256] = {0};
    struct tether_arrival frame = {.data = data, .length = 129}, out;
    CHECK(!handover_put(handover, &frame));
    frame.length = 128;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++)
            CHECK(handover_put(handover, &frame));
        CHECK(!handover_put(handover, &frame));
        CHECK(handover_take(handover, &out) && !handover_put(handover, &frame)); /* lent is not free */
        handover_done(handover);
        CHECK(handover_put(handover, &frame));
        for (int i = 0; i < 8; i++) {
            CHECK(handover_take(handover, &out) && out.length == 128);
            handover_done(handover);
        }
        CHECK(!handover_take(handover, &out));
    }
    handover_free(handover);
    handover_free(NULL);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_many_to_one);
    RUN(test_bounds);
    return HARNESS_RESULT();
}
