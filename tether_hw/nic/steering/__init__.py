# SPDX-License-Identifier: Apache-2.0
"""Steering by EtherType and MAC address, 0x88B5 when none is said: what rules are, how each tool writes and reads them.

The rules are made for every family; of those of this version `e810` uses them, and `generic` has none.

    rule.py      one rule, bound to a device            ntuple.py   as ethtool's flow classification
    model.py     as an inventory says it                flower.py   as tc's flower classifier
    grammar.py   the strict parser of every batch       rte_flow.py as DPDK's testpmd and flow API
    compare.py   wanted against what is there

Nothing here touches a machine.
"""
