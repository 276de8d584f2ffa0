/* SPDX-License-Identifier: Apache-2.0 */
/* carrier.c: carriers by name, and what "auto" means on this host. */
#include "carrier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../engine/words.h"

static const struct {
    const char *name;
    int (*open)(const struct carrier_options *options, struct carrier **out);
    bool mac; /* reached by a MAC address */
} carriers[] = {
    /* best first */
    {"af_xdp", carrier_open_af_xdp, true},
    {"af_packet", carrier_open_af_packet, true},
    {"udp", carrier_open_udp, false},
};

enum { CARRIERS = sizeof carriers / sizeof *carriers };

static int open_auto(const struct carrier_options *options, struct carrier **out)
{
    char refused[CARRIER_NOTE_BYTES] = "";
    bool mac = options->address.kind == TETHER_ADDRESS_MAC;
    int status = words_fail(-EINVAL, "auto: an address of kind %u fits no carrier", options->address.kind);
    for (int i = 0; i < CARRIERS; i++) {
        if (carriers[i].mac != mac)
            continue;
        status = carriers[i].open(options, out);
        if (status == 0) {
            char how[CARRIER_NOTE_BYTES];
            memcpy(how, (*out)->note, sizeof how);
            snprintf((*out)->note, sizeof (*out)->note, "%.150s; auto: %.90s", how,
                     refused[0] ? refused : mac ? "the best for a MAC address" : "the one for an IP address");
            return 0;
        }
        size_t used = strlen(refused);
        snprintf(refused + used, sizeof refused - used, "%s%s", used ? "; " : "", words_last());
    }
    return mac ? words_fail(status, "auto: %s", refused) : status;
}

int carrier_open(const char *name, const struct carrier_options *options, struct carrier **out)
{
    if (!name || strcmp(name, "auto") == 0)
        return open_auto(options, out);
    for (int i = 0; i < CARRIERS; i++) {
        if (strcmp(name, carriers[i].name) == 0)
            return carriers[i].open(options, out);
    }
    return words_fail(-EINVAL, "there is no carrier '%s': udp, af_packet, af_xdp, auto", name);
}
