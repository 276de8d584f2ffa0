# SPDX-License-Identifier: Apache-2.0
"""A model of ConnectX-7 cards under Linux's mlx5_core, for tests: no hardware is behind it and none is proven by it."""
