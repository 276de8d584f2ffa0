# SPDX-License-Identifier: Apache-2.0
"""The kinds of steps: one file each, all listed in `registry`."""
