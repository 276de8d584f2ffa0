/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: events one after another, progress (I7), the end, and the results. */
#include "sim.h"

#include <errno.h>

static void happen(struct tether_sim *sim, const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_EV_PIPE:
        sim_arrive(sim, sim_pipe_arrived(sim, event->index));
        return;
    case SIM_EV_FRAME:
        sim_arrive(sim, event->frame);
        return;
    case SIM_EV_WAKE:
        if (sim->vertices[event->index].wake_ns != event->at_ns)
            return; /* another one was armed since */
        sim->vertices[event->index].wake_ns = UINT64_MAX;
        sim_kick(&sim->vertices[event->index]);
        return;
    case SIM_EV_STREAM:
        sim_app_stream(sim, event->index);
        return;
    case SIM_EV_CHANNEL:
        sim_app_channel(sim, event->index);
        return;
    case SIM_EV_SCRIPT:
        sim_app_script(sim, event->index);
        return;
    case SIM_EV_ATTACK:
        sim_attack(sim, event->index);
        return;
    case SIM_EV_BLIND:
        sim_blind_run(sim, event->index);
        return;
    default:
        return;
    }
}

static int all_up(const struct tether_sim *sim)
{
    for (uint32_t i = 0; i < sim->config.channel_count; i++)
        if (!sim->channels[i].up)
            return 0;
    return 1;
}

/* Time counts in contact only: the beginning of the window that is open, or now. */
static uint64_t contact_since(const struct tether_sim *sim, uint64_t since)
{
    for (uint32_t i = 0; i < sim->config.vertex_count; i++) {
        const struct sim_vertex *v = &sim->vertices[i];
        uint64_t opened = v->config.window_count ? sim->now_ns : 0;
        for (uint32_t w = 0; w < v->config.window_count; w++)
            if (sim->now_ns >= v->windows[w].start_ns && sim->now_ns < v->windows[w].start_ns + v->windows[w].length_ns)
                opened = v->windows[w].start_ns;
        since = opened > since ? opened : since;
    }
    return since;
}

/* I7: demand, and a channel that loses no more, so something new must arrive within the bound. */
static void check_progress(struct tether_sim *sim)
{
    uint64_t since = sim->progress_ns, bound = sim->stall_ns;
    if (sim->open_streams == 0 || sim->crashed || sim->pending_script || sim->now_ns < sim->calm_ns)
        return;
    since = sim->result.last_fault_ns > since ? sim->result.last_fault_ns : since;
    since = sim->calm_ns > since ? sim->calm_ns : since;
    since = contact_since(sim, since);
    if (sim->now_ns - since <= bound)
        return;
    bound += all_up(sim) ? 0 : 4 * (sim->stall_ns > UINT64_C(2000000000) ? sim->stall_ns : UINT64_C(2000000000));
    bound += sim->crashes || sim->downs ? 2 * sim->death_ns : 0;
    if (sim->now_ns - since > bound)
        sim_broken(sim, TETHER_SIM_I7, UINT32_MAX, "%u streams are not done, and for %llu ns nothing new has come",
                   sim->open_streams, (unsigned long long)(sim->now_ns - since));
}

static void finish(struct tether_sim *sim)
{
    for (uint32_t i = 0; i < 2 * sim->config.flow_count; i++)
        sim_unknown_settled(sim, &sim->flows[i / 2].stream[i % 2]);
    for (uint32_t i = 0; i < sim->config.vertex_count && !sim->stop; i++) {
        struct sim_vertex *v = &sim->vertices[i];
        if (v->up) {
            int broken = v->ops.check(v->context, 1);
            if (broken)
                sim_broken(sim, (uint32_t)broken, i, "the foreign endpoint says so");
        }
    }
}

/* When everything must be quiet: long enough after the last delivery, and after the last fault. */
static uint64_t quiet_at(const struct tether_sim *sim, uint64_t done_ns)
{
    uint64_t since = sim->result.last_fault_ns > done_ns ? sim->result.last_fault_ns : done_ns;
    since += sim->crashes || sim->downs ? 2 * sim->death_ns : 0;
    return since + (sim->config.quiet_ns ? sim->config.quiet_ns : sim->stall_ns);
}

