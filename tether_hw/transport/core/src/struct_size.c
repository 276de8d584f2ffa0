/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of the public structs by name: a binding compares them with its own when it loads the library. */
#include <string.h>

#include "tether.h"

#define ENTRY(name) \
    {               \
        #name, sizeof(struct name) \
    }

static const struct {
    const char *name;
    size_t size;
} sizes[] = {
    ENTRY(tether_header),        ENTRY(tether_address),        ENTRY(tether_endpoint_config), ENTRY(tether_peer),
    ENTRY(tether_flow_options),  ENTRY(tether_flow_state),    ENTRY(tether_event),          ENTRY(tether_window),
    ENTRY(tether_channel_info),
    ENTRY(tether_stats),
    ENTRY(tether_engine_config), ENTRY(tether_lane_config),    ENTRY(tether_lane_info),       ENTRY(tether_carrier_stats),
    ENTRY(tether_bench_config),  ENTRY(tether_bench_result),   ENTRY(tether_ceiling_config),  ENTRY(tether_ceiling_result),
    ENTRY(tether_trace_event),
};

size_t tether_struct_size(const char *name)
{
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (strcmp(sizes[i].name, name) == 0)
            return sizes[i].size;
    }
    return 0;
}
