/* SPDX-License-Identifier: Apache-2.0 */
#include "handover.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Each slot has a ticket. Slot i of round r may be filled when its ticket is r * size + i, taken when it is one more.
 * So producers need one compare-and-swap on `tail` and nobody ever waits for another thread's half-done work.
 */
struct handover_slot {
    _Atomic uint32_t ticket;
    uint32_t length;
    struct tether_address from, to;
};

struct handover {
    uint32_t mask, frame_bytes;
    uint32_t head; /* the owner's */
    struct handover_slot *slots;
    uint8_t *data;
    _Alignas(64) _Atomic uint32_t tail;
};

struct handover *handover_new(uint32_t frames, uint32_t frame_bytes)
{
    uint32_t size = 2;
    while (size < frames && size < 1u << 20)
        size *= 2;
    struct handover *handover = aligned_alloc(64, (sizeof *handover + 63) & ~(size_t)63);
    if (!handover)
        return NULL;
    memset(handover, 0, sizeof *handover);
    handover->mask = size - 1;
    handover->frame_bytes = (frame_bytes + 63) & ~63u;
    handover->slots = calloc(size, sizeof *handover->slots);
    handover->data = aligned_alloc(64, (size_t)size * handover->frame_bytes); /* untouched pages cost nothing */
    if (!handover->slots || !handover->data) {
        handover_free(handover);
        return NULL;
    }
    for (uint32_t i = 0; i < size; i++)
        atomic_init(&handover->slots[i].ticket, i);
    atomic_init(&handover->tail, 0);
    return handover;
}

void handover_free(struct handover *handover)
{
    if (!handover)
        return;
    free(handover->slots);
    free(handover->data);
    free(handover);
}

static uint8_t *slot_data(const struct handover *handover, uint32_t at)
{
    return handover->data + (size_t)(at & handover->mask) * handover->frame_bytes;
}

bool handover_put(struct handover *handover, const struct tether_arrival *frame)
{
    if (frame->length > handover->frame_bytes)
        return false;
    uint32_t at = atomic_load_explicit(&handover->tail, memory_order_relaxed);
    struct handover_slot *slot;
    for (;;) {
        slot = &handover->slots[at & handover->mask];
        uint32_t ticket = atomic_load_explicit(&slot->ticket, memory_order_acquire);
        if (ticket == at) {
            if (atomic_compare_exchange_weak_explicit(&handover->tail, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed))
                break;
        } else if ((int32_t)(ticket - at) < 0) {
            return false; /* still the frame of the round before */
        } else {
            at = atomic_load_explicit(&handover->tail, memory_order_relaxed);
        }
    }
    slot->length = frame->length;
    slot->from = frame->from;
    slot->to = frame->to;
    memcpy(slot_data(handover, at), frame->data, frame->length);
    atomic_store_explicit(&slot->ticket, at + 1, memory_order_release);
    return true;
}

bool handover_waits(const struct handover *handover)
{
    const struct handover_slot *slot = &handover->slots[handover->head & handover->mask];
    return atomic_load_explicit(&slot->ticket, memory_order_acquire) == handover->head + 1;
}

bool handover_take(struct handover *handover, struct tether_arrival *frame)
{
    if (!handover_waits(handover))
        return false;
    const struct handover_slot *slot = &handover->slots[handover->head & handover->mask];
    frame->data = slot_data(handover, handover->head);
    frame->length = slot->length;
    frame->from = slot->from;
    frame->to = slot->to;
    return true;
}

void handover_done(struct handover *handover)
{
    struct handover_slot *slot = &handover->slots[handover->head & handover->mask];
    atomic_store_explicit(&slot->ticket, handover->head + handover->mask + 1, memory_order_release);
    handover->head++;
}
