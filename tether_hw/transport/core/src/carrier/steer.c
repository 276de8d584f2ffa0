/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "steer.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../engine/words.h"
#include "link.h"

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

/* One instruction per macro, in the order code, destination, source, offset, immediate. */
#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV_REG(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD_IMM(d, i) INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(size, d, s, o) INSN(BPF_LDX | BPF_MEM | (size), d, s, o, 0)
#define JUMP_REG(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JUMP_IMM(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JUMP(o) INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define MAP_FD(d, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* A big-endian 16-bit constant as a 16-bit load on this machine sees it. */
#define NET16(v) ((int32_t)__builtin_bswap16(v))
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "steer.c is written for little-endian machines"
#endif

enum {
    CTX_DATA = offsetof(struct xdp_md, data),
    CTX_END = offsetof(struct xdp_md, data_end),
    CTX_QUEUE = offsetof(struct xdp_md, rx_queue_index),
    INSTRUCTIONS_MAX = 64,
    LOG_BYTES = 4096,
};

struct steer {
    struct steer *next;
    unsigned users;
    uint64_t netns;
    uint32_t index;
    int program_fd, map_fd, link_fd;
    bool native, fragments;
    uint8_t connected[STEER_QUEUES_MAX];
    char reason[160];
};

static pthread_mutex_t steer_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct steer *steer_list;

static int bpf(int command, union bpf_attr *attribute)
{
    long result = syscall(SYS_bpf, command, attribute, sizeof *attribute);
    return result < 0 ? -errno : (int)result;
}

