/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steer.h: the XDP program of a device. Tether frames (EtherType 0x88B5 under 0 to 2 VLAN tags) go to the AF_XDP
 * socket of the queue that they arrived on; everything else, and Tether frames of a queue without a socket, goes to
 * the kernel. One program serves all lanes of this process on the device. It hangs on a BPF link, so the kernel takes
 * it off when the process is gone, however it ends.
 */
#ifndef TETHER_STEER_H
#define TETHER_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "netdev.h"

enum { STEER_QUEUES_MAX = 256 };

struct steer;

/*
 * Attach, or share what this process has attached. Native (driver) mode first unless `generic_only`, generic (skb)
 * mode otherwise. `fragments`: frames may span buffers. A foreign program is refused with its id. 0, or negative
 * errno with words.
 */
int steer_acquire(const struct netdev *device, bool generic_only, bool fragments, struct steer **steer);
void steer_release(struct steer *steer);
/* Connect a queue's socket; -EBUSY when this process has one there already. */
int steer_connect(struct steer *steer, uint32_t queue, int xsk_fd);
void steer_disconnect(struct steer *steer, uint32_t queue);
bool steer_is_native(const struct steer *steer);
/* Why generic mode was taken, in words; "" in native mode. */
const char *steer_reason(const struct steer *steer);

/* Program and map without a device, for tests by BPF_PROG_TEST_RUN. Descriptors; 0 or negative errno with words. */
int steer_load(uint32_t queues, bool fragments, int *program_fd, int *map_fd);

#endif
