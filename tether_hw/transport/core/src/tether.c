/* SPDX-License-Identifier: Apache-2.0 */
/* tether.c: version, words for errors, and the header codec for tools. */
#include <string.h>

#include "wire.h"

_Static_assert(TETHER_REJECT_COUNT <= TETHER_REJECT_SLOTS, "the ABI has room for every reason");

static const struct {
    const char *name, *words;
} rejects[TETHER_REJECT_COUNT] = {
    {"short", "frame is shorter than its header says"},
    {"version", "unknown protocol version"},
    {"length", "length field and frame disagree"},
    {"stranger", "unknown channel, or peer not in the roster"},
    {"mac1", "Hail without a valid mac1"},
    {"auth", "frame does not verify"},
    {"replay", "sequence seen before or too old"},
    {"epoch", "no key for this sequence"},
    {"padding", "padding is not zero"},
    {"flow", "unknown flow, or slot does not fit it"},
    {"grant", "sent past its grant"},
    {"cells", "no free cell"},
    {"tags", "Flow 0 tags do not parse"},
    {"counter", "stale Hail counter"},
    {"address", "wrong lane or an address that cannot be answered"},
    {"state", "not expected in this state"},
    {"flood", "too many Hails"},
};

TETHER_API uint32_t tether_abi_version(void)
{
    return TETHER_ABI_VERSION;
}

TETHER_API const char *tether_version(void)
{
    return TETHER_VERSION;
}

TETHER_API uint32_t tether_reject_count(void)
{
    return TETHER_REJECT_COUNT;
}

TETHER_API const char *tether_reject_name(uint32_t index)
{
    return index < TETHER_REJECT_COUNT ? rejects[index].name : NULL;
}

TETHER_API const char *tether_strerror(int code)
{
    int positive = code < 0 ? -code : code;
    if (positive >= TETHER_E_SHORT && positive < TETHER_E_END_)
        return rejects[positive - TETHER_E_SHORT].words;
    return strerror(positive);
}

TETHER_API void tether_header_encode(const struct tether_header *header, uint8_t wire[TETHER_HEADER_BYTES])
{
    tether_wire_encode(header, wire);
}

TETHER_API void tether_header_decode(struct tether_header *header, const uint8_t wire[TETHER_HEADER_BYTES])
{
    tether_wire_decode(header, wire);
}

TETHER_API uint16_t tether_float16_encode(uint64_t value)
{
    return tether_float16(value);
}

TETHER_API uint64_t tether_float16_decode(uint16_t wire)
{
    return tether_unfloat16(wire);
}
