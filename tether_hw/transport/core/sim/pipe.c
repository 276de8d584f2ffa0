/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c: a directed link: serialisation, a finite queue, delay, and everything that can happen to a frame. */
#include "sim.h"

int sim_match(uint32_t match, const uint8_t *frame, uint32_t length)
{
    struct tether_header header;
    int lamp;
    if (match == TETHER_SIM_MATCH_ALL)
        return 1;
    if (length < TETHER_HEADER_BYTES)
        return 0;
    tether_wire_decode(&header, frame);
    lamp = (header.flags & TETHER_FLAG_LAMP) != 0;
    switch (match) {
    case TETHER_SIM_MATCH_HEADER_ONLY:
        return !lamp && header.length == 0;
    case TETHER_SIM_MATCH_DATA:
        return !lamp && header.length != 0 && header.flow != 0;
    case TETHER_SIM_MATCH_BLOCKED:
        return !lamp && (header.flags & TETHER_FLAG_BLOCKED) != 0;
    case TETHER_SIM_MATCH_GRANT:
        return !lamp && (header.flags & TETHER_FLAG_GRANT) != 0;
    case TETHER_SIM_MATCH_NACK:
        return !lamp && header.nack_count != 0;
    case TETHER_SIM_MATCH_LAMP:
        return lamp;
    case TETHER_SIM_MATCH_END:
        return !lamp && header.length != 0 && (header.flags & TETHER_FLAG_END) != 0;
    case TETHER_SIM_MATCH_CONTROL:
        return !lamp && header.length != 0 && header.flow == 0;
    case TETHER_SIM_MATCH_RECEIPT:
        return !lamp && header.length == 0 && !(header.flags & TETHER_FLAG_BLOCKED);
    default:
        return 0;
    }
}

/* One outage is one fault, however many frames it takes. */
static int outage(struct tether_sim *sim, uint32_t pipe, const struct sim_frame *frame)
{
    for (uint32_t i = 0; i < sim->config.outage_count; i++) {
        const struct tether_sim_outage *o = &sim->outages[i];
        if (o->pipe != pipe || sim->now_ns < o->from_ns || sim->now_ns >= o->until_ns || sim->outage_left[i] == 0 ||
            !sim_match(o->match, frame->bytes, frame->length))
            continue;
        if (!sim_fault(sim, TETHER_SIM_FAULT_OUTAGE, i, 0))
            continue;
        sim->outage_left[i]--;
        return 1;
    }
    return 0;
}

/* How long the transmitter needs for a frame. */
static uint64_t serial_ns(const struct sim_pipe *p, uint64_t bytes)
{
    return p->config.rate_bps ? bytes * 8 * UINT64_C(1000000000) / p->config.rate_bps : 0;
}

/*
 * The Gilbert-Elliott state goes on with every frame, whatever happens to it, and with every time of a full frame in
 * which none comes: a burst is an event of the link, and ends although nothing is sent.
 */
static int burst_lost(struct tether_sim *sim, struct sim_pipe *p, uint32_t pipe, uint64_t number)
{
    const struct tether_sim_pipe *c = &p->config;
    uint64_t seed = sim->config.seed, frame_ns = serial_ns(p, 1510), steps, stay = 1000000;
    if (c->burst_enter_ppm == 0)
        return 0;
    frame_ns = frame_ns ? frame_ns : 1000;
    steps = 1 + (sim->now_ns - p->burst_ns) / frame_ns;
    p->burst_ns = sim->now_ns;
    for (uint64_t i = 0; p->burst && i < steps && stay; i++)
        stay = stay * (1000000 - c->burst_leave_ppm) / 1000000;
    if (p->burst)
        p->burst = sim_chance(seed, SIM_DRAW_BURST, pipe, number, (uint32_t)stay);
    else
        p->burst = sim_chance(seed, SIM_DRAW_BURST, pipe, number, c->burst_enter_ppm);
    return p->burst && sim_chance(seed, SIM_DRAW_BURST_LOSS, pipe, number, c->burst_loss_ppm);
}

static void alone(struct tether_sim *sim, struct sim_frame *frame, uint64_t at_ns)
{
    frame->at_ns = at_ns;
    if (sim_at(sim, at_ns, SIM_EV_FRAME, frame->pipe, frame))
        sim_frame_give(sim, frame);
}

static void in_order(struct tether_sim *sim, struct sim_pipe *p, struct sim_frame *frame, uint64_t at_ns)
{
    frame->at_ns = at_ns;
    frame->next = NULL;
    if (p->tail != NULL && p->tail->at_ns > at_ns) { /* the delay has fallen */
        alone(sim, frame, at_ns);
        return;
    }
    if (p->tail != NULL)
        p->tail->next = frame;
    else
        p->head = frame;
    if (p->tail == NULL && sim_at(sim, at_ns, SIM_EV_PIPE, frame->pipe, NULL)) {
        p->head = NULL;
        sim_frame_give(sim, frame);
        return;
    }
    p->tail = frame;
}

