/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_rx.c: the peer's direction of a flow: where an arrived frame goes, what is whole, what was skipped.
 *
 * Cells below the first gap are in `head`..`tail` and belong to the application; cells behind it wait in
 * `ahead`. Our floor is our frame size, so every frame takes exactly `floor` slots and one cell.
 */
#include "arrive.h"

void tether_rx_free(struct tether_endpoint *ep, struct tether_flow *flow, uint32_t cell)
{
    tether_cells_give(&ep->rx, cell);
    if (flow->id == 0)
        return;
    tether_count_held(ep, flow, -1);
    tether_grant_freed(ep);
}

/*
 * The ember of a flow that nobody reads, or that has ended with it: its sender may use the channel's ember for another
 * flow when it hears of our close, so it is covered before.
 */
void tether_rx_cover_last(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (!flow->ember_in || !(flow->mute || rx->contig >= rx->final))
        return;
    /* No cell for the channel's next ember (T-STA-5): that one is refused until this flow is read or gone. */
    if (rx->reserved_to <= rx->granted && tether_grant_free(ep) == 0)
        return;
    rx->granted += rx->floor;
    if (rx->reserved_to < rx->granted) {
        rx->reserved_to = rx->granted;
    } else {
        tether_count_reserved(ep, flow, -1);
    }
    tether_ember_clear(ep, flow);
}

/* The message being assembled will never end: its cells go back. */
void tether_rx_break_message(struct tether_endpoint *ep, struct tether_flow *flow)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t cell = rx->message_cell;
    if (cell == TETHER_NIL)
        return;
    rx->tail = rx->message_prev;
    if (rx->tail == TETHER_NIL)
        rx->head = TETHER_NIL;
    else
        ep->rx.cells[rx->tail].next = TETHER_NIL;
    while (cell != TETHER_NIL) {
        uint32_t following = ep->rx.cells[cell].next;
        tether_rx_free(ep, flow, cell);
        cell = following;
    }
    rx->message_cell = TETHER_NIL;
    rx->message_bytes = 0;
}

/* Has what was just delivered ended the channel? Then the flow has given everything back; Flow 0 goes on for BYE. */
static int ended(const struct tether_channel *ch, const struct tether_flow *flow)
{
    return flow->id == 0 ? !tether_channel_live(ch) : ch->state != TETHER_CHANNEL_UP;
}

/* A cell has its turn in order. */
static void deliver(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint32_t cell,
                    uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    struct tether_cell *c = &ep->rx.cells[cell];
    uint8_t flags = c->flags, marks = c->marks;
    if (flow->id == 0) {
        tether_control_read(ep, ch, tether_cell_payload(&ep->rx, cell), c->length, now_ns);
        tether_rx_free(ep, flow, cell);
        return;
    }
    if (flow->mute) {
        tether_rx_free(ep, flow, cell);
    } else if (flow->kind == TETHER_FLOW_BYTES) {
        c->offset = 0;
        tether_rx_append(ep, rx, cell, cell);
        rx->readable_bytes += c->length;
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    } else {
        if (flags & TETHER_FLAG_FIRST)
            tether_rx_break_message(ep, flow);
        if (rx->message_cell == TETHER_NIL && !(flags & TETHER_FLAG_FIRST)) {
            tether_rx_free(ep, flow, cell); /* the rest of a message whose beginning was skipped */
        } else {
            if (rx->message_cell == TETHER_NIL) {
                rx->message_prev = rx->tail;
                rx->message_cell = cell;
                rx->message_bytes = 0;
            }
            tether_rx_append(ep, rx, cell, cell);
            rx->message_bytes += c->length;
            if (rx->message_bytes > flow->bound) {
                tether_channel_fail(ep, ch, now_ns, TETHER_BYE_PROTOCOL);
                return;
            }
            if (flags & TETHER_FLAG_END) {
                ep->rx.cells[rx->message_cell].sent_ns = rx->message_bytes;
                rx->readable_bytes += rx->message_bytes;
                rx->readable_messages++;
                rx->message_cell = TETHER_NIL;
                rx->message_bytes = 0;
                TETHER_COUNT(ep, messages_received);
                tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
            }
        }
    }
    if (flags & TETHER_FLAG_END && flow->kind == TETHER_FLOW_BYTES) {
        flow->flags |= TETHER_FLOW_REMOTE_END;
        tether_event_set(ep, flow, TETHER_EVENT_FLOW_READABLE);
    }
    if (marks & TETHER_CELL_BROKEN)
        tether_rx_break_message(ep, flow);
}

