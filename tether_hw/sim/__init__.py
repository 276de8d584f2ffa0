# SPDX-License-Identifier: Apache-2.0
"""The transport in virtual time: scenarios as data, invariants checked on every step."""
