/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer with a key that says anything: each input is a run of frames, sealed with the real keys, so that what is
 * behind the verification is reached. The endpoint must keep its invariants (they abort here) and its bounds.
 */
#define PAIR_FLIGHT 256
#include "../tests/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pair pair;
    static uint8_t plain[1408], frame[PAIR_FRAME];
    struct tether_channel *ch;
    uint16_t flow[2];
    pair_open(&pair, 1);
    for (int i = 0; i < 2; i++) {
        pair.config[i].rx_cells = pair.config[i].tx_cells = 64;
        pair.config[i].max_message = 20000;
        pair.config[i].max_channels = 2;
    }
    pair_start(&pair);
    pair_connect(&pair);
    for (uint8_t kind = 0; kind < 2; kind++)
        if (tether_flow_open(pair.end[0], pair.now_ns, pair.channel[0], kind, 0, &flow[kind]))
            __builtin_trap();
    pair_run(&pair, 5000000);
    (void)tether_flow_write(pair.end[1], pair.now_ns, pair.channel[1], flow[0], plain, 1400, 0);
    (void)tether_flow_write(pair.end[1], pair.now_ns, pair.channel[1], flow[1], plain, 1400, 0);
    ch = tether_channel_find(pair.end[0], pair.channel[0]);
    while (size >= 24 && ch != NULL) {
        struct tether_header header = {.version = 1, .flags = data[0] & 0xfe, .channel = pair.channel[1],
            .sequence = ch->sequence++, .want = tether_get16(data + 2), .flow = data[1] & 7,
            .grant_amount = tether_get32(data + 4), .slot = tether_get16(data + 8), .nack_slot = tether_get16(data + 10),
            .nack_count = tether_get16(data + 12), .timestamp_ns = tether_get32(data + 14), .echo_ns = tether_get32(data + 18)};
        uint32_t length = tether_get16(data + 22) % 1409, padded = tether_blocks(length) * 64, copied;
        struct tether_address to;
        data += 24;
        size -= 24;
        if (data[-24 + 8] & 1)
            header.slot = header.slot / 22 * 22;
        header.length = (uint16_t)length;
        memset(plain, 0, sizeof plain);
        copied = size < length ? (uint32_t)size : length;
        copied = header.flow == 0 ? copied : copied < 4 ? copied : 4; /* only tags are worth the input's bytes */
        memcpy(plain, data, copied);
        data += copied;
        size -= copied;
        tether_wire_encode(&header, frame);
        if (tether_aead_seal(tether_keys_find(&ch->tx_keys, 0), header.sequence, frame, plain, padded, frame + 64,
                             frame + TETHER_AT_TAG))
            __builtin_trap();
        (void)tether_endpoint_receive(pair.end[1], pair.now_ns, &pair.address[0], frame, 64 + padded);
        for (int k = 0; k < 8 && tether_endpoint_transmit(pair.end[1], pair.now_ns, frame, sizeof frame, &to) > 0; k++)
            continue;
        (void)tether_flow_read(pair.end[1], pair.now_ns, pair.channel[1], flow[header.sequence & 1], plain, sizeof plain,
                               NULL);
        pair.now_ns += 100000;
        pair_events(&pair);
    }
    pair_check(&pair);
    pair_close(&pair);
    return 0;
}
