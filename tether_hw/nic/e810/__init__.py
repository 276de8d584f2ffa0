# SPDX-License-Identifier: Apache-2.0
"""Intel E800 series: its DDP packages, and how it steers."""
