/* SPDX-License-Identifier: Apache-2.0 */
/* Contact windows: nothing is sent outside, clocks stand still, and what was under way goes on. RTT tables. */
#include "kinds.h"

static struct pair pair;
static struct kinds k;

#define SECOND UINT64_C(1000000000)

static uint64_t opens[3], closes[3];
static uint64_t outside[2]; /* frames that left when nobody could have heard them */

/* What end[i] sends must get there in a window of end[1]; what end[1] sends must leave in one. */
static int watch(void *context, const uint8_t *frame, size_t length)
{
    int sender = *(int *)context, inside = 0;
    uint64_t at = pair.now_ns + (sender == 0 ? pair.wire[0].latency_ns : 0);
    (void)frame;
    (void)length;
    for (int i = 0; i < 3; i++) /* a hundredth of the way is what the reading of a clock by RTT / 2 may be wrong */
        inside |= at + 10000000 >= opens[i] && at < closes[i] + 10000000;
    outside[sender] += !inside;
    return !inside;
}

static void begin(uint64_t seed, uint64_t latency)
{
    static int number[2] = {0, 1};
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++) {
        pair.config[i].rtt_ns = 2 * latency;
        pair.config[i].rate_bps = 0;
        pair.wire[i].latency_ns = latency;
        pair.wire[i].ns_per_frame = 10000000; /* 100 frames a second */
        pair.wire[i].context = &number[i];
    }
    pair_start(&pair);
    pair_connect(&pair);
    pair_run(&pair, 10 * SECOND);
}

/* One end declares three windows, and both keep to them. */
static void windows(uint64_t loss)
{
    struct tether_window plan[3];
    begin(1 + loss, SECOND);
    for (int i = 0; i < 3; i++) {
        plan[i] = (struct tether_window){.start_ns = pair.now_ns + 200 * SECOND * (unsigned)i, .length_ns = 30 * SECOND};
        opens[i] = plan[i].start_ns;
        closes[i] = plan[i].start_ns + plan[i].length_ns;
    }
    CHECK_EQ(tether_endpoint_windows(pair.end[1], pair.now_ns, plan, 3), 0);
    pair_run(&pair, 5 * SECOND);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_BYTES}, 1408 * 5000);
    outside[0] = outside[1] = 0;
    for (int i = 0; i < 2; i++) {
        pair.wire[i].filter = watch;
        pair.wire[i].loss_ppm = loss;
    }
    for (uint64_t until = closes[0] + 100 * SECOND; pair.now_ns < until;) {
        pair_step(&pair, until);
        kinds_step(&pair, &k);
    }
    CHECK(k.got > 1408 * 500 && k.got < 1408 * 3000); /* as much as one window takes */
    {
        struct tether_stats before[2] = {pair_stats(&pair, 0), pair_stats(&pair, 1)};
        pair_run(&pair, 60 * SECOND);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pair_stats(&pair, i).frames_sent, before[i].frames_sent); /* silence, and no clock that ends it */
    }
    while (pair.now_ns < closes[2]) {
        pair_step(&pair, closes[2]);
        kinds_step(&pair, &k);
    }
    CHECK(k.ended);
    CHECK_EQ(k.got, k.total);
    CHECK_EQ(outside[0], 0);
    CHECK_EQ(outside[1], 0);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN) == NULL);
    CHECK(pair_seen(&pair, 1, TETHER_EVENT_CHANNEL_DOWN) == NULL);
    if (loss == 0) /* what was under way when the window closed needs no clock */
        CHECK_EQ(pair_stats(&pair, 0).blocked_sent, 0);
    free(k.there);
    pair_close(&pair);
}

static void nothing_outside(void)
{
    PROVES("T-CLK-9", "T-WIN-1", "T-WIN-2", "T-WIN-3");
    windows(0);
}

static void with_loss(void)
{
    PROVES("T-CLK-9", "T-WIN-1");
    windows(20000);
}

