# SPDX-License-Identifier: Apache-2.0
"""Tether: programs SmartNICs to carry the Tether transport, and proves that they do."""

__version__ = "0.1.0"
