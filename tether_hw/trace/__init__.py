# SPDX-License-Identifier: Apache-2.0
"""What endpoints did, event by event (tether.trace/1): read, paired into flows, and drawn."""
