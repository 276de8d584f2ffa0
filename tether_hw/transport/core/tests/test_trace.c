/* SPDX-License-Identifier: Apache-2.0 */
/* The trace tells what happened, once each, and its lines are what docs/trace.md says; the key log opens the frames. */
#include <errno.h>

#include "pair.h"

enum { TOLD_MAX = 1 << 16 };

struct told {
    struct tether_trace_event events[TOLD_MAX];
    uint32_t count;
};

static struct pair pair;
static struct told told[2];
static char keys[2][8][TETHER_KEYLOG_LINE];
static uint32_t key_count[2];

static void note(void *context, const struct tether_trace_event *event)
{
    struct told *t = context;
    CHECK(t->count < TOLD_MAX);
    CHECK(t->count == 0 || event->at_ns >= t->events[t->count - 1].at_ns);
    t->events[t->count++] = *event;
}

static void note_key(void *context, const char *line)
{
    int i = *(int *)context;
    CHECK(key_count[i] < 8 && strlen(line) < TETHER_KEYLOG_LINE);
    strcpy(keys[i][key_count[i]++], line);
}

static uint64_t count_of(int i, uint16_t kind, uint16_t flags)
{
    uint64_t count = 0;
    for (uint32_t e = 0; e < told[i].count; e++)
        count += told[i].events[e].kind == kind && (told[i].events[e].flags & TETHER_TRACE_HEARD) == flags;
    return count;
}

static int number[2] = {0, 1};

static void begin(uint64_t seed)
{
    memset(told, 0, sizeof told);
    memset(key_count, 0, sizeof key_count);
    pair_open(&pair, seed);
    for (int i = 0; i < 2; i++) {
        pair.config[i].trace = note;
        pair.config[i].trace_context = &told[i];
        pair.config[i].keylog = note_key;
        pair.config[i].keylog_context = &number[i];
    }
    pair_start(&pair);
    pair_connect(&pair);
}

struct bytes {
    uint16_t flow;
    uint64_t written, read, length;
};

static int bytes_done(struct pair *p, void *context)
{
    static uint8_t data[65536];
    struct bytes *b = context;
    int64_t n = 0;
    if (b->written < b->length)
        n = tether_flow_write(p->end[0], p->now_ns, p->channel[0], b->flow, data, sizeof data,
                              TETHER_WRITE_FLUSH);
    b->written += n > 0 ? (uint64_t)n : 0;
    while ((n = tether_flow_read(p->end[1], p->now_ns, p->channel[1], b->flow, data, sizeof data, NULL)) > 0)
        b->read += (uint64_t)n;
    return b->written >= b->length && b->read == b->written;
}

static void transfer(uint64_t length)
{
    struct bytes b = {.length = length};
    CHECK_EQ(tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], TETHER_FLOW_BYTES, 0, &b.flow), 0);
    pair_until(&pair, bytes_done, &b, 60000000000);
    pair_run(&pair, 100000000);
}

/* Every counter of the statistics that has an event beside it agrees with the number of such events. */
static void events_and_counters_agree(void)
{
    begin(3);
    for (int i = 0; i < 2; i++) {
        pair.wire[i].loss_ppm = 20000;
        pair.wire[i].reorder_ppm = 10000;
        pair.wire[i].duplicate_ppm = 5000;
    }
    transfer(4u << 20);
    for (int i = 0; i < 2; i++) {
        struct tether_stats stats = pair_stats(&pair, i);
        uint64_t rejects = 0;
        for (uint32_t r = 0; r < tether_reject_count(); r++)
            rejects += stats.rejects[r];
        CHECK_EQ(count_of(i, TETHER_TRACE_SENT, 0) + count_of(i, TETHER_TRACE_REPAIR, 0), stats.data_frames_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_REPAIR, 0), stats.repairs_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_REJECTED, 0), rejects);
        CHECK_EQ(count_of(i, TETHER_TRACE_GRANTED, 0), stats.grants_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_NACK, 0), stats.nacks_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_NACK, TETHER_TRACE_HEARD), stats.nacks_received);
        CHECK_EQ(count_of(i, TETHER_TRACE_RECEIPT, 0), stats.receipts_spent);
        CHECK_EQ(count_of(i, TETHER_TRACE_BLOCKED, 0), stats.blocked_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_REFRESH, 0), stats.refresh_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_LAMP, 0), stats.lamps_sent);
        CHECK_EQ(count_of(i, TETHER_TRACE_UP, 0), 1);
    }
    CHECK(count_of(0, TETHER_TRACE_REPAIR, 0) > 0 && count_of(1, TETHER_TRACE_NACK, 0) > 0);
    CHECK(count_of(1, TETHER_TRACE_REJECTED, 0) > 0); /* duplicates on the wire: replay */
    pair_close(&pair);
}

