/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong on the way and at the ends: lost tails, black holes, restarts, crossing Hails, forged frames. */
#include <errno.h>

#include "pair.h"

static struct pair pair;
static uint8_t bytes[1 << 20], got[1 << 20];

static void begin(uint64_t seed)
{
    pair_begin(&pair, seed, bytes, sizeof bytes);
}

static uint16_t open_flow(int from, uint8_t kind)
{
    uint16_t flow;
    CHECK_EQ(tether_flow_open(pair.end[from], pair.now_ns, pair.channel[from], kind, 0, &flow), 0);
    return flow;
}

static int64_t write_to(int from, uint16_t flow, size_t length)
{
    return tether_flow_write(pair.end[from], pair.now_ns, pair.channel[from], flow, bytes, length, TETHER_WRITE_FLUSH);
}

static int64_t read_from(int at, uint16_t flow)
{
    return tether_flow_read(pair.end[at], pair.now_ns, pair.channel[at], flow, got, sizeof got, NULL);
}

struct wanted {
    int at;
    uint16_t flow;
    int64_t length;
};

static int arrived(struct pair *p, void *context)
{
    struct wanted *w = context;
    int64_t n;
    (void)p;
    n = read_from(w->at, w->flow);
    if (n == -EAGAIN || n == -EBADF)
        return 0;
    CHECK_EQ(n, w->length);
    CHECK(memcmp(got, bytes, (size_t)n) == 0);
    return 1;
}

static uint64_t expect(int at, uint16_t flow, size_t length)
{
    struct wanted w = {at, flow, (int64_t)length};
    uint64_t begun = pair.now_ns;
    pair_until(&pair, arrived, &w, 20000000000);
    return pair.now_ns - begun;
}

/* The last frames of a message are lost, and nothing follows that would show it (C3). */
static void lost_tail(void)
{
    PROVES("T-CLK-2");
    uint16_t flow;
    begin(20);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    CHECK_EQ(write_to(0, flow, 100000), 100000);
    while (tether_flow_find(pair.end[0], tether_channel_find(pair.end[0], pair.channel[0]), flow)->tx.unsent_bytes > 3000)
        pair_step(&pair, pair.now_ns + 1000000);
    pair.wire[0].drop_next = 3;
    CHECK(expect(1, flow, 100000) < 20000000);
    CHECK(pair_stats(&pair, 0).repairs_sent >= 1);
    pair_quiet(&pair);
    pair_close(&pair);
}

/* One clock alone must heal a lost tail: the other end's timer frames are all lost. */
static int drop_blocked(void *context, const uint8_t *frame, size_t length)
{
    (void)context;
    return length == 64 && frame[1] & TETHER_FLAG_BLOCKED;
}

static void one_clock(uint64_t seed, int sender_mute)
{
    uint16_t flow;
    begin(seed);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    if (sender_mute)
        pair.wire[0].filter = drop_blocked;
    CHECK_EQ(write_to(0, flow, 50000), 50000);
    while (tether_flow_find(pair.end[0], tether_channel_find(pair.end[0], pair.channel[0]), flow)->tx.unsent_bytes > 3000)
        pair_step(&pair, pair.now_ns + 1000000);
    pair.wire[0].drop_next = 2;
    if (!sender_mute) /* the receiver's clock never fires */
        pair.end[1]->config.silence_ns = UINT64_C(1) << 50;
    if (!sender_mute)
        tether_channel_find(pair.end[1], pair.channel[1])->silence_floor_ns = UINT64_C(1) << 50;
    CHECK(expect(1, flow, 50000) < 100000000);
    if (sender_mute)
        CHECK(pair_stats(&pair, 1).refresh_sent > 0);
    else
        CHECK(pair_stats(&pair, 0).blocked_sent > 0 && pair_stats(&pair, 1).refresh_sent == 0);
    pair_close(&pair);
}

static void receiver_clock_alone(void)
{
    PROVES("T-CLK-1");
    one_clock(21, 1);
}

static void sender_clock_alone(void)
{
    PROVES("T-CLK-2", "T-CLK-3");
    one_clock(22, 0);
}

