/* SPDX-License-Identifier: Apache-2.0 */
/* flood_record.c: a peer of the victim that keeps every frame of its channels, sent and received. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../src/engine/host.h"
#include "../src/mac1.h"
#include "../src/wire.h"
#include "flood.h"

enum { VICTIM = 1, MESSAGES = 150, MESSAGE = 6000, LIMIT_S = 20 };

struct call {
    struct flood_recorder *recorder;
    struct flood_recording *recording;
    struct sockaddr_in victim;
    struct tether_address victim_address;
    uint32_t channel;
    bool up, down;
    uint16_t flow;
    uint32_t written, read;
};

static void keep(struct flood_recording *recording, const uint8_t *frame, size_t length)
{
    if (recording->count < FLOOD_RECORDED && length <= FLOOD_FRAME) {
        memcpy(recording->frames[recording->count].bytes, frame, length);
        recording->frames[recording->count++].length = (uint32_t)length;
    }
}

static void keep_sent(struct flood_recording *recording, const uint8_t *frame, size_t length)
{
    struct tether_header header;
    tether_wire_decode(&header, frame);
    keep(recording, frame, length);
    if (header.channel == 0 && recording->hail_count < 4) {
        memcpy(recording->hails[recording->hail_count].bytes, frame, length);
        recording->hails[recording->hail_count++].length = (uint32_t)length;
    } else if (header.channel != 0) {
        recording->standing = header.channel;
        recording->sequence = header.sequence + 1;
    }
}

/* Everything that can move now. */
static void step(struct call *call)
{
    uint8_t frame[FLOOD_FRAME];
    tether_endpoint *endpoint = call->recorder->endpoint;
    struct tether_address to;
    struct tether_event event;
    ssize_t got;
    int length;
    while ((got = recv(call->recorder->fd, frame, sizeof frame, MSG_DONTWAIT)) > 0) {
        keep(call->recording, frame, (size_t)got);
        (void)tether_endpoint_receive(endpoint, host_now_ns(), &call->victim_address, frame, (size_t)got);
    }
    while ((length = tether_endpoint_transmit(endpoint, host_now_ns(), frame, sizeof frame, &to)) > 0) {
        keep_sent(call->recording, frame, (size_t)length);
        (void)sendto(call->recorder->fd, frame, (size_t)length, 0, (const struct sockaddr *)&call->victim,
                     sizeof call->victim);
    }
    while (tether_endpoint_event(endpoint, &event)) {
        call->up |= event.kind == TETHER_EVENT_CHANNEL_UP && event.channel == call->channel;
        call->down |= event.kind == TETHER_EVENT_CHANNEL_DOWN && event.channel == call->channel;
    }
    struct pollfd poll_fd = {.fd = call->recorder->fd, .events = POLLIN};
    (void)poll(&poll_fd, 1, 1);
}

/* Messages there and back. 1 = all of them. */
static int exchange(struct call *call)
{
    static uint8_t message[MESSAGE], back[MESSAGE];
    tether_endpoint *endpoint = call->recorder->endpoint;
    if (!call->flow &&
        tether_flow_open(endpoint, host_now_ns(), call->channel, TETHER_FLOW_MESSAGE, MESSAGE, &call->flow))
        return 0;
    memset(message, (int)call->written, sizeof message);
    if (call->written < MESSAGES && call->written < call->read + 20 &&
        tether_flow_write(endpoint, host_now_ns(), call->channel, call->flow, message, sizeof message, 0) > 0)
        call->written++;
    while (tether_flow_read(endpoint, host_now_ns(), call->channel, call->flow, back, sizeof back, NULL) > 0)
        call->read++;
    return call->read == MESSAGES;
}

