# SPDX-License-Identifier: Apache-2.0
"""DDP packages: the container, the RX parser's tables, their source language, and the parser itself as a simulator.

    container.py  file, segments, buffers, sections      fields.py    one table of fields per kind of entry
    sections.py   which section holds which table        tables.py    the parser's tables of a package
    build.py      a new package from tables              ternary.py   cells of a TCAM

Layouts are those of the BSD-licensed driver code (DPDK, drivers/net/intel/ice/base). Nothing here comes from an Intel
package, and no package made here is signed: production E810 firmware will refuse it.
"""