/* Out of contact for longer than any patience: the channel stands. Declared anew, contact is back at once. */
static void longer_than_patience(void)
{
    PROVES("T-CLK-9", "T-WIN-4");
    struct tether_window once = {.length_ns = 5 * SECOND};
    uint8_t byte[100] = {1};
    begin(5, 1000000);
    once.start_ns = pair.now_ns;
    CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, &once, 1), 0);
    pair_run(&pair, SECOND);
    kinds_open(&k, &pair, (struct tether_flow_options){.kind = TETHER_FLOW_MESSAGE, .bound = 1000}, 0);
    pair_run(&pair, 10 * SECOND);
    CHECK_EQ(tether_flow_write(pair.end[0], pair.now_ns, pair.channel[0], k.flow, byte, 100, 0), 100);
    pair_run(&pair, 100000 * SECOND);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN) == NULL);
    CHECK_EQ(pair_stats(&pair, 1).messages_received, 0);
    CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, NULL, 0), 0);
    pair_run(&pair, 10 * SECOND);
    CHECK_EQ(pair_stats(&pair, 1).messages_received, 1);
    free(k.there);
    pair_close(&pair);
}

/* A table stands for the constant, at both ends. */
static void table(void)
{
    PROVES("T-WIN-5", "T-LAT-1");
    struct tether_window entries[2] = {{.length_ns = 3 * SECOND}, {.length_ns = 7 * SECOND}};
    begin(6, 1000000);
    entries[0].start_ns = pair.now_ns;
    entries[1].start_ns = pair.now_ns + 100 * SECOND;
    CHECK_EQ(tether_endpoint_rtt_table(pair.end[1], pair.now_ns, entries, 2), 0);
    pair_run(&pair, 50 * SECOND);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(tether_channel_find(pair.end[i], pair.channel[i])->rtt.declared_ns, 3 * SECOND);
    pair_run(&pair, 60 * SECOND);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(tether_channel_find(pair.end[i], pair.channel[i])->rtt.declared_ns, 7 * SECOND);
    pair_close(&pair);
}

/* Behind its Manifest on each new channel, so also after a restart. */
static void declared_on_every_channel(void)
{
    PROVES("T-MAN-7", "T-WIN-2");
    struct tether_window once = {.length_ns = 1000 * SECOND};
    pair_open(&pair, 8);
    pair_start(&pair);
    for (uint64_t life = 2; life < 5; life++) {
        const struct tether_channel *ch;
        once.start_ns = pair.now_ns;
        CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, &once, 1), 0);
        CHECK_EQ(tether_endpoint_rtt_table(pair.end[0], pair.now_ns, &once, 1), 0);
        pair_connect(&pair);
        pair_run(&pair, SECOND);
        ch = tether_channel_find(pair.end[1], pair.channel[1]);
        CHECK_EQ(ch->peer_windows.count, 1);
        CHECK_EQ(ch->peer_rtt_table.count, 1);
        CHECK(ch->peer_windows.at[0] <= once.start_ns && ch->peer_windows.at[0] + 10000000 > once.start_ns);
        CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, NULL, 0), 0); /* replaces */
        pair_run(&pair, SECOND);
        CHECK_EQ(tether_channel_find(pair.end[1], pair.channel[1])->peer_windows.count, 0);
        pair_restart(&pair, 0, life);
    }
    pair_close(&pair);
}

static void calls(void)
{
    struct tether_window many[17] = {{.start_ns = 5}};
    begin(7, 1000000);
    CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, many, 17), -EINVAL);
    CHECK_EQ(tether_endpoint_windows(pair.end[0], pair.now_ns, many, 2), -EINVAL); /* not in order */
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(nothing_outside);
    RUN(with_loss);
    RUN(longer_than_patience);
    RUN(table);
    RUN(declared_on_every_channel);
    RUN(calls);
    return run_result();
}
