/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood.c: tether-flood sends a live engine millions of frames that it must not accept, and tells what became of them.
 * With --bench it measures what such a flood of Lamps costs the engine's legitimate peer.
 *
 * Exit code: 0 every promise was kept, 1 one was not (said on stderr), 2 it could not run, 64 usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/engine/host.h"
#include "flood.h"

enum { PINGS = 20, RSS_SLACK = 512 << 10 };

static struct flood_recording recording;

struct count {
    struct tether_stats stats;
    struct tether_carrier_stats carrier;
    uint64_t of_peer, to_victim; /* frames of the peer's channel: accepted there, sent here */
    uint64_t hails;              /* that the peer has sent, for new keys */
    uint64_t rejects, rss;
};

static uint64_t resident(void)
{
    unsigned long long pages = 0, total = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &total, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct count count_of(struct flood_node *victim, struct flood_node *peer)
{
    struct count count = {.rss = resident()};
    struct tether_channel_info there = {.struct_size = sizeof there}, here = {.struct_size = sizeof here};
    count.stats = flood_stats(victim, &count.carrier);
    (void)tether_engine_channel_info(victim->engine, victim->channel, &there);
    (void)tether_engine_channel_info(peer->engine, peer->channel, &here);
    count.of_peer = there.frames_received;
    count.hails = flood_stats(peer, NULL).lamps_sent;
    count.to_victim = here.frames_sent;
    for (uint32_t i = 0; i < tether_reject_count(); i++)
        count.rejects += count.stats.rejects[i];
    return count;
}

struct pings {
    struct flood_node *peer;
    _Atomic bool stopping;
    uint64_t done, missed, longest_ns;
};

/* The legitimate peer goes on all the time. */
static void *ping_main(void *argument)
{
    struct pings *pings = argument;
    while (!atomic_load(&pings->stopping)) {
        uint64_t took = flood_ping(pings->peer, 5000000000);
        pings->done += took != 0;
        pings->missed += took == 0;
        pings->longest_ns = took > pings->longest_ns ? took : pings->longest_ns;
        usleep(20000);
    }
    return NULL;
}

static int broken;

void flood_promise(bool kept, const char *what, uint64_t found, uint64_t most)
{
    if (kept)
        return;
    broken = 1;
    fprintf(stderr, "flood: broken: %s (%" PRIu64 ", at most %" PRIu64 ")\n", what, found, most);
}

int flood_broken(void)
{
    return broken;
}

static void judge(const struct count *before, const struct count *after, const struct flood_sender *sender,
                  const struct flood_recorder *recorder, const struct pings *pings, uint64_t rss)
{
    uint64_t accepted = after->stats.frames_received - before->stats.frames_received;
    uint64_t of_peer = after->of_peer - before->of_peer;
    uint64_t grown = after->rss > rss ? after->rss - rss : 0;
    uint64_t lamps = after->stats.lamps_received - before->stats.lamps_received;
    flood_promise(accepted == of_peer + lamps, "frames accepted that are not the legitimate peer's",
            accepted - of_peer - lamps, 0);
    flood_promise(of_peer <= after->to_victim - before->to_victim, "frames accepted on the peer's channel beyond those it sent",
            of_peer, after->to_victim - before->to_victim);
    flood_promise(lamps <= after->hails - before->hails, "Hails answered that the peer did not send", lamps,
            after->hails - before->hails);
    flood_promise(sender->reply_bytes <= sender->sent_bytes, "bytes to the flooder", sender->reply_bytes, sender->sent_bytes);
    flood_promise(recorder->bytes_received == 0, "bytes to the recorded peer", recorder->bytes_received, 0);
    flood_promise(grown <= RSS_SLACK, "growth of memory", grown, RSS_SLACK);
    flood_promise(after->stats.invariant_violations == 0, "invariants broken", after->stats.invariant_violations, 0);
    flood_promise(after->stats.grants_outstanding_slots == after->stats.standing_slots, "grants outstanding in the end",
            after->stats.grants_outstanding_slots, after->stats.standing_slots);
    flood_promise(pings->done > 0 && pings->missed == 0, "pings of the legitimate peer missed", pings->missed, 0);
    flood_promise(after->stats.channels == before->stats.channels, "channels up", after->stats.channels,
            before->stats.channels);
    flood_promise(sender->failed == 0, "sending failed with errno", (uint64_t)sender->failed, 0);
}

static void report(const struct count *before, const struct count *after, const struct flood_sender *sender,
                   const struct pings *pings, uint64_t rss)
{
    printf("{\n \"schema\": \"tether.flood/1\",\n \"seed\": %" PRIu64 ",\n \"frames\": %" PRIu64
           ",\n \"seconds\": %.1f,\n \"sources\": %u,\n \"lamp_per_s\": %u,\n \"sent\": {", sender->options.seed,
           sender->sent, sender->seconds, sender->options.sources, sender->options.lamp_per_s);
    for (int i = 0; i < FLOOD_KINDS; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", flood_kind_name((enum flood_kind)i), sender->by_kind[i]);
    printf("},\n \"refused\": {");
    for (uint32_t i = 0, any = 0; i < tether_reject_count(); i++) {
        uint64_t refused = after->stats.rejects[i] - before->stats.rejects[i];
        if (refused)
            printf("%s\"%s\": %" PRIu64, any++ ? ", " : "", tether_reject_name(i), refused);
    }
    printf("},\n \"reached_the_engine\": %" PRIu64 ",\n \"dropped_by_the_kernel\": %" PRIu64
           ",\n \"accepted_of_the_flood\": %" PRIu64 ",\n \"bytes_in\": %" PRIu64 ",\n \"replies\": %" PRIu64
           ",\n \"bytes_out\": %" PRIu64 ",\n \"rss_before\": %" PRIu64 ",\n \"rss_after\": %" PRIu64
           ",\n \"pings\": %" PRIu64 ",\n \"pings_missed\": %" PRIu64 ",\n \"longest_ping_ms\": %.1f,\n \"kept\": %s\n}\n",
           after->carrier.rx_frames - before->carrier.rx_frames,
           after->carrier.kernel_drops - before->carrier.kernel_drops,
           after->stats.frames_received - before->stats.frames_received - (after->of_peer - before->of_peer) -
               (after->stats.lamps_received - before->stats.lamps_received),
           sender->sent_bytes, sender->replies, sender->reply_bytes, rss, after->rss, pings->done, pings->missed,
           (double)pings->longest_ns / 1e6, broken ? "false" : "true");
}

static int flood(struct flood_node *victim, struct flood_node *peer, struct flood_recorder *recorder,
                 struct flood_sender *sender)
{
    struct pings pings = {.peer = peer};
    struct count before, after;
    pthread_t pinger;
    uint64_t rss, frames = sender->options.frames;
    for (int i = 0; i < PINGS; i++)
        flood_promise(flood_ping(peer, 5000000000) != 0, "a ping before the flood was missed", 1, 0);
    flood_recorder_drain(recorder);
    recorder->bytes_received = 0;
    usleep(200000); /* the last receipts are in */
    before = count_of(victim, peer);
    if (pthread_create(&pinger, NULL, ping_main, &pings))
        return 2;
    /* A tenth touches every page that a flood touches; from then on nothing may grow. */
    sender->options.frames = frames / 10;
    flood_send(sender);
    rss = resident();
    sender->options.frames = frames;
    double warm = sender->seconds;
    sender->options.seed += UINT64_C(1) << 32;
    flood_send(sender);
    sender->options.seed -= UINT64_C(1) << 32;
    sender->seconds += warm;
    atomic_store(&pings.stopping, true);
    pthread_join(pinger, NULL);
    usleep(200000);
    flood_recorder_drain(recorder);
    after = count_of(victim, peer);
    judge(&before, &after, sender, recorder, &pings, rss);
    report(&before, &after, sender, &pings, rss);
    return broken;
}

/* -------------------------------------------------------------------- main */

static int usage(const char *word)
{
    fprintf(stderr, "flood: %s\nusage: tether-flood [--frames N] [--seed S] [--lamp-per-s R] [--sources K] [--rate F]\n"
                    "       tether-flood --bench [--rounds N] [--seconds T] [--lamp-per-s R] [--sources K] [--rate F]\n"
                    "both: --trace FILE writes what both nodes do to FILE.victim and FILE.peer\n",
            word);
    return 64;
}

static int parse(int count, char **words, struct flood_options *options)
{
    for (int i = 1; i < count; i++) {
        char *end = NULL;
        if (strcmp(words[i], "--bench") == 0) {
            options->bench = true;
            continue;
        }
        if (i + 1 >= count)
            return usage(words[i]);
        const char *name = words[i++];
        if (strcmp(name, "--trace") == 0) {
            options->trace = words[i];
            continue;
        }
        double value = strtod(words[i], &end);
        if (end == words[i] || *end || value < 0 || value > 1e12)
            return usage(words[i]);
        if (strcmp(name, "--frames") == 0)
            options->frames = (uint64_t)value;
        else if (strcmp(name, "--seed") == 0)
            options->seed = (uint64_t)value;
        else if (strcmp(name, "--lamp-per-s") == 0 && value <= 1e8)
            options->lamp_per_s = (uint32_t)value;
        else if (strcmp(name, "--sources") == 0 && value >= 1 && value <= FLOOD_SOURCES)
            options->sources = (uint32_t)value;
        else if (strcmp(name, "--rate") == 0 && value <= 1e9)
            options->rate = (uint32_t)value;
        else if (strcmp(name, "--rounds") == 0 && value >= 1 && value <= FLOOD_ROUNDS)
            options->rounds = (uint32_t)value;
        else if (strcmp(name, "--seconds") == 0 && value > 0 && value <= 60)
            options->seconds = value;
        else
            return usage(name);
    }
    return 0;
}

int main(int count, char **words)
{
    static struct flood_node victim, peer;
    static struct flood_sender sender;
    struct flood_recorder recorder = {.fd = -1};
    struct flood_options options = {.frames = 200000, .seed = 1, .lamp_per_s = 10000, .sources = 200, .rounds = 5,
                                    .seconds = 2};
    uint8_t recorder_public[32];
    int status = parse(count, words, &options);
    if (status)
        return status;
    memset(recorder.secret, 0x60, 32);
    status = 2;
    sender = (struct flood_sender){.recording = &recording, .victim = &victim, .peer = &peer, .options = options};
    if (tether_public_key(recorder.secret, recorder_public) == 0 &&
        flood_nodes_open(&victim, &peer, &options, recorder_public) == 0 &&
        flood_nodes_connect(&victim, &peer) == 0 &&
        flood_record(&recorder, &victim.address, victim.public_key, &recording) == 0 && flood_send_open(&sender) == 0)
        status = options.bench ? flood_bench(&victim, &peer, &sender) : flood(&victim, &peer, &recorder, &sender);
    flood_send_close(&sender);
    flood_nodes_close(&victim, &peer);
    flood_recorder_close(&recorder);
    return status;
}