/* The first gap is closed: what stood behind it has its turn, up to the next gap. */
void tether_rx_splice(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint32_t gap = rx->gaps.head, cell, last;
    uint64_t upto = gap == TETHER_NIL ? rx->high : ep->gap_pool.gaps[gap].start;
    rx->contig = upto;
    while ((cell = rx->ahead) != TETHER_NIL && ep->rx.cells[cell].slot < upto) {
        rx->ahead = ep->rx.cells[cell].next;
        if (rx->ahead == TETHER_NIL)
            rx->ahead_tail = TETHER_NIL;
        deliver(ep, ch, flow, cell, now_ns);
        if (ended(ch, flow))
            return;
    }
    /* The new first gap has nothing before it in `ahead`; nor have those that followed the same cell. */
    if (gap != TETHER_NIL) {
        last = ep->gap_pool.gaps[gap].cell;
        for (; gap != TETHER_NIL && ep->gap_pool.gaps[gap].cell == last; gap = ep->gap_pool.gaps[gap].next)
            ep->gap_pool.gaps[gap].cell = TETHER_NIL;
    }
}

/* Link `cell` into `ahead` behind `before` (NIL = first). */
static void insert_ahead(struct tether_endpoint *ep, struct tether_flow_rx *rx, uint32_t cell, uint32_t before)
{
    uint32_t *next = before == TETHER_NIL ? &rx->ahead : &ep->rx.cells[before].next;
    ep->rx.cells[cell].next = *next;
    *next = cell;
    if (ep->rx.cells[cell].next == TETHER_NIL)
        rx->ahead_tail = cell;
}

static uint64_t widest(const struct tether_flow_rx *rx)
{
    return UINT16_MAX / rx->floor * rx->floor;
}

/* Open a gap at the high end. 0, or -1 when the pool is empty. */
int tether_rx_open_gap(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow, uint64_t end,
                       uint64_t ready_ns, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    if (tether_gaps_open(&ep->gap_pool, &rx->gaps, rx->high, end, widest(rx), rx->ahead_tail, ready_ns))
        return -1;
    rx->high = end;
    rx->steady_to = 0;
    if (ep->until > TETHER_QUANTUM_GAPS)
        ep->until = TETHER_QUANTUM_GAPS;
    if (ready_ns <= now_ns)
        tether_news(ep, ch, flow, TETHER_NEWS_GAP);
    else
        tether_arm(ep, ch, ready_ns);
    tether_timed(ep, ch, flow, now_ns);
    return 0;
}

/* From its arrival on time runs until the peer is told. */
TETHER_RARE void tether_rx_first(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                                 uint64_t now_ns)
{
    flow->rx.untold_ns = now_ns;
    tether_timed(ep, ch, flow, now_ns);
    tether_arm(ep, ch, now_ns + tether_receipt_pause(ch));
}

/* A frame came again although it had arrived: we asked too early. */
static void spurious(struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t rtt = tether_rtt_now(&ch->rtt);
    if (ch->reorder_ns && now_ns - ch->reorder_at_ns < rtt)
        return;
    ch->reorder_ns = ch->reorder_ns ? ch->reorder_ns * 2 : rtt / 16;
    ch->reorder_ns = ch->reorder_ns > rtt ? rtt : ch->reorder_ns;
    ch->reorder_at_ns = now_ns;
}

