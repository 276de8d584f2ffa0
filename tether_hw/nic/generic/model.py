# SPDX-License-Identifier: Apache-2.0
"""The part of an inventory that a NIC of the family `generic` is."""

from __future__ import annotations

from typing import Literal

from tether_hw.nic.nic import Nic


class GenericNic(Nic):
    """A Linux network device of which we set queues, ring and MTU, and which carries lanes."""

    family: Literal["generic"] = "generic"
