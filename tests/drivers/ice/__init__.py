# SPDX-License-Identifier: Apache-2.0
"""A model of E810 cards under Linux's ice driver, for tests: no hardware is behind it and none is proven by it."""
