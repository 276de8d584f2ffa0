/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: a simulation from its description to what it came to. */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(TETHER_BREAK)
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define BROKEN_BUILD TEXT(TETHER_BREAK)
#else
#define BROKEN_BUILD ""
#endif

TETHER_API uint32_t tether_sim_abi(void)
{
    return TETHER_SIM_ABI;
}

TETHER_API const char *tether_sim_broken_build(void)
{
    return BROKEN_BUILD;
}

TETHER_API size_t tether_sim_struct_size(const char *name)
{
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {
        {"tether_sim_ops", sizeof(struct tether_sim_ops)}, {"tether_sim_vertex", sizeof(struct tether_sim_vertex)},
        {"tether_sim_pipe", sizeof(struct tether_sim_pipe)}, {"tether_sim_outage", sizeof(struct tether_sim_outage)},
        {"tether_sim_channel", sizeof(struct tether_sim_channel)}, {"tether_sim_flow", sizeof(struct tether_sim_flow)},
        {"tether_sim_event", sizeof(struct tether_sim_event)}, {"tether_sim_fault", sizeof(struct tether_sim_fault)},
        {"tether_sim_config", sizeof(struct tether_sim_config)}, {"tether_sim_result", sizeof(struct tether_sim_result)},
        {"tether_sim_stream_result", sizeof(struct tether_sim_stream_result)},
        {"tether_sim_pipe_result", sizeof(struct tether_sim_pipe_result)},
        {"tether_sim_vertex_result", sizeof(struct tether_sim_vertex_result)},
        {"tether_stats", sizeof(struct tether_stats)}, {"tether_event", sizeof(struct tether_event)},
        {"tether_address", sizeof(struct tether_address)}, {"tether_window", sizeof(struct tether_window)},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (strcmp(name, sizes[i].name) == 0)
            return sizes[i].size;
    return 0;
}

/* The first thing that is not as it must be ends the run. */
void sim_broken(struct tether_sim *sim, uint32_t invariant, uint32_t vertex, const char *format, ...)
{
    va_list arguments;
    if (sim->result.verdict != TETHER_SIM_DONE)
        return;
    sim->result.verdict = TETHER_SIM_BROKEN;
    sim->result.invariant = invariant;
    sim->result.vertex = vertex;
    sim->result.at_ns = sim->now_ns;
    va_start(arguments, format);
    (void)vsnprintf(sim->result.message, sizeof sim->result.message, format, arguments);
    va_end(arguments);
    sim->stop = 1;
}

/* ------------------------------------------------------------------ faults */

static uint64_t fault_name(uint32_t kind, uint32_t where, uint64_t which)
{
    return sim_mix(sim_mix(((uint64_t)kind << 32 | where) + 1) + which) | 1;
}

static int allowed(const struct tether_sim *sim, uint64_t name)
{
    uint64_t at = name & sim->only_mask;
    while (sim->only[at] != 0 && sim->only[at] != name)
        at = (at + 1) & sim->only_mask;
    return sim->only[at] == name;
}

int sim_fault(struct tether_sim *sim, uint32_t kind, uint32_t where, uint64_t which)
{
    if (sim->config.only_set && !allowed(sim, fault_name(kind, where, which)))
        return 0;
    sim->result.fault_count++;
    sim->result.last_fault_ns = sim->now_ns;
    if (kind == TETHER_SIM_FAULT_OUTAGE) {
        if (sim->outage_seen[where])
            return 1;
        sim->outage_seen[where] = 1;
    }
    if (sim->fault_kept < SIM_FAULTS_KEPT)
        sim->faults[sim->fault_kept++] = (struct tether_sim_fault){.kind = kind, .where = where, .which = which};
    return 1;
}

static int open_faults(struct tether_sim *sim)
{
    uint64_t size = 64;
    while (size < (uint64_t)sim->config.only_count * 2)
        size *= 2;
    sim->only = calloc(size, sizeof *sim->only);
    sim->faults = malloc(SIM_FAULTS_KEPT * sizeof *sim->faults);
    if (sim->only == NULL || sim->faults == NULL)
        return -ENOMEM;
    sim->only_mask = size - 1;
    for (uint32_t i = 0; i < sim->config.only_count; i++) {
        const struct tether_sim_fault *f = &sim->config.only[i];
        uint64_t name = fault_name(f->kind, f->where, f->which), at = name & sim->only_mask;
        while (sim->only[at] != 0 && sim->only[at] != name)
            at = (at + 1) & sim->only_mask;
        sim->only[at] = name;
    }
    return 0;
}

/* ------------------------------------------------------------------ opening */

void sim_identity(uint64_t seed, uint32_t node, uint8_t secret[TETHER_KEY_SIZE])
{
    for (uint64_t i = 0; i < TETHER_KEY_SIZE / 8; i++) {
        uint64_t draw = sim_draw(seed, SIM_DRAW_IDENTITY, node, i);
        memcpy(secret + i * 8, &draw, 8);
    }
}

TETHER_API int tether_sim_identity(uint64_t seed, uint32_t node, uint8_t secret[32], uint8_t public_key[32])
{
    sim_identity(seed, node, secret);
    return tether_public_key(secret, public_key);
}

static void *twin(const void *from, size_t count, size_t size)
{
    void *copy = calloc(count + 1, size);
    if (copy != NULL && count)
        memcpy(copy, from, count * size);
    return copy;
}

static int check_config(const struct tether_sim_config *c)
{
    if (c->struct_size != sizeof *c || c->abi != TETHER_SIM_ABI || c->vertex_count == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < c->vertex_count; i++)
        if (c->vertices[i].struct_size != sizeof *c->vertices || c->vertices[i].node >= c->vertex_count)
            return -EINVAL;
    for (uint32_t i = 0; i < c->pipe_count; i++)
        if (c->pipes[i].struct_size != sizeof *c->pipes || c->pipes[i].from >= c->vertex_count ||
            c->pipes[i].to >= c->vertex_count)
            return -EINVAL;
    for (uint32_t i = 0; i < c->vertex_count * c->vertex_count; i++)
        if (c->routes[i] != UINT32_MAX && c->routes[i] >= c->pipe_count)
            return -EINVAL;
    for (uint32_t i = 0; i < c->channel_count; i++)
        if (c->channels[i].struct_size != sizeof *c->channels || c->channels[i].from >= c->vertex_count ||
            c->channels[i].to >= c->vertex_count)
            return -EINVAL;
    for (uint32_t i = 0; i < c->flow_count; i++)
        if (c->flows[i].struct_size != sizeof *c->flows || c->flows[i].channel >= c->channel_count ||
            c->flows[i].message_min > c->flows[i].message_max)
            return -EINVAL;
    return 0;
}

static void bound_of_stall(struct tether_sim *sim)
{
    uint64_t longest = 0; /* round trip to which the links are going to change */
    for (uint32_t i = 0; i < sim->config.event_count; i++)
        if (sim->script[i].kind == TETHER_SIM_DELAY && 2 * sim->script[i].value > longest)
            longest = 2 * sim->script[i].value;
    for (uint32_t i = 0; i < sim->config.vertex_count; i++) {
        const struct tether_sim_vertex *v = &sim->vertices[i].config;
        uint64_t floor = v->silence_ns ? v->silence_ns : 1000000, silence, stall;
        uint64_t rtt_ns = v->rtt_ns > longest ? v->rtt_ns : longest;
        if (v->kind > TETHER_SIM_FOREIGN)
            continue;
        silence = rtt_ns + rtt_ns / 2;
        silence = silence > floor ? silence : floor;
        stall = 4 * tether_backoff_cap(silence) + 4 * rtt_ns;
        sim->stall_ns = stall > sim->stall_ns ? stall : sim->stall_ns;
        stall = 16 * silence > UINT64_C(10000000000) ? 16 * silence : UINT64_C(10000000000);
        sim->death_ns = stall > sim->death_ns ? stall : sim->death_ns;
    }
    if (sim->stall_ns == 0) /* blind senders alone */
        sim->stall_ns = UINT64_C(10000000000);
    for (uint32_t i = 0; i < sim->config.outage_count; i++)
        if (sim->outages[i].until_ns != UINT64_MAX && sim->outages[i].until_ns > sim->calm_ns)
            sim->calm_ns = sim->outages[i].until_ns;
    for (uint32_t i = 0; i < sim->config.event_count; i++) {
        uint64_t end = sim->script[i].at_ns + (sim->script[i].kind == TETHER_SIM_CRASH ? sim->script[i].value : 0);
        sim->calm_ns = end > sim->calm_ns ? end : sim->calm_ns;
    }
    for (uint32_t i = 0; i < sim->config.flow_count; i++) {
        const struct tether_sim_flow *f = &sim->flows[i].config;
        uint64_t from = f->start_ns > f->read_from_ns ? f->start_ns : f->read_from_ns;
        sim->calm_ns = from > sim->calm_ns ? from : sim->calm_ns;
    }
}

static int open_all(struct tether_sim *sim)
{
    const struct tether_sim_config *c = &sim->config;
    size_t scratch = SIM_SCRATCH;
    int failed = open_faults(sim);
    sim->vertices = calloc(c->vertex_count, sizeof *sim->vertices);
    sim->pipes = calloc(c->pipe_count + 1, sizeof *sim->pipes);
    sim->channels = calloc(c->channel_count + 1, sizeof *sim->channels);
    sim->flows = calloc(c->flow_count + 1, sizeof *sim->flows);
    sim->routes = twin(c->routes, (size_t)c->vertex_count * c->vertex_count, sizeof *sim->routes);
    sim->script = twin(c->events, c->event_count, sizeof *sim->script);
    sim->outages = twin(c->outages, c->outage_count, sizeof *sim->outages);
    sim->outage_seen = calloc(c->outage_count + 1, 1);
    sim->outage_left = calloc(c->outage_count + 1, sizeof *sim->outage_left);
    sim->public_keys = calloc(c->vertex_count, sizeof *sim->public_keys);
    sim->secrets = calloc(c->vertex_count, sizeof *sim->secrets);
    if (failed || !sim->vertices || !sim->pipes || !sim->channels || !sim->flows || !sim->routes || !sim->script ||
        !sim->outages || !sim->outage_seen || !sim->outage_left || !sim->public_keys || !sim->secrets || sim_watch_open(&sim->watch))
        return -ENOMEM;
    for (uint32_t i = 0; i < c->vertex_count; i++) {
        sim->vertices[i].config = c->vertices[i];
        sim->attackers |= c->vertices[i].kind == TETHER_SIM_ATTACKER;
        sim->nodes = c->vertices[i].node + 1 > sim->nodes ? c->vertices[i].node + 1 : sim->nodes;
        if (tether_sim_identity(c->seed, i, sim->secrets[i], sim->public_keys[i]))
            return -EIO;
    }
    for (uint32_t i = 0; i < c->pipe_count; i++) {
        sim->pipes[i].config = c->pipes[i];
        sim->pipes[i].result.struct_size = sizeof sim->pipes[i].result;
        sim->pipes[i].result.pipe = i;
    }
    for (uint32_t i = 0; i < c->outage_count; i++)
        sim->outage_left[i] = c->outages[i].count ? c->outages[i].count : UINT64_MAX;
    for (uint32_t i = 0; i < c->channel_count; i++)
        sim->channels[i].config = c->channels[i];
    for (uint32_t i = 0; i < c->flow_count; i++) {
        sim->flows[i].config = c->flows[i];
        scratch = c->flows[i].message_max > scratch ? c->flows[i].message_max : scratch;
        if (sim_stream_open(sim, i, 0) || sim_stream_open(sim, i, 1))
            return -ENOMEM;
    }
    sim->scratch = malloc(scratch);
    if (sim->scratch == NULL)
        return -ENOMEM;
    bound_of_stall(sim);
    for (uint32_t i = 0; i < c->vertex_count && !failed; i++)
        failed = sim_vertex_open(sim, i);
    for (uint32_t i = 0; i < c->vertex_count && !failed; i++)
        failed = sim_vertex_start(&sim->vertices[i]);
    return failed;
}

TETHER_API int tether_sim_new(const struct tether_sim_config *config, tether_sim **out)
{
    struct tether_sim *sim;
    int failed = check_config(config);
    if (failed)
        return failed;
    sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return -ENOMEM;
    sim->config = *config;
    sim->result.struct_size = sizeof sim->result;
    failed = open_all(sim);
    if (failed) {
        tether_sim_free(sim);
        return failed;
    }
    for (uint32_t i = 0; i < config->channel_count; i++)
        (void)sim_at(sim, config->channels[i].start_ns, SIM_EV_CHANNEL, i, NULL);
    for (uint32_t i = 0; i < config->event_count; i++)
        (void)sim_at(sim, config->events[i].at_ns, SIM_EV_SCRIPT, i, NULL);
    sim->pending_script = config->event_count;
    for (uint32_t i = 0; i < config->vertex_count; i++) {
        if (config->vertices[i].kind == TETHER_SIM_ATTACKER)
            (void)sim_at(sim, config->vertices[i].attack_from_ns, SIM_EV_ATTACK, i, NULL);
        if (config->vertices[i].kind == TETHER_SIM_BLIND)
            (void)sim_at(sim, 0, SIM_EV_BLIND, i, NULL);
    }
    *out = sim;
    return 0;
}

TETHER_API void tether_sim_free(tether_sim *sim)
{
    if (sim == NULL)
        return;
    for (uint32_t i = 0; sim->vertices != NULL && i < sim->config.vertex_count; i++)
        sim_vertex_close(&sim->vertices[i]);
    for (uint32_t i = 0; sim->flows != NULL && i < sim->config.flow_count; i++) {
        sim_stream_close(&sim->flows[i].stream[0]);
        sim_stream_close(&sim->flows[i].stream[1]);
    }
    sim_watch_close(&sim->watch);
    sim_frames_free(sim);
    free(sim->vertices);
    free(sim->pipes);
    free(sim->channels);
    free(sim->flows);
    free(sim->routes);
    free(sim->script);
    free(sim->outages);
    free(sim->outage_left);
    free(sim->outage_seen);
    free(sim->public_keys);
    free(sim->secrets);
    free(sim->only);
    free(sim->faults);
    free(sim->scratch);
    free(sim);
}
