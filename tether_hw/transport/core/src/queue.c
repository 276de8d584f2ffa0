/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive FIFOs of flow nodes: a flow is in each at most once, and being there twice costs one bit test. */
#include "endpoint.h"

void tether_queue_push(struct tether_endpoint *ep, struct tether_queue *queue, int which, struct tether_flow *flow)
{
    uint32_t node = tether_flow_node(ep, flow);
    if (flow->queued >> which & 1)
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

struct tether_flow *tether_queue_peek(struct tether_endpoint *ep, const struct tether_queue *queue)
{
    return queue->head == TETHER_NIL ? NULL : &ep->flows[queue->head];
}

struct tether_flow *tether_queue_pop(struct tether_endpoint *ep, struct tether_queue *queue, int which)
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

void tether_queue_remove(struct tether_endpoint *ep, struct tether_queue *queue, int which, struct tether_flow *flow)
{
    uint32_t node = tether_flow_node(ep, flow), before = TETHER_NIL, at = queue->head;
    if (!(flow->queued >> which & 1))
        return;
    while (at != node && at != TETHER_NIL) {
        before = at;
        at = ep->flows[at].link[which];
    }
    if (TETHER_BROKEN(ep, at == node))
        return;
    if (before == TETHER_NIL)
        queue->head = flow->link[which];
    else
        ep->flows[before].link[which] = flow->link[which];
    if (queue->tail == node)
        queue->tail = before;
    flow->queued = (uint16_t)(flow->queued & ~(1u << which));
    if (which == TETHER_Q_GRANT)
        tether_channel_of(ep, flow)->unmet--;
}

static struct tether_queue *queue_of(struct tether_endpoint *ep, struct tether_flow *flow, int which)
{
    return which < TETHER_Q_EVENT ? &tether_channel_of(ep, flow)->queues[which] : &ep->queues[which];
}

void tether_enqueue(struct tether_endpoint *ep, struct tether_flow *flow, int which)
{
    tether_queue_push(ep, queue_of(ep, flow, which), which, flow);
}

void tether_work(struct tether_endpoint *ep, struct tether_channel *ch)
{
    tether_enqueue(ep, tether_flow_at(ep, ch, 0), TETHER_Q_WORK);
}

void tether_unqueue_all(struct tether_endpoint *ep, struct tether_flow *flow)
{
    tether_pace_forget(ep, flow);
    for (int which = 0; which < TETHER_Q_COUNT; which++)
        if (which != TETHER_Q_EVENT && which != TETHER_Q_WORK)
            tether_queue_remove(ep, queue_of(ep, flow, which), which, flow);
}

void tether_event_set(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t kind)
{
    flow->events = (uint16_t)(flow->events | 1u << kind);
    tether_enqueue(ep, flow, TETHER_Q_EVENT);
}
