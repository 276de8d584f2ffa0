/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge PACKAGE (svm|dvm|as-is) < FRAMES > RESULTS: the parser of DPDK's ice base code on every frame.
 * FRAMES: u16 LE length and that many bytes, again and again. RESULTS: a line for each,
 * "status ptype flags protocol:offset,...".
 */
#include <stdio.h>
#include <stdlib.h>
#include "ice_common.h"

int main(int argc, char **argv)
{
    static struct ice_hw hw;
    static u8 file[32 << 20];
    static u8 frame[65536 + 64];
    struct ice_parser *parser;
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    size_t size;
    u32 count, i;

    if (!in)
        return 64;
    size = fread(file, 1, sizeof(file), in);
    fclose(in);
    memcpy(&count, file + 4, 4);
    for (i = 0; i < count; i++) {
        u32 at;
        memcpy(&at, file + 8 + 4 * i, 4);
        if (at + 4 <= size && *(u32 *)(file + at) == SEGMENT_TYPE_ICE_E810)
            hw.seg = (struct ice_seg *)(file + at);
    }
    if (!hw.seg || ice_parser_create(&hw, &parser))
        return 1;
    if (!strcmp(argv[2], "dvm") || !strcmp(argv[2], "svm"))
        ice_parser_dvm_set(parser, argv[2][0] == 'd');
    for (;;) {
        struct ice_parser_result result;
        u8 head[2];
        int length, status, k;
        if (fread(head, 1, 2, stdin) != 2)
            return 0;
        length = head[0] | head[1] << 8;
        memset(frame, 0, sizeof(frame));
        if (fread(frame, 1, (size_t)length, stdin) != (size_t)length)
            return 1;
        status = ice_parser_run(parser, frame, length, &result);
        printf("%d %u %llx ", status != 0, result.ptype, (unsigned long long)result.flags_psr);
        for (k = 0; k < result.po_num; k++)
            printf("%s%u:%u", k ? "," : "", result.po[k].proto_id, result.po[k].offset);
        putchar('\n');
    }
}
