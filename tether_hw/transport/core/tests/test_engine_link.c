/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 0001, T-LAT-10: lanes of one node on one link have parts of its rate, and what they declare of it is all of it. */
#include "../src/endpoint.h"
#include "../src/engine/engine.h"
#include "nodes.h"

enum { LANES = 3 };
#define RATE UINT64_C(12000000000)

static void add(struct node *node, uint16_t lane, uint32_t link)
{
    struct tether_lane_config config = {.struct_size = sizeof config, .lane = lane, .carrier = "udp", .queue = lane,
        .cpu = -1, .address = {.kind = TETHER_ADDRESS_UDP4, .length = 6, .bytes = {127, 0, 0, 1}}, .rtt_ns = 100000,
        .rate_bps = RATE, .link = link};
    struct tether_lane_info info = {.struct_size = sizeof info};
    nodes_must(tether_engine_add_lane(node->engine, &config), "lane");
    nodes_must(tether_engine_lane_info(node->engine, lane, &info), "lane_info");
    node->addresses[lane] = info.address;
}

static void lanes_share_their_link(void)
{
    PROVES("T-LAT-10");
    static struct node a, b;
    node_new(&a, 0, LANES);
    node_new(&b, 1, LANES);
    for (uint16_t lane = 0; lane < LANES; lane++) {
        add(&a, lane, lane / 2);
        add(&b, lane, 7);
    }
    nodes_start(&a, &b);
    for (uint16_t lane = 0; lane < LANES; lane++) {
        struct tether_tag_manifest manifest;
        const struct tether_endpoint *ep = a.engine->lanes[lane].endpoint;
        CHECK(ep->link_bps == (lane < 2 ? RATE / 2 : RATE));
        CHECK(b.engine->lanes[lane].endpoint->link_bps == RATE / 3);
        tether_manifest_of(ep, &manifest);
        CHECK(manifest.rate_bps == RATE);
    }
    nodes_free(&a, &b);
}

int main(int argc, char **argv)
{
    run_arguments(argc, argv);
    RUN(lanes_share_their_link);
    return run_result();
}
