# SPDX-License-Identifier: Apache-2.0
"""What families have in common whose NICs are functions of a card: rules in tables, lanes with addresses."""