/*
 * Demand told by a header-only frame (another flow has the ember), the frame with the grant lost, and every BLOCKED
 * after it: nothing has ever arrived on this flow, and the receiver's clock alone must tell the grant again.
 */
static void grant_lost(void)
{
    PROVES("T-CLK-1");
    uint16_t first, flow;
    begin(29);
    first = open_flow(0, TETHER_FLOW_MESSAGE);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    pair_run(&pair, 5000000);
    pair.wire[1].cut = 1;
    CHECK_EQ(write_to(0, first, 1000), 1000);
    CHECK_EQ(write_to(0, flow, 50000), 50000);
    while (tether_flow_find(pair.end[1], tether_channel_find(pair.end[1], pair.channel[1]), flow)->rx.granted == 0)
        pair_step(&pair, pair.now_ns + 1000000);
    pair_step(&pair, pair.now_ns + 10000);
    pair.wire[0].filter = drop_blocked;
    pair.wire[1].cut = 0;
    CHECK(expect(1, flow, 50000) < 100000000);
    CHECK(pair_stats(&pair, 1).refresh_sent > 0);
    expect(1, first, 1000);
    pair.wire[0].filter = NULL;
    pair_quiet(&pair);
    pair_close(&pair);
}

/* Nothing passes in one direction for a while: grants, or data. */
static void blackhole(void)
{
    PROVES("T-CLK-5");
    for (int way = 0; way < 2; way++) {
        uint16_t flow;
        begin(23 + (uint64_t)way);
        flow = open_flow(0, TETHER_FLOW_MESSAGE);
        pair.wire[way].cut = 1;
        CHECK_EQ(write_to(0, flow, 200000), 200000);
        pair_run(&pair, 2000000000);
        CHECK_EQ(read_from(1, flow), way == 0 ? -EBADF : -EAGAIN);
        /* back-off: 2 s of silence cost few frames */
        CHECK(pair_stats(&pair, 0).blocked_sent < 120);
        CHECK(pair_stats(&pair, 1).refresh_sent < 120);
        pair.wire[way].cut = 0;
        expect(1, flow, 200000);
        pair_quiet(&pair);
        pair_close(&pair);
    }
}

/* Data and no credit at both ends: two clocks, no ping-pong at the speed of the wire (C6). */
static void blocked_both(void)
{
    PROVES("T-RCT-2", "T-CLK-5");
    uint16_t flow[2];
    uint64_t before[2];
    begin(25);
    for (int i = 0; i < 2; i++) {
        flow[i] = open_flow(i, TETHER_FLOW_BYTES);
        pair.end[i]->window = 0; /* nobody grants */
    }
    pair_run(&pair, 10000000);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(write_to(i, flow[i], 100000), 100000);
    for (int i = 0; i < 2; i++)
        before[i] = pair_stats(&pair, i).frames_sent;
    pair_run(&pair, 1000000000);
    for (int i = 0; i < 2; i++) {
        CHECK(pair_stats(&pair, i).frames_sent - before[i] < 200);
        pair.end[i]->window = 768;
        pair.end[i]->grant_dirty = 1;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t sum = 0;
        uint64_t until = pair.now_ns + 5000000000;
        while (sum < 100000 && pair.now_ns < until) {
            int64_t n = read_from(1 - i, flow[i]);
            sum += n > 0 ? (uint64_t)n : 0;
            pair_step(&pair, until);
        }
        CHECK_EQ(sum, 100000);
    }
    pair_quiet(&pair);
    pair_close(&pair);
}

/* The application does not read: nothing overflows, nothing spins, and reading goes on where it stopped (H1). */
static void slow_reader(void)
{
    PROVES("T-GRT-7", "T-GRT-13");
    uint16_t flow;
    uint64_t sum = 0, frames;
    pair_open(&pair, 26);
    pair.config[1].rx_cells = 64;
    pair.config[1].max_message = 1408 * 32;
    pair_start(&pair);
    pair_connect(&pair);
    flow = open_flow(0, TETHER_FLOW_BYTES);
    CHECK_EQ(write_to(0, flow, 1 << 20), 1 << 20);
    pair_run(&pair, 1000000000);
    CHECK(pair.end[1]->held <= 64 + 1);
    frames = pair_stats(&pair, 0).frames_sent;
    pair_run(&pair, 1000000000);
    CHECK(pair_stats(&pair, 0).frames_sent - frames < 40);
    while (sum < 1 << 20) {
        int64_t n = tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow, got, 1408 * 4, NULL);
        sum += n > 0 ? (uint64_t)n : 0;
        pair_run(&pair, 100000);
        CHECK(pair.now_ns < 30000000000);
    }
    pair_quiet(&pair);
    CHECK_EQ(pair_stats(&pair, 1).rejects[TETHER_E_GRANT - TETHER_E_SHORT], 0);
    pair_close(&pair);
}

