# SPDX-License-Identifier: Apache-2.0
"""`python -m tether_hw` is the command `tether`."""

from __future__ import annotations

import sys

from tether_hw.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
