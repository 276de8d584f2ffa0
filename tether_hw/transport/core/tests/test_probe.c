/* SPDX-License-Identifier: Apache-2.0 */
/* How large a frame the path carries, where the peer is, and what a restart leaves behind. */
#include <errno.h>

#define PAIR_FLIGHT 8192
#include "pair.h"

static struct pair p;
static uint8_t bytes[1 << 18], got[1 << 18];

static void fill(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
}

static struct tether_channel *channel(int i)
{
    return tether_channel_find(p.end[i], p.channel[i]);
}

/* A link that loses what is too large, without a word. */
static int narrow(void *context, const uint8_t *frame, size_t length)
{
    const size_t *most = context;
    (void)frame;
    return length > *most;
}

static void send_through(size_t most)
{
    struct tether_flow_state state = {.struct_size = sizeof state};
    uint16_t flow;
    int64_t n = -EAGAIN;
    for (int from = 0; from < 2; from++) {
        uint64_t until;
        CHECK_EQ(tether_flow_open(p.end[from], p.now_ns, p.channel[from], TETHER_FLOW_MESSAGE, sizeof bytes, &flow), 0);
        CHECK_EQ(tether_flow_write(p.end[from], p.now_ns, p.channel[from], flow, bytes, 200000, 0), 200000);
        for (until = p.now_ns + 5000000000; p.now_ns < until && n < 0;) {
            pair_step(&p, until);
            n = tether_flow_read(p.end[1 - from], p.now_ns, p.channel[1 - from], flow, got, sizeof got, NULL);
        }
        CHECK_EQ(n, 200000);
        CHECK(memcmp(got, bytes, 200000) == 0);
        CHECK_EQ(channel(from)->cut_bytes <= most - 64, 1);
        n = -EAGAIN;
    }
}

/* Whatever passes, the channel uses it: full frames, a tunnel's, IPv6's least; one way or both. */
static void sizes(void)
{
    static const struct {
        size_t forth, back;
        uint32_t blocks;
    } cases[] = {{1472, 1472, 22}, {1400, 1400, 20}, {1472, 1400, 20}, {1400, 1472, 20}, {1232, 9000, 18}, {600, 600, 8}};
    PROVES("T-PMT-1", "T-PMT-2", "T-PMT-3", "T-PMT-4", "T-RPL-5");
    fill();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        pair_open(&p, 10 + c);
        pair_start(&p);
        p.wire[0].filter = p.wire[1].filter = narrow;
        p.wire[0].context = (void *)(uintptr_t)&cases[c].forth;
        p.wire[1].context = (void *)(uintptr_t)&cases[c].back;
        pair_connect(&p);
        pair_run(&p, 5000000);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(channel(i)->cut_bytes, cases[c].blocks * 64);
        CHECK_EQ(channel(0)->path_blocks, channel(1)->path_blocks);
        send_through(cases[c].forth < cases[c].back ? cases[c].forth : cases[c].back);
        CHECK_EQ(pair_stats(&p, 0).repairs_sent + pair_stats(&p, 1).repairs_sent, 0);
        pair_close(&p);
    }
}

/* A channel that is up, with keys that are old after a second. */
static void begin_short_keys(uint64_t seed)
{
    pair_open(&p, seed);
    for (int i = 0; i < 2; i++) {
        p.config[i].rekey_s = 1;
        p.config[i].max_flows = 64;
    }
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
    send_through(1472);
}

static int goes_down(struct pair *pair, void *context)
{
    (void)context;
    return pair_seen(pair, 0, TETHER_EVENT_CHANNEL_DOWN) != NULL && pair_seen(pair, 1, TETHER_EVENT_CHANNEL_DOWN) != NULL;
}

/* Hails that pass by end[0], which asks for new keys first: sizes in payload blocks. */
struct hails {
    uint32_t count, full;
    size_t most;
};

static int count_hails(void *context, const uint8_t *frame, size_t length)
{
    struct hails *h = context;
    struct tether_header header;
    tether_wire_decode(&header, frame);
    h->count += header.channel == 0;
    h->full += header.channel == 0 && length == 23 * 64;
    return length > h->most;
}

/* The path becomes narrower under a channel: only what is large is lost, so nothing else would end it. */
static void narrower(void)
{
    static const size_t ways[][2] = {{1400, 9000}, {9000, 1400}, {1400, 1400}, {700, 700}};
    PROVES("T-PMT-1", "T-PMT-6");
    fill();
    for (size_t c = 0; c < sizeof ways / sizeof ways[0]; c++) {
        struct hails hails = {.most = ways[c][0]};
        uint16_t flow;
        begin_short_keys(90 + c);
        CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
        CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, bytes, 200000, 0), 200000);
        p.wire[0].filter = count_hails;
        p.wire[0].context = &hails;
        p.wire[1].filter = narrow;
        p.wire[1].context = (void *)(uintptr_t)&ways[c][1];
        pair_until(&p, goes_down, NULL, 40000000000);
        CHECK_EQ(pair_seen(&p, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -EMSGSIZE);
        CHECK_EQ(pair_seen(&p, 1, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNABORTED);
        CHECK_EQ(pair_seen(&p, 1, TETHER_EVENT_CHANNEL_DOWN)->value, TETHER_BYE_PATH);
        CHECK(hails.full >= 11 && hails.count <= hails.full + 4);
        pair_connect(&p);
        CHECK_EQ(channel(0)->cut_bytes, (ways[c][0] < ways[c][1] ? ways[c][0] : ways[c][1]) / 64 == 21 ? 20 * 64 : 8 * 64);
        send_through(1400);
        pair_close(&p);
    }
}

