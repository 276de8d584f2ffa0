/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, 6.5 and 6.7: who does not read stops the one who sends to it, and nobody else. */
#include "pair.h"

enum { CELLS = 128, RING = 64, BULK = 500000, MESSAGE = 10000 };

static struct pair p;
static uint8_t data[BULK], sink[BULK];

static void begin(uint64_t seed, uint64_t loss_ppm)
{
    pair_open(&p, seed);
    p.config[1].rx_cells = CELLS;
    p.config[1].ring_frames = RING;
    p.config[1].max_message = MESSAGE;
    p.wire[0].loss_ppm = p.wire[1].loss_ppm = loss_ppm;
    pair_start(&p);
    pair_connect(&p);
}

static uint16_t opens(uint8_t kind)
{
    uint16_t flow;
    CHECK_EQ(tether_flow_open(p.end[0], p.now_ns, p.channel[0], kind, kind == TETHER_FLOW_MESSAGE ? MESSAGE : 0, &flow), 0);
    return flow;
}

/* As much as is taken, up to BULK bytes: `size` at a time. */
static size_t fill(uint16_t flow, size_t size)
{
    size_t put = 0;
    while (put + size <= BULK &&
           tether_flow_write(p.end[0], p.now_ns, p.channel[0], flow, data, size, TETHER_WRITE_FLUSH) > 0)
        put += size;
    return put;
}

static size_t take(uint16_t flow, uint64_t ns)
{
    size_t got = 0;
    for (uint64_t until = p.now_ns + ns; p.now_ns < until;) {
        int64_t n;
        while ((n = tether_flow_read(p.end[1], p.now_ns, p.channel[1], flow, sink, sizeof sink, NULL)) > 0)
            got += (size_t)n;
        pair_run(&p, 1000000);
    }
    return got;
}

/* Nobody reads `bulk`; what is sent on others comes all the same, and then all of `bulk`. */
static void beside(uint64_t seed, uint8_t bulk_kind, size_t size, uint64_t loss_ppm)
{
    uint16_t bulk, message, bytes;
    const struct tether_flow *unread;
    struct tether_channel *ch;
    uint64_t granted;
    size_t written;
    begin(seed, loss_ppm);
    bulk = opens(bulk_kind);
    written = fill(bulk, size);
    pair_run(&p, UINT64_C(2000000000));
    unread = tether_flow_lookup(p.end[1], p.channel[1], bulk, &ch);
    CHECK(unread != NULL && unread->rx.held >= CELLS / 4);
    CHECK(tether_grant_free(p.end[1]) >= (loss_ppm ? (MESSAGE + 1407) / 1408 : CELLS / 4)); /* a gap kept it from being read */
    granted = unread->rx.granted;
    message = opens(TETHER_FLOW_MESSAGE);
    bytes = opens(TETHER_FLOW_BYTES);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], message, data, MESSAGE, 0), MESSAGE);
        CHECK_EQ(tether_flow_write(p.end[0], p.now_ns, p.channel[0], bytes, data, 5000, TETHER_WRITE_FLUSH), 5000);
        CHECK_EQ(take(message, 200000000), MESSAGE);
        CHECK_EQ(take(bytes, 200000000), 5000);
        CHECK(unread->rx.granted <= granted + 22); /* no ember of it is covered on and on */
    }
    CHECK_EQ(take(bulk, UINT64_C(4000000000)), written);
    CHECK_EQ(tether_flow_close(p.end[0], p.now_ns, p.channel[0], bulk), 0);
    CHECK_EQ(tether_flow_close(p.end[1], p.now_ns, p.channel[1], bulk), 0);
    pair_quiet(&p);
    pair_close(&p);
}

static void bytes_that_nobody_reads(void)
{
    PROVES("T-SCH-7", "T-STA-5", "T-GRT-13");
    for (uint64_t seed = 1; seed < 5; seed++) {
        beside(seed, TETHER_FLOW_BYTES, BULK, 0);
        beside(seed, TETHER_FLOW_BYTES, 100, 20000); /* a cell for each little flush */
    }
}

static void messages_that_nobody_reads(void)
{
    PROVES("T-SCH-7", "T-STA-5");
    for (uint64_t seed = 1; seed < 5; seed++) {
        beside(seed, TETHER_FLOW_MESSAGE, 1000, 0);
        beside(seed, TETHER_FLOW_MESSAGE, MESSAGE, 20000);
        beside(seed, TETHER_FLOW_MESSAGE, 10, 0);
    }
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(bytes_that_nobody_reads);
    RUN(messages_that_nobody_reads);
    return run_result();
}
