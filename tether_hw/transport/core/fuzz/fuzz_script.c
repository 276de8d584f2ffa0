/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two honest endpoints, and a script of bytes for their applications and for the link between them: flows open, are
 * written, read, cancelled and closed; frames are lost, doubled, overtaken, or nothing comes through for a while. No
 * message comes twice, out of order or with other bytes; invariants hold after every step; and when the link has
 * healed and everything is read, all credit and every cell is back.
 */
#define PAIR_FLIGHT 4096
#include "../tests/pair.h"

enum { FLOWS = 6, OPS_MAX = 64, MESSAGE_MAX = 9000 };

struct stream {
    uint16_t id;
    uint8_t kind, opener;
    uint8_t closed[2], seen;
    uint32_t written[2], read[2]; /* messages: number of the next; bytes: position */
    uint8_t cancelled[2];         /* bytes may be missing */
};

static struct {
    struct pair pair;
    struct stream streams[FLOWS];
    uint32_t count;
    uint8_t buffer[MESSAGE_MAX];
} it;

/* Message number n of a stream: its length, and bytes that tell number and place. */
static uint32_t message(uint32_t number, uint32_t length)
{
    for (uint32_t i = 4; i < length; i++)
        it.buffer[i] = (uint8_t)(number * 31 + i);
    tether_put32(it.buffer, number);
    return length;
}

static void write_some(struct stream *s, int from, uint32_t length)
{
    struct pair *p = &it.pair;
    int64_t took;
    if (s->kind == TETHER_FLOW_MESSAGE) {
        took = tether_flow_write(p->end[from], p->now_ns, p->channel[from], s->id, it.buffer,
                                 message(s->written[from], length), 0);
        s->written[from] += took > 0;
    } else {
        for (uint32_t i = 0; i < length; i++)
            it.buffer[i] = (uint8_t)((s->written[from] + i) * 7);
        took = tether_flow_write(p->end[from], p->now_ns, p->channel[from], s->id, it.buffer, length, TETHER_WRITE_FLUSH);
        s->written[from] += took > 0 ? (uint32_t)took : 0;
    }
}

/* Everything readable, or one read; what comes is what was written, in order, once. */
static void read_some(struct stream *s, int to, int all)
{
    struct pair *p = &it.pair;
    int64_t got;
    do {
        got = tether_flow_read(p->end[to], p->now_ns, p->channel[to], s->id, it.buffer, sizeof it.buffer, NULL);
        if (got <= 0)
            return;
        if (s->kind == TETHER_FLOW_MESSAGE) {
            uint32_t number = tether_get32(it.buffer);
            CHECK(got >= 4 && number >= s->read[to] && number < s->written[1 - to]);
            s->read[to] = number + 1;
            for (uint32_t i = 4; i < (uint32_t)got; i++)
                CHECK_EQ(it.buffer[i], (uint8_t)(number * 31 + i));
        } else {
            CHECK(s->read[to] + (uint64_t)got <= s->written[1 - to]);
            for (uint32_t i = 0; i < (uint32_t)got && !s->cancelled[1 - to]; i++)
                CHECK_EQ(it.buffer[i], (uint8_t)((s->read[to] + i) * 7));
            s->read[to] += (uint32_t)got;
        }
    } while (all);
}

static void link_of(struct pair_wire *wire, uint8_t how)
{
    static const uint32_t ppm[4] = {0, 20000, 150000, 500000};
    wire->loss_ppm = ppm[how & 3];
    wire->duplicate_ppm = ppm[how >> 2 & 3];
    wire->reorder_ppm = ppm[how >> 4 & 3];
    wire->cut = how >> 6 == 3;
    wire->drop_next = how >> 6 == 2;
}

static void act(uint8_t op, uint8_t a, uint8_t b)
{
    struct pair *p = &it.pair;
    int side = op >> 7;
    struct stream *s = it.count ? &it.streams[a % it.count] : NULL;
    switch (op & 7) {
    case 0:
        if (it.count < FLOWS) {
            struct stream made = {.kind = a & 1, .opener = (uint8_t)side};
            if (tether_flow_open(p->end[side], p->now_ns, p->channel[side], made.kind, made.kind ? MESSAGE_MAX : 0,
                                 &made.id) == 0)
                it.streams[it.count++] = made;
        }
        break;
    case 1: case 2:
        if (s)
            write_some(s, side, 4 + b * 35u);
        break;
    case 3:
        if (s)
            read_some(s, side, b & 1);
        break;
    case 4:
        if (s && tether_flow_cancel(p->end[side], p->now_ns, p->channel[side], s->id) == 0)
            s->cancelled[side] = 1;
        break;
    case 5:
        if (s && b > 200 && tether_flow_close(p->end[side], p->now_ns, p->channel[side], s->id) == 0)
            s->closed[side] = 1;
        break;
    case 6:
        link_of(&p->wire[side], a);
        break;
    default:
        pair_run(p, UINT64_C(1000) << (a & 15));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pair *p = &it.pair;
    memset(&it, 0, sizeof it);
    pair_open(p, 1);
    for (int i = 0; i < 2; i++) {
        p->config[i].rx_cells = 64;
        p->config[i].tx_cells = 96;
        p->config[i].max_message = MESSAGE_MAX;
        p->config[i].max_channels = 2;
    }
    pair_start(p);
    pair_connect(p);
    pair_run(p, 1000000);
    for (int ops = 0; size >= 3 && ops < OPS_MAX; ops++, data += 3, size -= 3) {
        act(data[0], data[1], data[2]);
        pair_check(p);
    }
    for (int i = 0; i < 2; i++)
        link_of(&p->wire[i], 0);
    /* A channel that heard nothing for 10 s would be gone; the scripts are shorter than that. */
    for (int round = 0; round < 40; round++) {
        pair_run(p, 100000000);
        for (uint32_t f = 0; f < it.count; f++)
            for (int side = 0; side < 2; side++)
                read_some(&it.streams[f], side, 1);
    }
    pair_quiet(p);
    for (uint32_t f = 0; f < it.count; f++)
        for (int side = 0; side < 2; side++) {
            const struct stream *s = &it.streams[f];
            if (!s->closed[0] && !s->closed[1] && !s->cancelled[side])
                CHECK_EQ(s->read[1 - side], s->written[side]); /* I7: all of it came */
        }
    pair_close(p);
    return 0;
}
