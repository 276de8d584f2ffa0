# SPDX-License-Identifier: Apache-2.0
"""Faults in the middle of a run, and how it ends: what `make faults` and the tests of the tiers share."""
