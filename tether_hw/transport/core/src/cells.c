/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto.h"

int tether_cells_open(struct tether_cells *cells, uint32_t count, uint32_t stride)
{
    size_t bytes;
    if (count == 0 || count == TETHER_NIL || stride == 0 || stride % 64 != 0 || count > SIZE_MAX / stride)
        return -EINVAL;
    bytes = (size_t)count * stride;
    cells->arena = aligned_alloc(64, bytes);
    cells->cells = aligned_alloc(64, ((size_t)count * sizeof *cells->cells + 63) & ~(size_t)63);
    if (cells->arena == NULL || cells->cells == NULL) {
        free(cells->arena);
        free(cells->cells);
        cells->arena = NULL;
        cells->cells = NULL;
        return -ENOMEM;
    }
    cells->stride = stride;
    cells->count = count;
    cells->free_head = TETHER_NIL;
    cells->fresh = 0;
    cells->free_count = count;
    return 0;
}

uint32_t tether_cells_fresh(struct tether_cells *cells)
{
    uint32_t cell = cells->fresh;
    if (cell == cells->count)
        return TETHER_NIL;
    cells->cells[cell].payload = cells->arena + (size_t)cell * cells->stride;
    cells->fresh++;
    cells->free_count--;
    return cell;
}

void tether_cells_close(struct tether_cells *cells)
{
    if (cells->arena != NULL)
        tether_wipe(cells->arena, (size_t)cells->fresh * cells->stride);
    free(cells->arena);
    free(cells->cells);
    cells->arena = NULL;
    cells->cells = NULL;
}