/* Two messages that do not fit the buffer together: one after the other, no deadlock (C5). */
static void two_large(void)
{
    PROVES("T-MSG-2", "T-MSG-4");
    uint16_t flow[3];
    int done[3] = {0};
    pair_open(&pair, 27);
    pair.config[1].rx_cells = 600;
    pair.config[1].max_message = 1408 * 500;
    pair_start(&pair);
    pair_connect(&pair);
    for (int i = 0; i < 3; i++)
        flow[i] = open_flow(0, TETHER_FLOW_MESSAGE);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++)
            CHECK_EQ(write_to(0, flow[i], (size_t)(1408 * (200 + 99 * k))), 1408 * (200 + 99 * k));
    for (uint64_t until = pair.now_ns + 20000000000; done[0] + done[1] + done[2] < 12;) {
        CHECK(pair.now_ns < until);
        for (int i = 0; i < 3; i++) {
            int64_t n = read_from(1, flow[i]);
            if (n > 0) {
                CHECK_EQ(n, 1408 * (200 + 99 * done[i]));
                CHECK(memcmp(got, bytes, (size_t)n) == 0);
                done[i]++;
            }
        }
        pair_step(&pair, until);
        pair_check(&pair);
    }
    pair_quiet(&pair);
    CHECK(pair.end[1]->waiter == TETHER_NIL);
    pair_close(&pair);
}

/* Cancel in the middle: the receiver drops what had begun, credit comes back, the flow goes on (C4, I8). */
static void cancel(uint64_t seed, uint64_t loss_ppm)
{
    uint16_t flow;
    begin(seed);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    pair.wire[0].loss_ppm = pair.wire[1].loss_ppm = loss_ppm;
    for (int round = 0; round < 20; round++) {
        size_t whole = 1 + test_random(&pair.rng) % 3000;
        CHECK_EQ(write_to(0, flow, 900000), 900000);
        pair_run(&pair, test_random(&pair.rng) % 900000);
        while (tether_flow_cancel(pair.end[0], pair.now_ns, pair.channel[0], flow) == -EAGAIN)
            pair_run(&pair, 1000000);
        CHECK_EQ(write_to(0, flow, whole), whole);
        for (uint64_t until = pair.now_ns + 30000000000;;) {
            int64_t n = read_from(1, flow);
            CHECK(pair.now_ns < until);
            if (n == (int64_t)whole)
                break;
            CHECK(n == -EAGAIN || n == -EBADF || n == 900000); /* sent completely before the cancel */
            pair_step(&pair, until);
        }
        CHECK(memcmp(got, bytes, whole) == 0);
    }
    pair_quiet(&pair);
    CHECK(pair_stats(&pair, 0).skips_sent > 0);
    CHECK_EQ(pair_stats(&pair, 1).skips_received, pair_stats(&pair, 0).skips_sent);
    pair_close(&pair);
}

static void cancel_clean(void)
{
    PROVES("T-RET-1", "T-RET-2", "T-STA-6");
    cancel(28, 0);
}

static void cancel_lossy(void)
{
    PROVES("T-RET-1", "T-STA-6", "T-SKP-2", "T-SKP-3");
    cancel(29, 50000);
}

static void cancel_very_lossy(void) { cancel(30, 200000); }

