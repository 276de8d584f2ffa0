# SPDX-License-Identifier: Apache-2.0
"""NVIDIA ConnectX cards, and netdevsim, which has their switch, VFs and representors without any hardware."""
