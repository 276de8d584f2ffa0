# SPDX-License-Identifier: Apache-2.0
"""Steering of EtherType 0x88B5, the same rules for every family: what they are, how each tool writes and reads them.

    rule.py      one rule, bound to a device            ntuple.py   as ethtool's flow classification
    model.py     as an inventory says it                flower.py   as tc's flower classifier
    grammar.py   the strict parser of every batch       rte_flow.py as DPDK's testpmd and flow API
    compare.py   wanted against what is there

Nothing here touches a machine.
"""