/* One channel with traffic; it stays when `stay`, else it ends by a BYE. */
static int one_call(struct call *call, bool stay)
{
    uint64_t end = host_now_ns() + LIMIT_S * UINT64_C(1000000000), quiet = 0;
    call->up = call->down = false;
    call->flow = 0;
    call->written = call->read = 0;
    if (tether_channel_open(call->recorder->endpoint, host_now_ns(), VICTIM, 0, NULL, &call->channel))
        return -1;
    while (host_now_ns() < end) {
        step(call);
        if (!call->up || !exchange(call))
            continue;
        if (quiet == 0)
            quiet = host_now_ns() + 300000000; /* what is under way arrives, and both ends fall silent */
        else if (host_now_ns() > quiet)
            break;
    }
    if (call->read != MESSAGES) {
        fprintf(stderr, "flood: the recorded channel got %u of %u messages back\n", call->read, (unsigned)MESSAGES);
        return -1;
    }
    if (stay)
        return 0;
    if (tether_channel_close(call->recorder->endpoint, host_now_ns(), call->channel))
        return -1;
    for (int i = 0; i < 300; i++)
        step(call);
    return 0;
}

/* Hails of an identity that is in nobody's roster. */
static int record_strangers(struct flood_recording *recording, struct tether_endpoint_config config,
                            const struct tether_peer *victim)
{
    tether_endpoint *stranger;
    uint8_t frame[FLOOD_FRAME];
    struct tether_address to;
    if (host_entropy(NULL, config.static_secret, 32) || tether_endpoint_new(&config, &stranger))
        return -1;
    int failed = tether_endpoint_roster(stranger, 1, victim, 1) || tether_endpoint_counter(stranger, 1, 1u << 20);
    for (uint32_t i = 0; !failed && i < FLOOD_STRANGERS; i++) {
        uint32_t channel;
        int length;
        failed = tether_channel_open(stranger, host_now_ns(), VICTIM, 0, NULL, &channel);
        length = failed ? 0 : tether_endpoint_transmit(stranger, host_now_ns(), frame, sizeof frame, &to);
        failed |= length <= 0;
        if (!failed) {
            memcpy(recording->strangers[i].bytes, frame, (size_t)length);
            recording->strangers[i].length = (uint32_t)length;
            failed = tether_channel_close(stranger, host_now_ns(), channel);
        }
        struct tether_event event;
        while (tether_endpoint_event(stranger, &event))
            continue;
    }
    tether_endpoint_free(stranger);
    return failed ? -1 : 0;
}

int flood_record(struct flood_recorder *recorder, const struct tether_address *victim,
                 const uint8_t victim_public[32], struct flood_recording *recording)
{
    struct tether_address own = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}};
    struct tether_endpoint_config config = {
        .struct_size = sizeof config, .lanes = 1, .max_channels = 8, .max_flows = 8, .rx_cells = 1024,
        .tx_cells = 1024, .frame_blocks = 22, .ring_frames = 1024, .max_message = 65536, .rtt_ns = 100000,
        .rate_bps = UINT64_C(10000000000), .entropy = host_entropy, .lane_addresses = &own,
    };
    struct tether_peer peer = {.id = VICTIM, .key_count = 1, .hail = *victim};
    struct call call = {.recorder = recorder, .recording = recording, .victim_address = *victim};
    memcpy(config.static_secret, recorder->secret, 32);
    memcpy(peer.keys[0], victim_public, 32);
    call.victim.sin_family = AF_INET;
    memcpy(&call.victim.sin_addr, victim->bytes, 4);
    memcpy(&call.victim.sin_port, victim->bytes + 4, 2);
    recorder->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (recorder->fd < 0 || tether_mac1_key(victim_public, recording->mac1_key) ||
        record_strangers(recording, config, &peer) || tether_endpoint_new(&config, &recorder->endpoint) ||
        tether_endpoint_roster(recorder->endpoint, host_now_ns(), &peer, 1) ||
        tether_endpoint_counter(recorder->endpoint, 1u << 20, 2u << 20)) {
        fprintf(stderr, "flood: no recorder: %s\n", strerror(errno));
        return -1;
    }
    return one_call(&call, false) || one_call(&call, true) ? -1 : 0;
}

void flood_recorder_drain(struct flood_recorder *recorder)
{
    uint8_t frame[FLOOD_FRAME];
    ssize_t got;
    while ((got = recv(recorder->fd, frame, sizeof frame, MSG_DONTWAIT)) >= 0)
        recorder->bytes_received += (uint64_t)got;
}

void flood_recorder_close(struct flood_recorder *recorder)
{
    tether_endpoint_free(recorder->endpoint);
    if (recorder->fd >= 0)
        close(recorder->fd);
}
