# SPDX-License-Identifier: Apache-2.0
"""The `tether` command: one file per verb."""
