# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the programs that every driver answers to: argv in, recorded spellings out."""
