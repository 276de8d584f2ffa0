# SPDX-License-Identifier: Apache-2.0
"""The family `bluefield`: a card with a computer of its own; its two sides share what mlx5 is with `nic/cx7`."""