/* Both ends hail at the same moment: one channel comes of it, and both handles lead to it or end. */
static void crossing(void)
{
    PROVES("T-CRS-1", "T-CRS-2");
    for (uint64_t seed = 40; seed < 60; seed++) {
        uint32_t channel[2];
        int lesser;
        pair_open(&pair, seed);
        pair_start(&pair);
        lesser = memcmp(pair.public_key[0], pair.public_key[1], 32) < 0 ? 0 : 1;
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(tether_channel_open(pair.end[i], pair.now_ns, (uint32_t)(2 - i), 0, NULL, &channel[i]), 0);
            if (i == 0)
                pair_run(&pair, (seed - 40) * 3000);
        }
        pair_until(&pair, pair_both_up, NULL, 5000000000);
        pair_run(&pair, 1000000000);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pair_stats(&pair, i).channels, 1);
        if (seed == 40) { /* exactly at once: the lesser key's Hail stands, and the other handle is told which it is */
            CHECK_EQ(pair.channel[lesser], channel[lesser]);
            CHECK_EQ(pair_seen(&pair, 1 - lesser, TETHER_EVENT_CHANNEL_DOWN)->channel, channel[1 - lesser]);
            CHECK_EQ(pair_seen(&pair, 1 - lesser, TETHER_EVENT_CHANNEL_DOWN)->status, -EISCONN);
            CHECK_EQ(pair_seen(&pair, 1 - lesser, TETHER_EVENT_CHANNEL_DOWN)->value, pair.channel[1 - lesser]);
            CHECK_EQ(tether_channel_find(pair.end[lesser], channel[lesser])->initiator, 1);
        }
        pair_close(&pair);
    }
}

/* A process dies and comes again, with its key and its counter: the old channel falls when the new one is proven. */
static void restart(void)
{
    PROVES("T-CNF-4", "T-CNF-5", "T-RST-1", "T-RST-2");
    for (int who = 0; who < 2; who++) {
        uint16_t flow;
        uint32_t old[2], channel;
        begin(60 + (uint64_t)who);
        flow = open_flow(0, TETHER_FLOW_MESSAGE);
        CHECK_EQ(write_to(0, flow, 5000), 5000);
        expect(1, flow, 5000);
        old[0] = pair.channel[0];
        old[1] = pair.channel[1];
        pair_restart(&pair, who, 2);
        pair_run(&pair, 100000000);
        CHECK_EQ(pair_stats(&pair, 1 - who).channels, 1); /* nothing has fallen yet */
        CHECK_EQ(tether_channel_open(pair.end[who], pair.now_ns, (uint32_t)(2 - who), 0, NULL, &channel), 0);
        pair.channel[who] = 0;
        pair_until(&pair, pair_both_up, NULL, 5000000000);
        pair_run(&pair, 10000000);
        CHECK(pair_seen(&pair, 1 - who, TETHER_EVENT_CHANNEL_DOWN)->channel == old[1 - who]);
        CHECK(pair_seen(&pair, 1 - who, TETHER_EVENT_CHANNEL_DOWN)->status == -ECONNRESET);
        CHECK(pair_seen(&pair, 1 - who, TETHER_EVENT_FLOW_CLOSED)->flow == flow);
        CHECK_EQ(tether_flow_write(pair.end[1 - who], pair.now_ns, old[1 - who], flow, bytes, 10, 0), -EPIPE);
        flow = open_flow(0, TETHER_FLOW_MESSAGE);
        CHECK_EQ(write_to(0, flow, 70000), 70000);
        expect(1, flow, 70000);
        pair_quiet(&pair);
        pair_close(&pair);
    }
}

/* A counter that went back is refused and told so; the next try jumps over it, or asks for a stride (H7). */
static void stale_counter(void)
{
    PROVES("T-CNT-1", "T-CNT-3", "T-STL-1", "T-STL-2");
    uint32_t channel;
    uint64_t last;
    begin(62);
    last = pair.end[0]->counter_next - 1;
    tether_endpoint_free(pair.end[0]);
    pair_endpoint(&pair, 0);
    CHECK_EQ(tether_channel_open(pair.end[0], pair.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&pair, 100000000);
    CHECK_EQ(pair_stats(&pair, 0).lamps_sent, 0); /* no counter, no Hail */
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_NEED_COUNTER) != NULL);
    CHECK_EQ(tether_endpoint_counter(pair.end[0], 5, 100), 0);
    pair_run(&pair, 100000000);
    CHECK_EQ(pair_stats(&pair, 1).rejects[TETHER_E_COUNTER - TETHER_E_SHORT], 1);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_NEED_COUNTER)->value, last);
    pair.channel[0] = 0;
    CHECK_EQ(tether_endpoint_counter(pair.end[0], last + 1, last + 1000), 0);
    pair_until(&pair, pair_both_up, NULL, 5000000000);
    pair_close(&pair);
}

