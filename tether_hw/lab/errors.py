# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in the lab."""

from __future__ import annotations

from tether_hw.errors import TetherError


class LabError(TetherError):
    """The lab cannot do what was asked; the text says why and ``hint`` what to do."""
