/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blind.c: senders without credit, to show beside Tether what it saves: everything at once at the speed of the own
 * link, and again after a time-out what was not confirmed. The receiver confirms each frame.
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

struct sim_blind {
    uint64_t count;      /* frames to send */
    uint64_t next;       /* first never sent */
    uint64_t confirmed;
    uint64_t *sent_ns;   /* [count] */
    uint8_t *done;       /* [count]: confirmed */
    uint8_t *there;      /* [count]: at the receiver */
    uint64_t arrived;
    uint64_t timeout_ns;
    uint32_t last_bytes;
};

static int receives(const struct sim_vertex *v)
{
    return v->config.node == v->index;
}

int sim_blind_open(struct sim_vertex *v)
{
    uint64_t cut = (uint64_t)v->config.frame_blocks * TETHER_BLOCK_BYTES;
    struct sim_blind *blind;
    if (receives(v))
        return 0;
    v->blind = blind = calloc(1, sizeof *blind);
    if (blind == NULL || cut == 0 || v->config.max_message == 0)
        return -EINVAL;
    blind->count = (v->config.max_message + cut - 1) / cut;
    blind->last_bytes = (uint32_t)(v->config.max_message - (blind->count - 1) * cut);
    blind->sent_ns = calloc(blind->count, sizeof *blind->sent_ns);
    blind->done = calloc(blind->count, 1);
    blind->there = calloc(blind->count, 1);
    blind->timeout_ns = v->config.silence_ns > 2 * v->config.rtt_ns ? v->config.silence_ns : 2 * v->config.rtt_ns;
    v->sim->open_streams++;
    return blind->sent_ns && blind->done && blind->there ? 0 : -ENOMEM;
}

void sim_blind_close(struct sim_vertex *v)
{
    if (v->blind == NULL)
        return;
    free(v->blind->sent_ns);
    free(v->blind->done);
    free(v->blind->there);
    free(v->blind);
}

static void put(struct sim_vertex *v, uint32_t to, uint64_t number, uint32_t bytes)
{
    struct sim_frame *frame = sim_frame_take(v->sim, TETHER_HEADER_BYTES + bytes);
    if (frame == NULL)
        return;
    memset(frame->bytes, 0, TETHER_HEADER_BYTES);
    tether_put64(frame->bytes + 8, number);
    frame->origin = frame->from = v->index;
    frame->to = to;
    sim_send(v->sim, v->index, frame);
}

/* The next frame that is due: never sent, or its time is over. */
void sim_blind_run(struct tether_sim *sim, uint32_t vertex)
{
    struct sim_vertex *v = &sim->vertices[vertex];
    struct sim_blind *blind = v->blind;
    uint64_t number = UINT64_MAX, when = UINT64_MAX;
    if (blind == NULL || blind->confirmed == blind->count)
        return;
    if (sim->now_ns < v->config.attack_from_ns || sim->now_ns < v->nic_ns) {
        when = v->config.attack_from_ns > v->nic_ns ? v->config.attack_from_ns : v->nic_ns;
        (void)sim_at(sim, when, SIM_EV_BLIND, vertex, NULL);
        return;
    }
    if (blind->next < blind->count) {
        number = blind->next++;
    } else {
        for (uint64_t i = 0; i < blind->count && number == UINT64_MAX; i++) {
            uint64_t due = blind->sent_ns[i] + blind->timeout_ns;
            if (blind->done[i])
                continue;
            if (due <= sim->now_ns)
                number = i;
            when = due < when ? due : when;
        }
        v->result.blind_resent += number != UINT64_MAX;
    }
    if (number != UINT64_MAX) {
        blind->sent_ns[number] = sim->now_ns;
        put(v, v->config.node, number,
            number + 1 == blind->count ? blind->last_bytes : (uint32_t)v->config.frame_blocks * TETHER_BLOCK_BYTES);
        when = v->nic_ns;
    }
    (void)sim_at(sim, when > sim->now_ns ? when : sim->now_ns + 1, SIM_EV_BLIND, vertex, NULL);
}

void sim_blind_arrive(struct sim_vertex *v, const struct sim_frame *frame)
{
    struct tether_sim *sim = v->sim;
    uint64_t number = tether_get64(frame->bytes + 8);
    struct sim_vertex *sender = receives(v) ? &sim->vertices[frame->origin] : v;
    struct sim_blind *blind = sender->blind;
    if (blind == NULL || number >= blind->count)
        return;
    if (!receives(v)) {
        if (!blind->done[number]) {
            blind->done[number] = 1;
            if (++blind->confirmed == blind->count)
                sim->open_streams--;
        }
        return;
    }
    sim->progress_ns = sim->now_ns;
    if (!blind->there[number]) {
        blind->there[number] = 1;
        if (++blind->arrived == blind->count)
            sender->result.blind_done_ns = sim->result.done_ns = sim->now_ns;
    }
    put(v, sender->index, number, 0);
}
