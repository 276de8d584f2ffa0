/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the payload of Flow 0: the parser reads nothing outside them and comes to an end. */
#include "../src/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tether_tag_cursor cursor = {.at = data, .left = size};
    struct tether_tag tag;
    size_t before = size + 1;
    while (cursor.left < before) {
        before = cursor.left;
        if (tether_tag_next(&cursor, &tag) <= 0)
            break;
        if (tag.type == TETHER_TAG_MANIFEST) {
            struct tether_tag_cursor lanes = {.at = tag.manifest.lane_bytes, .left = tag.manifest.lane_length};
            struct tether_address address;
            uint16_t lane;
            while (tether_tag_lane(&lanes, &lane, &address) > 0)
                if (address.length > sizeof address.bytes)
                    __builtin_trap();
        }
    }
    return 0;
}
