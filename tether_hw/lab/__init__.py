# SPDX-License-Identifier: Apache-2.0
"""Hosts without hardware: real sshd, files, processes and links, made from namespaces."""