static void damage(struct tether_sim *sim, struct sim_pipe *p, struct sim_frame *frame, uint32_t pipe, uint64_t number)
{
    const struct tether_sim_pipe *c = &p->config;
    uint64_t seed = sim->config.seed, draw;
    if (sim_chance(seed, SIM_DRAW_CORRUPT, pipe, number, c->corrupt_ppm) &&
        sim_fault(sim, TETHER_SIM_FAULT_CORRUPT, pipe, number)) {
        draw = sim_draw(seed, SIM_DRAW_PLACE, pipe, number);
        frame->bytes[draw % frame->length] ^= (uint8_t)(1u << (draw >> 32 & 7));
        frame->tampered = 1;
        p->result.corrupted++;
    }
    if (sim_chance(seed, SIM_DRAW_TRUNCATE, pipe, number, c->truncate_ppm) &&
        sim_fault(sim, TETHER_SIM_FAULT_TRUNCATE, pipe, number)) {
        draw = sim_draw(seed, SIM_DRAW_PLACE, pipe, number);
        frame->length = (uint32_t)((draw >> 8) % frame->length);
        frame->tampered = 1;
        p->result.truncated++;
    }
}

static struct sim_frame *copy(struct tether_sim *sim, const struct sim_frame *frame)
{
    struct sim_frame *twin = sim_frame_take(sim, frame->room);
    if (twin == NULL)
        return NULL;
    memcpy(twin->bytes, frame->bytes, frame->length);
    twin->pipe = frame->pipe;
    twin->length = frame->length;
    twin->origin = frame->origin;
    twin->from = frame->from;
    twin->to = frame->to;
    twin->tampered = frame->tampered;
    return twin;
}

void sim_pipe_put(struct tether_sim *sim, uint32_t pipe, struct sim_frame *frame)
{
    struct sim_pipe *p = &sim->pipes[pipe];
    const struct tether_sim_pipe *c = &p->config;
    uint64_t number = p->number++, seed = sim->config.seed, at, bytes = (uint64_t)frame->length + c->overhead;
    int chance = sim->now_ns < c->faults_until_ns;
    frame->pipe = pipe;
    sim_tap(sim, p, frame);
    if (c->rate_bps) {
        uint64_t busy = p->busy_ns > sim->now_ns ? p->busy_ns : sim->now_ns;
        uint64_t queued = (uint64_t)((unsigned __int128)(busy - sim->now_ns) * c->rate_bps / UINT64_C(8000000000));
        if (c->queue_bytes && queued + bytes > c->queue_bytes) {
            p->result.queue_dropped++;
            sim->result.last_fault_ns = sim->now_ns;
            sim_frame_give(sim, frame);
            return;
        }
        p->result.queue_peak_bytes = queued + bytes > p->result.queue_peak_bytes ? queued + bytes
                                                                                 : p->result.queue_peak_bytes;
        p->busy_ns = busy + serial_ns(p, bytes);
    } else {
        p->busy_ns = sim->now_ns;
    }
    at = p->busy_ns + c->delay_ns;
    p->result.carried_frames++;
    p->result.carried_bytes += bytes;
    if (sim->config.outage_count && outage(sim, pipe, frame)) {
        p->result.outage_lost++;
        sim_frame_give(sim, frame);
        return;
    }
    if (burst_lost(sim, p, pipe, number) && chance && sim_fault(sim, TETHER_SIM_FAULT_LOSS, pipe, number)) {
        p->result.burst_lost++;
        sim_frame_give(sim, frame);
        return;
    }
    if (chance && sim_chance(seed, SIM_DRAW_LOSS, pipe, number, c->loss_ppm) &&
        sim_fault(sim, TETHER_SIM_FAULT_LOSS, pipe, number)) {
        p->result.lost++;
        sim_frame_give(sim, frame);
        return;
    }
    if (chance && sim_chance(seed, SIM_DRAW_DUPLICATE, pipe, number, c->duplicate_ppm) &&
        sim_fault(sim, TETHER_SIM_FAULT_DUPLICATE, pipe, number)) {
        struct sim_frame *twin = copy(sim, frame);
        uint64_t later = sim_draw(seed, SIM_DRAW_LATER, pipe, number) % (c->delay_ns + c->reorder_ns + 1);
        if (twin != NULL) {
            p->result.duplicated++;
            alone(sim, twin, at + later);
        }
    }
    if (chance)
        damage(sim, p, frame, pipe, number);
    if (chance && sim_chance(seed, SIM_DRAW_REORDER, pipe, number, c->reorder_ppm) &&
        sim_fault(sim, TETHER_SIM_FAULT_REORDER, pipe, number)) {
        uint64_t later = sim_draw(seed, SIM_DRAW_LATER, pipe, ~number) % (c->reorder_ns + 1);
        p->result.reordered++;
        alone(sim, frame, at + later);
        return;
    }
    in_order(sim, p, frame, at);
}

/* The first frame of the queue has arrived: take it, and wait for the next one. */
struct sim_frame *sim_pipe_arrived(struct tether_sim *sim, uint32_t pipe)
{
    struct sim_pipe *p = &sim->pipes[pipe];
    struct sim_frame *frame = p->head;
    p->head = frame->next;
    if (p->head == NULL)
        p->tail = NULL;
    else if (sim_at(sim, p->head->at_ns, SIM_EV_PIPE, pipe, NULL))
        p->tail = p->head = NULL; /* memory is out: the run ends */
    return frame;
}
