/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab.h: two hosts for the carrier and engine tests: two network namespaces without a name, joined by a veth pair with
 * several queues, both ends called data0. They live as long as this process, whatever ends it, so nothing is left.
 */
#ifndef TETHER_TEST_LAB_H
#define TETHER_TEST_LAB_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

enum { LAB_SKIPPED = 77 };

static int lab_hosts[2] = {-1, -1};

/* A missing capability is named and is no failure of the code. */
static inline _Noreturn void lab_skip(const char *capability)
{
    fprintf(stderr, "skipped: needs %s\n", capability);
    exit(LAB_SKIPPED);
}

__attribute__((format(printf, 1, 2))) static inline int lab_run(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    if (status)
        fprintf(stderr, "failed (%d): %s\n", status, command);
    return status;
}

/* All sockets that this thread opens from now on belong to host 0 or 1. */
static inline void lab_enter(int host)
{
    if (setns(lab_hosts[host], CLONE_NEWNET)) {
        perror("setns");
        exit(1);
    }
}

/* Two fresh hosts; skips the whole test when this process may not make them. */
static inline void lab_open(unsigned queues, unsigned mtu)
{
    if (run_listing)
        return;
    if (geteuid() != 0)
        lab_skip("root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF) for network namespaces");
    for (int host = 0; host < 2; host++) {
        if (lab_hosts[host] >= 0)
            close(lab_hosts[host]);
        if (unshare(CLONE_NEWNET)) {
            if (errno == EPERM)
                lab_skip("CAP_SYS_ADMIN for network namespaces");
            perror("unshare");
            exit(1);
        }
        lab_hosts[host] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (lab_run("ip link set lo up"))
            exit(1);
    }
    lab_enter(0);
    if (lab_run("ip link add data0 numtxqueues %u numrxqueues %u mtu %u type veth peer name data0 numtxqueues %u "
                "numrxqueues %u mtu %u netns /proc/%d/fd/%d",
                queues, queues, mtu, queues, queues, mtu, getpid(), lab_hosts[1]))
        exit(1);
    for (int host = 1; host >= 0; host--) {
        lab_enter(host);
        /* no stray traffic: counts are exact; no tag offload: XDP and taps see the tags in the data */
        if (lab_run("sysctl -qw net.ipv6.conf.data0.disable_ipv6=1 2>/dev/null || :") ||
            lab_run("ethtool -K data0 txvlan off rxvlan off >/dev/null 2>&1 || :") ||
            lab_run("ip link set data0 address 02:00:00:00:00:0%d && ip link set data0 up", host + 1))
            exit(1);
    }
}

#endif