TETHER_API int tether_sim_run(tether_sim *sim, struct tether_sim_result *result)
{
    struct sim_event event;
    uint64_t done = UINT64_MAX;
    if (result->struct_size != sizeof *result)
        return -EINVAL;
    while (!sim->stop && sim_pop(sim, &event)) {
        if (event.at_ns > sim->config.limit_ns ||
            (sim->config.frame_limit && sim->result.frames >= sim->config.frame_limit)) {
            if (sim->open_streams)
                sim->result.verdict = TETHER_SIM_UNFINISHED;
            break;
        }
        if (done != UINT64_MAX && event.at_ns > quiet_at(sim, done))
            break;
        sim->now_ns = event.at_ns;
        happen(sim, &event);
        check_progress(sim);
        if (done == UINT64_MAX && sim->open_streams == 0 && sim->pending_script == 0 && sim->now_ns >= sim->calm_ns)
            done = sim->now_ns;
    }
    if (!sim->stop && sim->result.verdict == TETHER_SIM_DONE && sim->open_streams)
        sim_broken(sim, TETHER_SIM_I7, UINT32_MAX, "%u streams are not done, and nothing is going to happen any more",
                   sim->open_streams);
    if (!sim->stop && sim->result.verdict == TETHER_SIM_DONE)
        finish(sim);
    if (sim->result.at_ns == 0)
        sim->result.at_ns = sim->now_ns;
    *result = sim->result;
    return (int)result->verdict;
}

/* ------------------------------------------------------------------ results */

TETHER_API int tether_sim_stream(const tether_sim *sim, uint32_t flow, uint32_t direction,
                                 struct tether_sim_stream_result *result)
{
    const struct sim_stream *stream;
    if (result->struct_size != sizeof *result || flow >= sim->config.flow_count || direction > 1)
        return -EINVAL;
    stream = &sim->flows[flow].stream[direction];
    *result = stream->result;
    if (sim->flows[flow].last[1 - direction]) {
        struct tether_sim *looked = (struct tether_sim *)(uintptr_t)sim; /* looked at, not changed */
        const struct sim_watch_flow *seen =
            sim_watch_flow(looked, stream->dst, sim->flows[flow].last[1 - direction], sim->flows[flow].id);
        if (seen != NULL) {
            result->first_arrival_ns = seen->first_arrival_ns;
            result->arrived_bytes = seen->arrived_bytes;
            result->steady_from_ns = seen->steady_from_ns;
            result->steady_until_ns = seen->steady_until_ns;
            result->steady_bytes = seen->steady_until_bytes - seen->steady_from_bytes;
            result->duplicates = seen->duplicates;
        }
    }
    for (uint64_t m = 0; stream->seen != NULL && m < stream->next_message; m++)
        result->lost_messages += !(stream->seen[m / 8] >> (m % 8) & 1) && !(stream->ended[m / 8] >> (m % 8) & 1);
    return 0;
}

TETHER_API int tether_sim_pipe_stats(const tether_sim *sim, uint32_t pipe, struct tether_sim_pipe_result *result)
{
    if (result->struct_size != sizeof *result || pipe >= sim->config.pipe_count)
        return -EINVAL;
    *result = sim->pipes[pipe].result;
    return 0;
}

TETHER_API int tether_sim_vertex_stats(const tether_sim *sim, uint32_t vertex, struct tether_sim_vertex_result *result)
{
    if (result->struct_size != sizeof *result || vertex >= sim->config.vertex_count)
        return -EINVAL;
    *result = sim->vertices[vertex].result;
    if (sim->vertices[vertex].ep != NULL)
        tether_endpoint_stats(sim->vertices[vertex].ep, &result->stats);
    return 0;
}

TETHER_API size_t tether_sim_faults(const tether_sim *sim, struct tether_sim_fault *faults, size_t count)
{
    size_t most = sim->fault_kept < count ? sim->fault_kept : count;
    memcpy(faults, sim->faults, most * sizeof *faults);
    return most;
}
