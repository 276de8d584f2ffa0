# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the programs that only mlx5 answers to in this way."""