/* What was sent is below what was granted then, and everything arrives once. */
static void a_trace_shows_the_ledger(void)
{
    static uint8_t seen[1 << 20];
    uint64_t limit = 0, bytes = 0;
    begin(4);
    pair.wire[0].loss_ppm = 30000;
    transfer(1u << 20);
    for (uint32_t e = 0; e < told[0].count; e++) {
        const struct tether_trace_event *event = &told[0].events[e];
        if (event->flow != 2)
            continue;
        if (event->kind == TETHER_TRACE_GRANTED && event->flags & TETHER_TRACE_HEARD) {
            CHECK(event->slot > limit && event->slot - limit == event->count);
            limit = event->slot;
        }
        if (event->kind == TETHER_TRACE_SENT)
            CHECK(event->slot + event->count <= limit || event->flags & TETHER_TRACE_EMBER);
    }
    for (uint32_t e = 0; e < told[1].count; e++) {
        const struct tether_trace_event *event = &told[1].events[e];
        if (event->flow != 2 || event->kind != TETHER_TRACE_RECEIVED || event->count == 0)
            continue;
        CHECK(event->slot < sizeof seen);
        CHECK_EQ(seen[event->slot], (event->flags & TETHER_TRACE_DUPLICATE) != 0);
        seen[event->slot] = 1;
        bytes += event->flags & TETHER_TRACE_DUPLICATE ? 0 : event->value;
    }
    CHECK_EQ(bytes, 1u << 20);
    pair_close(&pair);
}

static void lines_are_json(void)
{
    const struct {
        struct tether_trace_event event;
        const char *line;
    } cases[] = {
        {{.at_ns = 5, .kind = TETHER_TRACE_SENT, .flags = TETHER_TRACE_EMBER, .flow = 2, .lane = 1, .channel = 0x1001,
          .sequence = 7, .slot = 44, .count = 22, .value = 1408},
         "{\"at_ns\":5,\"event\":\"sent\",\"node\":\"a\",\"lane\":1,\"channel\":4097,\"flow\":2,\"sequence\":7,"
         "\"slot\":44,\"count\":22,\"bytes\":1408,\"ember\":true}\n"},
        {{.at_ns = 6, .kind = TETHER_TRACE_REJECTED, .value = TETHER_E_AUTH},
         "{\"at_ns\":6,\"event\":\"rejected\",\"node\":\"a\",\"lane\":0,\"channel\":0,\"flow\":0,"
         "\"reason\":\"auth\"}\n"},
        {{.at_ns = 7, .kind = TETHER_TRACE_DOWN, .channel = 9, .value = (uint64_t)(int64_t)-ETIMEDOUT},
         "{\"at_ns\":7,\"event\":\"down\",\"node\":\"a\",\"lane\":0,\"channel\":9,\"flow\":0,\"status\":-110}\n"},
        {{.at_ns = 8, .kind = TETHER_TRACE_GRANTED, .flags = TETHER_TRACE_HEARD, .flow = 2, .channel = 9, .slot = 88,
          .count = 22, .value = 1},
         "{\"at_ns\":8,\"event\":\"granted\",\"node\":\"a\",\"lane\":0,\"channel\":9,\"flow\":2,\"slot\":88,"
         "\"count\":22,\"heard\":true}\n"},
    };
    char line[512];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ(tether_trace_line(&cases[i].event, "a", line, sizeof line), strlen(cases[i].line));
        CHECK(strcmp(line, cases[i].line) == 0);
        CHECK_EQ(tether_trace_line(&cases[i].event, "a", line, strlen(cases[i].line)), -ENOSPC);
    }
    CHECK(tether_trace_line(&cases[0].event, "a\"\\\n", line, sizeof line) > 0 && strstr(line, "\"node\":\"a...\""));
    CHECK(tether_trace_name(0) == NULL && tether_trace_name(TETHER_TRACE_END_) == NULL);
    for (uint32_t kind = 1; kind < TETHER_TRACE_END_; kind++)
        CHECK(tether_trace_name(kind) != NULL);
}

/* Both ends log the same two lines, for the indices that stand in the frames. */
static void key_logs_agree(void)
{
    char channel[2][64];
    begin(5);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(key_count[i], 2);
        CHECK(strcmp(keys[0][i], keys[1][i]) == 0);
    }
    snprintf(channel[0], sizeof channel[0], "TETHER %08x initiator AES-256-GCM ", pair.channel[1]);
    snprintf(channel[1], sizeof channel[1], "TETHER %08x responder AES-256-GCM ", pair.channel[0]);
    for (int i = 0; i < 2; i++) {
        CHECK(strncmp(keys[0][i], channel[i], strlen(channel[i])) == 0);
        CHECK_EQ(strspn(keys[0][i] + strlen(channel[i]), "0123456789abcdef"), 64);
        CHECK_EQ(strlen(keys[0][i]), strlen(channel[i]) + 64);
    }
    CHECK(strcmp(keys[0][0] + strlen(channel[0]), keys[0][1] + strlen(channel[1])) != 0);
    pair_close(&pair);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(lines_are_json);
    RUN(events_and_counters_agree);
    RUN(a_trace_shows_the_ledger);
    RUN(key_logs_agree);
    return run_result();
}
