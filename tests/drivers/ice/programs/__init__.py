# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the programs that configure a card: argv in, exit code and words in the recorded spellings out."""