/* Halved for every round trip that has passed without one, and nothing where little is left. */
static void in_order(struct tether_channel *ch, uint64_t now_ns)
{
    uint64_t rtt = tether_rtt_now(&ch->rtt), rounds = (now_ns - ch->reorder_at_ns) / rtt;
    if (rounds == 0)
        return;
    ch->reorder_ns = rounds > 10 || ch->reorder_ns >> rounds < rtt / 1024 ? 0 : ch->reorder_ns >> rounds;
    ch->reorder_at_ns = now_ns;
}

/* A want that no slot number can hold is one that is too large, and not a small one. */
static uint64_t bounded(uint64_t slots)
{
    return slots < UINT64_C(1) << 32 ? slots : UINT64_C(1) << 32;
}

/* Demand, as the newest frame says it and as the most that any frame has said. */
void tether_rx_demand_any(struct tether_endpoint *ep, struct tether_flow *flow, const struct tether_header *header,
                          uint64_t position)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t least = position + bounded(tether_unfloat16(header->want));
    uint64_t most = position + bounded(tether_unfloat16_ceiling(header->want));
    if (flow->id == 0) {
        rx->demand = least > rx->demand && least - rx->contig < UINT64_C(1) << 31 ? least : rx->demand;
        rx->upper = rx->demand;
        return; /* Flow 0 has its standing pool */
    }
    if (least - rx->contig >= UINT64_C(1) << 31 && (int64_t)(least - rx->contig) > 0)
        least = most = rx->contig + (UINT64_C(1) << 31) - rx->floor; /* slots would alias */
    if (rx->final != UINT64_MAX && least > rx->final)
        least = most = rx->final;
    if (least > rx->demand)
        rx->demand = least;
    if (header->sequence >= rx->newest_sequence) {
        rx->newest_sequence = header->sequence;
        rx->upper = most > rx->demand ? most : rx->demand;
        if (__builtin_expect((header->flags & TETHER_FLAG_BUSY) | rx->lend.on, 0))
            tether_lend_heard(ep, flow, header);
    }
    tether_rx_demanded(ep, flow);
}

