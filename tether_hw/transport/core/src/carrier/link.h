/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h: the Ethernet header around a Tether frame: EtherType 0x88B5 under 0 to 2 VLAN tags (802.1Q or 802.1ad).
 * The address of a lane has one VLAN: the outermost tag's VID; VID 0 is a priority tag, no VLAN.
 */
#ifndef TETHER_LINK_H
#define TETHER_LINK_H

#include <string.h>

#include "carrier.h"

enum {
    LINK_TPID_Q = 0x8100,
    LINK_TPID_AD = 0x88a8,
    LINK_HEADER_MAX = 22,      /* two MACs, two tags, EtherType */
    LINK_HEADER_SENT_MAX = 18, /* we send one tag at most */
    LINK_VLAN_NONE = 0xffff,
};

static inline uint16_t link_read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/*
 * Offset of the Tether header, or 0 when this is none. `outer_tci` >= 0: a tag that the kernel has taken out of the
 * data already, then one tag more may follow.
 */
static inline uint32_t link_parse(const uint8_t *data, uint32_t length, int outer_tci, struct tether_address *from,
                                  struct tether_address *to)
{
    uint16_t vlan = outer_tci >= 0 ? (uint16_t)(outer_tci & 0xfff) : LINK_VLAN_NONE;
    int tags = outer_tci >= 0;
    uint32_t at = 12;
    if (length < 14)
        return 0;
    uint16_t type = link_read16(data + at);
    while (type == LINK_TPID_Q || type == LINK_TPID_AD) {
        if (++tags > 2 || length < at + 6)
            return 0;
        if (tags == 1)
            vlan = link_read16(data + at + 2) & 0xfff;
        at += 4;
        type = link_read16(data + at);
    }
    if (type != TETHER_ETHERTYPE)
        return 0;
    if (vlan == 0)
        vlan = LINK_VLAN_NONE;
    carrier_mac_address(to, data, vlan);
    carrier_mac_address(from, data + 6, vlan);
    return at + 2;
}

/* Write the header that ends at `end`; returns its length. */
static inline uint32_t link_build(uint8_t *end, const uint8_t source[6], const struct tether_address *to)
{
    uint16_t vlan = carrier_vlan(to);
    uint32_t length = vlan == LINK_VLAN_NONE ? 14 : 18;
    uint8_t *at = end - length;
    memcpy(at, to->bytes, 6);
    memcpy(at + 6, source, 6);
    if (length == 18) {
        at[12] = LINK_TPID_Q >> 8;
        at[13] = LINK_TPID_Q & 0xff;
        at[14] = (uint8_t)((vlan >> 8) & 0xf);
        at[15] = (uint8_t)vlan;
    }
    end[-2] = TETHER_ETHERTYPE >> 8;
    end[-1] = TETHER_ETHERTYPE & 0xff;
    return length;
}

#endif
