/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

static struct tether_id_closed *entry(struct tether_endpoint *ep, const struct tether_channel *ch, uint16_t id)
{
    size_t first = (size_t)tether_channel_slot(ep, ch) * (ep->table_mask + 1);
    return &ep->closed_ids[first + ((uint32_t)(id >> 1) & ep->table_mask)];
}

void tether_ids_begin(struct tether_endpoint *ep, struct tether_channel *ch)
{
    memset(&ch->ids, 0, sizeof ch->ids);
    ch->ids.next = ch->initiator ? 2 : 1;
    memset(entry(ep, ch, 0), 0, (ep->table_mask + 1) * sizeof *ep->closed_ids);
}

uint16_t tether_ids_next(struct tether_endpoint *ep, struct tether_channel *ch, uint64_t now_ns)
{
    struct tether_ids *ids = &ch->ids;
    for (uint32_t tries = 0; tries < 0x8000; tries++) {
        uint16_t id = ids->next;
        if (ids->again && now_ns - ids->gone_ns[id / TETHER_ID_GROUP] < 2 * tether_rtt_worst(&ch->rtt))
            return 0; /* ids go round in turn, so those behind it are younger still */
        ids->next = (uint16_t)(id + 2);
        ids->again |= ids->next < id;
        if (id != 0 && tether_flow_find(ep, ch, id) == NULL)
            return id;
    }
    return 0;
}

void tether_ids_gone(struct tether_endpoint *ep, struct tether_channel *ch, const struct tether_flow *flow)
{
    if ((flow->id & 1) == ch->initiator)
        *entry(ep, ch, flow->id) = (struct tether_id_closed){.at_ns = flow->closed_ns, .id = flow->id};
    else
        ch->ids.gone_ns[flow->id / TETHER_ID_GROUP] = ep->now_ns;
}

/*
 * Both CLOSEs have crossed the path before its opener can know that the flow is gone, and its DEFINE crosses it too: who
 * waits as it must is here three round trips after them, however late we heard that ours has arrived.
 */
int tether_ids_early(struct tether_endpoint *ep, struct tether_channel *ch, uint16_t id, uint64_t now_ns)
{
    struct tether_flow *flow = tether_flow_find(ep, ch, id);
    const struct tether_id_closed *closed = entry(ep, ch, id);
    uint64_t least = 2 * tether_rtt_now(&ch->rtt);
    if (flow != NULL && !flow->gone && flow->remote_gone && flow->close_sent) {
        if (now_ns - flow->closed_ns < least)
            return 1;
        flow->close_acked = 1; /* it could not be here without having read our CLOSE */
        tether_flow_settle(ep, flow);
        return 0;
    }
    return closed->id == id && now_ns - closed->at_ns < least;
}
