# SPDX-License-Identifier: Apache-2.0
"""The E810 RX parser as a simulator: machine.py parses, reads.py is what it sees, memo.py is the same at speed."""