/* New keys on a path that is as wide as ever, and loses a lot: no channel ends of it, and keys change. */
static void as_wide_as_ever(void)
{
    PROVES("T-PMT-6");
    fill();
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct hails hails = {.most = 9000};
        begin_short_keys(100 + seed);
        p.wire[0].filter = count_hails;
        p.wire[0].context = &hails;
        p.wire[0].loss_ppm = p.wire[1].loss_ppm = seed * 80000;
        for (int i = 0; i < 10; i++) {
            send_through(1472);
            pair_run(&p, 1000000000);
        }
        CHECK(pair_stats(&p, 0).rekeys >= 5);
        CHECK(hails.full >= 5 && (seed || hails.count == hails.full));
        CHECK(pair_seen(&p, 0, TETHER_EVENT_CHANNEL_DOWN) == NULL);
        pair_close(&p);
    }
}

/* Nobody is there for a while, and Hails get smaller: who comes then is asked again in full size. */
static void late_peer(void)
{
    PROVES("T-PMT-4");
    for (uint64_t seed = 0; seed < 8; seed++) {
        uint32_t handle;
        pair_open(&p, 30 + seed);
        pair_start(&p);
        p.wire[0].cut = 1;
        CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &handle), 0);
        pair_run(&p, 500000000 + seed * 1700000000);
        p.wire[0].cut = 0;
        pair_until(&p, pair_both_up, NULL, 10000000000);
        CHECK_EQ(channel(0)->path_blocks, 22);
        pair_close(&p);
    }
}

/* The size is that of each channel: peers of different frames, the smaller one rules. */
static void mixed(void)
{
    PROVES("T-PMT-3", "T-FRM-6");
    fill();
    pair_open(&p, 50);
    p.config[0].frame_blocks = 30;
    p.config[1].frame_blocks = 22;
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
    CHECK_EQ(channel(0)->cut_bytes, 22 * 64);
    CHECK_EQ(channel(1)->cut_bytes, 22 * 64);
    send_through(23 * 64);
    pair_close(&p);
}

/* A lane moves: told by the Manifest, believed when it is heard from there, and not before. */
static void moves(void)
{
    struct tether_address there = {.kind = TETHER_ADDRESS_PIPE, .length = 2, .bytes = {9, 9}}, old;
    PROVES("T-ENC-7", "T-ENC-8");
    fill();
    pair_open(&p, 60);
    pair_start(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
    old = channel(1)->address;
    CHECK_EQ(tether_endpoint_moved(p.end[0], 0, &there), 0);
    CHECK_EQ(tether_endpoint_moved(p.end[0], 3, &there), -EINVAL);
    pair_run(&p, 50000000);
    CHECK(tether_same_address(&channel(1)->peer_addresses[0], &there));
    CHECK(tether_same_address(&channel(1)->address, &old)); /* said, not seen */
    p.address[0].bytes[0] = 77; /* seen, not said: not followed */
    pair_run(&p, 1000000);
    send_through(1472);
    CHECK(tether_same_address(&channel(1)->address, &old));
    p.address[0] = there;
    send_through(1472);
    CHECK(tether_same_address(&channel(1)->address, &there));
    CHECK(!channel(1)->moves);
    pair_close(&p);
}

/* A Hail goes where the newest Manifest says that the lane is; the roster's address is for the first. */
static void hail_address(void)
{
    struct tether_address lanes[2] = {{.kind = TETHER_ADDRESS_PIPE, .length = 1, .bytes = {1}},
                                      {.kind = TETHER_ADDRESS_PIPE, .length = 2, .bytes = {1, 1}}};
    uint32_t handle, again;
    PROVES("T-ENC-4", "T-IDN-3", "T-HAI-8");
    pair_open(&p, 61);
    p.config[1].lanes = 2;
    p.config[1].lane_addresses = lanes;
    pair_start(&p);
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 1, NULL, &handle), 0);
    CHECK(tether_same_address(&tether_channel_find(p.end[0], handle)->address, &p.address[1]));
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 1, NULL, &again), 0);
    CHECK_EQ(again, handle); /* one Hail for a lane pair */
    CHECK_EQ(tether_channel_close(p.end[0], p.now_ns, handle), 0);
    pair_events(&p);
    pair_connect(&p);
    pair_run(&p, 5000000);
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 1, NULL, &handle), 0);
    CHECK(tether_same_address(&tether_channel_find(p.end[0], handle)->address, &lanes[1]));
    pair_close(&p);
}