static uint64_t pointer(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

/*
 * Registers: r1 context, r2 data, r3 end, r4 cursor behind the EtherType, r5 EtherType. Jumps name their target by
 * index; the verifier proves the bounds.
 */
static size_t steer_program(struct bpf_insn *out, int map_fd)
{
    const struct bpf_insn program[] = {
        /* 0 */ LOAD(BPF_W, 2, 1, CTX_DATA),
        /* 1 */ LOAD(BPF_W, 3, 1, CTX_END),
        /* 2 */ MOV_REG(4, 2),
        /* 3 */ ADD_IMM(4, 14),
        /* 4 */ JUMP_REG(BPF_JGT, 4, 3, 22), /* short: pass (27) */
        /* 5 */ LOAD(BPF_H, 5, 2, 12),
        /* 6 */ JUMP_IMM(BPF_JEQ, 5, NET16(LINK_TPID_Q), 2),  /* one tag (9) */
        /* 7 */ JUMP_IMM(BPF_JEQ, 5, NET16(LINK_TPID_AD), 1), /* one tag (9) */
        /* 8 */ JUMP(11),                                     /* judge (20) */
        /* 9 */ MOV_REG(4, 2),
        /* 10 */ ADD_IMM(4, 18),
        /* 11 */ JUMP_REG(BPF_JGT, 4, 3, 15), /* short: pass (27) */
        /* 12 */ LOAD(BPF_H, 5, 2, 16),
        /* 13 */ JUMP_IMM(BPF_JEQ, 5, NET16(LINK_TPID_Q), 2),  /* two tags (16) */
        /* 14 */ JUMP_IMM(BPF_JEQ, 5, NET16(LINK_TPID_AD), 1), /* two tags (16) */
        /* 15 */ JUMP(4),                                      /* judge (20) */
        /* 16 */ MOV_REG(4, 2),
        /* 17 */ ADD_IMM(4, 22),
        /* 18 */ JUMP_REG(BPF_JGT, 4, 3, 8), /* short: pass (27) */
        /* 19 */ LOAD(BPF_H, 5, 2, 20),
        /* 20 */ JUMP_IMM(BPF_JNE, 5, NET16(TETHER_ETHERTYPE), 6), /* not ours, or a third tag: pass (27) */
        /* 21 */ LOAD(BPF_W, 2, 1, CTX_QUEUE),
        /* 22 */ MAP_FD(1, map_fd), /* 22, 23 */
        /* 24 */ MOV_IMM(3, XDP_PASS), /* what the helper returns when the queue has no socket */
        /* 25 */ CALL(BPF_FUNC_redirect_map),
        /* 26 */ EXIT(),
        /* 27 */ MOV_IMM(0, XDP_PASS),
        /* 28 */ EXIT(),
    };
    _Static_assert(sizeof program / sizeof *program <= INSTRUCTIONS_MAX, "room");
    memcpy(out, program, sizeof program);
    return sizeof program / sizeof *program;
}

/* Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK. */
static void memlock_raise(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

int steer_load(uint32_t queues, bool fragments, int *program_fd, int *map_fd)
{
    memlock_raise();
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_type = BPF_MAP_TYPE_XSKMAP;
    attribute.key_size = 4;
    attribute.value_size = 4;
    attribute.max_entries = queues;
    memcpy(attribute.map_name, "tether_xsks", sizeof "tether_xsks");
    int map = bpf(BPF_MAP_CREATE, &attribute);
    if (map < 0)
        return words_fail(map, "cannot make an XSKMAP: %s%s", words_errno(map),
                          map == -EPERM ? " (needs CAP_BPF and CAP_NET_ADMIN, or root)" : "");
    struct bpf_insn instructions[INSTRUCTIONS_MAX];
    size_t count = steer_program(instructions, map);
    char log[LOG_BYTES] = "";
    memset(&attribute, 0, sizeof attribute);
    attribute.prog_type = BPF_PROG_TYPE_XDP;
    attribute.insns = pointer(instructions);
    attribute.insn_cnt = (uint32_t)count;
    attribute.license = pointer("Apache-2.0"); /* no GPL-only helper is called */
    attribute.prog_flags = fragments ? BPF_F_XDP_HAS_FRAGS : 0;
    attribute.expected_attach_type = BPF_XDP;
    memcpy(attribute.prog_name, "tether_steer", sizeof "tether_steer");
    int program = bpf(BPF_PROG_LOAD, &attribute);
    if (program < 0 && program != -EPERM) { /* once more, for the verifier's words */
        attribute.log_buf = pointer(log);
        attribute.log_size = sizeof log;
        attribute.log_level = 1;
        program = bpf(BPF_PROG_LOAD, &attribute);
    }
    if (program < 0) {
        close(map);
        if (program == -EINVAL && fragments)
            return words_fail(program, "this kernel has no XDP for frames of several buffers: lower the MTU");
        return words_fail(program, "cannot load the XDP program: %s %.200s", words_errno(program), log);
    }
    *program_fd = program;
    *map_fd = map;
    return 0;
}

static int link_create(int program_fd, uint32_t index, uint32_t mode)
{
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.link_create.prog_fd = (uint32_t)program_fd;
    attribute.link_create.target_ifindex = index;
    attribute.link_create.attach_type = BPF_XDP;
    attribute.link_create.flags = mode;
    return bpf(BPF_LINK_CREATE, &attribute);
}

static int attach_fail(int status, const struct netdev *device)
{
    if (status == -EBUSY || status == -EEXIST)
        return words_fail(-EBUSY, "%s has another XDP program: take it off, or use af_packet", device->name);
    if (status == -EINVAL)
        return words_fail(status, "cannot attach to %s: the kernel has no BPF links for XDP (5.9 or later needed)",
                          device->name);
    return words_fail(status, "cannot attach the XDP program to %s: %s", device->name, words_errno(status));
}

/* Native, then native for frames of several buffers (a large MTU wants that), then generic. */
static int steer_attach(struct steer *steer, const struct netdev *device, bool generic_only, bool fragments)
{
    int native = -EOPNOTSUPP;
    for (int attempt = fragments; !generic_only && attempt < 2; attempt++) {
        int status = steer_load(STEER_QUEUES_MAX, attempt, &steer->program_fd, &steer->map_fd);
        if (status) {
            if (attempt == (int)fragments)
                return status;
            break; /* plain programs load here, programs for several buffers do not: generic mode */
        }
        steer->link_fd = link_create(steer->program_fd, device->index, XDP_FLAGS_DRV_MODE);
        if (steer->link_fd >= 0) {
            steer->native = true;
            steer->fragments = attempt;
            return 0;
        }
        native = steer->link_fd;
        close(steer->program_fd);
        close(steer->map_fd);
        steer->program_fd = steer->map_fd = -1;
        if (native == -EBUSY || native == -EEXIST || native == -EPERM)
            return attach_fail(native, device);
    }
    int status = steer_load(STEER_QUEUES_MAX, fragments, &steer->program_fd, &steer->map_fd);
    if (status)
        return status;
    steer->link_fd = link_create(steer->program_fd, device->index, XDP_FLAGS_SKB_MODE);
    if (steer->link_fd < 0)
        return attach_fail(steer->link_fd, device);
    steer->fragments = fragments;
    if (generic_only)
        snprintf(steer->reason, sizeof steer->reason, "native not wanted");
    else
        snprintf(steer->reason, sizeof steer->reason, "native refused: %s", words_errno(native));
    return 0;
}

static void steer_free(struct steer *steer)
{
    if (steer->link_fd >= 0)
        close(steer->link_fd);
    if (steer->program_fd >= 0)
        close(steer->program_fd);
    if (steer->map_fd >= 0)
        close(steer->map_fd);
    free(steer);
}

static int steer_acquire_locked(const struct netdev *device, bool generic_only, bool fragments, struct steer **out)
{
    for (struct steer *steer = steer_list; steer; steer = steer->next) {
        if (steer->netns != device->netns || steer->index != device->index)
            continue;
        if (fragments && !steer->fragments)
            return words_fail(-EINVAL, "%s: its first lane was opened for frames of one buffer, this one needs more",
                              device->name);
        steer->users++;
        *out = steer;
        return 0;
    }
    if (device->xdp_program)
        return words_fail(-EBUSY, "%s has another XDP program (id %u): take it off, or use af_packet", device->name,
                          device->xdp_program);
    struct steer *steer = calloc(1, sizeof *steer);
    if (!steer)
        return words_fail(-ENOMEM, "no memory for the XDP program of %s", device->name);
    steer->users = 1;
    steer->netns = device->netns;
    steer->index = device->index;
    steer->program_fd = steer->map_fd = steer->link_fd = -1;
    int status = steer_attach(steer, device, generic_only, fragments);
    if (status) {
        steer_free(steer);
        return status;
    }
    steer->next = steer_list;
    steer_list = steer;
    *out = steer;
    return 0;
}

int steer_acquire(const struct netdev *device, bool generic_only, bool fragments, struct steer **out)
{
    pthread_mutex_lock(&steer_mutex);
    int status = steer_acquire_locked(device, generic_only, fragments, out);
    pthread_mutex_unlock(&steer_mutex);
    return status;
}

void steer_release(struct steer *steer)
{
    pthread_mutex_lock(&steer_mutex);
    if (--steer->users == 0) {
        struct steer **at = &steer_list;
        while (*at != steer)
            at = &(*at)->next;
        *at = steer->next;
        steer_free(steer);
    }
    pthread_mutex_unlock(&steer_mutex);
}

int steer_connect(struct steer *steer, uint32_t queue, int xsk_fd)
{
    if (queue >= STEER_QUEUES_MAX)
        return words_fail(-EINVAL, "queue %u: the XDP program serves queues 0 to %d", queue, STEER_QUEUES_MAX - 1);
    pthread_mutex_lock(&steer_mutex);
    int status = 0;
    if (steer->connected[queue]) {
        status = words_fail(-EBUSY, "queue %u has a lane already", queue);
    } else {
        union bpf_attr attribute;
        memset(&attribute, 0, sizeof attribute);
        attribute.map_fd = (uint32_t)steer->map_fd;
        attribute.key = pointer(&queue);
        attribute.value = pointer(&xsk_fd);
        status = bpf(BPF_MAP_UPDATE_ELEM, &attribute);
        if (status)
            status = words_fail(status, "cannot connect queue %u to its socket: %s", queue, words_errno(status));
        else
            steer->connected[queue] = 1;
    }
    pthread_mutex_unlock(&steer_mutex);
    return status;
}

void steer_disconnect(struct steer *steer, uint32_t queue)
{
    pthread_mutex_lock(&steer_mutex);
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.map_fd = (uint32_t)steer->map_fd;
    attribute.key = pointer(&queue);
    (void)bpf(BPF_MAP_DELETE_ELEM, &attribute); /* the socket's close does it too */
    steer->connected[queue] = 0;
    pthread_mutex_unlock(&steer_mutex);
}

bool steer_is_native(const struct steer *steer)
{
    return steer->native;
}

const char *steer_reason(const struct steer *steer)
{
    return steer->reason;
}
