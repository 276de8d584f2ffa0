# SPDX-License-Identifier: Apache-2.0
"""A model of a BlueField-3 between its two machines, for tests: no hardware is behind it and none is proven by it."""
