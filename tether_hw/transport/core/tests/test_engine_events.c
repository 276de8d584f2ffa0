/* SPDX-License-Identifier: Apache-2.0 */
/* The event queue: order, no repetition of what waits, bounded, its descriptor readable exactly while something waits. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../src/engine/events.h"
#include "../src/engine/host.h"

static int readable(const struct events *events)
{
    struct pollfd fd = {.fd = events->fd, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static struct tether_event make(uint32_t kind, uint32_t channel, uint16_t flow, uint64_t value)
{
    return (struct tether_event){.kind = kind, .channel = channel, .flow = flow, .value = value};
}

static void test_order_and_repetition(void)
{
    struct events events;
    struct tether_event event, out[8];
    CHECK(events_open(&events, 64) == 0);
    CHECK(!readable(&events));
    for (uint16_t flow = 0; flow < 4; flow++) {
        event = make(TETHER_EVENT_FLOW_READABLE, 7, flow, flow);
        CHECK(!events_put(&events, &event));
    }
    event = make(TETHER_EVENT_FLOW_READABLE, 7, 1, 99);
    CHECK(!events_put(&events, &event)); /* stands already: newest value, old place */
    CHECK(readable(&events));
    CHECK(events_take(&events, 0, out, 3) == 3);
    CHECK(out[0].flow == 0 && out[1].flow == 1 && out[1].value == 99 && out[2].flow == 2);
    CHECK(readable(&events));
    CHECK(!events_put(&events, &event)); /* was taken: is news again */
    CHECK(events_take(&events, 0, out, 8) == 2);
    CHECK(out[0].flow == 3 && out[1].flow == 1);
    CHECK(!readable(&events));
    CHECK(events_take(&events, 0, out, 8) == 0);
    uint64_t before = host_now_ns();
    CHECK(events_take(&events, 20000000, out, 8) == 0);
    CHECK(host_now_ns() - before >= 20000000);
    events_close(&events);
}

/* Against a plain model, with collisions and wrap-around. */
static void test_random_against_model(void)
{
    struct events events;
    struct tether_event model[64], out;
    unsigned waiting = 0;
    uint32_t random = 1;
    CHECK(events_open(&events, 64) == 0);
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        if (random >> 30) { /* three puts to one take: full most of the time */
            struct tether_event event = make(1 + (random >> 8) % 4, (random >> 12) % 8, (uint16_t)((random >> 16) % 4),
                                             (uint64_t)i);
            unsigned at = 0;
            while (at < waiting && (model[at].kind != event.kind || model[at].channel != event.channel ||
                                    model[at].flow != event.flow))
                at++;
            int full = at == waiting && waiting == 64;
            CHECK(events_put(&events, &event) == full);
            if (full) { /* the oldest goes */
                memmove(model, model + 1, --waiting * sizeof *model);
                at--;
            }
            model[at] = event;
            waiting += at == waiting;
        } else if (waiting) {
            CHECK(events_take(&events, 0, &out, 1) == 1);
            CHECK(memcmp(&out, &model[0], sizeof out) == 0);
            memmove(model, model + 1, --waiting * sizeof *model);
        } else {
            CHECK(events_take(&events, 0, &out, 1) == 0);
        }
        CHECK(readable(&events) == (waiting > 0));
    }
    events_close(&events);
}

static void *stop_later(void *argument)
{
    (void)poll(NULL, 0, 20);
    events_stop(argument);
    return NULL;
}

static void test_stop_wakes(void)
{
    struct events events;
    struct tether_event out;
    pthread_t thread;
    CHECK(events_open(&events, 64) == 0);
    CHECK(pthread_create(&thread, NULL, stop_later, &events) == 0);
    CHECK(events_take(&events, -1, &out, 1) == -ESHUTDOWN);
    pthread_join(thread, NULL);
    CHECK(readable(&events)); /* a loop on the descriptor wakes too */
    events_close(&events);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_order_and_repetition);
    RUN(test_random_against_model);
    RUN(test_stop_wakes);
    return HARNESS_RESULT();
}
