/* SPDX-License-Identifier: Apache-2.0 */
/* The files of trace and key log: new ones only, for their owner only; what finds no room is counted and said. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/engine/scribe.h"
#include "check.h"

static char folder[] = "/tmp/tether-scribe-XXXXXX";
static char path[64], other[64];

static char *content(const char *name)
{
    static char text[32 << 20];
    FILE *file = fopen(name, "r");
    CHECK(file != NULL);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    return text;
}

static struct tether_endpoint_config listening(struct scribe *scribe, uint32_t lane)
{
    struct tether_endpoint_config config = {0};
    scribe_listen(scribe, lane, &config);
    return config;
}

static void events_become_lines(void)
{
    struct scribe scribe;
    struct tether_trace_event event = {.at_ns = 1, .kind = TETHER_TRACE_UP, .channel = 3, .slot = 4};
    struct stat status;
    scribe_init(&scribe);
    CHECK_EQ(scribe_open(&scribe, "no\"de", path, NULL, 2), 0);
    CHECK_EQ(scribe_start(&scribe), 0);
    CHECK(listening(&scribe, 0).keylog == NULL);
    for (uint32_t lane = 0; lane < 2; lane++) {
        struct tether_endpoint_config config = listening(&scribe, lane);
        event.lane = (uint16_t)lane;
        config.trace(config.trace_context, &event);
    }
    scribe_close(&scribe);
    CHECK(strcmp(content(path), "{\"schema\":\"tether.trace/1\",\"node\":\"no.de\",\"clock\":\"monotonic\"}\n"
                                "{\"at_ns\":1,\"event\":\"up\",\"node\":\"no.de\",\"lane\":0,\"channel\":3,\"flow\":0,"
                                "\"remote\":4,\"answered\":0}\n"
                                "{\"at_ns\":1,\"event\":\"up\",\"node\":\"no.de\",\"lane\":1,\"channel\":3,\"flow\":0,"
                                "\"remote\":4,\"answered\":0}\n") == 0);
    CHECK_EQ(stat(path, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0600);
    CHECK_EQ(unlink(path), 0);
}

static void drops_are_counted_and_said(void)
{
    struct scribe scribe;
    struct tether_trace_event event = {.at_ns = 1, .kind = TETHER_TRACE_UP};
    struct tether_endpoint_config config;
    uint32_t lines = 0;
    scribe_init(&scribe);
    CHECK_EQ(scribe_open(&scribe, "a", path, other, 1), 0);
    config = listening(&scribe, 0);
    for (uint32_t i = 0; i < SCRIBE_EVENTS + 7; i++) /* nobody takes them out yet */
        config.trace(config.trace_context, &event);
    for (uint32_t i = 0; i < SCRIBE_KEYS + 3; i++)
        config.keylog(config.keylog_context, "TETHER 00000001 initiator AES-256-GCM 00");
    CHECK_EQ(scribe_start(&scribe), 0);
    scribe_close(&scribe);
    char *text = content(path);
    /* Line by line: under a sanitizer each strstr measures all that is left. */
    for (const char *at = text; at != NULL && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        lines += strncmp(at, "{\"at_ns\":1,\"event\":\"up\"", 23) == 0;
    CHECK_EQ(lines, SCRIBE_EVENTS);
    CHECK(strstr(text, "{\"event\":\"dropped\",\"node\":\"a\",\"lane\":0,\"events\":7}\n") != NULL);
    text = content(other);
    CHECK(strstr(text, "# 3 lines were dropped\n") != NULL);
    CHECK_EQ(strlen(text), SCRIBE_KEYS * 41 + strlen("# 3 lines were dropped\n"));
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(unlink(other), 0);
}

/* While the thread writes, lanes put in as fast as they can: every event is a line, or counted. */
enum { RUSH = 400000 };

static void *rush(void *argument)
{
    struct tether_endpoint_config *config = argument;
    struct tether_trace_event event = {.kind = TETHER_TRACE_UP};
    for (uint32_t i = 0; i < RUSH; i++) {
        event.at_ns = i;
        config->trace(config->trace_context, &event);
    }
    return NULL;
}

static void nothing_is_lost_in_a_rush(void)
{
    struct scribe scribe;
    struct tether_endpoint_config config[2];
    pthread_t threads[2];
    uint64_t lines = 0, dropped = 0;
    scribe_init(&scribe);
    CHECK_EQ(scribe_open(&scribe, "a", path, NULL, 2), 0);
    CHECK_EQ(scribe_start(&scribe), 0);
    for (uint32_t i = 0; i < 2; i++) {
        config[i] = listening(&scribe, i);
        CHECK_EQ(pthread_create(&threads[i], NULL, rush, &config[i]), 0);
    }
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    scribe_close(&scribe);
    FILE *file = fopen(path, "r");
    char line[512];
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && strstr(line, "tether.trace/1") != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *events = strstr(line, "\"events\":");
        CHECK(line[strlen(line) - 2] == '}');
        if (events != NULL)
            dropped += strtoull(events + 9, NULL, 10);
        else
            lines++;
    }
    fclose(file);
    CHECK_EQ(lines + dropped, 2 * RUSH);
    CHECK(lines >= SCRIBE_EVENTS);
    CHECK_EQ(unlink(path), 0);
}

static void nothing_is_written_over(void)
{
    struct scribe scribe;
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs("mine", file) >= 0 && fclose(file) == 0);
    CHECK_EQ(symlink(path, other), 0);
    for (int keylog = 0; keylog < 2; keylog++) {
        const char *taken[] = {path, other};
        for (int i = 0; i < 2; i++) {
            scribe_init(&scribe);
            CHECK_EQ(scribe_open(&scribe, "a", keylog ? NULL : taken[i], keylog ? taken[i] : NULL, 1), -EEXIST);
            scribe_close(&scribe);
        }
    }
    CHECK(strcmp(content(path), "mine") == 0);
    CHECK_EQ(unlink(other), 0);
    CHECK_EQ(symlink("nowhere", other), 0); /* a link that dangles is no way to a new file either */
    scribe_init(&scribe);
    CHECK_EQ(scribe_open(&scribe, "a", NULL, other, 1), -EEXIST);
    scribe_close(&scribe);
    CHECK_EQ(unlink(other), 0);
    CHECK_EQ(unlink(path), 0);
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/one", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    RUN(events_become_lines);
    RUN(drops_are_counted_and_said);
    RUN(nothing_is_lost_in_a_rush);
    RUN(nothing_is_written_over);
    CHECK_EQ(rmdir(folder), 0);
    return run_result();
}
