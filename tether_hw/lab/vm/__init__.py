# SPDX-License-Identifier: Apache-2.0
"""Hosts as virtual machines: Debian with its own kernel and systemd, under qemu."""
