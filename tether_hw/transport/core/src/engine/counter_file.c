/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "counter_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../crypto.h"
#include "words.h"

static const uint8_t magic[8] = {'t', 't', 'h', 'r', 'c', 't', 'r', '1'};

static int hash(const void *data, size_t length, uint8_t out[32])
{
    struct tether_part part = {data, length};
    int status = tether_blake2s(&part, 1, out);
    return status ? words_fail(status, "no BLAKE2s") : 0;
}

static int encode(const struct counter_file *file, uint64_t next, uint8_t out[COUNTER_FILE_BYTES])
{
    memcpy(out, magic, 8);
    for (int i = 0; i < 8; i++)
        out[8 + i] = (uint8_t)(next >> (8 * i));
    memcpy(out + 16, file->key_hash, 32);
    return hash(out, 48, out + 48);
}

static int parse(struct counter_file *file, const uint8_t *data, size_t length)
{
    uint8_t check[32];
    if (length != COUNTER_FILE_BYTES || memcmp(data, magic, 8) != 0)
        return words_fail(-EBADMSG, "%s is no Hail counter file", file->path);
    int status = hash(data, 48, check);
    if (status)
        return status;
    if (memcmp(check, data + 48, 32) != 0)
        return words_fail(-EBADMSG, "%s is damaged (checksum); remove it only together with the identity key",
                          file->path);
    if (memcmp(data + 16, file->key_hash, 32) != 0)
        return words_fail(-EKEYREJECTED, "%s belongs to another identity key", file->path);
    file->next = 0;
    for (int i = 7; i >= 0; i--)
        file->next = file->next << 8 | data[8 + i];
    return 0;
}

static int read_whole(struct counter_file *file)
{
    uint8_t data[COUNTER_FILE_BYTES + 1];
    size_t length = 0;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        file->next = 1;
        return 0;
    }
    if (fd < 0)
        return words_fail(-errno, "cannot open %s: %s", file->path, words_errno(errno));
    while (length < sizeof data) {
        ssize_t got = read(fd, data + length, sizeof data - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = errno;
            close(fd);
            return words_fail(-error, "cannot read %s: %s", file->path, words_errno(error));
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    close(fd);
    return parse(file, data, length);
}

static int write_whole(int fd, const uint8_t *data, size_t length)
{
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        length -= (size_t)put;
    }
    return fsync(fd) ? -errno : 0;
}

static int sync_folder(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fsync(fd) ? -errno : 0;
    close(fd);
    return status;
}

static int replace(const struct counter_file *file, const uint8_t data[COUNTER_FILE_BYTES])
{
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", file->path) >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int status = write_whole(fd, data, COUNTER_FILE_BYTES);
    if (close(fd) && !status)
        status = -errno;
    if (!status && rename(temporary, file->path))
        status = -errno;
    if (status)
        (void)unlink(temporary);
    else
        status = sync_folder(file->path);
    return status;
}

static int lock(struct counter_file *file)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s.lock", file->path) >= sizeof path)
        return words_fail(-ENAMETOOLONG, "%s: the path is too long", file->path);
    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock_fd < 0)
        return words_fail(-errno, "cannot open %s: %s", path, words_errno(errno));
    if (flock(file->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return words_fail(-EBUSY, "%s is in use: another engine runs with this identity", file->path);
        return words_fail(-errno, "cannot lock %s: %s", path, words_errno(errno));
    }
    return 0;
}

int counter_file_open(struct counter_file *file, const char *path, const uint8_t public_key[32])
{
    memset(file, 0, sizeof *file);
    file->lock_fd = -1;
    file->path = strdup(path);
    if (!file->path)
        return words_fail(-ENOMEM, "no memory");
    int status = hash(public_key, 32, file->key_hash);
    if (!status)
        status = lock(file);
    if (!status)
        status = read_whole(file);
    if (status)
        counter_file_close(file);
    return status;
}

int counter_file_take(struct counter_file *file, uint64_t least, uint32_t strides, uint64_t *first)
{
    uint64_t from = file->next;
    if (least > from && least < COUNTER_LIFT_MAX)
        from = least;
    from = (from + COUNTER_STRIDE - 1) & ~(COUNTER_STRIDE - 1);
    uint64_t next = from + strides * COUNTER_STRIDE;
    if (next >> 48)
        return words_fail(-EOVERFLOW, "%s: the Hail counter is used up, this host needs a new identity key",
                          file->path);
    uint8_t data[COUNTER_FILE_BYTES];
    int status = encode(file, next, data);
    if (status)
        return status;
    status = replace(file, data);
    if (status)
        return words_fail(status, "cannot write the Hail counter %s: %s; without it no channel can begin", file->path,
                          words_errno(status));
    file->next = next;
    *first = from;
    return 0;
}

void counter_file_close(struct counter_file *file)
{
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    file->lock_fd = -1;
    free(file->path);
    file->path = NULL;
}