static void roster(void)
{
    PROVES("T-IDN-1", "T-IDN-2", "T-BYE-2");
    struct tether_peer none = {.id = 9, .key_count = 1, .hail = {.kind = TETHER_ADDRESS_PIPE, .length = 1}};
    struct tether_peer again = {.id = 2, .key_count = 1};
    uint32_t channel;
    uint64_t sent;
    uint16_t flow;
    begin(63);
    /* another peer comes: the transfer goes on */
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    CHECK_EQ(write_to(0, flow, 500000), 500000);
    pair_run(&pair, 100000);
    memcpy(again.keys[0], pair.public_key[1], 32);
    again.hail = pair.address[1];
    none.keys[0][0] = 7;
    {
        struct tether_peer two[2] = {none, again};
        CHECK_EQ(tether_endpoint_roster(pair.end[0], pair.now_ns, two, 2), 0);
    }
    expect(1, flow, 500000);
    /* the peer goes: its channel falls here, it is told so, and its Hails are a stranger's there */
    CHECK_EQ(write_to(0, flow, 500000), 500000);
    CHECK_EQ(tether_endpoint_roster(pair.end[1], pair.now_ns, &none, 1), 0);
    pair_run(&pair, 10000000);
    CHECK_EQ(pair_seen(&pair, 1, TETHER_EVENT_CHANNEL_DOWN)->status, -EACCES);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNABORTED);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->value, TETHER_BYE_ROSTER);
    CHECK_EQ(pair_stats(&pair, 1).byes_sent, 1);
    CHECK_EQ(pair_stats(&pair, 0).byes_received, 1);
    CHECK_EQ(pair_stats(&pair, 1).channels, 0);
    CHECK_EQ(pair_stats(&pair, 1).messages_received, 1); /* nothing more of it */
    CHECK_EQ(pair_stats(&pair, 1).grants_outstanding_slots, 0);
    sent = pair_stats(&pair, 1).frames_sent;
    CHECK_EQ(tether_channel_open(pair.end[0], pair.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&pair, 300000000);
    CHECK(pair_stats(&pair, 1).rejects[TETHER_E_STRANGER - TETHER_E_SHORT] > 0);
    CHECK_EQ(pair_stats(&pair, 1).frames_sent, sent); /* silence */
    CHECK_EQ(tether_channel_open(pair.end[1], pair.now_ns, 1, 0, NULL, &channel), -ENOENT);
    pair_close(&pair);
}

struct tap {
    uint8_t frame[PAIR_FRAME];
    size_t length;
    size_t at_least;
};

static int tap(void *context, const uint8_t *frame, size_t length)
{
    struct tap *t = context;
    if (length < t->at_least)
        return 0;
    memcpy(t->frame, frame, length);
    t->length = length;
    return 1; /* the frame itself is lost, so that a good copy is new */
}

/* Whatever is thrown at it: counted by reason, nothing else changes, nothing is answered. */
static void refused(const uint8_t *frame, size_t length, int reason)
{
    uint8_t copy[PAIR_FRAME];
    struct tether_stats before = pair_stats(&pair, 1), after;
    struct tether_channel *ch = tether_channel_find(pair.end[1], pair.channel[1]);
    uint64_t newest = ch->replay.newest, stamp = ch->peer_stamp_ns, frames = ch->frames_received;
    memcpy(copy, frame, length);
    CHECK_EQ(tether_endpoint_receive(pair.end[1], pair.now_ns, &pair.address[0], copy, length), -reason);
    after = pair_stats(&pair, 1);
    CHECK_EQ(after.rejects[reason - TETHER_E_SHORT], before.rejects[reason - TETHER_E_SHORT] + 1);
    before.rejects[reason - TETHER_E_SHORT]++;
    CHECK(memcmp(&before, &after, sizeof after) == 0);
    CHECK_EQ(ch->replay.newest, newest);
    CHECK_EQ(ch->peer_stamp_ns, stamp);
    CHECK_EQ(ch->frames_received, frames);
}

