/* SPDX-License-Identifier: Apache-2.0 */
/* The Hail counter's file: rises across restarts and crashes, belongs to one key, refuses damage, no write no counter. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "../src/engine/counter_file.h"
#include "../src/engine/words.h"

static const uint8_t key[32] = {1, 2, 3}, other_key[32] = {3, 2, 1};
static char folder[64], path[128];

static void fresh(void)
{
    snprintf(folder, sizeof folder, "/tmp/tether-counter-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/hail.counter", folder);
}

static void cleanup(void)
{
    char name[160];
    unlink(path);
    snprintf(name, sizeof name, "%s.lock", path);
    unlink(name);
    snprintf(name, sizeof name, "%s.new", path);
    unlink(name);
    CHECK(rmdir(folder) == 0); /* and nothing else was left */
}

static void test_rises_over_restarts(void)
{
    PROVES("T-CNT-2");
    struct counter_file file;
    uint64_t first, last = 0;
    fresh();
    for (uint32_t start = 0; start < 20; start++) {
        CHECK(counter_file_open(&file, path, key) == 0);
        for (uint32_t strides = 1; strides <= 3; strides++) {
            CHECK(counter_file_take(&file, 0, strides, &first) == 0);
            CHECK(first >= last && first >= 1 && first % COUNTER_STRIDE == 0);
            last = first + strides * COUNTER_STRIDE;
        }
        counter_file_close(&file);
    }
    cleanup();
}

static void test_peer_lifts_it_within_bounds(void)
{
    struct counter_file file;
    uint64_t first;
    fresh();
    CHECK(counter_file_open(&file, path, key) == 0);
    CHECK(counter_file_take(&file, 12345678901, 1, &first) == 0);
    CHECK(first >= 12345678901);
    CHECK(counter_file_take(&file, 5, 1, &first) == 0); /* never down */
    CHECK(first > 12345678901);
    uint64_t before = first;
    CHECK(counter_file_take(&file, UINT64_MAX, 1, &first) == 0); /* a liar's number is no reason */
    CHECK(first == before + COUNTER_STRIDE);
    counter_file_close(&file);
    cleanup();
}

static void test_one_engine_at_a_time(void)
{
    struct counter_file file, second;
    fresh();
    CHECK(counter_file_open(&file, path, key) == 0);
    CHECK(counter_file_open(&second, path, key) == -EBUSY);
    counter_file_close(&file);
    CHECK(counter_file_open(&second, path, key) == 0);
    counter_file_close(&second);
    cleanup();
}

static void test_foreign_and_damaged_files(void)
{
    struct counter_file file;
    uint64_t first;
    fresh();
    CHECK(counter_file_open(&file, path, key) == 0);
    CHECK(counter_file_take(&file, 0, 1, &first) == 0);
    counter_file_close(&file);
    CHECK(counter_file_open(&file, path, other_key) == -EKEYREJECTED);
    CHECK(strstr(words_last(), path) != NULL);
    uint8_t whole[COUNTER_FILE_BYTES];
    int fd = open(path, O_RDONLY);
    CHECK(read(fd, whole, sizeof whole) == COUNTER_FILE_BYTES);
    close(fd);
    for (size_t i = 0; i < sizeof whole; i++) { /* any byte */
        uint8_t bad[COUNTER_FILE_BYTES];
        memcpy(bad, whole, sizeof bad);
        bad[i] ^= 0x10;
        fd = open(path, O_WRONLY | O_TRUNC);
        CHECK(write(fd, bad, sizeof bad) == COUNTER_FILE_BYTES);
        close(fd);
        CHECK(counter_file_open(&file, path, key) == -EBADMSG);
    }
    for (int length = 0; length < COUNTER_FILE_BYTES; length += 13) { /* cut short */
        fd = open(path, O_WRONLY | O_TRUNC);
        CHECK(write(fd, whole, (size_t)length) == length);
        close(fd);
        CHECK(counter_file_open(&file, path, key) == -EBADMSG);
    }
    fd = open(path, O_WRONLY | O_TRUNC);
    CHECK(write(fd, whole, sizeof whole) == COUNTER_FILE_BYTES && write(fd, "x", 1) == 1);
    close(fd);
    CHECK(counter_file_open(&file, path, key) == -EBADMSG); /* too long */
    cleanup();
}

static void test_no_write_no_counter(void)
{
    PROVES("T-CNT-3");
    struct counter_file file;
    uint64_t first = 77;
    fresh();
    CHECK(counter_file_open(&file, path, key) == 0);
    CHECK(counter_file_take(&file, 0, 1, &first) == 0);
    uint64_t before = first;
    /* a full disk, as a limit on file size: what was there must survive, nothing may be handed out */
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {16, 16};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        first = 77;
        int status = counter_file_take(&file, 0, 1, &first);
        _exit(status == -EFBIG && first == 77 && strstr(words_last(), "no channel can begin") ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(counter_file_take(&file, 0, 1, &first) == 0 && first == before + COUNTER_STRIDE);
    counter_file_close(&file);
    CHECK(counter_file_open(&file, "/nonexistent-folder/hail.counter", key) == -ENOENT);
    CHECK(strstr(words_last(), "/nonexistent-folder/hail.counter") != NULL);
    cleanup();
}

/* Killed at any moment: the next start is above everything that was handed out. */
static void test_killed_in_the_middle(void)
{
    PROVES("T-CNT-2");
    fresh();
    uint64_t handed = 0;
    for (int round = 0; round < 15; round++) {
        int pipes[2];
        CHECK(pipe(pipes) == 0);
        pid_t child = fork();
        if (child == 0) {
            struct counter_file file;
            uint64_t first;
            if (counter_file_open(&file, path, key))
                _exit(1);
            for (;;) {
                if (counter_file_take(&file, 0, 1, &first) || write(pipes[1], &first, sizeof first) != sizeof first)
                    _exit(1);
            }
        }
        close(pipes[1]);
        usleep(1000 + (unsigned)round * 700);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t first;
        while (read(pipes[0], &first, sizeof first) == sizeof first) {
            CHECK(first >= handed);
            handed = first + COUNTER_STRIDE;
        }
        close(pipes[0]);
        struct counter_file file;
        CHECK(counter_file_open(&file, path, key) == 0);
        CHECK(counter_file_take(&file, 0, 1, &first) == 0);
        CHECK(first >= handed);
        handed = first + COUNTER_STRIDE;
        counter_file_close(&file);
    }
    cleanup();
}

int main(int count, char **arguments)
{
    run_arguments(count, arguments);
    RUN(test_rises_over_restarts);
    RUN(test_peer_lifts_it_within_bounds);
    RUN(test_one_engine_at_a_time);
    RUN(test_foreign_and_damaged_files);
    RUN(test_no_write_no_counter);
    RUN(test_killed_in_the_middle);
    return HARNESS_RESULT();
}
