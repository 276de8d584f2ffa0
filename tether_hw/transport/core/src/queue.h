/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h: intrusive FIFOs of flow nodes: a flow is in each at most once, and being there twice costs one bit test.
 * Every frame passes several of them, so they are part of their callers. Included by endpoint.h.
 */
#ifndef TETHER_QUEUE_H
#define TETHER_QUEUE_H

#include "endpoint.h"

static inline int tether_queued(const struct tether_flow *flow, int which)
{
    return flow->queued >> which & 1;
}

static inline void tether_queue_push(struct tether_endpoint *ep, struct tether_queue *queue, int which,
                                     struct tether_flow *flow)
{
    uint32_t node = tether_flow_node(ep, flow);
    if (tether_queued(flow, which))
        return;
    flow->queued = (uint16_t)(flow->queued | 1u << which);
    if (which == TETHER_Q_GRANT)
        tether_channel_of(ep, flow)->unmet++;
    flow->link[which] = TETHER_NIL;
    if (queue->tail == TETHER_NIL)
        queue->head = node;
    else
        ep->flows[queue->tail].link[which] = node;
    queue->tail = node;
}

static inline struct tether_flow *tether_queue_peek(struct tether_endpoint *ep, const struct tether_queue *queue)
{
    return queue->head == TETHER_NIL ? NULL : &ep->flows[queue->head];
}

static inline struct tether_flow *tether_queue_pop(struct tether_endpoint *ep, struct tether_queue *queue, int which)
{
    struct tether_flow *flow;
    if (queue->head == TETHER_NIL)
        return NULL;
    flow = &ep->flows[queue->head];
    queue->head = flow->link[which];
    if (queue->head == TETHER_NIL)
        queue->tail = TETHER_NIL;
    flow->queued = (uint16_t)(flow->queued & ~(1u << which));
    if (which == TETHER_Q_GRANT)
        tether_channel_of(ep, flow)->unmet--;
    return flow;
}

/* The first goes behind the others; with none there is nothing to do. */
static inline void tether_queue_turn(struct tether_endpoint *ep, struct tether_queue *queue, int which)
{
    if (queue->head != queue->tail)
        tether_queue_push(ep, queue, which, tether_queue_pop(ep, queue, which));
}

static inline struct tether_queue *tether_queue_of(struct tether_endpoint *ep, const struct tether_flow *flow, int which)
{
    return which < TETHER_Q_EVENT ? &tether_channel_of(ep, flow)->queues[which] : &ep->queues[which];
}

static inline void tether_enqueue(struct tether_endpoint *ep, struct tether_flow *flow, int which)
{
    if (!tether_queued(flow, which))
        tether_queue_push(ep, tether_queue_of(ep, flow, which), which, flow);
}

static inline void tether_work(struct tether_endpoint *ep, struct tether_channel *ch)
{
    tether_enqueue(ep, tether_flow_at(ep, ch, 0), TETHER_Q_WORK);
}

static inline void tether_event_set(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t kind)
{
    flow->events = (uint16_t)(flow->events | 1u << kind);
    tether_enqueue(ep, flow, TETHER_Q_EVENT);
}

#endif
