# SPDX-License-Identifier: Apache-2.0
"""ConnectX-7 cards, and netdevsim, which stands for them in a lab."""