static void forged(void)
{
    PROVES("T-SEA-3", "T-LMP-6", "T-MAC-2", "T-ORD-3");
    struct tap t = {.at_least = 200}, hail = {.at_least = 320};
    uint8_t frame[PAIR_FRAME];
    struct tether_address to;
    uint32_t channel;
    uint16_t flow;
    begin(64);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    pair_run(&pair, 10000000);
    pair.wire[0].filter = tap;
    pair.wire[0].context = &t;
    CHECK_EQ(write_to(0, flow, 1000), 1000);
    pair_run(&pair, 500000);
    CHECK(t.length > 1000);
    pair_run(&pair, 3000000); /* no frame is on its way now */
    for (size_t cut = 0; cut < t.length; cut += 7)
        refused(t.frame, cut, TETHER_E_SHORT);
    for (size_t at = 0; at < t.length; at++)
        for (int bit = 0; bit < 8; bit += 5) {
            int reason = TETHER_E_AUTH;
            memcpy(frame, t.frame, t.length);
            frame[at] ^= (uint8_t)(1 << bit);
            if (at == TETHER_AT_VERSION)
                reason = TETHER_E_VERSION;
            else if (at == TETHER_AT_FLAGS && bit == 0)
                reason = TETHER_E_STATE; /* a Lamp on a channel that does not hail */
            else if (at == TETHER_AT_LENGTH || at == TETHER_AT_LENGTH + 1)
                continue; /* depends on the value: see below */
            else if (at >= TETHER_AT_CHANNEL && at < TETHER_AT_SEQUENCE)
                reason = TETHER_E_STRANGER;
            else if (at >= TETHER_AT_SEQUENCE + 3 && at < TETHER_AT_WANT)
                reason = TETHER_E_EPOCH; /* far epochs are refused by look-up: no key is derived for them */
            refused(frame, t.length, reason);
        }
    memcpy(frame, t.frame, t.length);
    frame[TETHER_AT_LENGTH + 1] = 0;
    frame[TETHER_AT_LENGTH] = 10;
    refused(frame, t.length, TETHER_E_LENGTH);
    /* the frame itself is good, once */
    memcpy(frame, t.frame, t.length);
    CHECK_EQ(tether_endpoint_receive(pair.end[1], pair.now_ns, &pair.address[0], frame, t.length), 0);
    refused(t.frame, t.length, TETHER_E_REPLAY);
    pair.wire[0].filter = NULL;
    expect(1, flow, 1000);
    /* Hails: forged, changed, replayed, of a stranger */
    pair.wire[0].filter = tap;
    pair.wire[0].context = &hail;
    CHECK_EQ(tether_channel_open(pair.end[0], pair.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&pair, 500000);
    CHECK_EQ(hail.length, 23 * 64); /* as large as a frame may be: it probes the path */
    for (size_t at = 0; at < hail.length; at += 3) {
        int reason = TETHER_E_MAC1;
        memcpy(frame, hail.frame, hail.length);
        frame[at] ^= 0x40;
        if (at == TETHER_AT_VERSION)
            reason = TETHER_E_VERSION;
        else if (at == TETHER_AT_LENGTH + 1)
            reason = TETHER_E_SHORT;
        else if (at >= TETHER_AT_CHANNEL && at < TETHER_AT_SEQUENCE)
            reason = TETHER_E_STRANGER; /* no Hail any more, but a Lamp for a channel that nobody has */
        else if (at == TETHER_AT_LENGTH)
            continue;
        refused(frame, hail.length, reason);
    }
    CHECK_EQ(tether_endpoint_transmit(pair.end[1], pair.now_ns, frame, sizeof frame, &to), 0);
    pair_close(&pair);
}

/* Frames go on across the 2^22 boundary of an epoch, from a sequence set just below it. */
static void epoch_roll(void)
{
    PROVES("T-KEY-1", "T-EPO-1");
    uint16_t flow;
    begin(65);
    for (int i = 0; i < 2; i++)
        tether_channel_find(pair.end[i], pair.channel[i])->sequence = (UINT64_C(1) << 22) - 50;
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    for (int k = 0; k < 3; k++) {
        CHECK_EQ(write_to(0, flow, 300000), 300000);
        expect(1, flow, 300000);
        CHECK_EQ(write_to(1, flow, 300000), 300000);
        expect(0, flow, 300000);
        for (int i = 0; i < 2; i++) {
            struct tether_channel *ch = tether_channel_find(pair.end[i], pair.channel[i]);
            CHECK(ch->sequence > UINT64_C(1) << 22);
            ch->sequence = (UINT64_C(1) << 22) * (uint64_t)(k + 2) - 50;
        }
    }
    pair_quiet(&pair);
    CHECK_EQ(pair_stats(&pair, 0).rejects[TETHER_E_EPOCH - TETHER_E_SHORT], 0);
    CHECK_EQ(pair_stats(&pair, 1).rejects[TETHER_E_EPOCH - TETHER_E_SHORT], 0);
    pair_close(&pair);
}

/* Close: the peer hears of it, what had arrived can be read, the slot is free again. */
static void closing(void)
{
    PROVES("T-BYE-1", "T-BYE-2");
    for (int lost = 0; lost < 2; lost++) {
        uint16_t flow;
        begin(66 + (uint64_t)lost);
        flow = open_flow(0, TETHER_FLOW_MESSAGE);
        CHECK_EQ(write_to(0, flow, 5000), 5000);
        pair_run(&pair, 10000000);
        CHECK(pair_seen(&pair, 0, TETHER_EVENT_FLOW_DRAINED) != NULL);
        CHECK_EQ(tether_channel_close(pair.end[0], pair.now_ns, pair.channel[0]), 0);
        pair.wire[0].drop_next = (uint64_t)lost;
        pair_run(&pair, 100000000);
        CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->status, 0);
        CHECK_EQ(pair_seen(&pair, 1, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNABORTED);
        CHECK_EQ(read_from(1, flow), 5000);
        CHECK_EQ(read_from(1, flow), -EPIPE);
        CHECK_EQ(tether_flow_close(pair.end[1], pair.now_ns, pair.channel[1], flow), 0);
        pair_quiet(&pair);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pair.end[i]->channels[0].state, TETHER_CHANNEL_FREE);
        pair_close(&pair);
    }
}