/* Either side dies in the middle of a message: nothing of before is accepted, and what has no receipt is unknown. */
struct kept {
    uint8_t frame[64][PAIR_FRAME];
    size_t length[64];
    int count;
};

static int keep(void *context, const uint8_t *frame, size_t length)
{
    struct kept *kept = context;
    if (kept->count < 64 && length > 128) {
        memcpy(kept->frame[kept->count], frame, length);
        kept->length[kept->count++] = length;
    }
    return 0;
}

static void restart_in_a_transfer(void)
{
    static struct kept kept;
    PROVES("T-RST-1", "T-RST-2", "T-RST-4", "T-CNF-4", "T-CNF-5");
    fill();
    for (int who = 0; who < 2; who++) {
        uint32_t old[2], handle;
        uint16_t flow;
        int64_t n;
        pair_open(&p, 70 + (uint64_t)who);
        pair_start(&p);
        pair_connect(&p);
        CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], TETHER_FLOW_MESSAGE, 0, &flow), 0);
        kept.count = 0;
        p.wire[0].filter = keep;
        p.wire[0].context = &kept;
        for (int i = 0; i < 3; i++)
            CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, bytes, 60000, 0), 60000);
        while (tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, got, sizeof got, NULL) != 60000)
            pair_step(&p, p.now_ns + 1000000);
        CHECK(kept.count > 30);
        old[0] = p.channel[0];
        old[1] = p.channel[1];
        p.wire[0].filter = NULL;
        pair_restart(&p, who, 2);
        CHECK_EQ(tether_channel_open(p.end[who], p.now_ns, (uint32_t)(2 - who), 0, NULL, &handle), 0);
        p.channel[who] = 0;
        p.event_count[1 - who] = 0;
        pair_until(&p, pair_both_up, NULL, 5000000000);
        pair_run(&p, 100000000);
        /* the survivor is told, channel and flow, and both are new channels */
        CHECK_EQ(pair_seen(&p, 1 - who, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNRESET);
        CHECK_EQ(pair_seen(&p, 1 - who, TETHER_EVENT_CHANNEL_DOWN)->channel, old[1 - who]);
        CHECK(p.channel[1 - who] != old[1 - who]);
        /* all that was on the way, and once more: strangers, every one */
        for (int i = 0; i < kept.count; i++) {
            int result = tether_endpoint_receive(p.end[1], p.now_ns, &p.address[0], kept.frame[i], kept.length[i]);
            CHECK(result == -TETHER_E_STRANGER || result == -TETHER_E_AUTH);
        }
        /* the message that had arrived is not delivered again; what went on can still be read once by the survivor */
        n = tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, got, sizeof got, NULL);
        CHECK(n == -EBADF || n == -EAGAIN);
        CHECK_EQ(tether_flow_write(p.end[1 - who], p.now_ns, old[1 - who], flow, bytes, 10, 0), -EPIPE);
        pair_close(&p);
    }
}

/* The image of a host goes back in time: its counters are stale, it is told so, and comes up by itself. */
static void restored_snapshot(void)
{
    uint32_t handle;
    PROVES("T-STL-2", "T-STL-3");
    pair_open(&p, 80);
    pair_start(&p);
    for (uint64_t life = 2; life < 6; life++) {
        pair_connect(&p);
        pair_run(&p, 10000000);
        p.channel[0] = 0;
        pair_restart(&p, 0, life);
    }
    p.channel[0] = 0;
    pair_restart(&p, 0, 1); /* the counter of long ago */
    CHECK_EQ(tether_channel_open(p.end[0], p.now_ns, 2, 0, NULL, &handle), 0);
    pair_run(&p, 100000000);
    CHECK(pair_stats(&p, 1).rejects[TETHER_E_COUNTER - TETHER_E_SHORT] >= 1);
    CHECK(pair_seen(&p, 0, TETHER_EVENT_NEED_COUNTER) != NULL);
    CHECK_EQ(tether_endpoint_counter(p.end[0], p.end[0]->counter_next, p.end[0]->counter_next + 1000), 0);
    pair_until(&p, pair_both_up, NULL, 5000000000);
    /* one lying peer moves the counter by a leap, not to the end */
    CHECK(p.end[0]->counter_next < UINT64_C(1) << 40);
    pair_close(&p);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(sizes);
    RUN(narrower);
    RUN(as_wide_as_ever);
    RUN(late_peer);
    RUN(mixed);
    RUN(moves);
    RUN(hail_address);
    RUN(restart_in_a_transfer);
    RUN(restored_snapshot);
    return run_result();
}