int tether_rx_data(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                   const struct tether_header *header, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t start = tether_expand32(rx->contig, header->slot), end = start + rx->floor;
    uint32_t cell = ep->rx_spare, spare, gap = TETHER_NIL, before;
    int duplicate = start < rx->contig, ember = 0, broken_now = 0;
    struct tether_cell *c = &ep->rx.cells[cell];
    if (start != rx->contig && start % rx->floor != 0)
        return -TETHER_E_FLOW;
    /* Where a frame's place says which bytes it has, all but the last are full (T-FLW-20). */
    if ((flow->order || tether_flow_positioned(flow)) && !(header->flags & TETHER_FLAG_END) &&
        header->length != flow->cut_bytes)
        return -TETHER_E_FLOW;
    if (end > rx->granted && !duplicate) {
        /* The ember: one frame per channel beyond the grant, when nothing of the grant is left. */
        ember = flow->id != 0 && start == rx->granted && ch->ember_in == 0 && rx->final == UINT64_MAX;
        if (!ember && !(flow->ember_in && start == rx->granted))
            return -TETHER_E_GRANT;
    }
    if (!duplicate && start < rx->high) {
        gap = tether_gaps_find(&ep->gap_pool, &rx->gaps, start);
        duplicate = gap == TETHER_NIL;
        if (!duplicate && end > ep->gap_pool.gaps[gap].end)
            return -TETHER_E_FLOW;
    }
    if (end > rx->final && !duplicate)
        return -TETHER_E_FLOW;
    if (duplicate) {
        TETHER_COUNT(ep, duplicates_received);
        spurious(ch, now_ns);
        tether_rx_demand(ep, flow, header, end);
        tether_rx_untold(ep, ch, flow, 1, now_ns);
        return 0;
    }
    if (start > rx->high) {
        if (ch->reorder_ns)
            in_order(ch, now_ns);
        if (tether_rx_open_gap(ep, ch, flow, start, now_ns + ch->reorder_ns, now_ns))
            return -TETHER_E_CELLS;
    }
    spare = tether_cells_take(&ep->rx);
    if (spare == TETHER_NIL)
        return -TETHER_E_CELLS;
    if (gap != TETHER_NIL && start != rx->contig && start > ep->gap_pool.gaps[gap].start &&
        end < ep->gap_pool.gaps[gap].end && ep->gap_pool.free_count == 0) {
        tether_cells_give(&ep->rx, spare);
        return -TETHER_E_CELLS;
    }
    tether_rx_keep(ep, ch, flow, header, start, spare, ember, now_ns);
    if (flow->order == TETHER_FLOW_UNORDERED) {
        if (gap != TETHER_NIL) {
            (void)tether_gaps_fill(&ep->gap_pool, &rx->gaps, gap, start, end, TETHER_NIL);
            rx->contig = rx->gaps.head == TETHER_NIL ? rx->high : ep->gap_pool.gaps[rx->gaps.head].start;
        } else {
            rx->high = end;
            rx->contig = rx->gaps.count ? rx->contig : end;
        }
        tether_rx_place(ep, ch, flow, cell, now_ns);
    } else if (start == rx->contig) {
        if (rx->gaps.count == 0) {
            rx->contig = rx->high = end;
            deliver(ep, ch, flow, cell, now_ns);
        } else {
            struct tether_gap *g = &ep->gap_pool.gaps[gap];
            int closed = end == g->end;
            broken_now = closed && g->broken;
            (void)tether_gaps_fill(&ep->gap_pool, &rx->gaps, gap, start, end, TETHER_NIL);
            rx->contig = end;
            c->marks = broken_now ? TETHER_CELL_BROKEN : 0;
            deliver(ep, ch, flow, cell, now_ns);
            if (closed && !ended(ch, flow))
                tether_rx_splice(ep, ch, flow, now_ns);
        }
    } else if (gap == TETHER_NIL) {
        insert_ahead(ep, rx, cell, rx->ahead_tail);
        rx->high = end;
    } else {
        before = ep->gap_pool.gaps[gap].cell;
        if (end == ep->gap_pool.gaps[gap].end && ep->gap_pool.gaps[gap].broken)
            c->marks = TETHER_CELL_BROKEN;
        (void)tether_gaps_fill(&ep->gap_pool, &rx->gaps, gap, start, end, cell);
        insert_ahead(ep, rx, cell, before);
    }
    if (ended(ch, flow))
        return 0; /* the tags ended it */
    tether_rx_kept(ep, ch, flow, header, end, now_ns);
    if (rx->final != UINT64_MAX && rx->contig >= rx->final) {
        tether_rx_cover_last(ep, flow);
        tether_flow_settle(ep, flow);
    }
    return 0;
}

/* A frame without payload: high-water slot, demand, and perhaps a question (BLOCKED). */
void tether_rx_header(struct tether_endpoint *ep, struct tether_channel *ch, struct tether_flow *flow,
                      const struct tether_header *header, uint64_t now_ns)
{
    struct tether_flow_rx *rx = &flow->rx;
    uint64_t high = tether_expand32(rx->contig, header->slot), seen;
    int blocked = (header->flags & TETHER_FLAG_BLOCKED) != 0;
    tether_backoff_heard(&rx->clock, now_ns, 0);
    tether_rx_demand(ep, flow, header, high);
    seen = high < rx->granted ? high : rx->granted;
    seen -= seen % rx->floor;
    if (rx->final != UINT64_MAX && seen > rx->final)
        seen = rx->final;
    if (seen > rx->high) {
        /* Control may overtake data, except after the silence that BLOCKED speaks of. */
        uint64_t quarter = tether_rtt_now(&ch->rtt) / 4;
        uint64_t wait = blocked ? 0 : quarter > ch->reorder_ns ? quarter : ch->reorder_ns;
        (void)tether_rx_open_gap(ep, ch, flow, seen, now_ns + wait, now_ns);
    }
    if (blocked) {
        tether_receipt_earn(ep, ch);
        tether_news(ep, ch, flow, TETHER_NEWS_ANSWER);
    }
}