/* A Hail is retried with back-off, each time with a new counter, until there is an answer. */
static void hail_retry(void)
{
    PROVES("T-HAI-7", "T-CNT-2");
    uint32_t channel;
    pair_open(&pair, 68);
    pair_start(&pair);
    pair.wire[1].cut = 1;
    CHECK_EQ(tether_channel_open(pair.end[0], pair.now_ns, 2, 0, NULL, &channel), 0);
    pair_run(&pair, 3000000000);
    CHECK(pair_stats(&pair, 0).lamps_sent > 4);
    CHECK(pair_stats(&pair, 0).lamps_sent < 100);
    CHECK_EQ(pair.end[0]->counter_next - (UINT64_C(1) << 20), pair_stats(&pair, 0).lamps_sent);
    pair.wire[1].cut = 0;
    pair_until(&pair, pair_both_up, NULL, 5000000000);
    pair_run(&pair, 10000000000);
    CHECK_EQ(pair_stats(&pair, 1).channels, 1);
    pair_close(&pair);
}

/* The peer restarts and only listens: our timer frames are a stranger's there, but a Hail tells us that it has. */
static void peer_forgot(void)
{
    PROVES("T-CLK-8", "T-RST-3", "T-CNF-5");
    uint16_t flow;
    begin(70);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    pair_run(&pair, 10000000);
    pair_restart(&pair, 1, 2);
    pair_run(&pair, 30000000000);
    CHECK(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN) == NULL); /* an idle channel has nothing to ask */
    CHECK_EQ(write_to(0, flow, 100), 100);
    pair_run(&pair, 5000000000);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -ECONNRESET);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_FLOW_CLOSED)->flow, flow);
    CHECK_EQ(pair_stats(&pair, 0).channels, 0);
    CHECK_EQ(pair_stats(&pair, 0).free_tx_cells, pair.config[0].tx_cells);
    pair_close(&pair);
}

