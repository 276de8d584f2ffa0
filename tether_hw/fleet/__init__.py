# SPDX-License-Identifier: Apache-2.0
"""The fleet as the controller sees it: inventory, sessions, what is shipped, runs and their state."""
