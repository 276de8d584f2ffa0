/* SPDX-License-Identifier: Apache-2.0 */
/* What is seldom done to a queue; the rest is in queue.h. */
#include "endpoint.h"

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

void tether_unqueue_all(struct tether_endpoint *ep, struct tether_flow *flow)
{
    tether_pace_forget(ep, flow);
    for (int which = 0; which < TETHER_Q_COUNT; which++)
        if (which != TETHER_Q_EVENT && which != TETHER_Q_WORK)
            tether_queue_remove(ep, tether_queue_of(ep, flow, which), which, flow);
}

void tether_news(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint8_t news)
{
    flow->news |= news;
    tether_enqueue(ep, flow, TETHER_Q_NEWS);
    tether_work(ep, ch);
}

/* Whoever waits for a receipt longest may have it. */
void tether_receipt_give(struct tether_endpoint *ep, struct tether_channel *ch)
{
    struct tether_flow *flow = tether_queue_pop(ep, &ch->queues[TETHER_Q_RECEIPT], TETHER_Q_RECEIPT);
    tether_news(ep, ch, flow, flow->news);
}