/* No sequence is used twice: at the last one the channel ends. */
static void last_sequence(void)
{
    PROVES("T-HDR-7");
    uint16_t flow;
    begin(71);
    flow = open_flow(0, TETHER_FLOW_MESSAGE);
    pair_run(&pair, 10000000);
    tether_channel_find(pair.end[0], pair.channel[0])->sequence = TETHER_MASK48;
    CHECK_EQ(write_to(0, flow, 100), 100);
    pair_run(&pair, 10000000);
    CHECK_EQ(pair_seen(&pair, 0, TETHER_EVENT_CHANNEL_DOWN)->status, -EOVERFLOW);
    pair_close(&pair);
}

/* Flows are closed at both ends in all orders, with data on its way and frames lost: every id and cell comes back. */
static void close_flows(void)
{
    PROVES("T-FLW-12", "T-FLW-13");
    for (uint64_t seed = 80; seed < 110; seed++) {
        begin(seed);
        pair.wire[0].loss_ppm = pair.wire[1].loss_ppm = seed % 3 ? 100000 : 0;
        for (int round = 0; round < 12; round++) {
            int first = (int)(test_random(&pair.rng) & 1);
            uint16_t flow = open_flow(round & 1, (uint8_t)(round >> 1 & 1));
            uint64_t until = pair.now_ns + 10000000000;
            while (tether_flow_find(pair.end[1 - (round & 1)],
                                    tether_channel_find(pair.end[1 - (round & 1)], pair.channel[1 - (round & 1)]),
                                    flow) == NULL) {
                CHECK(pair.now_ns < until);
                pair_step(&pair, until);
            }
            CHECK_EQ(write_to(0, flow, 60000), 60000);
            CHECK_EQ(write_to(1, flow, 60000), 60000);
            pair_run(&pair, test_random(&pair.rng) % 300000);
            CHECK_EQ(tether_flow_close(pair.end[first], pair.now_ns, pair.channel[first], flow), 0);
            pair_run(&pair, test_random(&pair.rng) % 300000);
            (void)tether_flow_close(pair.end[1 - first], pair.now_ns, pair.channel[1 - first], flow);
        }
        pair_quiet(&pair);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pair_stats(&pair, i).flows, 0);
            CHECK_EQ(pair_stats(&pair, i).channels, 1);
        }
        pair_close(&pair);
    }
}

/* A path far slower than declared: each retry voids the Hail before it, so the retries must get out of its way. */
static void slow_path(void)
{
    PROVES("T-HAI-7");
    for (uint64_t rtt_ns = 50000000; rtt_ns <= 1600000000; rtt_ns *= 2) {
        uint32_t channel;
        pair_open(&pair, 30 + rtt_ns);
        for (int way = 0; way < 2; way++)
            pair.wire[way].latency_ns = rtt_ns / 2;
        pair_start(&pair);
        CHECK_EQ(tether_channel_open(pair.end[0], pair.now_ns, 2, 0, NULL, &channel), 0);
        pair_until(&pair, pair_both_up, NULL, 20000000000);
        CHECK(tether_channel_find(pair.end[0], channel)->hails_sent <= 16);
        pair_close(&pair);
    }
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(lost_tail);
    RUN(receiver_clock_alone);
    RUN(sender_clock_alone);
    RUN(grant_lost);
    RUN(blackhole);
    RUN(blocked_both);
    RUN(slow_reader);
    RUN(two_large);
    RUN(cancel_clean);
    RUN(cancel_lossy);
    RUN(cancel_very_lossy);
    RUN(crossing);
    RUN(restart);
    RUN(stale_counter);
    RUN(roster);
    RUN(forged);
    RUN(epoch_roll);
    RUN(closing);
    RUN(hail_retry);
    RUN(slow_path);
    RUN(peer_forgot);
    RUN(last_sequence);
    RUN(close_flows);
    return run_result();
}
