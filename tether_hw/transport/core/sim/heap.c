/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c: events by time (and by the order in which they were made), and the memory of frames in flight. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

struct sim_slab {
    struct sim_slab *next;
};

static int earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

int sim_at(struct tether_sim *sim, uint64_t at_ns, uint32_t kind, uint32_t index, struct sim_frame *frame)
{
    struct sim_event event = {.at_ns = at_ns, .order = sim->order++, .kind = kind, .index = index, .frame = frame};
    size_t at = sim->heap_count;
    if (at_ns < sim->now_ns)
        event.at_ns = sim->now_ns;
    if (at == sim->heap_room) {
        size_t room = sim->heap_room ? sim->heap_room * 2 : 1024;
        struct sim_event *heap = realloc(sim->heap, room * sizeof *heap);
        if (heap == NULL) {
            sim->result.verdict = TETHER_SIM_FAILED;
            sim->stop = 1;
            return -ENOMEM;
        }
        sim->heap = heap;
        sim->heap_room = room;
    }
    sim->heap_count++;
    while (at > 0 && earlier(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
    return 0;
}

int sim_pop(struct tether_sim *sim, struct sim_event *event)
{
    struct sim_event last;
    size_t at = 0;
    if (sim->heap_count == 0)
        return 0;
    *event = sim->heap[0];
    last = sim->heap[--sim->heap_count];
    for (;;) {
        size_t least = 2 * at + 1;
        if (least >= sim->heap_count)
            break;
        if (least + 1 < sim->heap_count && earlier(&sim->heap[least + 1], &sim->heap[least]))
            least++;
        if (!earlier(&sim->heap[least], &last))
            break;
        sim->heap[at] = sim->heap[least];
        at = least;
    }
    sim->heap[at] = last;
    return 1;
}

/* A frame buffer of at least `length` bytes. Sizes are whole blocks, one free list each. */
struct sim_frame *sim_frame_take(struct tether_sim *sim, uint32_t length)
{
    uint32_t class = (length + TETHER_BLOCK_BYTES - 1) / TETHER_BLOCK_BYTES;
    size_t size = (sizeof(struct sim_frame) + (size_t)class * TETHER_BLOCK_BYTES + 15) & ~(size_t)15;
    struct sim_frame *frame;
    if (class >= SIM_CLASSES)
        return NULL;
    if (sim->pool[class] == NULL) {
        size_t count = (1 << 16) / size + 1;
        struct sim_slab *slab = malloc(16 + count * size);
        if (slab == NULL) {
            sim->result.verdict = TETHER_SIM_FAILED;
            sim->stop = 1;
            return NULL;
        }
        slab->next = sim->slabs;
        sim->slabs = slab;
        for (size_t i = 0; i < count; i++) {
            frame = (struct sim_frame *)(void *)((uint8_t *)slab + 16 + i * size);
            frame->next = sim->pool[class];
            sim->pool[class] = frame;
        }
    }
    frame = sim->pool[class];
    sim->pool[class] = frame->next;
    memset(frame, 0, sizeof *frame);
    frame->length = frame->room = length;
    sim->in_flight++;
    return frame;
}

void sim_frame_give(struct tether_sim *sim, struct sim_frame *frame)
{
    uint32_t class = (frame->room + TETHER_BLOCK_BYTES - 1) / TETHER_BLOCK_BYTES;
    frame->next = sim->pool[class];
    sim->pool[class] = frame;
    sim->in_flight--;
}

void sim_frames_free(struct tether_sim *sim)
{
    while (sim->slabs != NULL) {
        struct sim_slab *next = sim->slabs->next;
        free(sim->slabs);
        sim->slabs = next;
    }
    free(sim->heap);
}
